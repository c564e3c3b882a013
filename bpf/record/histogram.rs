//! What the slots of a histogram say: the values that a slot counts, and the percentiles.

use super::column::{PERCENTILES, Stat};
use super::field::{Value, all_ones, u64_at};
use crate::bpf::record::layout::{Scale, Unit};

/// The bytes of a histogram before its slots: `u64 sum, max`.
pub(super) const HEAD_BYTES: usize = 16;

/// Where a record holds a histogram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Histogram {
    pub(super) offset_bytes: usize,
    pub(super) scale: Scale,
    pub(super) slots: usize,
    pub(super) unit: Unit,
    pub(super) absent_if_ones: bool,
}

/// A histogram in a few numbers, in the unit of the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// The record has no such histogram.
    pub(super) absent: bool,
    pub(super) count: u64,
    pub(super) sum: u64,
    pub(super) max: u64,
    /// In the order of [`PERCENTILES`].
    pub(super) percentiles: [Midpoint; PERCENTILES.len()],
}

/// The middle of two integers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Midpoint {
    pub(super) floor: u64,
    /// One half is to be added.
    pub(super) half: bool,
}

impl Summary {
    /// One of its numbers as the renderings show it: percentiles and maximum only if there were
    /// values, times in microseconds.
    pub(super) fn value(&self, stat: Stat, unit: Unit) -> Value<'static> {
        if self.absent {
            return Value::Absent;
        }
        match (stat, unit) {
            (Stat::Count, _) => Value::Unsigned(self.count),
            (Stat::Sum, Unit::Nanoseconds) => Value::Unsigned(self.sum / 1000),
            (Stat::Sum, _) => Value::Unsigned(self.sum),
            (Stat::Max | Stat::Percentile(_), _) if self.count == 0 => Value::Absent,
            (Stat::Max, Unit::None | Unit::Bytes) => Value::Unsigned(self.max),
            // Both with two digits: a percentile must not look larger than the maximum.
            (Stat::Max, _) => Midpoint::exactly(self.max).decimal(unit),
            (Stat::Percentile(at), _) => self.percentiles[at].decimal(unit),
        }
    }
}

impl Midpoint {
    fn exactly(value: u64) -> Self {
        Midpoint {
            floor: value,
            half: false,
        }
    }

    fn decimal(self, unit: Unit) -> Value<'static> {
        let (whole, hundredths) = match unit {
            Unit::Nanoseconds => (self.floor / 1000, self.floor % 1000 / 10),
            Unit::None | Unit::Microseconds | Unit::Bytes => {
                (self.floor, if self.half { 50 } else { 0 })
            }
        };
        Value::Hundredths {
            whole,
            hundredths: hundredths as u8,
        }
    }
}

/// The slots that it takes to count every 64-bit value.
pub(super) fn max_slots(scale: Scale) -> usize {
    match scale {
        Scale::Log2 => 64,
        Scale::LogLinear => 252,
    }
}

/// The least and the greatest value of a slot, if it were not the last one.
fn range(scale: Scale, slot: usize) -> (u64, u64) {
    match scale {
        Scale::Log2 if slot == 0 => (0, 1),
        Scale::Log2 => {
            let low = 1 << slot;
            (low, low + (low - 1))
        }
        Scale::LogLinear if slot < 4 => (slot as u64, slot as u64),
        Scale::LogLinear => {
            let width = 1 << (slot / 4 - 1);
            let low = (4 + slot as u64 % 4) * width;
            (low, low + (width - 1))
        }
    }
}

impl Histogram {
    /// The least and the greatest value that a slot counts; the last one takes all the rest.
    pub(super) fn range(&self, slot: usize) -> (u64, u64) {
        let (low, last) = range(self.scale, slot);
        let is_last = slot + 1 >= self.slots;
        (low, if is_last { u64::MAX } else { last })
    }

    /// What each slot counted; nothing where the record is too short for it.
    pub(super) fn counts<'a>(&self, record: &'a [u8]) -> impl Iterator<Item = u64> + Clone + 'a {
        let start = self.offset_bytes + HEAD_BYTES;
        let bytes = record.get(start..start + 8 * self.slots).unwrap_or(&[]);
        let (slots, _) = bytes.as_chunks::<8>();
        slots.iter().map(|slot| u64::from_ne_bytes(*slot))
    }

    /// Whether this cgroup or kernel has no such histogram.
    pub(super) fn is_absent(&self, record: &[u8]) -> bool {
        let size_bytes = HEAD_BYTES + 8 * self.slots;
        self.absent_if_ones && all_ones(record, self.offset_bytes, size_bytes)
    }

    /// The sum of all values, in the unit of the record.
    pub(super) fn sum(&self, record: &[u8]) -> u64 {
        u64_at(record, self.offset_bytes)
    }

    /// Sums the histogram of a record up.
    pub(super) fn summary(&self, record: &[u8]) -> Summary {
        if self.is_absent(record) {
            let absent = true;
            return Summary {
                absent,
                ..Summary::default()
            };
        }
        let count = self.counts(record).fold(0, u64::wrapping_add);
        let max = u64_at(record, self.offset_bytes + 8);
        Summary {
            absent: false,
            count,
            sum: self.sum(record),
            max,
            percentiles: self.percentiles(record, count, max),
        }
    }

    fn percentiles(&self, record: &[u8], count: u64, max: u64) -> [Midpoint; PERCENTILES.len()] {
        let mut found = [Midpoint::default(); PERCENTILES.len()];
        let ranks = PERCENTILES.map(|percent| nearest_rank(count, percent));
        let (mut next, mut seen) = (0, 0u64);
        for (slot, in_slot) in self.counts(record).enumerate() {
            seen = seen.wrapping_add(in_slot);
            while next < found.len() && seen >= ranks[next] && count > 0 {
                found[next] = self.midpoint(slot, max);
                next += 1;
            }
        }
        found
    }

    /// The middle of what a slot can have counted: nothing was above `max`.
    fn midpoint(&self, slot: usize, max: u64) -> Midpoint {
        let (low, last) = self.range(slot);
        // The program updates slot and max apart from each other, so max may still lag behind.
        let (low, last) = (low.min(max), last.min(max));
        Midpoint {
            floor: low + (last - low) / 2,
            half: (last - low) % 2 == 1,
        }
    }
}

/// Which of `count` sorted values, counted from 1, is the percentile.
fn nearest_rank(count: u64, percent: u64) -> u64 {
    count / 100 * percent + (count % 100 * percent).div_ceil(100)
}

#[cfg(test)]
mod tests;
