//! The properties of a map that decide about its memory, and whether two maps can hold the same
//! contents.

use std::os::fd::AsFd as _;

use libbpf_rs::{MapHandle, MapInfo, MapType, OpenMap};

/// A map before it is made, or one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapSpec {
    pub(super) kind: MapType,
    pub(super) key_bytes: u32,
    pub(super) value_bytes: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
}

impl MapSpec {
    /// Of a map of an open object.
    pub(super) fn of(map: &OpenMap<'_>) -> MapSpec {
        MapSpec {
            kind: map.map_type(),
            key_bytes: map.key_size(),
            value_bytes: map.value_size(),
            max_entries: map.max_entries(),
            flags: map.map_flags(),
        }
    }

    /// Of a map in the kernel.
    pub(super) fn of_loaded(map: &MapHandle) -> libbpf_rs::Result<MapSpec> {
        let info = MapInfo::new(map.as_fd())?.info;
        Ok(MapSpec {
            kind: MapType::from(info.type_),
            key_bytes: info.key_size,
            value_bytes: info.value_size,
            max_entries: info.max_entries,
            flags: info.map_flags,
        })
    }

    /// The first difference from the map before, as half a sentence.
    pub(super) fn difference(&self, before: &MapSpec) -> Option<String> {
        if self.kind != before.kind {
            return Some(format!("its type was {:?}", before.kind));
        }
        let numbers = [
            ("key size", self.key_bytes, before.key_bytes),
            ("value size", self.value_bytes, before.value_bytes),
            ("max_entries", self.max_entries, before.max_entries),
            ("map_flags", self.flags, before.flags),
        ];
        let mut differing = numbers.iter().filter(|(_, now, then)| now != then);
        let (what, now, then) = differing.next()?;
        Some(format!("its {what} was {then} and is {now}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_different_value_size_is_named() {
        let before = MapSpec {
            kind: MapType::Hash,
            key_bytes: 8,
            value_bytes: 4,
            max_entries: 1000,
            flags: 0,
        };
        assert_eq!(before.difference(&before), None);
        let wider = MapSpec {
            value_bytes: 8,
            ..before
        };
        let difference = wider.difference(&before).expect("differs");
        assert_eq!(difference, "its value size was 4 and is 8");
    }
}
