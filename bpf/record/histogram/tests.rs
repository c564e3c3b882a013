//! Slots, and percentiles compared with exact ones.

use super::*;
use crate::bpf::record::sample::{Random, histogram_bytes};

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
fn slots_cover_all_values_without_gap_or_overlap() {
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
fn slots_are_as_the_layout_documents() {
    assert_eq!(range(Scale::Log2, 5), (32, 63));
    assert_eq!(range(Scale::LogLinear, 3), (3, 3));
    assert_eq!(range(Scale::LogLinear, 4), (4, 4));
    assert_eq!(range(Scale::LogLinear, 8), (8, 9));
    // e = 4, s = 3: [7 * 4, 8 * 4)
    assert_eq!(range(Scale::LogLinear, 4 * 3 + 3), (28, 31));
}

#[test]
fn the_last_slot_counts_all_greater_values() {
    let short = histogram(Scale::LogLinear, 12);
    assert_eq!(short.range(10), (12, 13));
    assert_eq!(short.range(11), (14, u64::MAX));
    let bytes = histogram_bytes(Scale::LogLinear, 12, &[1_000_000]);
    let middle = 14 + (1_000_000 - 14) / 2;
    assert_eq!(short.summary(&bytes).percentiles[0].floor, middle);
}

#[test]
fn ranks_are_rounded_up() {
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
    for (of, middle) in Percentile::ALL.into_iter().zip(found.percentiles) {
        let percent = of.percent();
        let rank = nearest_rank(values.len() as u64, percent) as usize;
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
fn percentiles_differ_by_an_eighth_at_most() {
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
    // The slot is [896, 1023], but no value exceeds 897.
    let found = summary(Scale::LogLinear, &[897, 897, 897]);
    assert_eq!(found.percentiles[1].floor, 896);
    assert!(found.percentiles[1].half);
    let lagging = histogram(Scale::Log2, 8).midpoint(5, 20);
    assert_eq!(lagging.floor, 20);
}

#[test]
fn times_are_shown_in_microseconds() {
    let one = summary(Scale::LogLinear, &[1_234_567]);
    let shown = |stat| one.value(stat, Unit::Nanoseconds);
    assert_eq!(shown(Stat::Count), Value::Unsigned(1));
    assert_eq!(shown(Stat::Sum), Value::Unsigned(1234));
    let (whole, hundredths) = (1234, 56);
    assert_eq!(shown(Stat::Max), Value::Hundredths { whole, hundredths });
    let none = summary(Scale::LogLinear, &[]);
    assert_eq!(none.value(Stat::Sum, Unit::None), Value::Unsigned(0));
    assert_eq!(none.value(Stat::Max, Unit::None), Value::Absent);
    assert_eq!(
        none.value(Stat::Percentile(Percentile::P50), Unit::None),
        Value::Absent
    );
}

#[test]
fn other_numbers_keep_their_unit_and_half() {
    let two = summary(Scale::LogLinear, &[9, 9]);
    assert_eq!(two.value(Stat::Max, Unit::Bytes), Value::Unsigned(9));
    let (whole, hundredths) = (8, 50);
    let median = two.value(Stat::Percentile(Percentile::P50), Unit::Bytes);
    assert_eq!(median, Value::Hundredths { whole, hundredths });
}

#[test]
fn an_empty_histogram_has_an_empty_summary() {
    assert_eq!(summary(Scale::LogLinear, &[]), Summary::default());
}

#[test]
fn all_ones_are_absent() {
    let found = histogram(Scale::Log2, 4).summary(&[0xff; 48]);
    assert!(found.absent);
}

#[test]
fn counts_that_overflow_wrap_around() {
    let mut bytes = vec![0xff; 48];
    bytes[0] = 0;
    let found = histogram(Scale::Log2, 4).summary(&bytes);
    assert_eq!(found.count, u64::MAX - 3);
}
