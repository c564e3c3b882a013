//! Snapshots: the bytes of one run, held for the readers of an open file. All snapshots and
//! listings together stay within one limit.

use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::spare::Spare;
use crate::fs::errno::Error;

/// The spare buffer holds at most this part of the limit, and is not counted in it.
const SPARE_PART: usize = 4;

/// What a file holds after one run.
pub(in crate::fs) struct Content {
    pub(in crate::fs) bytes: Vec<u8>,
    /// Whether it shows cgroups that not every user may see.
    pub(in crate::fs) restricted: bool,
}

impl From<Vec<u8>> for Content {
    /// Bytes that every user who can open the file may read.
    fn from(bytes: Vec<u8>) -> Content {
        let restricted = false;
        Content { bytes, restricted }
    }
}

/// The bytes of one run.
pub(in crate::fs) struct Snapshot {
    bytes: Vec<u8>,
    restricted: bool,
    spare: Arc<Spare>,
    _reserved: Reserved,
}

/// A part of a snapshot, which keeps the whole.
pub(in crate::fs) struct Part {
    snapshot: Arc<Snapshot>,
    range: Range<usize>,
}

impl Snapshot {
    pub(in crate::fs) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it shows cgroups that not every user may see.
    pub(super) fn is_restricted(&self) -> bool {
        self.restricted
    }

    /// At most `size` bytes from `offset` on; none behind the end.
    pub(in crate::fs) fn part(self: Arc<Snapshot>, offset: u64, size: u32) -> Part {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let start = start.min(self.bytes.len());
        let end = start.saturating_add(size as usize).min(self.bytes.len());
        Part {
            snapshot: self,
            range: start..end,
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.spare.put(std::mem::take(&mut self.bytes));
    }
}

impl Deref for Part {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let bytes = self.snapshot.bytes.get(self.range.clone());
        bytes.unwrap_or_default()
    }
}

/// The memory of all snapshots and listings.
pub(in crate::fs) struct Memory {
    usage: Arc<Usage>,
    spare: Arc<Spare>,
}

struct Usage {
    max_bytes: usize,
    used_bytes: AtomicUsize,
}

/// Bytes that are counted as used until this is dropped.
pub(super) struct Reserved {
    usage: Arc<Usage>,
    size_bytes: usize,
}

impl Memory {
    pub(super) fn new(max_bytes: usize) -> Memory {
        Memory {
            usage: Arc::new(Usage {
                max_bytes,
                used_bytes: AtomicUsize::new(0),
            }),
            spare: Arc::new(Spare::new(max_bytes / SPARE_PART)),
        }
    }

    /// A snapshot of this content, or [`Error::TooMuchOpen`].
    pub(super) fn snapshot(&self, content: impl Into<Content>) -> Result<Arc<Snapshot>, Error> {
        let Content { bytes, restricted } = content.into();
        let _reserved = self.reserve(bytes.capacity())?;
        let spare = Arc::clone(&self.spare);
        Ok(Arc::new(Snapshot {
            bytes,
            restricted,
            spare,
            _reserved,
        }))
    }

    pub(super) fn reserve(&self, size_bytes: usize) -> Result<Reserved, Error> {
        let used = &self.usage.used_bytes;
        let used_bytes = used.fetch_add(size_bytes, Ordering::Relaxed);
        let reserved = Reserved {
            usage: Arc::clone(&self.usage),
            size_bytes,
        };
        if used_bytes.saturating_add(size_bytes) > self.usage.max_bytes {
            return Err(Error::TooMuchOpen);
        }
        Ok(reserved)
    }

    /// Fails with [`Error::TooMuchOpen`] for an output that can never become a snapshot. To be
    /// called while a long output is made.
    pub(in crate::fs) fn check_size(&self, size_bytes: usize) -> Result<(), Error> {
        if size_bytes > self.usage.max_bytes {
            return Err(Error::TooMuchOpen);
        }
        Ok(())
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.usage.used_bytes.load(Ordering::Relaxed)
    }

    /// An empty buffer for a large output.
    pub(in crate::fs) fn take_spare(&self) -> Vec<u8> {
        self.spare.take()
    }

    /// The output in a buffer of its size, if its buffer is much larger.
    pub(in crate::fs) fn shrink(&self, output: Vec<u8>) -> Vec<u8> {
        self.spare.shrink(output)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let used = &self.usage.used_bytes;
        used.fetch_sub(self.size_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_where_the_snapshot_ends() {
        let memory = Memory::new(100);
        let snapshot = memory.snapshot(b"0123456789".to_vec()).expect("room");
        let part = |offset, size| Arc::clone(&snapshot).part(offset, size).to_vec();
        assert_eq!(part(0, 4), b"0123");
        assert_eq!(part(8, 4), b"89");
        assert_eq!(part(10, 4), b"");
        assert_eq!(part(u64::MAX, u32::MAX), b"");
    }

    #[test]
    fn the_limit_is_kept_and_dropped_bytes_are_given_back() {
        let memory = Memory::new(10);
        let first = memory.snapshot(vec![0; 8]).expect("room");
        let second = memory.snapshot(vec![0; 3]);
        assert!(matches!(second, Err(Error::TooMuchOpen)));
        drop(first);
        assert!(memory.snapshot(vec![0; 10]).is_ok());
        assert_eq!(memory.used_bytes(), 0);
    }

    #[test]
    fn an_output_beyond_the_limit_is_refused_while_it_is_made() {
        let memory = Memory::new(10);
        assert!(memory.check_size(10).is_ok());
        assert!(matches!(memory.check_size(11), Err(Error::TooMuchOpen)));
    }
}
