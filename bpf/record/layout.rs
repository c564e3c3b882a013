//! The layout of a record: its fields, where they lie and what they mean. The loader reads it from
//! an object's BTF, and [`Plan::new`](super::Plan::new) checks it before a rendering uses it.

use serde::{Deserialize, Serialize};

/// The layout of a record: the C struct that a record view writes for each cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The size of the struct.
    pub size_bytes: usize,
    /// The members, in the order of the struct.
    pub fields: Vec<Field>,
}

/// One member of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The member's name, without a unit.
    pub name: String,
    /// The offset in the record.
    pub offset_bytes: usize,
    /// How the bytes are read.
    pub kind: Kind,
    /// What the value measures.
    pub meaning: Meaning,
    /// The unit of the value in the record.
    pub unit: Unit,
    /// One sentence that describes the value; may be empty.
    pub help: String,
    /// If all bits are set, the value is absent: this cgroup or kernel does not have it.
    pub absent_if_ones: bool,
    /// The value includes the cgroup's descendants.
    pub with_descendants: bool,
}

/// How the bytes of a field are read. Integers have the byte order of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An unsigned integer of 1, 2, 4 or 8 bytes.
    Unsigned(usize),
    /// A signed integer of 1, 2, 4 or 8 bytes.
    Signed(usize),
    /// A NUL-terminated string in an array of this many bytes. Without a NUL it fills the array.
    // Programs that read schema.json know this kind as `text`.
    #[serde(rename = "text")]
    String(usize),
    /// A histogram: `u64 sum, max, slots[]`, as in the authoring header.
    Histogram {
        /// Which values a slot counts.
        scale: Scale,
        /// The number of slots.
        slots: usize,
    },
}

/// Which values a slot of a histogram counts. The last slot also counts all greater values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Slot `n` counts values in `[2^n, 2^(n+1))`, slot 0 also 0.
    Log2,
    /// Four slots to each power of two. Slots 0 to 3 count the values 0 to 3. For `e >= 2`, slot
    /// `4 * (e - 1) + s` counts values in `[(4 + s) * 2^(e-2), (5 + s) * 2^(e-2))`.
    LogLinear,
}

/// What a field measures. A histogram is a histogram whether it is a counter or a gauge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// The value never decreases while the cgroup exists.
    Counter,
    /// The value can increase and decrease.
    Gauge,
    /// The value identifies a row of the cgroup, such as a device or a CPU.
    // Programs that read schema.json know this meaning as `key`.
    #[serde(rename = "key")]
    Label,
}

/// The unit of a value in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A number without a unit.
    None,
    /// Nanoseconds.
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Bytes.
    Bytes,
}
