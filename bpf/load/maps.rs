//! An object's maps before it is loaded: the limit on their memory, and which of them take over
//! the contents of the object before.

use std::os::fd::AsFd as _;
use std::path::Path;

use libbpf_rs::{MapHandle, MapInfo, MapType, OpenMap, OpenMapMut, OpenObject};

use crate::bpf::manifest::Keep;
use crate::bpf::pins;

/// Most kernel memory that the maps of one object may take when they are made.
const MOST_BYTES: u64 = 1 << 30;

/// Of each element of a hash, besides key and value (kernel/bpf/hashtab.c `struct htab_elem`).
const HASH_ELEMENT_BYTES: u64 = 48;

/// `BPF_F_NO_PREALLOC`: the elements are made when they are needed.
const NO_PREALLOC: u32 = 1;

/// What decides about the memory of a map, and whether two maps are of the same layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    kind: MapType,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
    flags: u32,
}

/// Refuses an object whose maps would take too much memory: the machine's is at stake, and the
/// kernel tries hard to give what it is asked for.
pub(super) fn limit(open: &OpenObject) -> Result<(), String> {
    let cpus = libbpf_rs::num_possible_cpus().map_err(|error| error.to_string())? as u64;
    let created = open.maps().filter(libbpf_rs::OpenMapImpl::autocreate);
    let sizes = created.map(|map| {
        let name = map.name().to_string_lossy().into_owned();
        (shape(&map).size_bytes(cpus), name)
    });
    within_limit(&sizes.collect::<Vec<_>>())
}

fn within_limit(sizes: &[(u64, String)]) -> Result<(), String> {
    let total = sizes
        .iter()
        .fold(0u64, |sum, (size, _)| sum.saturating_add(*size));
    match sizes.iter().max() {
        Some((size, name)) if total > MOST_BYTES => Err(format!(
            "its maps would take {total} bytes ({name} alone {size}), and an object may have \
             {MOST_BYTES}"
        )),
        _ => Ok(()),
    }
}

fn shape(map: &OpenMap<'_>) -> Shape {
    Shape {
        kind: map.map_type(),
        key_bytes: map.key_size(),
        value_bytes: map.value_size(),
        entries: map.max_entries(),
        flags: map.map_flags(),
    }
}

impl Shape {
    /// About what the kernel takes when it makes the map; what grows with its use is not counted.
    fn size_bytes(&self, cpus: u64) -> u64 {
        let entries = u64::from(self.entries);
        let key = u64::from(self.key_bytes).next_multiple_of(8);
        let value = u64::from(self.value_bytes).next_multiple_of(8);
        let buckets = entries.next_power_of_two() * 16;
        let element = match self.kind {
            MapType::Hash | MapType::LruHash | MapType::HashOfMaps => {
                HASH_ELEMENT_BYTES + key + value
            }
            MapType::PercpuHash | MapType::LruPercpuHash => {
                (HASH_ELEMENT_BYTES + key + 8).saturating_add(value.saturating_mul(cpus))
            }
            MapType::Array | MapType::Queue | MapType::Stack => value,
            MapType::PercpuArray => value.saturating_mul(cpus).saturating_add(8),
            MapType::RingBuf | MapType::UserRingBuf => 1,
            MapType::TaskStorage
            | MapType::InodeStorage
            | MapType::SkStorage
            | MapType::CGrpStorage
            | MapType::LpmTrie => 0,
            // Pointers, but for those of which a view has no use.
            _ => 8 + value,
        };
        let is_hash = matches!(
            self.kind,
            MapType::Hash
                | MapType::LruHash
                | MapType::HashOfMaps
                | MapType::PercpuHash
                | MapType::LruPercpuHash
        );
        let elements = if self.flags & NO_PREALLOC == 0 {
            entries.saturating_mul(element)
        } else {
            0
        };
        elements.saturating_add(if is_hash { buckets } else { 0 })
    }

    /// What differs, for people.
    fn difference(&self, before: &Shape) -> Option<String> {
        if self.kind != before.kind {
            return Some(format!("its type was {:?}", before.kind));
        }
        let numbers = [
            ("key size", self.key_bytes, before.key_bytes),
            ("value size", self.value_bytes, before.value_bytes),
            ("max_entries", self.entries, before.entries),
            ("map_flags", self.flags, before.flags),
        ];
        let mut differing = numbers.iter().filter(|(_, now, then)| now != then);
        let (what, now, then) = differing.next()?;
        Some(format!("its {what} was {then} and is {now}"))
    }
}

/// Makes a map use the contents of the object before, whose pins are in `previous`.
pub(super) fn carry_over(map: &mut OpenMapMut<'_>, previous: Option<&Path>) -> Keep {
    let name = map.name().to_string_lossy().into_owned();
    let Some(pin) = previous.map(|dir| pins::of_kept_map(dir, &name)) else {
        return Keep::New;
    };
    if !pin.exists() {
        return Keep::New;
    }
    let carried = MapHandle::from_pinned_path(&pin)
        .and_then(|before| Ok((pinned_shape(&before)?, before)))
        .map_err(|error| error.to_string())
        .and_then(|(then, before)| match shape(map).difference(&then) {
            None => map
                .reuse_fd(before.as_fd())
                .map_err(|error| error.to_string()),
            Some(difference) => Err(difference),
        });
    match carried {
        Ok(()) => Keep::Carried,
        Err(why) => Keep::Lost(why),
    }
}

fn pinned_shape(map: &MapHandle) -> libbpf_rs::Result<Shape> {
    let info = MapInfo::new(map.as_fd())?.info;
    Ok(Shape {
        kind: MapType::from(info.type_),
        key_bytes: info.key_size,
        value_bytes: info.value_size,
        entries: info.max_entries,
        flags: info.map_flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: Shape = Shape {
        kind: MapType::Hash,
        key_bytes: 8,
        value_bytes: 4,
        entries: 1000,
        flags: 0,
    };

    #[test]
    fn a_hash_takes_its_elements_and_buckets_at_once_unless_told_otherwise() {
        assert_eq!(COUNTS.size_bytes(4), 1000 * (48 + 8 + 8) + 1024 * 16);
        let lazy = Shape {
            flags: NO_PREALLOC,
            ..COUNTS
        };
        assert_eq!(lazy.size_bytes(4), 1024 * 16);
        let percpu = Shape {
            kind: MapType::PercpuHash,
            ..COUNTS
        };
        assert_eq!(percpu.size_bytes(4), 1000 * (48 + 8 + 8 + 32) + 1024 * 16);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let huge = Shape {
            key_bytes: u32::MAX,
            value_bytes: u32::MAX,
            entries: u32::MAX,
            ..COUNTS
        };
        for kind in [
            MapType::Hash,
            MapType::PercpuArray,
            MapType::RingBuf,
            MapType::Unknown,
        ] {
            assert!(Shape { kind, ..huge }.size_bytes(u64::MAX) >= u64::from(u32::MAX));
        }
    }

    #[test]
    fn the_limit_holds_for_all_maps_together_and_names_the_largest() {
        let half = MOST_BYTES / 2;
        let sizes = [(half, "a".to_owned()), (half, "b".to_owned())];
        assert_eq!(within_limit(&sizes), Ok(()));
        let sizes = [(half, "a".to_owned()), (half + 1, "b".to_owned())];
        let error = within_limit(&sizes).expect_err("too much");
        assert!(error.contains(&(MOST_BYTES + 1).to_string()), "{error}");
        assert!(error.contains("b alone"), "{error}");
    }

    #[test]
    fn a_layout_that_differs_is_told_apart() {
        assert_eq!(COUNTS.difference(&COUNTS), None);
        let wider = Shape {
            value_bytes: 8,
            ..COUNTS
        };
        let difference = wider.difference(&COUNTS).expect("differs");
        assert_eq!(difference, "its value size was 4 and is 8");
    }
}
