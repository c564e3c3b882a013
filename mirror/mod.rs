//! The cgroup hierarchy as it is, by cgroup id, and word of what comes and goes in it.
//!
//! [`Mirror`] asks cgroupfs itself for everything that exists; the tree that it keeps and the
//! inotify watches only make it fast and tell early. Knows nothing of views or of FUSE.

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

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use cgroupfs::Cgroupfs;
use follow::{Figures, Follower};
use known::Hierarchy;
use queue::Inbox;
use tree::Tree;

pub use error::Error;
pub use source::{Source, SourceError, Version, find_cgroup2, open_source};

/// The 64-bit id of a cgroup, its directory's inode number. Never used for another cgroup again
/// in the same hierarchy.
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

/// What happened to a cgroup. Each carries the parent and the name that the kernel's cache of
/// names may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A cgroup was created.
    Appeared {
        /// The new cgroup.
        id: CgroupId,
        /// Its parent.
        parent: CgroupId,
        /// Its name there.
        name: OsString,
    },
    /// A cgroup was removed. Told once, after the fact: who stores something for a cgroup and
    /// then finds it alive can rely on being told.
    Gone {
        /// The cgroup that was.
        id: CgroupId,
        /// Its parent.
        parent: CgroupId,
        /// Its last name there.
        name: OsString,
    },
    /// A cgroup of a v1 hierarchy has another name now.
    Renamed {
        /// The cgroup.
        id: CgroupId,
        /// Its parent.
        parent: CgroupId,
        /// The name that it had.
        name: OsString,
    },
}

impl Change {
    fn appeared(id: CgroupId, parent: CgroupId, name: &OsStr) -> Change {
        let name = name.to_owned();
        Change::Appeared { id, parent, name }
    }
}

/// How the mirror is doing, for the status file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Cgroups known, the root included.
    pub cgroups: usize,
    /// inotify watches placed.
    pub watches: usize,
    /// Cgroups without a watch: their changes are noticed late.
    pub unwatched: usize,
    /// inotify events seen.
    pub events: u64,
    /// How often events were lost.
    pub overflows: u64,
    /// How often everything was looked at again.
    pub rescans: u64,
}

/// The names of the cgroups, as last seen.
pub struct Names<'a>(&'a Tree);

impl Names<'_> {
    /// The name of a cgroup in its parent.
    pub fn get(&self, id: CgroupId) -> Option<&OsStr> {
        self.0.name(id)
    }

    /// How many cgroups have been renamed so far: as long as there is no further one, a path
    /// made of names stays right.
    pub fn renames(&self) -> u64 {
        self.0.renames()
    }
}

/// The followed hierarchy. Dropping it stops and joins its thread.
pub struct Mirror {
    hierarchy: Arc<Hierarchy>,
    figures: Arc<Figures>,
    inbox: Inbox,
    thread: Option<JoinHandle<()>>,
}

impl Mirror {
    /// Follows all cgroups from the open cgroup directory `root` down.
    ///
    /// Everything is watched and listed when this returns. From then on `on_change` runs on the
    /// mirror's thread with no lock held; what existed before is not announced.
    pub fn start(
        root: OwnedFd,
        on_change: impl Fn(Change) + Send + 'static,
    ) -> Result<Mirror, Error> {
        let (inbox, outbox) = queue::inbox();
        let hierarchy = Arc::new(Hierarchy::new(Cgroupfs::new(root)?, inbox.clone()));
        let figures = Arc::new(Figures::default());
        let follower = Follower::start(
            Arc::clone(&hierarchy),
            Arc::clone(&figures),
            (inbox.clone(), outbox),
            on_change,
        )?;
        let thread = thread::Builder::new()
            .name("cgview-mirror".to_owned())
            .spawn(|| follower.run())
            .map_err(Error::Thread)?;
        Ok(Mirror {
            hierarchy,
            figures,
            inbox,
            thread: Some(thread),
        })
    }

    /// The cgroup of the directory that the mirror was started with.
    pub fn root(&self) -> CgroupId {
        self.hierarchy.cgroupfs.root()
    }

    /// The child cgroup `name` of `parent`, asked of cgroupfs. Its end will be told.
    pub fn lookup(&self, parent: CgroupId, name: &OsStr) -> Result<CgroupId, Error> {
        self.hierarchy.lookup(parent, name)
    }

    /// The child cgroups of `dir`, asked of cgroupfs. Their end will be told.
    pub fn list(&self, dir: CgroupId) -> Result<Vec<(OsString, CgroupId)>, Error> {
        self.hierarchy.list(dir)
    }

    /// The directory of exactly this cgroup, open for reading, or [`Error::Gone`].
    pub fn open(&self, id: CgroupId) -> Result<OwnedFd, Error> {
        self.hierarchy.cgroupfs.open(id)
    }

    /// Whether the cgroup exists, asked of cgroupfs.
    pub fn is_alive(&self, id: CgroupId) -> Result<bool, Error> {
        self.hierarchy.cgroupfs.is_alive(id)
    }

    /// The path of `id` below the root, empty for the root.
    ///
    /// As last seen: the cgroup may be gone since, or in a v1 hierarchy just renamed.
    pub fn path(&self, id: CgroupId) -> Result<PathBuf, Error> {
        self.hierarchy.ask_tree(id, |tree| tree.path(id))
    }

    /// The parent of `id`, `None` for the root.
    pub fn parent(&self, id: CgroupId) -> Result<Option<CgroupId>, Error> {
        let line = self.ancestors(id)?;
        Ok(line.get(1).copied())
    }

    /// `id` itself, its parent, and so on up to the root.
    pub fn ancestors(&self, id: CgroupId) -> Result<Vec<CgroupId>, Error> {
        self.hierarchy.ask_tree(id, |tree| tree.ancestors(id))
    }

    /// Shows the names of all cgroups known, for whoever needs thousands of them. The tree is
    /// locked meanwhile: `show` is short and makes no system call.
    pub fn with_names<T>(&self, show: impl FnOnce(&Names<'_>) -> T) -> T {
        show(&Names(&self.hierarchy.tree.read()))
    }

    /// The paths of all cgroups known whose name is `wanted`, in no order. The tree is locked
    /// meanwhile: `wanted` is short and makes no system call.
    pub fn find(&self, wanted: impl Fn(&OsStr) -> bool) -> Vec<PathBuf> {
        self.hierarchy.tree.read().find(wanted)
    }

    /// The mirror's figures.
    pub fn health(&self) -> Health {
        Health {
            cgroups: self.hierarchy.tree.read().len(),
            watches: self.figures.watches.load(Ordering::Relaxed),
            unwatched: self.figures.unwatched.load(Ordering::Relaxed),
            events: self.inbox.events(),
            overflows: self.inbox.overflows(),
            rescans: self.figures.rescans.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.inbox.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the mirror's thread panicked");
        }
    }
}
