//! Which view a name means in which directory: a placement holds for its cgroup and all below,
//! and a nearer one wins.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::bpf::View;

use super::inode::{MOST_NAMES, NameId};

/// The views by name and placement.
#[derive(Default)]
pub struct Catalog {
    /// Held for look-ups and changes only, never over a system call.
    names: RwLock<Names>,
}

#[derive(Default)]
struct Names {
    /// A name keeps its place for as long as the daemon runs: inode numbers are made of it.
    list: Vec<Name>,
    places: HashMap<String, NameId>,
}

struct Name {
    name: String,
    placements: Vec<Placement>,
}

#[derive(Clone)]
struct Placement {
    /// Below the mount's root; empty for the root.
    at: PathBuf,
    view: Arc<View>,
}

impl Catalog {
    /// Places `view` at the cgroup path `at`, relative to the mount's root; a view that had the
    /// same name there is replaced. False when there have been too many names.
    pub fn place(&self, at: &Path, view: Arc<View>) -> bool {
        let mut names = self.names.write();
        let name = view.info().name.clone();
        let id = match names.places.get(&name) {
            Some(id) => *id,
            None if names.list.len() >= MOST_NAMES => return false,
            None => {
                let id = NameId(names.list.len() as u16);
                names.places.insert(name.clone(), id);
                names.list.push(Name {
                    name,
                    placements: Vec::new(),
                });
                id
            }
        };
        let Some(name) = names.list.get_mut(usize::from(id.0)) else {
            return false;
        };
        let at = at.to_owned();
        match name.placements.iter_mut().find(|place| place.at == at) {
            Some(place) => place.view = view,
            None => name.placements.push(Placement { at, view }),
        }
        true
    }

    /// The name's id, if a view has ever had it.
    pub(super) fn id(&self, name: &str) -> Option<NameId> {
        self.names.read().places.get(name).copied()
    }

    /// The name that an id stands for.
    pub(super) fn name(&self, id: NameId) -> Option<String> {
        let names = self.names.read();
        names
            .list
            .get(usize::from(id.0))
            .map(|name| name.name.clone())
    }

    /// The view that the name means in the directory whose path `path` gives; it is asked only
    /// when it matters.
    pub(super) fn view<E>(
        &self,
        id: NameId,
        path: impl FnOnce() -> Result<PathBuf, E>,
    ) -> Result<Option<Arc<View>>, E> {
        let placements = {
            let names = self.names.read();
            let Some(name) = names.list.get(usize::from(id.0)) else {
                return Ok(None);
            };
            match name.placements.as_slice() {
                [] => return Ok(None),
                [only] if only.at.as_os_str().is_empty() => {
                    return Ok(Some(Arc::clone(&only.view)));
                }
                several => several.to_vec(),
            }
        };
        let path = path()?;
        Ok(nearest(&placements, &path).map(|place| Arc::clone(&place.view)))
    }

    /// All views of a directory, by name.
    pub(super) fn views<E>(
        &self,
        path: impl FnOnce() -> Result<PathBuf, E>,
    ) -> Result<Vec<(NameId, Arc<View>)>, E> {
        let all: Vec<(NameId, Vec<Placement>)> = {
            let names = self.names.read();
            let numbered = names.list.iter().zip(0u16..);
            numbered
                .map(|(name, id)| (NameId(id), name.placements.clone()))
                .filter(|(_, placements)| !placements.is_empty())
                .collect()
        };
        let path = path()?;
        Ok(all
            .into_iter()
            .filter_map(|(id, placements)| {
                Some((id, Arc::clone(&nearest(&placements, &path)?.view)))
            })
            .collect())
    }

    /// Every name that a view has now, with the view placed nearest to the root.
    pub(super) fn all(&self) -> Vec<(NameId, Arc<View>)> {
        let names = self.names.read();
        let numbered = names.list.iter().zip(0u16..);
        numbered
            .filter_map(|(name, id)| {
                let first = name
                    .placements
                    .iter()
                    .min_by_key(|place| depth(&place.at))?;
                Some((NameId(id), Arc::clone(&first.view)))
            })
            .collect()
    }
}

fn depth(path: &Path) -> usize {
    path.components().count()
}

fn nearest<'a>(placements: &'a [Placement], path: &Path) -> Option<&'a Placement> {
    placements
        .iter()
        .filter(|place| path.starts_with(&place.at))
        .max_by_key(|place| depth(&place.at))
}
