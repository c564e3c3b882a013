//! Reads that fill the kernel's page cache: sendfile, splice, private maps. The cache holds one copy
//! and one size of a file for all who have it open. A short read sets the size, unless attributes
//! were sent to the kernel meanwhile: then the reader gets NULs up to the size that was sent.
//! Therefore one open file at a time may fill the cache, and only while no attributes are on their
//! way. All others are refused, and continue with read(2), which uses neither cache nor size. So is
//! a reader whose output not every user may see.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{FileHandle, INodeNo};
use lru::LruCache;
use parking_lot::Mutex;

use super::snapshot::Snapshot;
use crate::fs::caller::Caller;

/// Assume that the kernel has applied attributes that were sent this long ago. On a busy machine a
/// caller may stand still for most of a second; readers that are refused meanwhile use read(2).
const MAX_APPLY_TIME: Duration = Duration::from_secs(2);

/// After this time a file's filler is revoked when the file is opened again: what it puts into the
/// cache is old by then, and it may stay open for as long as it likes.
const MAX_FILL_TIME: Duration = Duration::from_secs(5);

/// Callers that look the file up again and find it gone stay on the list of those sent back.
const MAX_SENT_BACK: usize = 16;

/// One of the times that a file is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) file: INodeNo,
    pub(super) handle: FileHandle,
    pub(super) since: Instant,
}

/// What the kernel's page cache holds, and for which open file.
pub(in crate::fs) struct PageCache {
    /// Locked for a look-up or a change only.
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
    sent: Option<SentAttributes>,
    /// Callers whose open was refused, and that look the file up again.
    sent_back: Vec<Caller>,
}

/// Attributes that the kernel may not have applied yet.
struct SentAttributes {
    /// `None` for several callers.
    to: Option<Caller>,
    at: Instant,
}

/// A file that is open.
#[derive(Default)]
struct InUse {
    handles: usize,
    filler: Option<Filler>,
    /// The snapshot of the filler before, and until when that might fill.
    left: Option<(Instant, Arc<Snapshot>)>,
}

/// The open file that fills the cache.
///
/// While it is open nobody else may, even if it is revoked: it would get a part of another's bytes.
/// And until then the kernel must get no other size: a filler that stands still may not have applied
/// the length of its own.
struct Filler {
    handle: FileHandle,
    since: Instant,
    /// When it was revoked.
    until: Option<Instant>,
    snapshot: Arc<Snapshot>,
}

impl PageCache {
    /// Remembers the sizes of `max_files` files. A forgotten file cannot be read through the page
    /// cache until its attributes are sent again.
    pub(in crate::fs) fn new(max_files: NonZeroUsize) -> PageCache {
        let known = LruCache::new(max_files);
        let open = HashMap::new();
        PageCache {
            files: Mutex::new(Files { known, open }),
        }
    }

    /// Notes that attributes are sent to the kernel, and gives the size to send in place of `size`.
    pub(in crate::fs) fn announce_size(&self, file: INodeNo, size: u64, to: Caller) -> u64 {
        let mut files = self.files.lock();
        let filler = files
            .open
            .get(&file.0)
            .and_then(|open| open.filler.as_ref());
        let size = filler.map_or(size, |filler| filler.snapshot.len() as u64);
        let known = files.known.get_or_insert_mut(file.0, Known::default);
        known.size = size;
        known.note_request(to);
        known.sent = Some(SentAttributes {
            to: known.sent.is_none().then_some(to),
            at: Instant::now(),
        });
        size
    }

    /// Notes that a file is opened whose output has this length. False when the kernel knows a
    /// smaller size and has to look the file up again first; a caller is not sent back twice.
    pub(super) fn open(&self, file: INodeNo, length_bytes: usize, by: Caller) -> bool {
        let mut files = self.files.lock();
        let Files { known, open } = &mut *files;
        if let Some(in_use) = open.get_mut(&file.0) {
            in_use.revoke_old();
        }
        let filled = open.get(&file.0).is_some_and(|open| open.filler.is_some());
        let known = known.get_or_insert_mut(file.0, Known::default);
        known.note_request(by);
        let too_small = !filled && known.size < length_bytes as u64;
        if known.send_back(by, too_small) {
            return false;
        }
        open.entry(file.0).or_default().handles += 1;
        true
    }

    /// Notes a read(2).
    pub(in crate::fs) fn note_read(&self, file: INodeNo, caller: Caller) {
        if let Some(known) = self.files.lock().known.peek_mut(&file.0) {
            known.note_request(caller);
        }
    }

    /// The snapshot with which this open file fills the cache.
    pub(super) fn filled_by(&self, open: Open) -> Option<Arc<Snapshot>> {
        let files = self.files.lock();
        let filler = files.open.get(&open.file.0)?.filler.as_ref()?;
        let may_fill = filler.handle == open.handle && filler.until.is_none();
        may_fill.then(|| Arc::clone(&filler.snapshot))
    }

    /// Lets the open file fill the cache with `snapshot` until it is closed or revoked. Gives the snapshot to
    /// use: another read of the same open file may have come first. `None` when filling the cache
    /// would spoil what another reader gets.
    pub(super) fn fill(
        &self,
        open: Open,
        snapshot: &Arc<Snapshot>,
        by: Caller,
    ) -> Option<Arc<Snapshot>> {
        if snapshot.is_restricted() {
            return None;
        }
        let mut files = self.files.lock();
        let Files { known, open: table } = &mut *files;
        let known = known.get_mut(&open.file.0)?;
        let in_use = table.get_mut(&open.file.0)?;
        known.note_request(by);
        if in_use.left_by_another(open).is_some() {
            return None;
        }
        if let Some(filler) = &in_use.filler {
            let may_fill = filler.handle == open.handle && filler.until.is_none();
            return may_fill.then(|| Arc::clone(&filler.snapshot));
        }
        let length = snapshot.len() as u64;
        if known.sent.is_some() || known.size < length {
            return None;
        }
        known.size = length;
        in_use.filler = Some(Filler {
            handle: open.handle,
            since: Instant::now(),
            until: None,
            snapshot: Arc::clone(snapshot),
        });
        Some(Arc::clone(snapshot))
    }

    /// The snapshot with which another open file has filled the cache since this one was opened: the
    /// reader of this one may have got a part of it.
    pub(super) fn filled_by_another(&self, open: Open) -> Option<Arc<Snapshot>> {
        let files = self.files.lock();
        let in_use = files.open.get(&open.file.0)?;
        let filler = in_use.filler.as_ref();
        let filler = filler.filter(|filler| {
            let was_open = filler.until.is_none_or(|until| until >= open.since);
            filler.handle != open.handle && was_open
        });
        let snapshot = filler.map(|filler| &filler.snapshot);
        snapshot.or(in_use.left_by_another(open)).map(Arc::clone)
    }

    /// Notes that a file is closed.
    pub(in crate::fs) fn close(&self, file: INodeNo, handle: FileHandle) {
        let mut files = self.files.lock();
        let Some(in_use) = files.open.get_mut(&file.0) else {
            return;
        };
        in_use.handles = in_use.handles.saturating_sub(1);
        let ends = in_use.filler.take_if(|filler| filler.handle == handle);
        let left = ends.map(|filler| {
            let until = filler.until.unwrap_or_else(Instant::now);
            (until, filler.snapshot)
        });
        let freed = if in_use.handles == 0 {
            files.open.remove(&file.0).and_then(|in_use| in_use.left)
        } else if left.is_some() {
            std::mem::replace(&mut in_use.left, left.clone())
        } else {
            None
        };
        drop(files);
        // Freeing a large snapshot takes long.
        drop((freed, left));
    }
}

impl InUse {
    fn revoke_old(&mut self) {
        let filler = self.filler.as_mut();
        let old = filler.filter(|filler| filler.since.elapsed() > MAX_FILL_TIME);
        if let Some(old) = old {
            old.until.get_or_insert_with(Instant::now);
        }
    }

    /// The snapshot of a filler that might still fill when this file was opened.
    fn left_by_another(&self, open: Open) -> Option<&Arc<Snapshot>> {
        let left = self.left.as_ref();
        let left = left.filter(|(until, _)| *until >= open.since);
        left.map(|(_, snapshot)| snapshot)
    }
}

impl Known {
    /// Whether the caller has to look the file up again. The kernel hides one `ESTALE` from the
    /// program, not two in a row.
    fn send_back(&mut self, caller: Caller, too_small: bool) -> bool {
        if let Some(at) = self.sent_back.iter().position(|other| *other == caller) {
            self.sent_back.swap_remove(at);
            return false;
        }
        let send = too_small && caller != Caller::UNKNOWN && self.sent_back.len() < MAX_SENT_BACK;
        if send {
            self.sent_back.push(caller);
        }
        send
    }

    /// A caller that sends a request has applied the attributes that were sent to it before.
    fn note_request(&mut self, caller: Caller) {
        self.sent
            .take_if(|sent| sent.to == Some(caller) || sent.at.elapsed() > MAX_APPLY_TIME);
    }
}

#[cfg(test)]
mod tests;
