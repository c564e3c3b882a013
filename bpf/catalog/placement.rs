//! Which view a name means in which directory: a placement holds for its cgroup and all below,
//! and a nearer one wins.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use super::{Origin, Shelf};
use crate::bpf::run::{Object, View};

/// How many different names views can have while a daemon runs.
pub const MOST_NAMES: usize = 1 << 12;

/// A view's name, as its place in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameId(pub u16);

/// The views by name and placement.
#[derive(Default)]
pub struct Catalog {
    /// Held for look-ups and changes only, never over a system call.
    names: RwLock<Names>,
}

#[derive(Default)]
struct Names {
    /// A name keeps its place for as long as the daemon runs: inode numbers are made of it.
    list: Vec<Vec<Placement>>,
    ids: HashMap<String, NameId>,
}

/// A view at a place in the tree.
#[derive(Clone)]
pub struct Placement {
    /// Below the mount's root; empty for the root.
    pub at: PathBuf,
    /// The object that has the view.
    pub origin: Origin,
    /// The view.
    pub view: Arc<View>,
}

impl Names {
    /// The name's id, a new one for a new name; `None` when there have been too many.
    fn admit(&mut self, name: &str) -> Option<NameId> {
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        let next = self.list.len();
        if next >= MOST_NAMES {
            return None;
        }
        let id = NameId(u16::try_from(next).ok()?);
        self.ids.insert(name.to_owned(), id);
        self.list.push(Vec::new());
        Some(id)
    }

    fn placements(&self, id: NameId) -> &[Placement] {
        self.list.get(usize::from(id.0)).map_or(&[], Vec::as_slice)
    }

    fn numbered(&self) -> impl Iterator<Item = (NameId, &[Placement])> {
        let list = self.list.iter().map(Vec::as_slice);
        (0..)
            .map(NameId)
            .zip(list)
            .filter(|(_, placements)| !placements.is_empty())
    }
}

impl Shelf for Catalog {
    fn put(&self, origin: &Origin, at: &Path, object: &Arc<Object>) -> Result<(), String> {
        let mut names = self.names.write();
        let mut ids = Vec::new();
        for view in &object.views {
            let id = names.admit(&view.info().name);
            ids.push(id.ok_or_else(|| format!("there have been {MOST_NAMES} names of views"))?);
        }
        let old = names.take(origin);
        for (view, id) in object.views.iter().zip(ids) {
            if let Some(placements) = names.list.get_mut(usize::from(id.0)) {
                placements.push(Placement {
                    at: at.to_owned(),
                    origin: origin.clone(),
                    view: Arc::clone(view),
                });
            }
        }
        drop(names);
        // The last user of a view unpins it, which is no work for under the lock.
        drop(old);
        Ok(())
    }

    fn take(&self, origin: &Origin) {
        let old = self.names.write().take(origin);
        drop(old);
    }
}

impl Names {
    fn take(&mut self, origin: &Origin) -> Vec<Placement> {
        let lists = self.list.iter_mut();
        lists
            .flat_map(|list| list.extract_if(.., |place| place.origin == *origin))
            .collect()
    }
}

impl Catalog {
    /// The name's id, if a view has ever had it.
    pub fn id(&self, name: &str) -> Option<NameId> {
        self.names.read().ids.get(name).copied()
    }

    /// What the name means in the directory whose path `path` gives; it is asked only when it
    /// matters.
    pub fn find<E>(
        &self,
        id: NameId,
        path: impl FnOnce() -> Result<PathBuf, E>,
    ) -> Result<Option<Placement>, E> {
        let placements = {
            let names = self.names.read();
            match names.placements(id) {
                [] => return Ok(None),
                [only] if only.at.as_os_str().is_empty() => return Ok(Some(only.clone())),
                several => several.to_vec(),
            }
        };
        let path = path()?;
        Ok(nearest(&placements, &path).cloned())
    }

    /// All views of the directory with this path.
    pub fn views(&self, path: &Path) -> Vec<(NameId, Arc<View>)> {
        let names = self.names.read();
        let found = names.numbered();
        found
            .filter_map(|(id, placements)| Some((id, Arc::clone(&nearest(placements, path)?.view))))
            .collect()
    }

    /// Every name that a view has now, with the view placed nearest to the root.
    pub fn all(&self) -> Vec<(NameId, Arc<View>)> {
        let names = self.names.read();
        let found = names.numbered();
        found
            .filter_map(|(id, placements)| {
                let first = placements
                    .iter()
                    .min_by_key(|place| (depth(&place.at), &place.origin))?;
                Some((id, Arc::clone(&first.view)))
            })
            .collect()
    }

    /// The object that has this name at the same place and comes before `origin`.
    pub fn hidden_by(&self, name: &str, at: &Path, origin: &Origin) -> Option<Origin> {
        let names = self.names.read();
        let id = names.ids.get(name)?;
        let placements = names.placements(*id).iter();
        let winner = placements
            .filter(|place| place.at == at)
            .map(|place| &place.origin)
            .min()?;
        (winner != origin).then(|| winner.clone())
    }
}

fn depth(path: &Path) -> usize {
    path.components().count()
}

/// The placement that holds at `path`: the deepest, then the one of the first origin.
fn nearest<'a>(placements: &'a [Placement], path: &Path) -> Option<&'a Placement> {
    placements
        .iter()
        .filter(|place| path.starts_with(&place.at))
        .min_by(|a, b| {
            let deeper = depth(&b.at).cmp(&depth(&a.at));
            deeper.then_with(|| a.origin.cmp(&b.origin))
        })
}
