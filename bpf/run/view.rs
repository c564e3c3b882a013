//! Loaded objects and their views. An object lives in its directory of the bpffs instance; the
//! last one who drops it unpins everything.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::links::{Links, ViewLinks};
use super::loader::{self, Place};
use super::sweep::{self, Rows, Sweeper};
use super::{Instance, fdinfo};
use crate::bpf::manifest::{Manifest, ProgramInfo, ViewInfo};
use crate::bpf::record::Plan;
use crate::bpf::{Error, pins as pin};
use crate::sys;

/// Loads objects into an instance.
pub struct Engine {
    instance: Instance,
    links: Arc<Links>,
    settings: Settings,
    next_serial: AtomicU32,
    ending: AtomicBool,
}

/// What an engine is told about its surroundings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cgroup that collectors of cgroup types are attached to: the source.
    pub cgroup: PathBuf,
    /// Whether a cgroup id alone names a cgroup (v2), which the css sweep needs.
    pub ids_name_cgroups: bool,
    /// Most memory that the rows of one view's sweep may take.
    pub sweep_bytes: usize,
}

/// An object in the kernel. Its programs, maps and links are freed when it and its views drop.
pub struct Object {
    /// What it holds.
    pub manifest: Manifest,
    /// Its views that can be read here.
    pub views: Vec<Arc<View>>,
    pins: Arc<Pins>,
}

/// One view that can be read.
pub struct View {
    info: ViewInfo,
    /// How its records are rendered; a text view has none.
    plan: Option<Plan>,
    serial: u32,
    program: OwnedFd,
    sweeper: Option<Sweeper>,
    links: Arc<Links>,
    pins: Arc<Pins>,
}

/// What the kernel has counted of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    /// How often it has run.
    pub count: u64,
    /// For how long altogether.
    pub time_nsec: u64,
}

/// The directory of an object's pins.
struct Pins {
    dir: Arc<Path>,
}

impl Engine {
    /// An engine that pins in `instance` and keeps its links in `links`.
    pub fn new(instance: Instance, links: Arc<Links>, settings: Settings) -> Engine {
        Engine {
            instance,
            links,
            settings,
            next_serial: AtomicU32::new(0),
            ending: AtomicBool::new(false),
        }
    }

    /// Takes a program that somebody has pinned as an object with one text view called `name`.
    ///
    /// # Errors
    /// Why what is pinned there is no view.
    pub fn adopt(&self, name: &str, pin: &Path) -> Result<Object, String> {
        let program = libbpf_rs::Program::fd_from_pinned_path(pin).map_err(|error| {
            format!("it is not a BPF program: {error}; pin an iter/cgroup program")
        })?;
        // The kernel's own answer to whether the program iterates over cgroups; iterators over
        // what has no parts take any target.
        let cgroup = std::fs::File::open(&self.settings.cgroup).map_err(|e| e.to_string())?;
        let cgroup = Some(cgroup.as_fd());
        let link = sys::cgroup_iter_link(program.as_fd(), cgroup, sys::SELF_ONLY)
            .map_err(|error| format!("it is not an iter/cgroup program ({error})"))?;
        let iterates_over = fdinfo::<String>(link.as_fd(), "target_name");
        if iterates_over.as_deref() != Some("cgroup") {
            let over = iterates_over.unwrap_or_default();
            return Err(format!(
                "it is not an iter/cgroup program but an iter/{over} one"
            ));
        }
        let info = ViewInfo::text(name);
        let pins = self.new_pins().map_err(|error| error.to_string())?;
        let view = self.view(&info, program, None, None, &pins);
        Ok(Object {
            manifest: Manifest {
                views: vec![info],
                ..Manifest::default()
            },
            views: vec![view],
            pins,
        })
    }

    /// A new directory for the pins of an object.
    fn new_pins(&self) -> Result<Arc<Pins>, Error> {
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        let dir = self.instance.dir().join(format!("o{serial}"));
        std::fs::create_dir(&dir).map_err(|source| Error::Instance {
            path: dir.clone(),
            action: "create",
            source,
        })?;
        Ok(Arc::new(Pins { dir: dir.into() }))
    }

    /// Gives up on objects that are being loaded, and on all later ones.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Loads an object; its collectors run from here on. Maps that are to keep their contents
    /// take over those of the `previous` object.
    ///
    /// # Errors
    /// When no loader could be run. That the object cannot be used here is not an error of this
    /// call but part of the [`Manifest`]: no views, and why.
    pub fn load(&self, name: &str, elf: &[u8], previous: Option<&Object>) -> Result<Object, Error> {
        let pins = self.new_pins()?;
        let place = Place {
            dir: &pins.dir,
            cgroup: &self.settings.cgroup,
            previous: previous.map(|object| &*object.pins.dir),
        };
        let ending = || self.ending.load(Ordering::Relaxed);
        let manifest = loader::load(elf, Some(&place), &ending).map_err(|source| {
            let object = name.to_owned();
            Error::Loader { object, source }
        })?;
        let mut views = Vec::new();
        if manifest.error.is_none() {
            for (index, info) in manifest.views.iter().enumerate() {
                if info.program.missing.is_none() {
                    views.push(self.open_view(name, index, info, &pins)?);
                }
            }
        }
        Ok(Object {
            manifest,
            views,
            pins,
        })
    }

    fn open_view(
        &self,
        origin: &str,
        index: usize,
        info: &ViewInfo,
        pins: &Arc<Pins>,
    ) -> Result<Arc<View>, Error> {
        check_name(&info.name).map_err(|reason| Error::Object {
            object: origin.to_owned(),
            reason,
        })?;
        let refuse = |error: libbpf_rs::Error| Error::Object {
            object: origin.to_owned(),
            reason: format!("open the pins of view {}: {error}", info.name),
        };
        let path = |part: &str| pin::of(&pins.dir, part, index);
        let program = libbpf_rs::Program::fd_from_pinned_path(path(pin::VIEW)).map_err(refuse)?;
        let live =
            |part: &Option<ProgramInfo>| part.as_ref().is_some_and(|part| part.missing.is_none());
        let sweep = (live(&info.sweep) && self.settings.ids_name_cgroups).then(|| path(pin::SWEEP));
        let walk = live(&info.walk).then(|| path(pin::WALK));
        let plan = match &info.record {
            Some(record) => {
                Some(
                    Plan::new(&info.name, &info.help, record).map_err(|error| Error::Object {
                        object: origin.to_owned(),
                        reason: format!("view {}: {error}", info.name),
                    })?,
                )
            }
            None => None,
        };
        let sweeper = match &info.record {
            Some(record) => Sweeper::open(
                sweep.as_deref(),
                walk.as_deref(),
                &path(pin::ROWS),
                record,
                self.settings.sweep_bytes,
            )
            .map_err(refuse)?,
            None => None,
        };
        Ok(self.view(info, program, plan, sweeper, pins))
    }

    fn view(
        &self,
        info: &ViewInfo,
        program: OwnedFd,
        plan: Option<Plan>,
        sweeper: Option<Sweeper>,
        pins: &Arc<Pins>,
    ) -> Arc<View> {
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        self.links.admit(serial, Arc::clone(&pins.dir));
        Arc::new(View {
            info: info.clone(),
            plan,
            serial,
            program,
            sweeper,
            links: Arc::clone(&self.links),
            pins: Arc::clone(pins),
        })
    }
}

impl View {
    /// What the object says of it.
    pub fn info(&self) -> &ViewInfo {
        &self.info
    }

    /// How often the program has run and for how long, while the kernel counts that
    /// (`kernel.bpf_stats_enabled`).
    pub fn runs(&self) -> Option<Runs> {
        let count = fdinfo::<u64>(self.program.as_fd(), "run_cnt")?;
        let time_nsec = fdinfo::<u64>(self.program.as_fd(), "run_time_ns")?;
        (count > 0).then_some(Runs { count, time_nsec })
    }

    /// How its records are rendered, for a record view.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// Whether [`Self::sweep`] can be used.
    pub fn can_sweep(&self) -> bool {
        self.sweeper.is_some()
    }

    /// Runs the program for the cgroup with this id; `open` gives its directory.
    ///
    /// The caller has to check *afterwards* that the cgroup is still there: only then the bytes
    /// are all that the program wrote for it. When it is gone the output may be empty.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::TooBig`], [`Error::Link`] or [`Error::Read`].
    pub fn read(
        &self,
        cgroup: u64,
        open: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> Result<Vec<u8>, Error> {
        let links = ViewLinks {
            name: &self.info.name,
            serial: self.serial,
            dir: &self.pins.dir,
            program: self.program.as_fd(),
            order: sweep::order(self.info.order),
        };
        self.links.read(&links, cgroup, open)
    }

    /// Collects the records of the subtree at `root`, whose directory is `directory`, and shows
    /// them to `render`. `expected` is a guess at their number.
    ///
    /// # Errors
    /// [`Error::NoSuchForm`] when the view cannot sweep, [`Error::Gone`], [`Error::Busy`] or
    /// [`Error::Sweep`].
    pub fn sweep<T>(
        &self,
        root: u64,
        directory: BorrowedFd<'_>,
        expected: usize,
        render: impl FnOnce(Rows<'_>) -> T,
    ) -> Result<T, Error> {
        let Some(sweeper) = &self.sweeper else {
            return Err(Error::NoSuchForm {
                view: self.info.name.clone(),
            });
        };
        if sweeper.wants_flush() {
            // A syscall program may not flush rstat; the self program of the root does it once
            // for the whole subtree.
            self.read(root, || directory.try_clone_to_owned())?;
        }
        sweeper.run(&self.info.name, root, directory, expected, render)
    }
}

/// What an object holds and what would become of it here; leaves nothing behind.
///
/// # Errors
/// When no loader could be run.
pub fn check(elf: &[u8]) -> Result<Manifest, Error> {
    loader::load(elf, None, &|| false).map_err(|source| Error::Loader {
        object: "the object".to_owned(),
        source,
    })
}

/// Longest name of a view, so that each form's suffix still fits.
const MOST_NAME_BYTES: usize = 200;

/// A view's name is a file's name.
fn check_name(name: &str) -> Result<(), String> {
    let usable = !name.is_empty()
        && name.len() <= MOST_NAME_BYTES
        && !name.starts_with('.')
        && !name.contains(|c: char| c == '/' || c.is_control());
    if usable {
        Ok(())
    } else {
        Err(format!("{name:?} cannot be the name of a view's file"))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.links.dismiss(self.serial);
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            log::warn!("unpin the object at {}: {error}", self.dir.display());
        }
    }
}
