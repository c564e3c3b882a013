//! The cgroup tree as last seen: the parent and the name of each cgroup. It does no I/O and does
//! not know when to ask cgroupfs.
//!
//! A cgroup's key is its id. Two cgroups can have one name for a while: if a cgroup was removed and
//! made again, a lookup can find the new one before the removal is noticed.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use foldhash::fast::FixedState;

use super::access::{Access, AccessTable};
use super::{CgroupId, Change};

struct Cgroup {
    parent: CgroupId,
    name: Box<OsStr>,
    /// False while only a lookup has found it, and no `Appeared` has been made.
    announced: bool,
}

impl Cgroup {
    fn is_at(&self, parent: CgroupId, name: &OsStr) -> bool {
        self.parent == parent && *self.name == *name
    }
}

/// The result of [`Tree::learn`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// The tree held the same already.
    Known,
    /// The tree held something else or nothing, so the name has to be checked.
    Differs,
    /// The tree does not hold the parent and is unchanged.
    NoParent,
}

/// The cgroups from one root down.
pub(super) struct Tree {
    root: CgroupId,
    /// The kernel chooses the ids, so a hash that resists chosen keys is not needed. Reading a
    /// subtree looks up each of its cgroups.
    cgroups: HashMap<CgroupId, Cgroup, FixedState>,
    /// (parent, hash of the name, child). Most cgroups are leaves: one set for all takes a third
    /// of the memory of a map per cgroup.
    children: BTreeSet<(CgroupId, u64, CgroupId)>,
    renames: u64,
    access: AccessTable,
}

impl Tree {
    /// A tree of `root` alone.
    pub(super) fn new(root: CgroupId) -> Tree {
        let cgroup = Cgroup {
            parent: root,
            name: OsString::new().into_boxed_os_str(),
            announced: true,
        };
        Tree {
            root,
            cgroups: HashMap::from_iter([(root, cgroup)]),
            children: BTreeSet::new(),
            renames: 0,
            access: AccessTable::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.cgroups.len()
    }

    pub(super) fn contains(&self, id: CgroupId) -> bool {
        self.cgroups.contains_key(&id)
    }

    /// The parent of `id`; none for the root and for an unknown id.
    pub(super) fn parent(&self, id: CgroupId) -> Option<CgroupId> {
        let cgroup = self.cgroups.get(&id)?;
        (id != self.root).then_some(cgroup.parent)
    }

    /// The name of `id` in its parent.
    pub(super) fn name(&self, id: CgroupId) -> Option<&OsStr> {
        self.cgroups.get(&id).map(|cgroup| &*cgroup.name)
    }

    /// The number of renames so far.
    pub(super) fn renames(&self) -> u64 {
        self.renames
    }

    /// `id`, its parent, and so on up to the root.
    pub(super) fn ancestors(&self, id: CgroupId) -> Option<Vec<CgroupId>> {
        self.cgroups.get(&id)?;
        Some(std::iter::successors(Some(id), |&at| self.parent(at)).collect())
    }

    /// The path of `id` below the root, empty for the root itself.
    pub(super) fn path(&self, id: CgroupId) -> Option<PathBuf> {
        let ancestors = self.ancestors(id)?;
        let below_root = ancestors.iter().rev().skip(1);
        below_root.map(|&id| self.name(id)).collect()
    }

    /// The path of `id` below the root, unless it has more than `max_bytes`.
    pub(super) fn short_path(&self, id: CgroupId, max_bytes: usize) -> Option<PathBuf> {
        let mut length_bytes = 0;
        let mut at = id;
        while let Some(parent) = self.parent(at) {
            length_bytes += self.name(at)?.len() + 1;
            if length_bytes > max_bytes + 1 {
                return None;
            }
            at = parent;
        }
        self.path(id)
    }

    /// The paths of all cgroups below the root whose name is `wanted`, without those below one that
    /// is `closed`.
    pub(super) fn find(
        &self,
        wanted: impl Fn(&OsStr) -> bool,
        closed: &BTreeMap<CgroupId, Access>,
    ) -> Vec<PathBuf> {
        let cgroups = self.cgroups.iter().filter(|(id, _)| **id != self.root);
        let found = cgroups.filter(|(_, cgroup)| wanted(&cgroup.name));
        let shown = found.filter(|(_, cgroup)| {
            let above = self.ancestors(cgroup.parent).unwrap_or_default();
            above.iter().all(|id| !closed.contains_key(id))
        });
        shown.filter_map(|(id, _)| self.path(*id)).collect()
    }

    /// Notes who may list and enter the directory of `id`; `None` where that has to be asked for.
    pub(super) fn put_access(&mut self, id: CgroupId, access: Option<Access>) {
        if self.contains(id) {
            self.access.put(id, access);
        }
    }

    /// The ids of all cgroups, in no order.
    pub(super) fn ids(&self) -> Vec<CgroupId> {
        self.cgroups.keys().copied().collect()
    }

    /// Who may list and enter the cgroups' directories.
    pub(super) fn access(&self) -> &AccessTable {
        &self.access
    }

    /// `id` and its descendants, each after its parent.
    pub(super) fn subtree(&self, id: CgroupId) -> Vec<CgroupId> {
        let mut found = vec![id];
        let mut next = 0;
        while let Some(&dir) = found.get(next) {
            found.extend(self.children_of(dir));
            next += 1;
        }
        found
    }

    /// The known children of `dir` that its `listing` does not contain.
    pub(super) fn absent(&self, dir: CgroupId, listing: &[(OsString, CgroupId)]) -> Vec<CgroupId> {
        let present: BTreeSet<CgroupId> = listing.iter().map(|&(_, id)| id).collect();
        self.children_of(dir)
            .filter(|id| !present.contains(id))
            .collect()
    }

    /// The known children of `dir` that have this name, without the one that has it now.
    pub(super) fn displaced(
        &self,
        dir: CgroupId,
        name: &OsStr,
        present: Option<CgroupId>,
    ) -> Vec<CgroupId> {
        let hash = hash_of(name);
        self.children
            .range((dir, hash, CgroupId::MIN)..=(dir, hash, CgroupId::MAX))
            .map(|&(_, _, id)| id)
            .filter(|&id| Some(id) != present && self.is_at(id, dir, name))
            .collect()
    }

    /// Adds a cgroup that a lookup found. Removes and renames nothing: that needs a check of the
    /// directory.
    pub(super) fn learn(&mut self, parent: CgroupId, name: &OsStr, id: CgroupId) -> Learned {
        if !self.contains(parent) {
            return Learned::NoParent;
        }
        match self.cgroups.get(&id) {
            None => self.insert(parent, name, id, false),
            Some(_) if self.knows(parent, name, id) => return Learned::Known,
            Some(_) => {}
        }
        Learned::Differs
    }

    /// Whether the tree holds `id` under this name, and has announced it.
    pub(super) fn knows(&self, parent: CgroupId, name: &OsStr, id: CgroupId) -> bool {
        self.cgroups
            .get(&id)
            .is_some_and(|cgroup| cgroup.announced && cgroup.is_at(parent, name))
    }

    /// Applies what cgroupfs shows: `present` is in `dir`, and `gone` was removed. Other cgroups
    /// stay as they are.
    ///
    /// In the result, a cgroup is gone after its descendants, and before another one appears with
    /// its name.
    pub(super) fn reconcile(
        &mut self,
        dir: CgroupId,
        present: &[(OsString, CgroupId)],
        gone: &[CgroupId],
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for &id in gone {
            self.remove(id, &mut changes);
        }
        if self.contains(dir) {
            for (name, id) in present {
                changes.extend(self.update(dir, name, *id));
            }
        }
        changes
    }

    fn update(&mut self, parent: CgroupId, name: &OsStr, id: CgroupId) -> Option<Change> {
        let Some(cgroup) = self.cgroups.get_mut(&id) else {
            self.insert(parent, name, id, true);
            return Some(Change::appeared(id, parent, name));
        };
        let announced = std::mem::replace(&mut cgroup.announced, true);
        if !self.is_at(id, parent, name) {
            return self.rename(parent, name, id);
        }
        (!announced).then(|| Change::appeared(id, parent, name))
    }

    fn rename(&mut self, parent: CgroupId, name: &OsStr, id: CgroupId) -> Option<Change> {
        // The root is below no other cgroup; to accept that would close a loop.
        if id == self.root {
            return None;
        }
        let old = self.unlink(id)?;
        self.renames += 1;
        self.insert(parent, name, id, true);
        Some(Change::Renamed {
            id,
            parent: old.parent,
            old_name: old.name.into_os_string(),
            new_name: name.to_owned(),
        })
    }

    /// Removes `id` and its descendants: the kernel removes no cgroup that has children.
    fn remove(&mut self, id: CgroupId, changes: &mut Vec<Change>) {
        for id in self.subtree(id).into_iter().rev() {
            if let Some(cgroup) = self.unlink(id) {
                changes.push(Change::Gone {
                    id,
                    parent: cgroup.parent,
                    name: cgroup.name.into_os_string(),
                });
            }
        }
    }

    fn children_of(&self, dir: CgroupId) -> impl Iterator<Item = CgroupId> {
        self.children
            .range((dir, u64::MIN, CgroupId::MIN)..=(dir, u64::MAX, CgroupId::MAX))
            .map(|&(_, _, id)| id)
    }

    fn is_at(&self, id: CgroupId, parent: CgroupId, name: &OsStr) -> bool {
        self.cgroups
            .get(&id)
            .is_some_and(|cgroup| cgroup.is_at(parent, name))
    }

    fn insert(&mut self, parent: CgroupId, name: &OsStr, id: CgroupId, announced: bool) {
        self.children.insert((parent, hash_of(name), id));
        self.access.put(id, None);
        let cgroup = Cgroup {
            parent,
            name: name.into(),
            announced,
        };
        self.cgroups.insert(id, cgroup);
    }

    fn unlink(&mut self, id: CgroupId) -> Option<Cgroup> {
        let cgroup = self.cgroups.remove(&id)?;
        self.access.remove(id);
        self.children
            .remove(&(cgroup.parent, hash_of(&cgroup.name), id));
        Some(cgroup)
    }
}

fn hash_of(name: &OsStr) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
