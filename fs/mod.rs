//! The file system: the entries of each directory and the bytes of each file, from the cgroups of
//! the mirror and the views of the catalog. Plain functions with plain results; the FUSE protocol
//! is [adapter]'s, and mounting is [mount]'s.

mod adapter;
mod attr;
mod caller;
mod content;
mod control;
mod directory;
mod errno;
mod form;
mod inode;
mod invalidate;
mod mount;
mod open;
mod paths;
mod subtree;
mod workers;

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use fuser::INodeNo;

use crate::bpf::catalog::Catalog;
use crate::bpf::run::{Links, View};
use crate::mirror::Mirror;

pub use invalidate::Changes;
pub use mount::{MountError, Mounted, Mountpoint, probe, remount};

use caller::Threads;
use errno::Error;
use form::Form;
use inode::{FileNode, Node};
use open::{Handles, Lengths, PageCache, Retries, SameRuns};
use paths::LastPaths;

/// How many files have their last length remembered. A forgotten length costs no more than a run
/// at open.
const MAX_REMEMBERED_LENGTHS: NonZeroUsize = NonZeroUsize::new(1 << 16).expect("not zero");

/// The file system over one hierarchy.
pub struct CgviewFs {
    mirror: Arc<Mirror>,
    catalog: Arc<Catalog>,
    links: Arc<Links>,
    handles: Handles,
    lengths: Lengths,
    page_cache: PageCache,
    retries: Retries,
    same_runs: Arc<SameRuns>,
    max_run_time: Duration,
    /// The mount ends: runs that take long end too.
    ending: AtomicBool,
    last_paths: LastPaths,
    threads: Threads,
    started: SystemTime,
    manage: bool,
}

/// How the file system behaves.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The most bytes that all open files and directories may hold.
    pub snapshot_bytes: usize,
    /// Whether `rm` of a view's file in the directory of its placement removes the view.
    pub manage: bool,
}

impl CgviewFs {
    /// Makes a file system that shows the views of `catalog` in the hierarchy of `mirror`.
    ///
    /// # Errors
    /// Those of opening a procfs.
    pub fn new(
        mirror: Arc<Mirror>,
        catalog: Arc<Catalog>,
        links: Arc<Links>,
        options: Options,
    ) -> io::Result<CgviewFs> {
        Ok(CgviewFs {
            mirror,
            catalog,
            links,
            handles: Handles::new(options.snapshot_bytes),
            lengths: Lengths::new(MAX_REMEMBERED_LENGTHS),
            page_cache: PageCache::new(MAX_REMEMBERED_LENGTHS),
            retries: Retries::default(),
            same_runs: Arc::default(),
            max_run_time: open::max_run_time(),
            ending: AtomicBool::new(false),
            last_paths: LastPaths::default(),
            threads: Threads::new()?,
            started: SystemTime::now(),
            manage: options.manage,
        })
    }

    /// What the notifier thread needs too.
    fn shared(&self) -> (Arc<Mirror>, Arc<Links>, Arc<Catalog>) {
        let mirror = Arc::clone(&self.mirror);
        (mirror, Arc::clone(&self.links), Arc::clone(&self.catalog))
    }

    fn node(&self, number: INodeNo) -> Result<Node, Error> {
        Node::of(number, self.mirror.root()).ok_or(Error::NoSuchNode)
    }

    /// The view that the file shows; `None` when no view of that name is placed at or above the
    /// cgroup, or when the view does not have the form.
    fn find_view(&self, file: FileNode) -> Result<Option<Arc<View>>, Error> {
        let path = || self.mirror.path(file.cgroup);
        let placed = self.catalog.find(file.name, path)?;
        let view = placed.map(|placed| placed.view);
        Ok(view.filter(|view| has_form(view, file.form)))
    }

    /// The view that the file shows, or [`Error::Gone`].
    fn view_of(&self, file: FileNode) -> Result<Arc<View>, Error> {
        self.find_view(file)?.ok_or(Error::Gone)
    }

    /// Fails with [`Error::Gone`] unless both the cgroup and the view of the file exist.
    fn check_exists(&self, file: FileNode) -> Result<(), Error> {
        if !self.mirror.is_alive(file.cgroup)? {
            return Err(Error::Gone);
        }
        self.view_of(file).map(drop)
    }
}

/// Whether the view can be read in this form.
fn has_form(view: &View, form: Form) -> bool {
    match form {
        Form::Plain | Form::Tree => true,
        Form::Json | Form::Prom | Form::Bin | Form::TreeJson => view.plan().is_some(),
    }
}
