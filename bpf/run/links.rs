//! The pinned links, one for each view and cgroup that has been read: made on first use, limited in
//! number, released when the cgroup is gone. A link keeps the memory of a removed cgroup, so that a
//! forgotten link shows in `nr_dying_descendants`.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use super::pin_dir::PinDir;
use crate::bpf::manifest::Order;
use crate::bpf::{Error, pins};
use crate::sys;

/// Bytes read at a time; a typical output fits.
const OUTPUT_BYTES: usize = 4096;

/// All pinned links of the daemon.
pub struct Links {
    /// Held for a look-up or a change of the list, never over a system call.
    live: Mutex<Live>,
}

struct Live {
    recent: LruCache<Key, Arc<PinDir>>,
    /// The serials of the views that have a link of a cgroup.
    by_cgroup: HashMap<u64, Vec<u32>>,
    evictions: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    cgroup: u64,
    serial: u32,
}

/// A link that is no longer listed and is to be unpinned.
type Released = (Key, Arc<PinDir>);

/// The number of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkCounts {
    /// Links pinned now.
    pub live: usize,
    /// Links released so far to stay within the limit.
    pub evictions: u64,
}

/// One view's link of one cgroup.
pub(super) struct LinkOf<'a> {
    pub(super) view: &'a str,
    pub(super) serial: u32,
    pub(super) dir: &'a Arc<PinDir>,
    pub(super) program: BorrowedFd<'a>,
    pub(super) order: Order,
    pub(super) cgroup: u64,
}

impl Live {
    fn insert(&mut self, key: Key, dir: Arc<PinDir>) -> Option<Released> {
        let serials = self.by_cgroup.entry(key.cgroup).or_default();
        if !serials.contains(&key.serial) {
            serials.push(key.serial);
        }
        let pushed_out = self.recent.push(key, dir)?;
        // The list also gives back the value before of the same key.
        if pushed_out.0 == key {
            return None;
        }
        self.evictions += 1;
        self.forget(pushed_out.0);
        Some(pushed_out)
    }

    fn forget(&mut self, key: Key) {
        if let Some(serials) = self.by_cgroup.get_mut(&key.cgroup) {
            serials.retain(|serial| *serial != key.serial);
            if serials.is_empty() {
                self.by_cgroup.remove(&key.cgroup);
            }
        }
    }

    fn take_cgroup(&mut self, cgroup: u64) -> Vec<Released> {
        let serials = self.by_cgroup.remove(&cgroup).unwrap_or_default();
        let keys = serials.into_iter().map(|serial| Key { cgroup, serial });
        keys.filter_map(|key| self.recent.pop_entry(&key)).collect()
    }

    fn take_view(&mut self, serial: u32) -> Vec<Released> {
        let keys = self.recent.iter().map(|(key, _)| *key);
        let keys: Vec<Key> = keys.filter(|key| key.serial == serial).collect();
        let take = |key| {
            self.forget(key);
            self.recent.pop_entry(&key)
        };
        keys.into_iter().filter_map(take).collect()
    }
}

impl Links {
    /// At most `limit` links are pinned at any time.
    pub fn new(limit: NonZeroUsize) -> Links {
        Links {
            live: Mutex::new(Live {
                recent: LruCache::new(limit),
                by_cgroup: HashMap::new(),
                evictions: 0,
            }),
        }
    }

    /// Releases the links of a cgroup that is gone.
    pub fn release(&self, cgroup: u64) {
        let released = self.live.lock().take_cgroup(cgroup);
        released.iter().for_each(unpin);
    }

    /// Releases the links of a view.
    pub(super) fn release_view(&self, serial: u32) {
        let released = self.live.lock().take_view(serial);
        released.iter().for_each(unpin);
    }

    /// The cgroups that have a link.
    pub fn cgroups(&self) -> Vec<u64> {
        self.live.lock().by_cgroup.keys().copied().collect()
    }

    /// How many links there are.
    pub fn counts(&self) -> LinkCounts {
        let live = self.live.lock();
        LinkCounts {
            live: live.recent.len(),
            evictions: live.evictions,
        }
    }

    /// Runs the program for the cgroup, through its pinned link. `open` opens the cgroup's directory;
    /// it is called when there is no link yet.
    pub(super) fn read(
        &self,
        link: &LinkOf<'_>,
        open: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> Result<Vec<u8>, Error> {
        let name = pins::of_cgroup(link.cgroup, link.serial);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let iterator = match openat(link.dir.fd(), &name, flags, Mode::empty()) {
            Ok(iterator) => {
                self.live.lock().recent.promote(&link.key());
                iterator
            }
            Err(Errno::NOENT) => self.make(link, &name, open)?,
            Err(error) => return Err(link.read_error(error.into())),
        };
        read_to_end(&iterator).map_err(|error| link.read_error(error.into()))
    }

    /// Makes and pins the link. Gives an iterator on it, so that a release at the same time takes
    /// nothing away from this read.
    fn make(
        &self,
        link: &LinkOf<'_>,
        name: &str,
        open: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> Result<OwnedFd, Error> {
        let failed = |error| link.link_error(error);
        let directory = open().map_err(failed)?;
        let fd = sys::cgroup_iter_link(link.program, Some(directory.as_fd()), link.order.number())
            .map_err(failed)?;
        let iterator = sys::iter_create(fd.as_fd()).map_err(failed)?;
        match sys::bpf_pin(fd.as_fd(), &link.dir.path().join(name)) {
            Ok(()) => {
                let evicted = self.live.lock().insert(link.key(), Arc::clone(link.dir));
                evicted.iter().for_each(unpin);
                Ok(iterator)
            }
            // Another reader was faster; its pin serves as well.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(iterator),
            Err(error) => Err(failed(error)),
        }
    }
}

impl LinkOf<'_> {
    fn key(&self) -> Key {
        Key {
            cgroup: self.cgroup,
            serial: self.serial,
        }
    }

    fn link_error(&self, source: io::Error) -> Error {
        match source.raw_os_error() {
            Some(libc::ENOENT | libc::ESTALE | libc::ENODEV) => Error::Gone,
            _ => Error::Link {
                view: self.view.to_owned(),
                source,
            },
        }
    }

    fn read_error(&self, source: io::Error) -> Error {
        let view = self.view.to_owned();
        match source.raw_os_error() {
            // E2BIG: one run wrote too much. EOPNOTSUPP: the runs for several cgroups together.
            Some(libc::E2BIG | libc::EOPNOTSUPP) => Error::TooBig { view },
            _ => Error::Read { view, source },
        }
    }
}

/// Like `File::read_to_end`, without its two system calls that ask for a size.
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

fn unpin((key, dir): &Released) {
    let name = pins::of_cgroup(key.cgroup, key.serial);
    match unlinkat(dir.fd(), &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => log::warn!("unpin {}: {error}", dir.path().join(name).display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(limit: usize) -> Live {
        let limit = NonZeroUsize::new(limit).expect("not zero");
        Links::new(limit).live.into_inner()
    }

    /// Any directory: nothing is pinned here.
    fn dir(test: &str) -> Arc<PinDir> {
        let name = format!("cgview-links-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("create");
        Arc::new(PinDir::open(path).expect("open"))
    }

    fn key(cgroup: u64, serial: u32) -> Key {
        Key { cgroup, serial }
    }

    fn keys(released: Vec<Released>) -> Vec<Key> {
        released.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn the_oldest_link_makes_room_for_a_new_one() {
        let (mut live, dir) = (live(2), dir("evict"));
        assert!(live.insert(key(1, 1), Arc::clone(&dir)).is_none());
        assert!(live.insert(key(2, 1), Arc::clone(&dir)).is_none());
        let evicted = live.insert(key(3, 1), dir).map(|(key, _)| key);
        assert_eq!(evicted, Some(key(1, 1)));
        assert_eq!(live.evictions, 1);
        assert!(live.take_cgroup(1).is_empty());
    }

    #[test]
    fn a_cgroup_takes_the_links_of_all_views_and_a_view_those_of_all_cgroups() {
        let (mut live, dir) = (live(9), dir("take"));
        for one in [key(1, 1), key(1, 2), key(2, 1), key(2, 2)] {
            live.insert(one, Arc::clone(&dir));
        }
        assert_eq!(keys(live.take_cgroup(1)), [key(1, 1), key(1, 2)]);
        assert_eq!(keys(live.take_view(2)), [key(2, 2)]);
        assert_eq!(live.by_cgroup.get(&2), Some(&vec![1]));
        assert_eq!(keys(live.take_view(1)), [key(2, 1)]);
        assert!(live.by_cgroup.is_empty());
    }
}
