//! Turns objects and pinned programs into loaded objects, each in a directory of the own bpffs.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use libbpf_rs::Program;
use rustix::io::{FdFlags, fcntl_setfd};

use super::OwnBpffs;
use super::links::Links;
use super::loader::{self, Target};
use super::pin_dir::PinDir;
use super::sweep::Sweeper;
use super::view::{LoadedObject, View};
use crate::bpf::manifest::{Manifest, Order, ProgramInfo, ViewInfo, check_view_name};
use crate::bpf::record::{Plan, Record};
use crate::bpf::{Error, fdinfo, pins};
use crate::sys;

/// Loads objects into the own bpffs.
pub struct Engine {
    bpffs: OwnBpffs,
    links: Arc<Links>,
    source: OwnedFd,
    settings: Settings,
    next_serial: AtomicU32,
    ending: AtomicBool,
}

/// What an engine has to know of its mount.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whether a cgroup id alone names a cgroup (v2). A css sweep needs that.
    pub ids_name_cgroups: bool,
    /// Most memory that the result of one view's sweep may take.
    pub max_sweep_bytes: usize,
}

impl Engine {
    /// An engine that pins in `bpffs` and keeps the links of all views in `links`. Collectors of
    /// cgroup types are attached to the cgroup `source`.
    ///
    /// # Errors
    /// When the descriptor cannot be passed on to loaders.
    pub fn new(
        bpffs: OwnBpffs,
        links: Arc<Links>,
        source: OwnedFd,
        settings: Settings,
    ) -> io::Result<Engine> {
        // Loaders inherit the descriptor; the daemon starts no other processes.
        fcntl_setfd(&source, FdFlags::empty())?;
        Ok(Engine {
            bpffs,
            links,
            source,
            settings,
            next_serial: AtomicU32::new(0),
            ending: AtomicBool::new(false),
        })
    }

    /// Gives up objects that are being loaded, and refuses all later ones.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether [`end`](Engine::end) was called.
    pub fn ends(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Loads an object; its collectors run from here on. Kept maps go on with the contents that
    /// they have in the `previous` object. `name` is for messages.
    ///
    /// # Errors
    /// When no loader could be run. An object that cannot be used here is no error of this call:
    /// it has no views, and its manifest says why.
    pub fn load(
        &self,
        name: &str,
        elf: &[u8],
        previous: Option<&LoadedObject>,
    ) -> Result<LoadedObject, Error> {
        let dir = self.new_dir()?;
        let target = Target {
            dir: dir.path(),
            cgroup: self.source.as_fd(),
            previous: previous.map(|object| object.dir.path()),
        };
        let manifest = loader::load(elf, Some(&target), &|| self.ends()).map_err(|source| {
            let object = name.to_owned();
            Error::Loader { object, source }
        })?;
        let mut views = Vec::new();
        if manifest.unavailable.is_none() {
            for (index, info) in manifest.views.iter().enumerate() {
                if info.program.unavailable.is_none() {
                    views.push(self.open_view(name, index, info, &dir)?);
                }
            }
        }
        Ok(LoadedObject {
            manifest,
            views,
            dir,
        })
    }

    /// Takes a program that somebody has pinned as an object with one text view called `name`.
    ///
    /// # Errors
    /// Why the program is no view.
    pub fn adopt(&self, name: &str, pin: &Path) -> Result<LoadedObject, String> {
        check_view_name(name)?;
        let program = Program::fd_from_pinned_path(pin).map_err(|error| {
            format!("it is not a BPF program: {error}; pin an iter/cgroup program")
        })?;
        check_iterates_over_cgroups(program.as_fd(), self.source.as_fd())?;
        let info = ViewInfo::text(name);
        let dir = self.new_dir().map_err(|error| error.to_string())?;
        let view = self.view(&info, program, None, None, &dir);
        Ok(LoadedObject {
            manifest: Manifest {
                views: vec![info],
                ..Manifest::default()
            },
            views: vec![view],
            dir,
        })
    }

    fn new_serial(&self) -> u32 {
        self.next_serial.fetch_add(1, Ordering::Relaxed)
    }

    /// A new directory for the pins of an object.
    fn new_dir(&self) -> Result<Arc<PinDir>, Error> {
        let path = self.bpffs.dir().join(format!("o{}", self.new_serial()));
        let failed = |source| Error::Bpffs {
            path: path.clone(),
            action: "create",
            source,
        };
        fs::create_dir(&path).map_err(failed)?;
        let dir = PinDir::open(path.clone()).map_err(failed)?;
        Ok(Arc::new(dir))
    }

    /// Opens the pins that the loader has made of a view.
    fn open_view(
        &self,
        object: &str,
        index: usize,
        info: &ViewInfo,
        dir: &Arc<PinDir>,
    ) -> Result<Arc<View>, Error> {
        let refuse = |reason: String| Error::Object {
            object: object.to_owned(),
            reason: format!("view {}: {reason}", info.name),
        };
        let program = Program::fd_from_pinned_path(pins::of(dir.path(), pins::VIEW, index))
            .map_err(|error| refuse(format!("open its pin: {error}")))?;
        let plan = info.record.as_ref();
        let plan = plan.map(|record| Plan::new(&info.name, &info.help, record));
        let plan = plan
            .transpose()
            .map_err(|error| refuse(error.to_string()))?;
        let sweeper = match &info.record {
            Some(record) => self
                .open_sweeper(index, info, record, dir.path())
                .map_err(|error| refuse(format!("open the pins of its sweep: {error}")))?,
            None => None,
        };
        Ok(self.view(info, program, plan, sweeper, dir))
    }

    /// The css sweep of a view; its walk where it has no css sweep, or where ids do not name
    /// cgroups; `None` where it has neither.
    fn open_sweeper(
        &self,
        index: usize,
        info: &ViewInfo,
        record: &Record,
        dir: &Path,
    ) -> libbpf_rs::Result<Option<Sweeper>> {
        let pin = |part: &Option<ProgramInfo>, pin| -> Option<PathBuf> {
            let live = part.as_ref()?.unavailable.is_none();
            live.then(|| pins::of(dir, pin, index))
        };
        let sweep = pin(&info.sweep, pins::SWEEP).filter(|_| self.settings.ids_name_cgroups);
        let walk = pin(&info.walk, pins::WALK);
        let swept = pins::of(dir, pins::SWEPT, index);
        Sweeper::open(
            sweep.as_deref(),
            walk.as_deref(),
            &swept,
            record,
            self.settings.max_sweep_bytes,
        )
    }

    fn view(
        &self,
        info: &ViewInfo,
        program: OwnedFd,
        plan: Option<Plan>,
        sweeper: Option<Sweeper>,
        dir: &Arc<PinDir>,
    ) -> Arc<View> {
        Arc::new(View {
            info: info.clone(),
            plan,
            serial: self.new_serial(),
            program,
            sweeper,
            links: Arc::clone(&self.links),
            dir: Arc::clone(dir),
        })
    }
}

/// Asks the kernel. A link alone is no answer: an iterator over something else takes any target.
fn check_iterates_over_cgroups(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
) -> Result<(), String> {
    let link = sys::cgroup_iter_link(program, Some(cgroup), Order::Itself.number())
        .map_err(|error| format!("it is not an iter/cgroup program ({error})"))?;
    match fdinfo::value::<String>(link.as_fd(), "target_name").as_deref() {
        Some("cgroup") => Ok(()),
        over => Err(format!(
            "it is not an iter/cgroup program but an iter/{} one",
            over.unwrap_or_default()
        )),
    }
}

/// Finds out what an object holds and whether it can be used here; leaves nothing behind.
///
/// # Errors
/// When no loader could be run.
pub fn check(elf: &[u8]) -> io::Result<Manifest> {
    loader::load(elf, None, &|| false)
}
