//! The pinned links, one for each (view, cgroup) that has been read: made on first use, bounded in
//! number, released when the cgroup goes. A link keeps the memory of a removed cgroup, so a late
//! release is a leak and a missed one a lie in `nr_dying_descendants`.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use crate::bpf::{Error, pins};
use crate::sys;

/// A typical output fits; a longer one grows the buffer.
const OUTPUT_BYTES: usize = 4096;

/// All pinned links of a daemon.
#[derive(Debug)]
pub struct Links {
    /// Held for a look-up or a change of the list only, never over a system call.
    live: Mutex<Live>,
}

#[derive(Debug)]
struct Live {
    recent: LruCache<(u64, u32), ()>,
    /// The directories of the views that are loaded, by their serial.
    dirs: Vec<(u32, Arc<Path>)>,
    evictions: u64,
}

/// What the links have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkCounts {
    /// Links pinned now.
    pub live: usize,
    /// Links released to stay within the bound.
    pub evictions: u64,
}

impl Links {
    /// At most `bound` links are pinned at any time.
    pub fn new(bound: NonZeroUsize) -> Links {
        Links {
            live: Mutex::new(Live {
                recent: LruCache::new(bound),
                dirs: Vec::new(),
                evictions: 0,
            }),
        }
    }

    /// Admits the view whose links are pinned in `dir`.
    pub(super) fn admit(&self, serial: u32, dir: Arc<Path>) {
        self.live.lock().dirs.push((serial, dir));
    }

    /// Releases all links of a view.
    pub(super) fn dismiss(&self, serial: u32) {
        let mut live = self.live.lock();
        let dir = live.dirs.iter().position(|(view, _)| *view == serial);
        let dir = dir.map(|at| live.dirs.swap_remove(at).1);
        let of_view: Vec<_> = live.recent.iter().map(|(key, ())| *key).collect();
        let of_view: Vec<_> = of_view.into_iter().filter(|key| key.1 == serial).collect();
        for key in &of_view {
            live.recent.pop(key);
        }
        drop(live);
        for (cgroup, serial) in of_view {
            unpin(dir.as_deref(), cgroup, serial);
        }
    }

    /// Releases the links of a cgroup that is gone.
    pub fn release(&self, cgroup: u64) {
        let mut live = self.live.lock();
        let Live { recent, dirs, .. } = &mut *live;
        let released: Vec<_> = dirs
            .iter()
            .filter(|(serial, _)| recent.pop(&(cgroup, *serial)).is_some())
            .cloned()
            .collect();
        drop(live);
        for (serial, dir) in released {
            unpin(Some(&dir), cgroup, serial);
        }
    }

    /// The cgroups that have a link.
    pub fn cgroups(&self) -> Vec<u64> {
        let live = self.live.lock();
        live.recent
            .iter()
            .map(|((cgroup, _), ())| *cgroup)
            .collect()
    }

    /// How many links there are.
    pub fn counts(&self) -> LinkCounts {
        let live = self.live.lock();
        LinkCounts {
            live: live.recent.len(),
            evictions: live.evictions,
        }
    }

    /// Runs the program for one cgroup, through its pinned link.
    ///
    /// `open` gives the cgroup's directory; it is called when there is no link yet. Whether the
    /// cgroup was there all the time is for the caller to check *after* this returns: the link of
    /// a removed cgroup reads as empty.
    pub(super) fn read(
        &self,
        view: &ViewLinks<'_>,
        cgroup: u64,
        open: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> Result<Vec<u8>, Error> {
        let path = path(view.dir, cgroup, view.serial);
        let iterator = match openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(iterator) => {
                self.live.lock().recent.promote(&(cgroup, view.serial));
                iterator
            }
            Err(Errno::NOENT) => self.link(view, cgroup, &path, open)?,
            Err(error) => return Err(view.read_error(error.into())),
        };
        read_to_end(&iterator).map_err(|error| view.read_error(error.into()))
    }

    /// Makes and pins the link; gives an iterator on it, so that a release or an eviction in the
    /// meantime takes nothing away.
    fn link(
        &self,
        view: &ViewLinks<'_>,
        cgroup: u64,
        path: &Path,
        open: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> Result<OwnedFd, Error> {
        let directory = open().map_err(|error| view.link_error(error))?;
        let link = sys::cgroup_iter_link(view.program, Some(directory.as_fd()), view.order)
            .map_err(|error| view.link_error(error))?;
        let iterator = sys::iter_create(link.as_fd()).map_err(|error| view.link_error(error))?;
        match sys::bpf_pin(link.as_fd(), path) {
            Ok(()) => {}
            // A reader beside us was faster; its pin serves as well.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(iterator),
            Err(error) => return Err(view.link_error(error)),
        }
        let key = (cgroup, view.serial);
        let mut live = self.live.lock();
        let Some(_) = live.dirs.iter().find(|(serial, _)| *serial == view.serial) else {
            drop(live);
            unpin(Some(view.dir), cgroup, view.serial);
            return Ok(iterator);
        };
        let evicted = live.recent.push(key, ()).filter(|(old, ())| *old != key);
        let evicted = evicted.map(|(old, ())| {
            live.evictions += 1;
            let dir = live.dirs.iter().find(|(serial, _)| *serial == old.1);
            (old, dir.map(|(_, dir)| Arc::clone(dir)))
        });
        drop(live);
        if let Some(((cgroup, serial), dir)) = evicted {
            unpin(dir.as_deref(), cgroup, serial);
        }
        Ok(iterator)
    }
}

/// What the links of one view need.
pub(super) struct ViewLinks<'a> {
    pub(super) name: &'a str,
    pub(super) serial: u32,
    pub(super) dir: &'a Path,
    pub(super) program: BorrowedFd<'a>,
    pub(super) order: u32,
}

impl ViewLinks<'_> {
    fn link_error(&self, source: io::Error) -> Error {
        match source.raw_os_error() {
            Some(libc::ENOENT | libc::ESTALE | libc::ENODEV) => Error::Gone,
            _ => Error::Link {
                view: self.name.to_owned(),
                source,
            },
        }
    }

    fn read_error(&self, source: io::Error) -> Error {
        let view = self.name.to_owned();
        match source.raw_os_error() {
            // The first when one call wrote too much, the second when a walk did, part by part.
            Some(libc::E2BIG | libc::EOPNOTSUPP) => Error::TooBig { view },
            _ => Error::Read { view, source },
        }
    }
}

/// As `File` does it, without its two system calls that ask an iterator for its size.
fn read_to_end(iterator: &OwnedFd) -> rustix::io::Result<Vec<u8>> {
    let mut output = Vec::new();
    loop {
        output.reserve(OUTPUT_BYTES);
        match rustix::io::read(iterator, spare_capacity(&mut output)) {
            Ok(0) => return Ok(output),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

fn path(dir: &Path, cgroup: u64, serial: u32) -> PathBuf {
    dir.join(pins::of_cgroup(cgroup, serial))
}

fn unpin(dir: Option<&Path>, cgroup: u64, serial: u32) {
    let Some(dir) = dir else { return };
    let path = path(dir, cgroup, serial);
    match unlinkat(CWD, &path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => log::warn!("unpin {}: {error}", path.display()),
    }
}
