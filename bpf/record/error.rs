//! Why a record cannot be rendered.

use std::fmt;

/// A record view cannot be rendered: its layout or what it wrote is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The layout as a whole is not usable.
    Record {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The layout has a field that is not usable.
    Field {
        /// The field's name in the object.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A program without label fields wrote anything but one record.
    Length {
        /// The size of the record.
        expected_bytes: usize,
        /// The size of the program's output.
        found_bytes: usize,
    },
    /// A program with label fields wrote an incomplete row.
    Rows {
        /// The size of one row.
        row_bytes: usize,
        /// The size of the program's output.
        found_bytes: usize,
    },
    /// The output would be longer than it may be.
    NoRoom,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Record { problem } => write!(f, "unusable record layout: {problem}"),
            // Quoted: the name comes from an untrusted object and must not forge a line of a log.
            Error::Field { name, problem } => {
                write!(f, "unusable record field {name:?}: {problem}")
            }
            Error::Length {
                expected_bytes,
                found_bytes,
            } => write!(
                f,
                "the program must write one record of {expected_bytes} bytes, \
                 but wrote {found_bytes} bytes"
            ),
            Error::Rows {
                row_bytes,
                found_bytes,
            } => write!(
                f,
                "the program must write whole rows of {row_bytes} bytes, \
                 but wrote {found_bytes} bytes"
            ),
            Error::NoRoom => f.write_str("the output is too long"),
        }
    }
}

impl std::error::Error for Error {}
