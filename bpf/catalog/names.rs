//! Which view a name means in which directory: a placement holds for its cgroup and all below, and a
//! nearer one wins. Pure; generic over what stands for a view.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Origin;
use crate::bpf::run::View;

/// How many different names views can have while a daemon runs: inode numbers have room for these.
pub const MAX_NAMES: usize = (1 << 12) - 1;

/// A view's name as a small number. A name keeps its number for as long as the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameId(pub u16);

/// A view at its placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<V> {
    /// The cgroup path of the placement, below the mount's root; empty for the root.
    pub placement: PathBuf,
    /// The origin of the view's object.
    pub origin: Origin,
    /// The view.
    pub view: V,
}

/// A view's name, for the index.
pub(super) trait Named {
    fn name(&self) -> &str;
}

impl Named for Arc<View> {
    fn name(&self) -> &str {
        &self.info().name
    }
}

/// The placed views of each name.
pub(super) struct NameIndex<V> {
    placed: Vec<Vec<Placed<V>>>,
    ids: HashMap<String, NameId>,
}

impl<V> Default for NameIndex<V> {
    fn default() -> NameIndex<V> {
        NameIndex {
            placed: Vec::new(),
            ids: HashMap::new(),
        }
    }
}

impl<V: Named + Clone> NameIndex<V> {
    pub(super) fn id(&self, name: &str) -> Option<NameId> {
        self.ids.get(name).copied()
    }

    /// All views of a name.
    pub(super) fn placed(&self, id: NameId) -> &[Placed<V>] {
        let placed = self.placed.get(usize::from(id.0));
        placed.map_or(&[], Vec::as_slice)
    }

    /// Places the views of one origin, in the place of those before, which it gives back.
    ///
    /// # Errors
    /// When there have been too many names; nothing has changed then.
    pub(super) fn put(
        &mut self,
        origin: &Origin,
        placement: &Path,
        views: &[V],
    ) -> Result<Vec<Placed<V>>, String> {
        let mut ids = Vec::new();
        for view in views {
            let id = self.id_or_new(view.name());
            ids.push(id.ok_or_else(|| {
                format!("there have been {MAX_NAMES} names of views; mount again to start over")
            })?);
        }
        let before = self.take(origin);
        for (view, id) in views.iter().zip(ids) {
            if let Some(placed) = self.placed.get_mut(usize::from(id.0)) {
                placed.push(Placed {
                    placement: placement.to_owned(),
                    origin: origin.clone(),
                    view: view.clone(),
                });
            }
        }
        Ok(before)
    }

    /// Takes the views of an origin out.
    pub(super) fn take(&mut self, origin: &Origin) -> Vec<Placed<V>> {
        let lists = self.placed.iter_mut();
        lists
            .flat_map(|list| list.extract_if(.., |one| one.origin == *origin))
            .collect()
    }

    fn id_or_new(&mut self, name: &str) -> Option<NameId> {
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        let next = self.placed.len();
        if next >= MAX_NAMES {
            return None;
        }
        let id = NameId(u16::try_from(next).ok()?);
        self.ids.insert(name.to_owned(), id);
        self.placed.push(Vec::new());
        Some(id)
    }

    /// Of each name the view that it means in a directory.
    pub(super) fn nearest_of_each(&self, path: &Path) -> Vec<(NameId, V)> {
        self.of_each(|placed| nearest(placed, path))
    }

    /// Of each name the view that is placed nearest to the root.
    pub(super) fn topmost_of_each(&self) -> Vec<(NameId, V)> {
        self.of_each(|placed| {
            placed
                .iter()
                .min_by_key(|one| (depth(&one.placement), &one.origin))
        })
    }

    fn of_each(&self, choose: impl Fn(&[Placed<V>]) -> Option<&Placed<V>>) -> Vec<(NameId, V)> {
        let numbered = (0..).map(NameId).zip(&self.placed);
        numbered
            .filter_map(|(id, placed)| Some((id, choose(placed)?.view.clone())))
            .collect()
    }

    /// The origin that comes before `origin` with this name at the same placement.
    pub(super) fn hidden_by(
        &self,
        name: &str,
        placement: &Path,
        origin: &Origin,
    ) -> Option<Origin> {
        let placed = self.placed(self.id(name)?).iter();
        let first = placed
            .filter(|one| one.placement == placement)
            .map(|one| &one.origin)
            .min()?;
        (first != origin).then(|| first.clone())
    }
}

fn depth(path: &Path) -> usize {
    path.components().count()
}

/// The view that holds at `path`: the deepest placement, and there the first origin.
pub(super) fn nearest<'a, V>(placed: &'a [Placed<V>], path: &Path) -> Option<&'a Placed<V>> {
    placed
        .iter()
        .filter(|one| path.starts_with(&one.placement))
        .min_by(|a, b| {
            let deeper = depth(&b.placement).cmp(&depth(&a.placement));
            deeper.then_with(|| a.origin.cmp(&b.origin))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Named for &'static str {
        fn name(&self) -> &str {
            self.split('#').next().unwrap_or_default()
        }
    }

    fn file(path: &str) -> Origin {
        Origin::File(path.into())
    }

    fn index(views: &[(Origin, &str, &'static str)]) -> NameIndex<&'static str> {
        let mut index = NameIndex::default();
        for (origin, placement, view) in views {
            index
                .put(origin, Path::new(placement), &[*view])
                .expect("few names");
        }
        index
    }

    fn at(index: &NameIndex<&'static str>, path: &str) -> Vec<&'static str> {
        let views = index.nearest_of_each(Path::new(path)).into_iter();
        views.map(|(_, view)| view).collect()
    }

    #[test]
    fn the_nearer_placement_wins() {
        let index = index(&[(file("a"), "", "wait#far"), (file("b"), "x/y", "wait#near")]);
        assert_eq!(at(&index, "x"), ["wait#far"]);
        assert_eq!(at(&index, "x/y/z"), ["wait#near"]);
        assert_eq!(at(&index, "x/yz"), ["wait#far"]);
        let topmost = index.topmost_of_each();
        assert_eq!(topmost, [(NameId(0), "wait#far")]);
    }

    #[test]
    fn at_one_placement_files_come_before_pins_and_built_in_objects() {
        let builtin = Origin::Builtin("stats");
        let index = index(&[
            (builtin.clone(), "", "stats#built in"),
            (Origin::Pin("p".into()), "", "stats#pin"),
            (file("f"), "", "stats#file"),
        ]);
        assert_eq!(at(&index, "x"), ["stats#file"]);
        let hidden_by = |origin| index.hidden_by("stats", Path::new(""), origin);
        assert_eq!(hidden_by(&builtin), Some(file("f")));
        assert_eq!(hidden_by(&file("f")), None);
    }

    #[test]
    fn a_replacement_takes_the_views_before_and_keeps_their_number() {
        let mut index = index(&[(file("a"), "", "one"), (file("b"), "", "two")]);
        let id = index.id("one");
        let before = index
            .put(&file("a"), Path::new(""), &["three"])
            .expect("few names");
        assert_eq!(before.first().map(|one| one.view), Some("one"));
        assert_eq!(at(&index, ""), ["two", "three"]);
        assert_eq!(index.id("one"), id);
        assert!(index.placed(id.expect("known")).is_empty());
    }

    #[test]
    fn one_name_too_many_changes_nothing() {
        let mut index: NameIndex<&'static str> = NameIndex::default();
        for number in 0..MAX_NAMES {
            assert!(index.id_or_new(&number.to_string()).is_some());
        }
        let views = ["0", "more"];
        assert!(index.put(&file("a"), Path::new(""), &views).is_err());
        assert!(at(&index, "").is_empty());
        assert!(index.put(&file("a"), Path::new(""), &["0"]).is_ok());
    }
}
