//! Loaded objects and their views.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::links::{LinkOf, Links};
use super::pin_dir::PinDir;
use super::sweep::Sweeper;
use super::swept::Swept;
use crate::bpf::manifest::{Manifest, ViewInfo};
use crate::bpf::record::Plan;
use crate::bpf::{Error, fdinfo};

/// An object in the kernel. Its programs, maps and links are freed when it and its views drop.
pub struct LoadedObject {
    /// What the object holds.
    pub manifest: Manifest,
    /// The views that can be read here.
    pub views: Vec<Arc<View>>,
    pub(super) dir: Arc<PinDir>,
}

/// A view that can be read.
pub struct View {
    pub(super) info: ViewInfo,
    /// Renders the records; a text view has none.
    pub(super) plan: Option<Plan>,
    pub(super) serial: u32,
    pub(super) program: OwnedFd,
    pub(super) sweeper: Option<Sweeper>,
    pub(super) links: Arc<Links>,
    pub(super) dir: Arc<PinDir>,
}

/// How often a program has run and for how long, as the kernel counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    /// Number of runs.
    pub count: u64,
    /// Time of all runs together.
    pub time_nsec: u64,
}

impl View {
    /// What the object says about the view.
    pub fn info(&self) -> &ViewInfo {
        &self.info
    }

    /// Renders the view's records; `None` for a text view.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// The runs of the program, while the kernel counts them (sysctl `kernel.bpf_stats_enabled`).
    pub fn runs(&self) -> Option<Runs> {
        let count = fdinfo::value::<u64>(self.program.as_fd(), "run_cnt")?;
        let time_nsec = fdinfo::value::<u64>(self.program.as_fd(), "run_time_ns")?;
        (count > 0).then_some(Runs { count, time_nsec })
    }

    /// Whether [`Self::sweep`] can be used.
    pub fn can_sweep(&self) -> bool {
        self.sweeper.is_some()
    }

    /// Runs the program for the cgroup with this id; `open` opens the cgroup's directory.
    ///
    /// The caller has to check *afterwards* that the cgroup is still there. Only then the bytes are
    /// all that the program wrote for it: the link of a cgroup that is gone reads as empty.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::TooBig`], [`Error::Link`] or [`Error::Read`].
    pub fn read(
        &self,
        cgroup: u64,
        open: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> Result<Vec<u8>, Error> {
        let link = LinkOf {
            view: &self.info.name,
            serial: self.serial,
            dir: &self.dir,
            program: self.program.as_fd(),
            order: self.info.order,
            cgroup,
        };
        self.links.read(&link, open)
    }

    /// Collects the records of the subtree at `root`, whose directory is `directory`, and passes
    /// them to `render`. `expected` is a guess at the number of cgroups; a wrong one costs time only.
    ///
    /// # Errors
    /// [`Error::NoSuchForm`] when the view cannot sweep, [`Error::Gone`], [`Error::Busy`],
    /// [`Error::SubtreeTooBig`] or [`Error::Sweep`].
    pub fn sweep<T>(
        &self,
        root: u64,
        directory: BorrowedFd<'_>,
        expected: usize,
        render: impl FnOnce(Swept<'_>) -> T,
    ) -> Result<T, Error> {
        let view = &self.info.name;
        let Some(sweeper) = &self.sweeper else {
            return Err(Error::NoSuchForm { view: view.clone() });
        };
        // A syscall program may not flush rstat; one read of the root does it for the subtree.
        if self.info.prepares && sweeper.is_css() {
            self.read(root, || directory.try_clone_to_owned())?;
        }
        sweeper.run(view, root, directory, expected, render)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.links.release_view(self.serial);
    }
}
