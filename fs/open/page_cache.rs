//! Reads that fill the kernel's page cache: sendfile, splice, private maps. The cache holds one
//! copy and one size of a file for all who have it open. A short read sets the size, unless the
//! kernel was told attributes meanwhile: then the reader gets NULs up to the size told. So one
//! open file at a time may be read that way, and only while no other size is on its way. All
//! others are refused, and read on by read(2), which knows no cache and no size.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{FileHandle, INodeNo};
use lru::LruCache;
use parking_lot::Mutex;

use super::handles::Snapshot;

/// Who was told attributes and has not been heard of for so long has taken them in.
const UNDER_WAY: Duration = Duration::from_millis(200);

/// Some that are sent back to look a file up again find that it is gone, and stay on the list.
const MOST_SENT_BACK: usize = 16;

/// A thread that sends requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fs) struct Caller(pub(in crate::fs) u32);

impl Caller {
    /// One of another PID namespace.
    const UNKNOWN: Caller = Caller(0);
}

/// A file that is open.
#[derive(Debug, Clone, Copy)]
pub(in crate::fs) struct Open {
    pub(in crate::fs) file: INodeNo,
    pub(in crate::fs) handle: FileHandle,
    pub(in crate::fs) since: Instant,
}

/// What is in the kernel's page cache, and who put it there.
pub(in crate::fs) struct PageCache {
    /// Held for a look-up or a change only.
    files: Mutex<Files>,
}

struct Files {
    known: LruCache<u64, Known>,
    open: HashMap<u64, InUse>,
}

/// What the kernel knows of a file.
#[derive(Default)]
struct Known {
    size: u64,
    told: Option<Told>,
    /// Who tried to open it and looks it up again now.
    sent_back: Vec<Caller>,
}

/// Attributes that may be on their way.
struct Told {
    /// `None` for several.
    to: Option<Caller>,
    at: Instant,
}

/// A file that is open somewhere.
#[derive(Default)]
struct InUse {
    handles: usize,
    filler: Option<(FileHandle, Arc<Snapshot>)>,
    /// What the filler before has left, and until when.
    left: Option<(Instant, Arc<Snapshot>)>,
}

impl PageCache {
    /// Remembers the sizes of so many files; a forgotten one is refused until it is told again.
    pub(in crate::fs) fn new(most: NonZeroUsize) -> PageCache {
        let known = LruCache::new(most);
        let open = HashMap::new();
        PageCache {
            files: Mutex::new(Files { known, open }),
        }
    }

    /// To be called before attributes go to the kernel; gives the size to tell in place of `size`.
    pub(in crate::fs) fn tell(&self, file: INodeNo, size: u64, to: Caller) -> u64 {
        let mut files = self.files.lock();
        let filler = files
            .open
            .get(&file.0)
            .and_then(|open| open.filler.as_ref());
        let size = filler.map_or(size, |(_, snapshot)| snapshot.len() as u64);
        let known = files.known.get_or_insert_mut(file.0, Known::default);
        known.size = size;
        known.heard_of(to);
        known.told = Some(Told {
            to: known.told.is_none().then_some(to),
            at: Instant::now(),
        });
        size
    }

    /// To be called when a file is opened that holds so many bytes. False when the kernel knows of
    /// fewer and has to look it up again before it is open; the same caller is not told so twice.
    pub(in crate::fs) fn open(&self, file: INodeNo, length_bytes: usize, by: Caller) -> bool {
        let mut files = self.files.lock();
        let Files { known, open } = &mut *files;
        let filled = open.get(&file.0).is_some_and(|open| open.filler.is_some());
        let known = known.get_or_insert_mut(file.0, Known::default);
        known.heard_of(by);
        let too_small = !filled && known.size < length_bytes as u64;
        if known.send_back(by, too_small) {
            return false;
        }
        open.entry(file.0).or_default().handles += 1;
        true
    }

    /// To be called at each read(2).
    pub(in crate::fs) fn heard_of(&self, file: INodeNo, caller: Caller) {
        if let Some(known) = self.files.lock().known.peek_mut(&file.0) {
            known.heard_of(caller);
        }
    }

    /// What the open file fills the cache with.
    pub(in crate::fs) fn filled_by(&self, open: Open) -> Option<Arc<Snapshot>> {
        let files = self.files.lock();
        let (handle, snapshot) = files.open.get(&open.file.0)?.filler.as_ref()?;
        (*handle == open.handle).then(|| Arc::clone(snapshot))
    }

    /// Lets the open file fill the cache with `snapshot` until it is closed, and gives what it is
    /// filled with: another read of the same file may have been first. `None` when that would
    /// spoil what somebody reads.
    pub(in crate::fs) fn fill(
        &self,
        open: Open,
        snapshot: &Arc<Snapshot>,
        by: Caller,
    ) -> Option<Arc<Snapshot>> {
        let mut files = self.files.lock();
        let Files { known, open: table } = &mut *files;
        let known = known.get_mut(&open.file.0)?;
        let in_use = table.get_mut(&open.file.0)?;
        known.heard_of(by);
        if in_use.others(open).is_some() {
            return None;
        }
        if let Some((_, filling)) = &in_use.filler {
            return Some(Arc::clone(filling));
        }
        let length = snapshot.len() as u64;
        if known.told.is_some() || known.size < length {
            return None;
        }
        known.size = length;
        in_use.filler = Some((open.handle, Arc::clone(snapshot)));
        Some(Arc::clone(snapshot))
    }

    /// What another has filled the cache with while this file was open, which therefore may have
    /// read a part of that.
    pub(in crate::fs) fn filled_by_another(&self, open: Open) -> Option<Arc<Snapshot>> {
        let files = self.files.lock();
        files.open.get(&open.file.0)?.others(open).map(Arc::clone)
    }

    /// To be called when a file is closed.
    pub(in crate::fs) fn close(&self, file: INodeNo, handle: FileHandle) {
        let mut files = self.files.lock();
        let Some(in_use) = files.open.get_mut(&file.0) else {
            return;
        };
        in_use.handles = in_use.handles.saturating_sub(1);
        let ends = in_use.filler.take_if(|(filler, _)| *filler == handle);
        let left = ends.map(|(_, snapshot)| (Instant::now(), snapshot));
        let freed = if in_use.handles == 0 {
            files.open.remove(&file.0).and_then(|in_use| in_use.left)
        } else if left.is_some() {
            std::mem::replace(&mut in_use.left, left.clone())
        } else {
            None
        };
        drop(files);
        // Large, maybe; not to be freed under the lock.
        drop((freed, left));
    }
}

impl InUse {
    fn others(&self, open: Open) -> Option<&Arc<Snapshot>> {
        let filler = self.filler.as_ref();
        let filler = filler.filter(|(handle, _)| *handle != open.handle);
        let left = self.left.as_ref().filter(|(until, _)| *until >= open.since);
        filler
            .map(|(_, snapshot)| snapshot)
            .or(left.map(|(_, snapshot)| snapshot))
    }
}

impl Known {
    /// Whether the caller has to look the file up again. It may not be told so twice: the second
    /// time is what its program would get to see.
    fn send_back(&mut self, caller: Caller, too_small: bool) -> bool {
        if let Some(at) = self.sent_back.iter().position(|other| *other == caller) {
            self.sent_back.swap_remove(at);
            return false;
        }
        let send = too_small && caller != Caller::UNKNOWN && self.sent_back.len() < MOST_SENT_BACK;
        if send {
            self.sent_back.push(caller);
        }
        send
    }

    /// Who sends a request has taken in what was told before.
    fn heard_of(&mut self, caller: Caller) {
        let done = |told: &mut Told| told.to == Some(caller) || told.at.elapsed() > UNDER_WAY;
        self.told.take_if(done);
    }
}

#[cfg(test)]
mod tests;
