//! The table of open files and directories, and the state of each.

use std::collections::HashMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use fuser::{FileHandle, FileType, INodeNo};
use lru::LruCache;
use parking_lot::{Mutex, RwLock};

use super::memory::{Memory, Reserved, User};
use super::snapshot::Snapshot;
use crate::fs::caller::Reader;
use crate::fs::errno::Error;
use crate::fs::inode::Node;

/// An entry of a directory.
#[derive(Debug, Clone)]
pub(in crate::fs) struct Entry {
    pub(in crate::fs) number: INodeNo,
    pub(in crate::fs) kind: FileType,
    pub(in crate::fs) name: OsString,
}

/// What is open under a handle.
pub(in crate::fs) enum Handle {
    File(OpenFile),
    Directory(Listing),
}

/// An open file.
pub(in crate::fs) struct OpenFile {
    pub(super) node: Node,
    /// Who opened it, whoever reads it.
    pub(super) reader: Reader,
    pub(super) opened: Instant,
    /// Locked for a look or a change, never while a snapshot is made.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    snapshot: Option<Arc<Snapshot>>,
    /// No read at offset 0 has got the snapshot yet.
    unread: bool,
    /// read(2) was used.
    was_read: bool,
}

/// The entries of a directory at the time when it was opened.
pub(in crate::fs) struct Listing {
    pub(in crate::fs) entries: Vec<Entry>,
    _reserved: Reserved,
}

impl Handle {
    pub(super) fn file(&self) -> Result<&OpenFile, Error> {
        match self {
            Handle::File(file) => Ok(file),
            Handle::Directory(_) => Err(Error::WrongKind),
        }
    }

    pub(in crate::fs) fn entries(&self) -> Result<&[Entry], Error> {
        match self {
            Handle::Directory(listing) => Ok(&listing.entries),
            Handle::File(_) => Err(Error::WrongKind),
        }
    }
}

impl OpenFile {
    /// Notes a read(2); true for the first one.
    pub(super) fn note_read(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().was_read, true)
    }

    /// Whether read(2) was used.
    pub(super) fn was_read(&self) -> bool {
        self.state.lock().was_read
    }

    /// The current snapshot, and whether it is unread.
    pub(super) fn current(&self) -> Option<(Arc<Snapshot>, bool)> {
        let state = self.state.lock();
        let snapshot = state.snapshot.clone()?;
        Some((snapshot, state.unread))
    }

    /// Whether a read at offset 0 gets the current snapshot, and not a new one.
    pub(super) fn is_unread(&self) -> bool {
        self.state.lock().unread
    }

    /// The current snapshot for a read at offset 0; `None` when another read has got it.
    pub(super) fn take_unread(&self) -> Option<Arc<Snapshot>> {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.unread) {
            return None;
        }
        state.snapshot.clone()
    }

    /// Notes that a reader got `snapshot` from its start.
    pub(super) fn note_taken(&self, snapshot: &Arc<Snapshot>) {
        let mut state = self.state.lock();
        let current = state.snapshot.as_ref();
        if current.is_some_and(|current| Arc::ptr_eq(current, snapshot)) {
            state.unread = false;
        }
    }

    /// Replaces the snapshot by one that a read at offset 0 has got.
    pub(super) fn put_read(&self, snapshot: Arc<Snapshot>) {
        self.put(Some(snapshot), false);
    }

    /// Replaces the snapshot by one that the next read at offset 0 gets.
    pub(super) fn put_unread(&self, snapshot: Option<Arc<Snapshot>>) {
        let unread = snapshot.is_some();
        self.put(snapshot, unread);
    }

    fn put(&self, snapshot: Option<Arc<Snapshot>>, unread: bool) {
        let mut state = self.state.lock();
        let old = std::mem::replace(&mut state.snapshot, snapshot);
        state.unread = unread;
        drop(state);
        // Freeing a large snapshot takes long.
        drop(old);
    }
}

/// All open files and directories.
pub(in crate::fs) struct Handles {
    /// Locked for a look-up or a change of the table only.
    open: RwLock<HashMap<u64, Arc<Handle>>>,
    next: AtomicU64,
    pub(in crate::fs) memory: Memory,
}

impl Handles {
    /// A table whose snapshots and listings hold at most `max_bytes` together.
    pub(in crate::fs) fn new(max_bytes: usize) -> Handles {
        Handles {
            open: RwLock::default(),
            next: AtomicU64::new(1),
            memory: Memory::new(max_bytes),
        }
    }

    /// Opens a file, whose first read at offset 0 gets `snapshot` if there is one.
    pub(super) fn open_file(
        &self,
        node: Node,
        reader: Reader,
        snapshot: Option<Arc<Snapshot>>,
    ) -> FileHandle {
        let file = OpenFile {
            node,
            reader,
            opened: Instant::now(),
            state: Mutex::default(),
        };
        file.put_unread(snapshot);
        self.insert(Handle::File(file))
    }

    pub(in crate::fs) fn open_directory(
        &self,
        entries: Vec<Entry>,
        by: User,
    ) -> Result<FileHandle, Error> {
        let names: usize = entries.iter().map(|entry| entry.name.len()).sum();
        let size_bytes = entries.len() * size_of::<Entry>() + names;
        let mut reserved = self.memory.reserve_for(by);
        reserved.resize(size_bytes)?;
        Ok(self.insert(Handle::Directory(Listing {
            entries,
            _reserved: reserved,
        })))
    }

    pub(in crate::fs) fn get(&self, handle: FileHandle) -> Result<Arc<Handle>, Error> {
        let open = self.open.read();
        open.get(&handle.0).cloned().ok_or(Error::BadHandle)
    }

    pub(in crate::fs) fn close(&self, handle: FileHandle) {
        let closed = self.open.write().remove(&handle.0);
        drop(closed);
    }

    /// How many files and directories are open, and how many bytes they hold.
    pub(in crate::fs) fn counts(&self) -> (usize, usize) {
        let open = self.open.read().len();
        (open, self.memory.used_bytes())
    }

    fn insert(&self, handle: Handle) -> FileHandle {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.write().insert(number, Arc::new(handle));
        FileHandle(number)
    }
}

/// The last known length of each file, for the size that `stat` shows.
pub(in crate::fs) struct Lengths {
    known: Mutex<LruCache<u64, usize>>,
}

impl Lengths {
    pub(in crate::fs) fn new(max_files: NonZeroUsize) -> Lengths {
        Lengths {
            known: Mutex::new(LruCache::new(max_files)),
        }
    }

    pub(in crate::fs) fn get(&self, file: INodeNo) -> Option<usize> {
        self.known.lock().get(&file.0).copied()
    }

    pub(super) fn put(&self, file: INodeNo, length_bytes: usize) {
        self.known.lock().put(file.0, length_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::CgroupId;

    const NODE: Node = Node::Cgroup(CgroupId(2));

    fn opened(handles: &Handles, snapshot: Option<Arc<Snapshot>>) -> Arc<Handle> {
        let number = handles.open_file(NODE, Reader::User(0), snapshot);
        handles.get(number).expect("open")
    }

    fn snapshot(handles: &Handles) -> Arc<Snapshot> {
        let reserved = handles.memory.reserve_for(User::ROOT);
        handles.memory.snapshot(vec![1], reserved).expect("room")
    }

    #[test]
    fn the_snapshot_of_open_serves_one_read_from_the_start() {
        let handles = Handles::new(10);
        let snapshot = snapshot(&handles);
        let handle = opened(&handles, Some(Arc::clone(&snapshot)));
        let file = handle.file().expect("a file");
        assert!(file.is_unread());
        let taken = file.take_unread().expect("unread");
        assert!(Arc::ptr_eq(&taken, &snapshot));
        assert!(file.take_unread().is_none());
        // Later parts are still cut from it.
        assert!(file.current().is_some_and(|(_, unread)| !unread));
    }

    #[test]
    fn a_snapshot_that_a_page_read_got_is_not_read_again() {
        let handles = Handles::new(10);
        let (first, other) = (snapshot(&handles), snapshot(&handles));
        let handle = opened(&handles, Some(Arc::clone(&first)));
        let file = handle.file().expect("a file");
        file.note_taken(&other);
        assert!(file.is_unread());
        file.note_taken(&first);
        assert!(!file.is_unread());
    }

    #[test]
    fn a_closed_handle_is_refused() {
        let handles = Handles::new(10);
        let number = handles.open_file(NODE, Reader::User(0), None);
        assert!(handles.get(number).is_ok());
        handles.close(number);
        assert!(matches!(handles.get(number), Err(Error::BadHandle)));
    }
}
