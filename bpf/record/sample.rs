//! Records for the tests.

use super::histogram::HEAD_BYTES;
use crate::bpf::record::layout::{Field, Kind, Meaning, Record, Scale, Unit};

/// A gauge without a unit and without help.
pub(super) fn field(name: &str, offset_bytes: usize, kind: Kind) -> Field {
    Field {
        name: name.to_owned(),
        offset_bytes,
        kind,
        meaning: Meaning::Gauge,
        unit: Unit::None,
        help: String::new(),
        absent_if_ones: false,
        with_descendants: false,
    }
}

pub(super) fn record(size_bytes: usize, fields: Vec<Field>) -> Record {
    Record { size_bytes, fields }
}

/// `usage` (counter, ns), `current` (gauge, bytes, may be absent), `depth` (signed), `comm`.
pub(super) fn plain() -> Record {
    let mut usage = field("usage", 0, Kind::Unsigned(8));
    usage.meaning = Meaning::Counter;
    usage.unit = Unit::Nanoseconds;
    usage.help = "CPU time consumed.".to_owned();
    let mut current = field("current", 8, Kind::Unsigned(8));
    current.unit = Unit::Bytes;
    current.absent_if_ones = true;
    let depth = field("depth", 16, Kind::Signed(4));
    record(
        32,
        vec![usage, current, depth, field("comm", 20, Kind::String(12))],
    )
}

pub(super) fn plain_bytes(usage: u64, current: u64, depth: i32, comm: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(usage.to_ne_bytes());
    bytes.extend(current.to_ne_bytes());
    bytes.extend(depth.to_ne_bytes());
    bytes.extend(comm);
    bytes.resize(32, 0);
    bytes
}

/// `dev` (label, string), `cpu` (label), `reads` (counter), `wait` (counter, us, may be absent).
pub(super) fn row() -> Record {
    let mut dev = field("dev", 0, Kind::String(8));
    dev.meaning = Meaning::Label;
    let mut cpu = field("cpu", 8, Kind::Unsigned(4));
    cpu.meaning = Meaning::Label;
    let mut reads = field("reads", 12, Kind::Unsigned(4));
    reads.meaning = Meaning::Counter;
    let mut wait = field("wait", 16, Kind::Unsigned(8));
    wait.meaning = Meaning::Counter;
    wait.unit = Unit::Microseconds;
    wait.absent_if_ones = true;
    record(24, vec![dev, cpu, reads, wait])
}

pub(super) fn row_bytes(dev: &[u8], cpu: u32, reads: u32, wait: u64) -> Vec<u8> {
    let mut bytes = dev.to_vec();
    bytes.resize(8, 0);
    bytes.extend(cpu.to_ne_bytes());
    bytes.extend(reads.to_ne_bytes());
    bytes.extend(wait.to_ne_bytes());
    bytes
}

/// A log-linear histogram `lat` in nanoseconds, with all slots.
pub(super) fn latency() -> Record {
    let slots = 252;
    let scale = Scale::LogLinear;
    let mut lat = field("lat", 0, Kind::Histogram { scale, slots });
    lat.unit = Unit::Nanoseconds;
    lat.help = "Time on the run queue.".to_owned();
    record(HEAD_BYTES + 8 * slots, vec![lat])
}

pub(super) fn latency_bytes(values: &[u64]) -> Vec<u8> {
    histogram_bytes(Scale::LogLinear, 252, values)
}

/// A histogram of these values, with slots computed as in BPF code.
pub(super) fn histogram_bytes(scale: Scale, slots: usize, values: &[u64]) -> Vec<u8> {
    let mut counts = vec![0u64; slots];
    for value in values {
        let exponent = value.max(&1).ilog2() as usize;
        let slot = match scale {
            Scale::Log2 => exponent,
            Scale::LogLinear if *value < 4 => *value as usize,
            Scale::LogLinear => 4 * (exponent - 1) + (value >> (exponent - 2) & 3) as usize,
        };
        counts[slot.min(slots - 1)] += 1;
    }
    let max = values.iter().max().copied().unwrap_or(0);
    let head = [values.iter().sum(), max];
    head.iter()
        .chain(&counts)
        .flat_map(|n| n.to_ne_bytes())
        .collect()
}

/// A pseudo-random generator (xorshift) with the same numbers in every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }

    pub(super) fn exponential(&mut self, mean: f64) -> u64 {
        let uniform = (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        (-(1.0 - uniform).ln() * mean) as u64
    }
}
