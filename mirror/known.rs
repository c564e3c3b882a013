//! cgroupfs and the tree of the cgroups known from it, shared by lookups and the mirror's thread.
//! cgroupfs alone says what exists; the tree answers only for names and ancestors.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use parking_lot::RwLock;

use super::access::Access;
use super::cgroupfs::Cgroupfs;
use super::tree::{Learned, Tree};
use super::{CgroupId, Error, queue};

pub(super) struct KnownCgroups {
    pub(super) cgroupfs: Cgroupfs,
    /// The mirror's only lock. Never held across a system call or a callback.
    pub(super) tree: RwLock<Tree>,
    sender: queue::Sender,
}

impl KnownCgroups {
    pub(super) fn new(cgroupfs: Cgroupfs, sender: queue::Sender) -> KnownCgroups {
        let tree = RwLock::new(Tree::new(cgroupfs.root()));
        KnownCgroups {
            cgroupfs,
            tree,
            sender,
        }
    }

    /// The cgroup that has this name in `parent` now. The tree holds it afterwards, so its removal
    /// is reported.
    pub(super) fn lookup(&self, parent: CgroupId, name: &OsStr) -> Result<CgroupId, Error> {
        let Some(id) = self.cgroupfs.child(parent, name)? else {
            return Err(Error::NotFound {
                parent,
                name: name.to_owned(),
            });
        };
        self.learn(parent, name, id)?;
        Ok(id)
    }

    /// The child cgroups of `dir` now. The tree holds all of them afterwards.
    pub(super) fn list(&self, dir: CgroupId) -> Result<Vec<(OsString, CgroupId)>, Error> {
        let listing = self.cgroupfs.children(dir)?;
        for (name, id) in &listing {
            self.learn(dir, name, *id)?;
        }
        Ok(listing)
    }

    /// The cgroups that are closed to some user. Those of which the tree does not know it are asked
    /// for; where that fails, they are closed.
    pub(super) fn closed(&self) -> BTreeMap<CgroupId, Access> {
        let tree = self.tree.read();
        let (mut closed, unknown) = (tree.access().closed(), tree.access().unknown());
        drop(tree);
        for id in unknown {
            let stat = self.cgroupfs.stat(id);
            let access = stat.map_or(Access::Nobody, |stat| Access::of(&stat));
            if access != Access::Everyone {
                closed.insert(id, access);
            }
        }
        closed
    }

    /// Gets `ask`'s answer from the tree, after adding `id` to it where that is necessary.
    pub(super) fn ask_tree<T>(
        &self,
        id: CgroupId,
        ask: impl Fn(&Tree) -> Option<T>,
    ) -> Result<T, Error> {
        if let Some(answer) = ask(&self.tree.read()) {
            return Ok(answer);
        }
        self.adopt(id)?;
        ask(&self.tree.read()).ok_or(Error::Gone(id))
    }

    /// Adds `id` to the tree, with those of its ancestors that the tree does not hold.
    fn adopt(&self, id: CgroupId) -> Result<(), Error> {
        let mut unknown = Vec::new();
        let mut at = id;
        while !self.tree.read().contains(at) {
            if at == self.cgroupfs.root() {
                return Err(Error::Gone(at));
            }
            let (parent, name) =
                self.cgroupfs
                    .parent_and_name(at)
                    .map_err(|error| match error {
                        // The descendants of a removed or an outside cgroup are removed or outside too.
                        Error::Gone(_) => Error::Gone(id),
                        Error::Outside(_) => Error::Outside(id),
                        other => other,
                    })?;
            unknown.push((parent, name, at));
            at = parent;
        }
        for (parent, name, id) in unknown.into_iter().rev() {
            self.add(parent, &name, id);
        }
        Ok(())
    }

    fn learn(&self, parent: CgroupId, name: &OsStr, id: CgroupId) -> Result<(), Error> {
        if self.tree.read().knows(parent, name, id) || self.add(parent, name, id) {
            return Ok(());
        }
        self.adopt(parent)?;
        if self.add(parent, name, id) {
            return Ok(());
        }
        // The mirror's thread has removed the parent from the tree meanwhile.
        Err(Error::Gone(parent))
    }

    /// Adds a cgroup to the tree; false if the tree does not hold the parent.
    fn add(&self, parent: CgroupId, name: &OsStr, id: CgroupId) -> bool {
        let learned = self.tree.write().learn(parent, name, id);
        if learned == Learned::Differs {
            self.sender.check(parent, name.to_owned());
        }
        learned != Learned::NoParent
    }
}
