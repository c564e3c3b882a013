//! cgroupfs and the tree of what was seen in it, as lookups and the follower share them. Every
//! answer about what exists comes from cgroupfs; the tree answers only for names and ancestry.

use std::ffi::{OsStr, OsString};

use parking_lot::RwLock;

use super::cgroupfs::Cgroupfs;
use super::queue::Inbox;
use super::tree::{Learned, Tree};
use super::{CgroupId, Error};

pub(super) struct Hierarchy {
    pub(super) cgroupfs: Cgroupfs,
    /// The mirror's only lock. Held for moments: never across a system call or a callback.
    pub(super) tree: RwLock<Tree>,
    inbox: Inbox,
}

impl Hierarchy {
    pub(super) fn new(cgroupfs: Cgroupfs, inbox: Inbox) -> Hierarchy {
        let tree = RwLock::new(Tree::new(cgroupfs.root()));
        Hierarchy {
            cgroupfs,
            tree,
            inbox,
        }
    }

    /// The cgroup that is `name` in `parent` now. The tree holds it from here on, so its end will
    /// be told.
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

    /// The cgroups in `dir` now, all held by the tree from here on.
    pub(super) fn list(&self, dir: CgroupId) -> Result<Vec<(OsString, CgroupId)>, Error> {
        let listing = self.cgroupfs.children(dir)?;
        for (name, id) in &listing {
            self.learn(dir, name, *id)?;
        }
        Ok(listing)
    }

    /// The answer of `ask` from the tree, which is first made to hold `id`.
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

    /// Parent and name of `id`, from cgroupfs, and so on up, until the tree knows the rest.
    fn adopt(&self, id: CgroupId) -> Result<(), Error> {
        let mut unknown = Vec::new();
        let mut at = id;
        while !self.tree.read().contains(at) {
            if at == self.cgroupfs.root() {
                return Err(Error::Gone(at));
            }
            let (parent, name) = self.cgroupfs.place(at).map_err(|error| match error {
                // Whatever lies below a removed or an outside cgroup is removed or outside too.
                Error::Gone(_) => Error::Gone(id),
                Error::Outside(_) => Error::Outside(id),
                other => other,
            })?;
            unknown.push((parent, name, at));
            at = parent;
        }
        for (parent, name, id) in unknown.into_iter().rev() {
            self.enter(parent, &name, id);
        }
        Ok(())
    }

    fn learn(&self, parent: CgroupId, name: &OsStr, id: CgroupId) -> Result<(), Error> {
        if self.tree.read().knows(parent, name, id) || self.enter(parent, name, id) {
            return Ok(());
        }
        self.adopt(parent)?;
        if self.enter(parent, name, id) {
            return Ok(());
        }
        // The follower saw the parent go between the two lines above.
        Err(Error::Gone(parent))
    }

    /// Enters a finding into the tree; false when that does not hold the parent.
    fn enter(&self, parent: CgroupId, name: &OsStr, id: CgroupId) -> bool {
        let learned = self.tree.write().learn(parent, name, id);
        if learned == Learned::News {
            self.inbox.look(parent, name.to_owned());
        }
        learned != Learned::NoParent
    }
}
