//! Open files and directories. An open file is the snapshot of its last run, cut to size for each
//! read; all snapshots together stay within a budget.

use std::collections::HashMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fuser::{FileHandle, FileType, INodeNo};
use lru::LruCache;
use parking_lot::{Mutex, RwLock};

use super::spare::Spare;
use crate::fs::errno::Error;
use crate::fs::inode::Node;

/// For how long the snapshot that `open` took of a large output serves the read that follows.
const OPENED_JUST_NOW: Duration = Duration::from_millis(100);

/// The spare buffer is at most this part of what snapshots may take, and on top of it.
const SPARE_PART: usize = 4;

/// An entry of an open directory.
#[derive(Debug, Clone)]
pub(in crate::fs) struct Entry {
    pub(in crate::fs) number: INodeNo,
    pub(in crate::fs) kind: FileType,
    pub(in crate::fs) name: OsString,
}

/// What a handle stands for.
pub(in crate::fs) enum Handle {
    File(OpenFile),
    Directory(Listing),
}

/// An open file.
pub(in crate::fs) struct OpenFile {
    pub(in crate::fs) node: Node,
    pub(in crate::fs) opened: Instant,
    /// read(2) has been used on it.
    was_read: AtomicBool,
    /// Held to take or put the snapshot, never while one is made.
    snapshot: Mutex<Option<Arc<Snapshot>>>,
}

/// One run's output.
pub(in crate::fs) struct Snapshot {
    bytes: Vec<u8>,
    spare: Arc<Spare>,
    taken: Instant,
    /// Made by `open` and not read yet.
    by_open: bool,
    _reserved: Reserved,
}

/// The entries of a directory as of its opening.
pub(in crate::fs) struct Listing {
    pub(in crate::fs) entries: Vec<Entry>,
    _reserved: Reserved,
}

impl OpenFile {
    /// The part of the snapshot from `offset` on, or `None` where there is no snapshot.
    pub(in crate::fs) fn slice<T>(
        &self,
        offset: u64,
        size: u32,
        show: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        let snapshot = self.snapshot.lock().clone()?;
        Some(show(snapshot.slice(offset, size)))
    }

    /// The snapshot that `open` has just made, once.
    pub(in crate::fs) fn opened_just_now(&self) -> bool {
        let mut slot = self.snapshot.lock();
        let Some(snapshot) = slot.as_ref() else {
            return false;
        };
        let fresh = snapshot.by_open && snapshot.taken.elapsed() < OPENED_JUST_NOW;
        if let Some(snapshot) = slot.as_mut().and_then(Arc::get_mut) {
            snapshot.by_open = false;
        }
        fresh
    }

    /// Whether this is its first read(2).
    pub(in crate::fs) fn is_first_read(&self) -> bool {
        !self.was_read.swap(true, Ordering::Relaxed)
    }

    /// Whether read(2) has been used on it.
    pub(in crate::fs) fn was_read(&self) -> bool {
        self.was_read.load(Ordering::Relaxed)
    }

    /// The snapshot that it has.
    pub(in crate::fs) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.lock().clone()
    }

    /// Puts a new snapshot in the place of the old one.
    pub(in crate::fs) fn put(&self, snapshot: Arc<Snapshot>) {
        let old = self.snapshot.lock().replace(snapshot);
        drop(old);
    }
}

impl Snapshot {
    pub(in crate::fs) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(in crate::fs) fn slice(&self, offset: u64, size: u32) -> &[u8] {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let start = start.min(self.bytes.len());
        let end = start.saturating_add(size as usize).min(self.bytes.len());
        self.bytes.get(start..end).unwrap_or_default()
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.spare.put(std::mem::take(&mut self.bytes));
    }
}

/// All that is open.
pub(in crate::fs) struct Handles {
    /// Held for a look-up or a change of the table only.
    open: RwLock<HashMap<u64, Arc<Handle>>>,
    next: AtomicU64,
    budget: Arc<Budget>,
    /// Where a large output is best written to.
    pub(in crate::fs) spare: Arc<Spare>,
}

impl Handles {
    /// Snapshots and listings may take `most_bytes` together.
    pub(in crate::fs) fn new(most_bytes: usize) -> Handles {
        Handles {
            open: RwLock::default(),
            next: AtomicU64::new(1),
            budget: Arc::new(Budget {
                most_bytes,
                used_bytes: AtomicUsize::new(0),
            }),
            spare: Arc::new(Spare::new(most_bytes / SPARE_PART)),
        }
    }

    pub(in crate::fs) fn open_file(
        &self,
        node: Node,
        snapshot: Option<Arc<Snapshot>>,
    ) -> FileHandle {
        let snapshot = Mutex::new(snapshot);
        self.insert(Handle::File(OpenFile {
            node,
            opened: Instant::now(),
            was_read: AtomicBool::new(false),
            snapshot,
        }))
    }

    pub(in crate::fs) fn open_directory(&self, entries: Vec<Entry>) -> Result<FileHandle, Error> {
        let names: usize = entries.iter().map(|entry| entry.name.len()).sum();
        let size_bytes = entries.len() * size_of::<Entry>() + names;
        let reserved = self.budget.reserve(size_bytes)?;
        let _reserved = reserved;
        Ok(self.insert(Handle::Directory(Listing { entries, _reserved })))
    }

    pub(in crate::fs) fn get(&self, handle: FileHandle) -> Result<Arc<Handle>, Error> {
        let open = self.open.read();
        open.get(&handle.0).cloned().ok_or(Error::BadHandle)
    }

    pub(in crate::fs) fn close(&self, handle: FileHandle) {
        let closed = self.open.write().remove(&handle.0);
        drop(closed);
    }

    /// A snapshot of these bytes, if the budget has room for them.
    pub(in crate::fs) fn snapshot(
        &self,
        bytes: Vec<u8>,
        by_open: bool,
    ) -> Result<Arc<Snapshot>, Error> {
        let _reserved = self.budget.reserve(bytes.capacity())?;
        Ok(Arc::new(Snapshot {
            bytes,
            spare: Arc::clone(&self.spare),
            taken: Instant::now(),
            by_open,
            _reserved,
        }))
    }

    /// How many files and directories are open, and how many bytes they hold.
    pub(in crate::fs) fn counts(&self) -> (usize, usize) {
        let open = self.open.read().len();
        (open, self.budget.used_bytes.load(Ordering::Relaxed))
    }

    fn insert(&self, handle: Handle) -> FileHandle {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.write().insert(number, Arc::new(handle));
        FileHandle(number)
    }
}

struct Budget {
    most_bytes: usize,
    used_bytes: AtomicUsize,
}

struct Reserved {
    budget: Arc<Budget>,
    size_bytes: usize,
}

impl Budget {
    fn reserve(self: &Arc<Budget>, size_bytes: usize) -> Result<Reserved, Error> {
        let used = self.used_bytes.fetch_add(size_bytes, Ordering::Relaxed);
        let reserved = Reserved {
            budget: Arc::clone(self),
            size_bytes,
        };
        if used.saturating_add(size_bytes) > self.most_bytes {
            return Err(Error::TooMuchOpen);
        }
        Ok(reserved)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let used = &self.budget.used_bytes;
        used.fetch_sub(self.size_bytes, Ordering::Relaxed);
    }
}

/// The last known length of files, for the size that `stat` shows.
pub(in crate::fs) struct Lengths {
    known: Mutex<LruCache<u64, usize>>,
}

impl Lengths {
    pub(in crate::fs) fn new(most: NonZeroUsize) -> Lengths {
        Lengths {
            known: Mutex::new(LruCache::new(most)),
        }
    }

    pub(in crate::fs) fn get(&self, file: INodeNo) -> Option<usize> {
        self.known.lock().get(&file.0).copied()
    }

    /// Remembers a length and gives the one before.
    pub(in crate::fs) fn put(&self, file: INodeNo, length_bytes: usize) -> Option<usize> {
        self.known.lock().put(file.0, length_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::CgroupId;

    #[test]
    fn reads_are_cut_from_the_snapshot() {
        let handles = Handles::new(100);
        let snapshot = handles
            .snapshot(b"0123456789".to_vec(), false)
            .expect("room");
        assert_eq!(snapshot.slice(0, 4), b"0123");
        assert_eq!(snapshot.slice(8, 4), b"89");
        assert_eq!(snapshot.slice(10, 4), b"");
        assert_eq!(snapshot.slice(u64::MAX, u32::MAX), b"");
    }

    #[test]
    fn the_budget_is_kept_and_given_back() {
        let handles = Handles::new(10);
        let first = handles.snapshot(vec![0; 8], false).expect("room");
        assert!(matches!(
            handles.snapshot(vec![0; 3], false),
            Err(Error::TooMuchOpen)
        ));
        drop(first);
        assert!(handles.snapshot(vec![0; 10], false).is_ok());
    }

    #[test]
    fn the_snapshot_of_open_serves_one_read() {
        let handles = Handles::new(10);
        let node = Node::Cgroup(CgroupId(2));
        let snapshot = handles.snapshot(vec![1], true).expect("room");
        let number = handles.open_file(node, Some(snapshot));
        let handle = handles.get(number).expect("open");
        let Handle::File(file) = &*handle else {
            panic!("not a file");
        };
        // A machine under load may take longer than "just now" to get here; a second time is
        // never right.
        file.opened_just_now();
        assert!(!file.opened_just_now());
        handles.close(number);
        assert!(matches!(handles.get(number), Err(Error::BadHandle)));
    }
}
