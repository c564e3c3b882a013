//! Renderings of record views: pure functions from the bytes of records to the bytes of files.
//!
//! A [`Plan`] checks a view's layout and forms all names, once. After that every function takes
//! the plan and records of just that length, and appends to a buffer of the caller's; it fails
//! only where a record has another length. Reading records and paths is left to others.
//!
//! [`text`] and [`json`] render one cgroup, [`table`], [`tree_json`] and [`prometheus`] many,
//! [`schema`] and [`help`] tell what all of these hold.

mod check;
mod column;
mod error;
mod escape;
mod field;
mod histogram;
mod json;
mod layout;
mod metric_name;
mod number;
mod plan;
mod prometheus;
mod schema;
mod table;
mod text;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod sample;

pub use error::Error;
pub use escape::word;
pub use json::{json, tree_json};
pub use layout::{Field, Kind, Meaning, Record, Scale, Unit};
pub use plan::Plan;
pub use prometheus::prometheus;
pub use schema::{help, schema};
pub use table::table;
pub use text::text;

/// What one cgroup gave: rows of a subtree come in pre-order.
#[derive(Debug, Clone, Copy)]
pub struct CgroupRecords<'a> {
    /// The path below the directory asked, `a/b`; the directory itself is `.`. Any bytes, never empty.
    pub path: &'a [u8],
    /// The record, or any number of them, one behind the other, if it has key fields.
    pub record: &'a [u8],
}
