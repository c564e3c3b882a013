//! What the slots of a histogram say: the values that a slot counts, and the percentiles.

use super::field::{Value, all_ones, u64_at};
use super::key::{PERCENTILES, Stat};
use crate::bpf::manifest::{Scale, Unit};

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
mod tests {
    use super::*;
    use crate::bpf::render::sample::{Random, histogram_bytes};

    fn histogram(scale: Scale, slots: usize) -> Histogram {
        Histogram {
            offset_bytes: 0,
            scale,
            slots,
            unit: Unit::Nanoseconds,
            absent_if_ones: true,
        }
    }

    fn summary(scale: Scale, values: &[u64]) -> Summary {
        let slots = max_slots(scale);
        histogram(scale, slots).summary(&histogram_bytes(scale, slots, values))
    }

    #[test]
    fn slots_join_without_gap_or_overlap_and_reach_the_top() {
        for scale in [Scale::Log2, Scale::LogLinear] {
            let slots = max_slots(scale);
            assert_eq!(range(scale, 0).0, 0);
            for slot in 1..slots {
                let below = range(scale, slot - 1).1;
                assert_eq!(range(scale, slot).0, below + 1, "{scale:?} {slot}");
            }
            assert_eq!(range(scale, slots - 1).1, u64::MAX);
        }
    }

    #[test]
    fn slots_are_as_the_manifest_says() {
        assert_eq!(range(Scale::Log2, 5), (32, 63));
        assert_eq!(range(Scale::LogLinear, 3), (3, 3));
        assert_eq!(range(Scale::LogLinear, 4), (4, 4));
        assert_eq!(range(Scale::LogLinear, 8), (8, 9));
        // e = 4, s = 3: [7 * 4, 8 * 4)
        assert_eq!(range(Scale::LogLinear, 4 * 3 + 3), (28, 31));
    }

    #[test]
    fn the_last_slot_takes_all_the_rest() {
        let short = histogram(Scale::LogLinear, 12);
        assert_eq!(short.range(10), (12, 13));
        assert_eq!(short.range(11), (14, u64::MAX));
        let bytes = histogram_bytes(Scale::LogLinear, 12, &[1_000_000]);
        let middle = 14 + (1_000_000 - 14) / 2;
        assert_eq!(short.summary(&bytes).percentiles[0].floor, middle);
    }

    #[test]
    fn ranks_are_the_nearest_above() {
        assert_eq!(nearest_rank(1, 50), 1);
        assert_eq!(nearest_rank(2, 50), 1);
        assert_eq!(nearest_rank(3, 50), 2);
        assert_eq!(nearest_rank(10, 99), 10);
        assert_eq!(nearest_rank(1000, 99), 990);
        assert_eq!(nearest_rank(u64::MAX, 99), u64::MAX / 100 * 99 + 15);
    }

    fn assert_close(name: &str, mut values: Vec<u64>) {
        let found = summary(Scale::LogLinear, &values);
        values.sort_unstable();
        assert_eq!(found.count, values.len() as u64, "{name}");
        assert_eq!(found.sum, values.iter().sum::<u64>(), "{name}");
        assert_eq!(found.max, values[values.len() - 1], "{name}");
        for (percent, middle) in PERCENTILES.iter().zip(found.percentiles) {
            let rank = nearest_rank(values.len() as u64, *percent) as usize;
            let exact = values[rank - 1] as f64;
            let shown = middle.floor as f64 + if middle.half { 0.5 } else { 0.0 };
            assert!(shown <= found.max as f64, "{name} p{percent}");
            let error = (shown - exact).abs();
            assert!(
                error <= exact * 0.125,
                "{name} p{percent}: {shown} for {exact}"
            );
        }
    }

    #[test]
    fn percentiles_are_within_an_eighth_of_the_truth() {
        for seed in 1..=20 {
            let mut random = Random::new(seed);
            let uniform = (0..1000).map(|_| random.below(1 << (seed * 2))).collect();
            assert_close("uniform", uniform);
            let mut random = Random::new(seed);
            let exponential = (0..1000).map(|_| random.exponential(50_000.0)).collect();
            assert_close("exponential", exponential);
            assert_close("constant", vec![random.below(1 << 40); 100]);
            let (low, high) = (random.below(1000), random.below(1 << 50));
            let two = (0..100).map(|n| if n % 10 < 9 { low } else { high });
            assert_close("two points", two.collect());
            assert_close("one value", vec![random.next_u64()]);
        }
    }

    #[test]
    fn percentiles_stop_at_the_maximum() {
        // 1000 lies in [896, 1023], whose middle is 959.5; the maximum cuts the slot.
        let found = summary(Scale::LogLinear, &[897, 897, 897]);
        assert_eq!(found.percentiles[1].floor, 896);
        assert!(found.percentiles[1].half);
        let lagging = histogram(Scale::Log2, 8).midpoint(5, 20);
        assert_eq!(lagging.floor, 20);
    }

    #[test]
    fn numbers_are_shown_in_microseconds() {
        let one = summary(Scale::LogLinear, &[1_234_567]);
        let shown = |stat| one.value(stat, Unit::Nanoseconds);
        assert_eq!(shown(Stat::Count), Value::Unsigned(1));
        assert_eq!(shown(Stat::Sum), Value::Unsigned(1234));
        let (whole, hundredths) = (1234, 56);
        assert_eq!(shown(Stat::Max), Value::Hundredths { whole, hundredths });
        let none = summary(Scale::LogLinear, &[]);
        assert_eq!(none.value(Stat::Sum, Unit::None), Value::Unsigned(0));
        assert_eq!(none.value(Stat::Max, Unit::None), Value::Absent);
        assert_eq!(none.value(Stat::Percentile(0), Unit::None), Value::Absent);
    }

    #[test]
    fn plain_numbers_keep_their_unit_and_half() {
        let two = summary(Scale::LogLinear, &[9, 9]);
        assert_eq!(two.value(Stat::Max, Unit::Bytes), Value::Unsigned(9));
        let (whole, hundredths) = (8, 50);
        let median = two.value(Stat::Percentile(0), Unit::Bytes);
        assert_eq!(median, Value::Hundredths { whole, hundredths });
    }

    #[test]
    fn an_empty_histogram_sums_up_to_nothing() {
        assert_eq!(summary(Scale::LogLinear, &[]), Summary::default());
    }

    #[test]
    fn all_ones_are_absent() {
        let found = histogram(Scale::Log2, 4).summary(&[0xff; 48]);
        assert!(found.absent);
    }

    #[test]
    fn counts_that_no_program_can_reach_are_no_panic() {
        let mut bytes = vec![0xff; 48];
        bytes[0] = 0;
        let found = histogram(Scale::Log2, 4).summary(&bytes);
        assert_eq!(found.count, u64::MAX - 3);
    }
}
