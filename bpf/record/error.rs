//! Why a record cannot be rendered.

use std::fmt;

/// Why a layout or the bytes of a record cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The record as a whole has a layout that no rendering can trust.
    Record {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// One field of the layout is unusable.
    Field {
        /// The field's name, as the object gave it.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A record without key fields is not exactly as long as its layout says.
    Length {
        /// The layout's size.
        expected_bytes: usize,
        /// The size of what the program wrote.
        found_bytes: usize,
    },
    /// A record with key fields is not a whole number of rows.
    Rows {
        /// The layout's size: one row.
        row_bytes: usize,
        /// The size of what the program wrote.
        found_bytes: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Record { problem } => write!(f, "unusable record layout: {problem}"),
            // The name comes from an object that nobody vouches for: quoted, so that it cannot
            // forge a line of a log.
            Error::Field { name, problem } => {
                write!(f, "unusable record field {name:?}: {problem}")
            }
            Error::Length {
                expected_bytes,
                found_bytes,
            } => write!(
                f,
                "a record of {expected_bytes} bytes expected, found {found_bytes} bytes"
            ),
            Error::Rows {
                row_bytes,
                found_bytes,
            } => write!(
                f,
                "whole rows of {row_bytes} bytes expected, found {found_bytes} bytes"
            ),
        }
    }
}

impl std::error::Error for Error {}
