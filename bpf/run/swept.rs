//! The result of a sweep: an array with one element for each cgroup, parents before their children.
//! Its layout is `struct cgview_swept` of the authoring header, with the record behind it.

use crate::bpf::abi::{CGVIEW_NO_RECORD, cgview_swept};

/// The cgroups that a sweep has visited.
#[derive(Clone, Copy)]
pub struct Swept<'a> {
    bytes: &'a [u8],
    element_bytes: usize,
    record_bytes: usize,
}

/// One cgroup in a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweptCgroup<'a> {
    /// Its id.
    pub id: u64,
    /// Its parent's id.
    pub parent: u64,
    /// Its level in the hierarchy.
    pub level: u32,
    /// The record that the view wrote for it.
    pub record: &'a [u8],
}

impl<'a> Swept<'a> {
    pub(super) fn new(bytes: &'a [u8], element_bytes: usize, record_bytes: usize) -> Swept<'a> {
        Swept {
            bytes,
            element_bytes,
            record_bytes,
        }
    }

    /// How many cgroups were visited, those without a record included.
    pub fn visited(&self) -> usize {
        self.bytes.len() / self.element_bytes
    }

    /// The id of each cgroup that was visited and that of its parent, those without a record
    /// included. A parent comes before its children.
    pub fn lineage(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let elements = self.bytes.chunks_exact(self.element_bytes);
        elements.map(|one| {
            let parent = u64_at(one, cgview_swept::PARENT_ID);
            (u64_at(one, cgview_swept::ID), parent)
        })
    }

    /// The cgroups that have a record, in the order of the visits.
    pub fn iter(&self) -> impl Iterator<Item = SweptCgroup<'a>> + use<'a> {
        let record = cgview_swept::SIZE..cgview_swept::SIZE + self.record_bytes;
        let elements = self.bytes.chunks_exact(self.element_bytes);
        let with_record =
            elements.filter(|one| u32_at(one, cgview_swept::FLAGS) & CGVIEW_NO_RECORD == 0);
        with_record.map(move |one| SweptCgroup {
            id: u64_at(one, cgview_swept::ID),
            parent: u64_at(one, cgview_swept::PARENT_ID),
            level: u32_at(one, cgview_swept::LEVEL),
            record: one.get(record.clone()).unwrap_or_default(),
        })
    }
}

/// The integer at an offset; 0 beyond the end.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let bytes = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

/// The integer at an offset; 0 beyond the end.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let bytes = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(id: u64, level: u32, flags: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(id.to_ne_bytes());
        bytes.extend(7u64.to_ne_bytes());
        bytes.extend(level.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(0u64.to_ne_bytes());
        bytes.extend(b"record!!");
        bytes
    }

    #[test]
    fn level_and_flags_are_two_integers_on_any_machine() {
        let bytes = [element(1, 3, 0), element(2, 1, CGVIEW_NO_RECORD)].concat();
        let swept = Swept::new(&bytes, cgview_swept::SIZE + 8, 8);
        let found: Vec<_> = swept.iter().collect();
        let expected = SweptCgroup {
            id: 1,
            parent: 7,
            level: 3,
            record: b"record!!",
        };
        assert_eq!((swept.visited(), found), (2, vec![expected]));
        assert_eq!(swept.lineage().collect::<Vec<_>>(), [(1, 7), (2, 7)]);
    }

    #[test]
    fn a_short_array_is_no_panic() {
        assert_eq!(Swept::new(&[0; 9], 40, 8).iter().count(), 0);
        assert_eq!((u64_at(&[1; 7], 0), u32_at(&[1; 4], usize::MAX)), (0, 0));
    }
}
