//! Reads a histogram from a record: the values of each slot, count, sum, maximum and percentiles.

use super::column::{Percentile, Stat};
use super::field::{Value, all_ones, u64_at};
use super::layout::{Scale, Unit};
use crate::bpf::abi::cgview_hist;

/// The size of what precedes the slots, the same for both scales.
pub(super) const HEAD_BYTES: usize = cgview_hist::SLOTS;

/// Reads a histogram field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Histogram {
    pub(super) offset_bytes: usize,
    pub(super) scale: Scale,
    /// From 1 to [`max_slots`].
    pub(super) slots: usize,
    pub(super) unit: Unit,
    pub(super) absent_if_ones: bool,
}

/// A histogram in a few numbers, in the unit of the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// This cgroup or kernel does not have the histogram.
    pub(super) absent: bool,
    pub(super) count: u64,
    pub(super) sum: u64,
    pub(super) max: u64,
    /// In the order of [`Percentile::ALL`].
    pub(super) percentiles: [Midpoint; Percentile::ALL.len()],
}

/// The middle between two integers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Midpoint {
    pub(super) floor: u64,
    /// The middle is `floor + 0.5`.
    pub(super) half: bool,
}

impl Summary {
    /// One number as the renderings show it: times in microseconds, percentiles and maximum absent
    /// if there are no values.
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
            // With decimals, because a percentile must not look larger than the maximum.
            (Stat::Max, _) => Midpoint::exactly(self.max).decimal(unit),
            (Stat::Percentile(of), _) => self.percentile(of).decimal(unit),
        }
    }

    fn percentile(&self, of: Percentile) -> Midpoint {
        let [p50, p90, p99] = self.percentiles;
        match of {
            Percentile::P50 => p50,
            Percentile::P90 => p90,
            Percentile::P99 => p99,
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

/// The number of slots that count every 64-bit value.
pub(super) fn max_slots(scale: Scale) -> usize {
    match scale {
        Scale::Log2 => 64,
        Scale::LogLinear => 252,
    }
}

/// The least and the greatest value of a slot below [`max_slots`] that is not the last one.
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
    /// The least and the greatest value that a slot counts. The last slot has no upper bound.
    pub(super) fn range(&self, slot: usize) -> (u64, u64) {
        let (low, last) = range(self.scale, slot);
        let is_last = slot + 1 >= self.slots;
        (low, if is_last { u64::MAX } else { last })
    }

    /// The count of each slot; nothing if the histogram ends beyond the record.
    pub(super) fn counts<'a>(&self, record: &'a [u8]) -> impl Iterator<Item = u64> + Clone + 'a {
        let start = self.offset_bytes + HEAD_BYTES;
        let bytes = record.get(start..start + 8 * self.slots);
        let (slots, _) = bytes.unwrap_or_default().as_chunks::<8>();
        slots.iter().map(|slot| u64::from_ne_bytes(*slot))
    }

    /// Whether this cgroup or kernel does not have the histogram.
    pub(super) fn is_absent(&self, record: &[u8]) -> bool {
        let size_bytes = HEAD_BYTES + 8 * self.slots;
        self.absent_if_ones && all_ones(record, self.offset_bytes, size_bytes)
    }

    /// The sum of all values, in the unit of the record.
    pub(super) fn sum(&self, record: &[u8]) -> u64 {
        u64_at(record, self.offset_bytes + cgview_hist::SUM)
    }

    /// Summarizes the histogram of a record.
    pub(super) fn summary(&self, record: &[u8]) -> Summary {
        if self.is_absent(record) {
            let absent = true;
            return Summary {
                absent,
                ..Summary::default()
            };
        }
        let count = self.counts(record).fold(0, u64::wrapping_add);
        let max = u64_at(record, self.offset_bytes + cgview_hist::MAX);
        Summary {
            absent: false,
            count,
            sum: self.sum(record),
            max,
            percentiles: self.percentiles(record, count, max),
        }
    }

    fn percentiles(
        &self,
        record: &[u8],
        count: u64,
        max: u64,
    ) -> [Midpoint; Percentile::ALL.len()] {
        let mut found = [Midpoint::default(); Percentile::ALL.len()];
        if count == 0 {
            return found;
        }
        let ranks = Percentile::ALL.map(|of| nearest_rank(count, of.percent()));
        let mut not_found = found.iter_mut().zip(ranks);
        let mut next = not_found.next();
        let mut seen = 0u64;
        for (slot, in_slot) in self.counts(record).enumerate() {
            seen = seen.wrapping_add(in_slot);
            while let Some((midpoint, _)) = next.take_if(|(_, rank)| seen >= *rank) {
                *midpoint = self.midpoint(slot, max);
                next = not_found.next();
            }
        }
        found
    }

    /// The middle of the values that a slot can have counted, given that none exceeds `max`.
    fn midpoint(&self, slot: usize, max: u64) -> Midpoint {
        let (low, last) = self.range(slot);
        // The program does not update slot and max at once: max may be below the slot.
        let (low, last) = (low.min(max), last.min(max));
        Midpoint {
            floor: low + (last - low) / 2,
            half: (last - low) % 2 == 1,
        }
    }
}

/// The position, from 1, of the percentile among `count` sorted values.
fn nearest_rank(count: u64, percent: u64) -> u64 {
    count / 100 * percent + (count % 100 * percent).div_ceil(100)
}

#[cfg(test)]
mod tests;
