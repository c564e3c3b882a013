//! The layout of a record: which fields it has, where they lie and what they mean. Read from an
//! object's BTF by the loader; plain values, checked by [`super::check`] before they are used.

use serde::{Deserialize, Serialize};

/// The layout of a record: the C struct that a record view writes for each cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `sizeof` the struct.
    pub size_bytes: usize,
    /// Its members, in the struct's order.
    pub fields: Vec<Field>,
}

/// One member of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The member's name, without a unit.
    pub name: String,
    /// Where it starts.
    pub offset_bytes: usize,
    /// How its bytes are read.
    pub kind: Kind,
    /// What it measures.
    pub meaning: Meaning,
    /// The unit that the BPF program writes.
    pub unit: Unit,
    /// One sentence for people; may be empty.
    pub help: String,
    /// The value "all ones" means that this cgroup or kernel has no such number.
    pub absent_if_ones: bool,
    /// The value counts the descendants too.
    pub with_descendants: bool,
}

/// How the bytes of a field are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An unsigned integer of 1, 2, 4 or 8 bytes.
    Unsigned(usize),
    /// A signed integer of 1, 2, 4 or 8 bytes.
    Signed(usize),
    /// A NUL-terminated text in an array of so many bytes.
    Text(usize),
    /// A histogram: `struct cgview_hist` (`u64 sum, max, slots[]`) of the authoring header.
    Histogram {
        /// How a value finds its slot.
        scale: Scale,
        /// How many slots follow.
        slots: usize,
    },
}

/// How a value finds its slot in a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Slot `n` counts values in `[2^n, 2^(n+1))`, slot 0 also 0.
    Log2,
    /// Four slots to each power of two: slots 0..4 hold the values 0..4 exactly, then slot
    /// `4 * (e - 1) + s` counts values in `[(4 + s) * 2^(e-2), (5 + s) * 2^(e-2))`, for `e >= 2`.
    LogLinear,
}

/// What a field measures; the words are Prometheus'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// Only ever grows while the cgroup lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Tells rows of one cgroup apart (a device, a CPU); a label, not a sample.
    Key,
}

/// The unit that a program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A plain number.
    None,
    /// Nanoseconds.
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Bytes.
    Bytes,
}
