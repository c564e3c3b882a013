//! Snapshots: the bytes of one run, held for the readers of an open file.

use std::ops::{Deref, Range};
use std::sync::Arc;

use super::memory::{Memory, Reserved};
use super::spare::Spare;
use crate::fs::errno::Error;

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

impl Memory {
    /// A snapshot of this content, for which `reserved` is enlarged, or [`Error::TooMuchOpen`].
    pub(in crate::fs) fn snapshot(
        &self,
        content: impl Into<Content>,
        mut reserved: Reserved,
    ) -> Result<Arc<Snapshot>, Error> {
        let Content { bytes, restricted } = content.into();
        reserved.resize(bytes.capacity())?;
        let spare = Arc::clone(&self.spare);
        Ok(Arc::new(Snapshot {
            bytes,
            restricted,
            spare,
            _reserved: reserved,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::User;
    use super::*;

    #[test]
    fn a_part_ends_where_the_snapshot_ends() {
        let memory = Memory::new(100);
        let reserved = memory.reserve_for(User::ROOT);
        let snapshot = memory
            .snapshot(b"0123456789".to_vec(), reserved)
            .expect("room");
        let part = |offset, size| Arc::clone(&snapshot).part(offset, size).to_vec();
        assert_eq!(part(0, 4), b"0123");
        assert_eq!(part(8, 4), b"89");
        assert_eq!(part(10, 4), b"");
        assert_eq!(part(u64::MAX, u32::MAX), b"");
    }
}
