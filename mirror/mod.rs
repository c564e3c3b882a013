//! Follows a cgroup hierarchy: finds cgroups by id, name and path, and reports each change.
//!
//! [`Mirror`] asks cgroupfs what exists. Its tree only makes answers fast, and its inotify watches
//! only make reports early. It does not know views or FUSE.

mod access;
mod cgroupfs;
mod error;
#[cfg(test)]
mod fixture;
mod follow;
mod known;
mod queue;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod watch;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use rustix::fs::Stat;

use cgroupfs::Cgroupfs;
use follow::{Figures, Follower};
use known::KnownCgroups;
use tree::Tree;

pub use access::Access;
pub use error::Error;
pub use source::{Source, SourceError, Version, find_cgroup2, open_source};

/// The 64-bit id of a cgroup: the inode number of its directory. Unique within its hierarchy; the
/// kernel does not use it again (fs/kernfs/dir.c `kernfs_new_node`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CgroupId(pub u64);

impl CgroupId {
    const MIN: CgroupId = CgroupId(u64::MIN);
    const MAX: CgroupId = CgroupId(u64::MAX);
}

impl fmt::Display for CgroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A change of the hierarchy, with the names that the kernel's cache may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A cgroup was created.
    Appeared {
        /// The new cgroup.
        id: CgroupId,
        /// Its parent.
        parent: CgroupId,
        /// Its name in the parent.
        name: OsString,
    },
    /// A cgroup was removed. Reported once for each cgroup that was there at the start, appeared,
    /// or was looked up or listed.
    ///
    /// The report comes after the removal: for data that was stored before [`Mirror::is_alive`]
    /// returned true, it is still to come.
    Gone {
        /// The removed cgroup.
        id: CgroupId,
        /// Its parent.
        parent: CgroupId,
        /// Its last name in the parent.
        name: OsString,
    },
    /// The mode or the owner of a cgroup's directory may have changed. Reported for cgroups that
    /// are watched.
    Attributes {
        /// The cgroup.
        id: CgroupId,
    },
    /// A cgroup was renamed. Only v1 has renames, and only within the parent
    /// (kernel/cgroup/cgroup-v1.c `cgroup1_rename`).
    Renamed {
        /// The renamed cgroup.
        id: CgroupId,
        /// Its parent.
        parent: CgroupId,
        /// The name before.
        old_name: OsString,
        /// The name now.
        new_name: OsString,
    },
}

impl Change {
    fn appeared(id: CgroupId, parent: CgroupId, name: &OsStr) -> Change {
        let name = name.to_owned();
        Change::Appeared { id, parent, name }
    }
}

/// Figures of the mirror, for the status file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Known cgroups, including the root.
    pub cgroups: usize,
    /// inotify watches.
    pub watches: usize,
    /// Cgroups without a watch. Changes in them are reported late, after a rescan.
    pub unwatched: usize,
    /// inotify events so far.
    pub events: u64,
    /// How often events were lost.
    pub overflows: u64,
    /// How often all cgroups were scanned again.
    pub rescans: u64,
}

/// The names of all known cgroups, see [`Mirror::with_names`].
pub struct Names<'a>(&'a Tree);

impl Names<'_> {
    /// The name of a cgroup in its parent.
    pub fn get(&self, id: CgroupId) -> Option<&OsStr> {
        self.0.name(id)
    }

    /// The number of renames so far. While it stays the same, a path made of these names stays
    /// correct.
    pub fn renames(&self) -> u64 {
        self.0.renames()
    }
}

/// A cgroup hierarchy, followed by a thread. Dropping it ends and joins the thread.
pub struct Mirror {
    known: Arc<KnownCgroups>,
    figures: Arc<Figures>,
    sender: queue::Sender,
    thread: Option<JoinHandle<()>>,
}

impl Mirror {
    /// Follows the cgroup of the open directory `source` and all its descendants.
    ///
    /// All of them are known and watched when this returns; only later changes are reported. The
    /// mirror's thread calls `on_change` and holds no lock meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`] if `source` is not mounted in this mount namespace, without `CAP_SYS_ADMIN`
    /// and `CAP_DAC_READ_SEARCH`, or if the kernel's limits on descriptors are reached;
    /// [`Error::Thread`].
    pub fn start(
        source: OwnedFd,
        on_change: impl Fn(Change) + Send + 'static,
    ) -> Result<Mirror, Error> {
        let (sender, receiver) = queue::new();
        let cgroupfs = Cgroupfs::new(&source)?;
        let known = Arc::new(KnownCgroups::new(cgroupfs, sender.clone()));
        let figures = Arc::new(Figures::default());
        let follower = Follower::start(
            Arc::clone(&known),
            Arc::clone(&figures),
            (sender.clone(), receiver),
            on_change,
        )?;
        let thread = thread::Builder::new()
            .name("cgview-mirror".to_owned())
            .spawn(|| follower.run())
            .map_err(Error::Thread)?;
        Ok(Mirror {
            known,
            figures,
            sender,
            thread: Some(thread),
        })
    }

    /// The cgroup of the source directory.
    pub fn root(&self) -> CgroupId {
        self.known.cgroupfs.root()
    }

    /// The child cgroup `name` of `parent`, as cgroupfs has it now.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such child, [`Error::Gone`] if the parent was removed.
    pub fn lookup(&self, parent: CgroupId, name: &OsStr) -> Result<CgroupId, Error> {
        self.known.lookup(parent, name)
    }

    /// The child cgroups of `dir`, as cgroupfs has them now.
    ///
    /// # Errors
    /// [`Error::Gone`] if `dir` was removed.
    pub fn list(&self, dir: CgroupId) -> Result<Vec<(OsString, CgroupId)>, Error> {
        self.known.list(dir)
    }

    /// Opens the directory of exactly this cgroup for reading.
    ///
    /// # Errors
    /// [`Error::Gone`] if the cgroup was removed.
    pub fn open(&self, id: CgroupId) -> Result<OwnedFd, Error> {
        self.known.cgroupfs.open(id)
    }

    /// Whether the cgroup exists, as cgroupfs has it now.
    ///
    /// # Errors
    /// [`Error::Io`] if cgroupfs cannot be asked.
    pub fn is_alive(&self, id: CgroupId) -> Result<bool, Error> {
        self.known.cgroupfs.is_alive(id)
    }

    /// The path of `id` below the root, empty for the root, as last seen: the cgroup may have been
    /// removed or renamed since.
    ///
    /// # Errors
    /// [`Error::Gone`] if the cgroup is unknown and was removed, [`Error::Outside`] if it is not
    /// below the root.
    pub fn path(&self, id: CgroupId) -> Result<PathBuf, Error> {
        self.known.ask_tree(id, |tree| tree.path(id))
    }

    /// The parent of `id`, `None` for the root.
    ///
    /// # Errors
    /// As [`Mirror::path`].
    pub fn parent(&self, id: CgroupId) -> Result<Option<CgroupId>, Error> {
        let ancestors = self.ancestors(id)?;
        Ok(ancestors.get(1).copied())
    }

    /// `id` itself, its parent, and so on up to the root.
    ///
    /// # Errors
    /// As [`Mirror::path`].
    pub fn ancestors(&self, id: CgroupId) -> Result<Vec<CgroupId>, Error> {
        self.known.ask_tree(id, |tree| tree.ancestors(id))
    }

    /// Calls `show` with the names of all known cgroups. The tree is locked meanwhile, so `show`
    /// must be short and must not make a system call.
    pub fn with_names<T>(&self, show: impl FnOnce(&Names<'_>) -> T) -> T {
        show(&Names(&self.known.tree.read()))
    }

    /// The paths of all known cgroups whose name is `wanted`, in no order, without those below one
    /// that some user may not list or enter. The tree is locked meanwhile, so `wanted` must be short
    /// and must not make a system call.
    pub fn find(&self, wanted: impl Fn(&OsStr) -> bool) -> Vec<PathBuf> {
        let closed = self.closed();
        self.known.tree.read().find(wanted, &closed)
    }

    /// The attributes of the directory of exactly this cgroup, as cgroupfs has them now.
    ///
    /// # Errors
    /// [`Error::Gone`] if the cgroup was removed.
    pub fn stat(&self, id: CgroupId) -> Result<Stat, Error> {
        self.known.cgroupfs.stat(id)
    }

    /// Who may list and enter the directory of this cgroup, as cgroupfs has it now.
    ///
    /// # Errors
    /// [`Error::Gone`] if the cgroup was removed.
    pub fn access(&self, id: CgroupId) -> Result<Access, Error> {
        Ok(Access::of(&self.stat(id)?))
    }

    /// The known cgroups that some user may not list or enter. A change shows as soon as inotify
    /// has reported it; for cgroups that are not watched, cgroupfs is asked now.
    pub fn closed(&self) -> BTreeMap<CgroupId, Access> {
        self.known.closed()
    }

    /// The figures for the status file.
    pub fn health(&self) -> Health {
        Health {
            cgroups: self.known.tree.read().len(),
            watches: self.figures.watches.load(Ordering::Relaxed),
            unwatched: self.figures.unwatched.load(Ordering::Relaxed),
            events: self.sender.events(),
            overflows: self.sender.overflows(),
            rescans: self.figures.rescans.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.sender.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the mirror's thread panicked");
        }
    }
}
