//! What a record is and how it is shown: pure functions from the bytes of records to the bytes of
//! files. No I/O and no libbpf: the caller supplies records and paths.
//!
//! A [`Plan`] checks the layout of a view's record and prepares all names once. Each rendering
//! takes a plan and records, and appends to a buffer. It fails only if a record has a wrong length,
//! or if a rendering of a subtree gets no room.
//!
//! [`text`] and [`json`] render one cgroup; [`table`], [`tree_json`] and [`prometheus`] render a
//! subtree; [`schema`] and [`help`] describe the view.

// The layout and its preparation.
mod check;
mod error;
mod layout;
mod plan;

// Names of fields.
mod column;
mod metric_name;

// Values: read from a record, written as characters.
mod escape;
mod field;
mod histogram;
mod number;
mod room;

// Renderings.
mod json;
mod prometheus;
mod schema;
mod table;
mod text;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod sample;

pub use error::Error;
pub use layout::{Field, Kind, Meaning, Record, Scale, Unit};
pub use plan::Plan;

pub use json::{json, tree_json};
pub use prometheus::prometheus;
pub use schema::{help, schema};
pub use table::table;
pub use text::text;

pub use escape::word;
pub use room::{Room, make_room};

/// What a view wrote for one cgroup. Renderings of a subtree keep the order of their input.
#[derive(Debug, Clone, Copy)]
pub struct CgroupRecords<'a> {
    /// The path relative to the directory that is read (`a/b`), or `.` for that directory. Any
    /// bytes; not empty.
    pub path: &'a [u8],
    /// One record, or any number of consecutive rows if the record has label fields.
    pub record: &'a [u8],
}
