//! The limit on the memory of an object's maps, checked before they are made.

use libbpf_rs::{MapType, OpenObject};

use super::map_spec::MapSpec;

/// Most kernel memory that the maps of one object may take when they are made.
const MAX_BYTES: u64 = 1 << 30;

/// Bytes of each element of a hash beside key and value (kernel/bpf/hashtab.c `struct htab_elem`).
const HASH_ELEMENT_BYTES: u64 = 48;

/// `BPF_F_NO_PREALLOC`: elements are made when they are needed.
const NO_PREALLOC: u32 = 1;

/// Refuses an object whose maps would take too much: the kernel tries hard to find what it is
/// asked for, at the cost of everything else on the machine.
pub(super) fn check(open: &OpenObject) -> Result<(), String> {
    let cpus = libbpf_rs::num_possible_cpus().map_err(|error| error.to_string())? as u64;
    let created = open.maps().filter(libbpf_rs::OpenMapImpl::autocreate);
    let sizes = created.map(|map| {
        let name = map.name().to_string_lossy().into_owned();
        (size_bytes(&MapSpec::of(&map), cpus), name)
    });
    check_sizes(&sizes.collect::<Vec<_>>())
}

fn check_sizes(sizes: &[(u64, String)]) -> Result<(), String> {
    let total = sizes
        .iter()
        .fold(0u64, |sum, (size, _)| sum.saturating_add(*size));
    match sizes.iter().max() {
        Some((size, name)) if total > MAX_BYTES => Err(format!(
            "its maps would take {total} bytes ({name} alone {size}), and an object may have \
             {MAX_BYTES}"
        )),
        _ => Ok(()),
    }
}

/// About the memory that the kernel takes when it makes the map. What grows with use does not count.
fn size_bytes(map: &MapSpec, cpus: u64) -> u64 {
    let entries = u64::from(map.max_entries);
    let key = u64::from(map.key_bytes).next_multiple_of(8);
    let value = u64::from(map.value_bytes).next_multiple_of(8);
    let is_hash = matches!(
        map.kind,
        MapType::Hash
            | MapType::LruHash
            | MapType::HashOfMaps
            | MapType::PercpuHash
            | MapType::LruPercpuHash
    );
    let element = match map.kind {
        MapType::PercpuHash | MapType::LruPercpuHash => {
            (HASH_ELEMENT_BYTES + key + 8).saturating_add(value.saturating_mul(cpus))
        }
        _ if is_hash => HASH_ELEMENT_BYTES + key + value,
        MapType::Array | MapType::Queue | MapType::Stack => value,
        MapType::PercpuArray => value.saturating_mul(cpus).saturating_add(8),
        MapType::RingBuf | MapType::UserRingBuf => 1,
        MapType::TaskStorage
        | MapType::InodeStorage
        | MapType::SkStorage
        | MapType::CGrpStorage
        | MapType::LpmTrie => 0,
        // Pointers in most; a view has no use for the others.
        _ => 8 + value,
    };
    let elements = match map.flags & NO_PREALLOC {
        0 => entries.saturating_mul(element),
        _ => 0,
    };
    let buckets = if is_hash {
        entries.next_power_of_two() * 16
    } else {
        0
    };
    elements.saturating_add(buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: MapSpec = MapSpec {
        kind: MapType::Hash,
        key_bytes: 8,
        value_bytes: 4,
        max_entries: 1000,
        flags: 0,
    };

    #[test]
    fn a_hash_takes_its_elements_and_buckets_at_once_unless_told_otherwise() {
        assert_eq!(size_bytes(&COUNTS, 4), 1000 * (48 + 8 + 8) + 1024 * 16);
        let lazy = MapSpec {
            flags: NO_PREALLOC,
            ..COUNTS
        };
        assert_eq!(size_bytes(&lazy, 4), 1024 * 16);
        let percpu = MapSpec {
            kind: MapType::PercpuHash,
            ..COUNTS
        };
        assert_eq!(size_bytes(&percpu, 4), 1000 * (48 + 8 + 8 + 32) + 1024 * 16);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let huge = MapSpec {
            key_bytes: u32::MAX,
            value_bytes: u32::MAX,
            max_entries: u32::MAX,
            ..COUNTS
        };
        for kind in [
            MapType::Hash,
            MapType::PercpuArray,
            MapType::RingBuf,
            MapType::Unknown,
        ] {
            assert!(size_bytes(&MapSpec { kind, ..huge }, u64::MAX) >= u64::from(u32::MAX));
        }
    }

    #[test]
    fn the_limit_holds_for_all_maps_together_and_names_the_largest() {
        let half = MAX_BYTES / 2;
        let sizes = [(half, "a".to_owned()), (half, "b".to_owned())];
        assert_eq!(check_sizes(&sizes), Ok(()));
        let sizes = [(half, "a".to_owned()), (half + 1, "b".to_owned())];
        let error = check_sizes(&sizes).expect_err("too much");
        assert!(error.contains(&(MAX_BYTES + 1).to_string()), "{error}");
        assert!(error.contains("b alone"), "{error}");
    }
}
