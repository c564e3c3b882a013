//! Values that include the descendants, made to agree within one sweep. No lock holds the kernel's
//! counters still during a sweep: a child that is visited later than its parent, or that somebody
//! else has just flushed, may show more than its parent. The parent has counted the same events or
//! is about to, so its value is raised to the sum of its children.

use super::swept::u32_at;
use crate::bpf::abi::cgview_swept;

/// Deeper cgroups keep their values as they are: the sums of one path must not take any memory.
const MAX_LEVELS: usize = 4096;

/// Raises each `u64` at one of `offsets` to the sum of the same value in the element's children.
/// Elements come in pre-order, each of `element_bytes`. All ones are no value: such an element keeps
/// none, and its children count for its parent.
pub(super) fn raise(swept: &mut [u8], element_bytes: usize, offsets: &[usize]) {
    let width = offsets.len();
    // By level, for each offset: the sum since the last element of the level above.
    let mut sums: Vec<u64> = Vec::new();
    let mut last_level = 0_usize;
    for element in swept.rchunks_exact_mut(element_bytes) {
        let level = u32_at(element, cgview_swept::LEVEL) as usize;
        if level >= MAX_LEVELS {
            continue;
        }
        let start = level * width;
        if sums.len() < start + width {
            sums.resize(start + width, 0);
        }
        let of_levels = sums.get_mut(start..).unwrap_or_default();
        let Some((own, below)) = of_levels.split_at_mut_checked(width) else {
            continue;
        };
        // Empty if the last element was no descendant.
        let depth = last_level.saturating_sub(level) * width;
        let below = below.get_mut(..depth).unwrap_or_default();
        for (at, (sum, offset)) in own.iter_mut().zip(offsets).enumerate() {
            let children = below.iter().skip(at).step_by(width);
            let children = children.fold(0u64, |all, one| all.saturating_add(*one));
            *sum = sum.saturating_add(raise_one(element, *offset, children));
        }
        below.fill(0);
        last_level = level;
    }
}

/// Raises one value; gives the new one, or that of the children where there is none.
fn raise_one(element: &mut [u8], offset: usize, children: u64) -> u64 {
    let value = element.get_mut(offset..).and_then(<[u8]>::first_chunk_mut);
    match value {
        Some(bytes) if *bytes != [0xff; 8] => {
            let total = u64::from_ne_bytes(*bytes).max(children);
            *bytes = total.to_ne_bytes();
            total
        }
        _ => children,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW_BYTES: usize = 32;
    const OFFSET: usize = 24;

    fn raised(rows: &[(u32, u64)]) -> Vec<u64> {
        let mut bytes = Vec::new();
        for (level, value) in rows {
            bytes.extend([0; cgview_swept::LEVEL]);
            bytes.extend(u64::from(*level).to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
        }
        raise(&mut bytes, ROW_BYTES, &[OFFSET]);
        let rows = bytes.chunks_exact(ROW_BYTES);
        rows.map(|row| u64::from_ne_bytes(*row[OFFSET..].first_chunk().expect("8 bytes")))
            .collect()
    }

    #[test]
    fn what_agrees_stays_as_it_is() {
        let rows = [(1, 10), (2, 6), (3, 5), (2, 4)];
        assert_eq!(raised(&rows), [10, 6, 5, 4]);
    }

    #[test]
    fn a_parent_is_raised_to_its_children_and_so_are_its_own() {
        let rows = [(1, 10), (2, 6), (3, 5), (3, 3), (2, 4), (3, 1)];
        assert_eq!(raised(&rows), [12, 8, 5, 3, 4, 1]);
    }

    #[test]
    fn siblings_of_the_root_of_a_subtree_are_not_mixed() {
        let rows = [(0, 0), (1, 1), (2, 5), (1, 2), (2, 7), (1, 3)];
        assert_eq!(raised(&rows), [15, 5, 5, 7, 7, 3]);
    }

    #[test]
    fn what_has_no_value_hands_on_its_children() {
        let none = u64::MAX;
        assert_eq!(raised(&[(0, none), (1, 1), (2, 5)]), [none, 5, 5]);
        assert_eq!(raised(&[(1, 1), (2, none), (3, 5)]), [5, none, 5]);
        // A row that is missing in between.
        assert_eq!(raised(&[(1, 1), (3, 5), (3, 6)]), [11, 5, 6]);
    }

    #[test]
    fn nonsense_is_no_panic() {
        assert_eq!(raised(&[]), [0; 0]);
        assert_eq!(raised(&[(u32::MAX, 7)]), [7]);
        let most = u64::MAX - 1;
        assert_eq!(
            raised(&[(0, 1), (1, most), (1, most)]),
            [u64::MAX, most, most]
        );
        raise(&mut [0xff; 100], 3, &[24]);
    }
}
