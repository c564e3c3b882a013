//! Checks a layout before any rendering relies on it: it comes from the BTF of an untrusted object.

use std::collections::HashSet;

use super::Error;
use super::column;
use super::histogram;
use super::layout::{Field, Kind, Meaning, Record};

/// The kernel's buffer for one run of an iterator: no program can write a larger record.
const MAX_RECORD_BYTES: usize = 32 * 1024 - 1;

/// The longest name that the kernel accepts in BTF. [`super::help`] aligns names with format
/// widths, which must be below 65,536.
const MAX_NAME_BYTES: usize = 511;

/// Names that the renderings use for the cgroup's path.
const RESERVED: [&str; 1] = ["cgroup"];

/// Checks that every field lies in the record and that names in a rendering are unique.
pub(super) fn check(record: &Record) -> Result<(), Error> {
    check_whole(record)?;
    let mut names = HashSet::new();
    for field in &record.fields {
        check_field(field, record.size_bytes).map_err(|problem| field_error(field, problem))?;
        for name in column::all_names(field) {
            if RESERVED.contains(&name.as_str()) || !names.insert(name) {
                return Err(field_error(field, "another field or column has this name"));
            }
        }
    }
    Ok(())
}

fn field_error(field: &Field, problem: &'static str) -> Error {
    Error::Field {
        name: field.name.clone(),
        problem,
    }
}

fn check_whole(record: &Record) -> Result<(), Error> {
    let problem = match record {
        Record { size_bytes: 0, .. } => "it has no bytes",
        Record { size_bytes, .. } if *size_bytes > MAX_RECORD_BYTES => "it fills 32 KiB",
        Record { fields, .. } if fields.is_empty() => "it has no fields",
        _ => return Ok(()),
    };
    Err(Error::Record { problem })
}

fn check_field(field: &Field, record_bytes: usize) -> Result<(), &'static str> {
    if field.name.len() > MAX_NAME_BYTES {
        return Err("the name exceeds 511 bytes");
    }
    if !is_identifier(&field.name) {
        return Err("the name is not an identifier");
    }
    let size_bytes = size_bytes(field.kind)?;
    let end = field.offset_bytes.checked_add(size_bytes);
    if end.is_none_or(|end| end > record_bytes) {
        return Err("it reaches beyond the record");
    }
    let is_histogram = matches!(field.kind, Kind::Histogram { .. });
    if is_histogram && field.meaning == Meaning::Label {
        return Err("a histogram cannot be a label field");
    }
    Ok(())
}

/// The size of a field in the record.
fn size_bytes(kind: Kind) -> Result<usize, &'static str> {
    match kind {
        Kind::Unsigned(size) | Kind::Signed(size) if !matches!(size, 1 | 2 | 4 | 8) => {
            Err("an integer must have 1, 2, 4 or 8 bytes")
        }
        Kind::String(0) => Err("a string must have at least 1 byte"),
        Kind::Unsigned(size) | Kind::Signed(size) | Kind::String(size) => Ok(size),
        Kind::Histogram { scale, slots } => {
            if slots == 0 || slots > histogram::max_slots(scale) {
                return Err("a histogram must have from 1 to 64 (log2) or 252 (log-linear) slots");
            }
            Ok(histogram::HEAD_BYTES + 8 * slots)
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    name.bytes().next().is_some_and(letter) && name.bytes().all(|b| letter(b) || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::record::layout::{Scale, Unit};
    use crate::bpf::record::sample::{field, record};

    fn problem(size_bytes: usize, fields: Vec<Field>) -> &'static str {
        match check(&record(size_bytes, fields)) {
            Ok(()) => "",
            Err(Error::Record { problem } | Error::Field { problem, .. }) => problem,
            Err(other) => panic!("unexpected: {other}"),
        }
    }

    #[test]
    fn fields_may_fill_the_record_but_not_leave_it() {
        assert_eq!(problem(8, vec![field("a", 0, Kind::Unsigned(8))]), "");
        let beyond = "it reaches beyond the record";
        assert_eq!(problem(8, vec![field("a", 1, Kind::Unsigned(8))]), beyond);
        assert_eq!(
            problem(8, vec![field("a", usize::MAX, Kind::Signed(1))]),
            beyond
        );
        assert_eq!(
            problem(8, vec![field("a", 0, Kind::String(usize::MAX))]),
            beyond
        );
    }

    #[test]
    fn sizes_that_no_integer_has_are_rejected() {
        for size in [0, 3, 16, usize::MAX] {
            let kind = Kind::Unsigned(size);
            assert_ne!(problem(64, vec![field("a", 0, kind)]), "", "{size}");
        }
        assert_ne!(problem(64, vec![field("a", 0, Kind::String(0))]), "");
        assert_ne!(problem(0, vec![field("a", 0, Kind::String(1))]), "");
        assert_ne!(problem(64 * 1024, vec![field("a", 0, Kind::String(1))]), "");
        assert_ne!(problem(64, vec![]), "");
    }

    #[test]
    fn histograms_have_no_more_slots_than_64_bits_can_fill() {
        let with = |scale, slots| {
            let kind = Kind::Histogram { scale, slots };
            problem(4096, vec![field("h", 0, kind)])
        };
        assert_eq!(with(Scale::Log2, 64), "");
        assert_eq!(with(Scale::LogLinear, 252), "");
        assert_ne!(with(Scale::Log2, 65), "");
        assert_ne!(with(Scale::LogLinear, 253), "");
        assert_ne!(with(Scale::Log2, 0), "");
        assert_ne!(with(Scale::Log2, usize::MAX), "");
    }

    #[test]
    fn names_are_identifiers() {
        for name in ["", "1a", "a b", "a\n", "a\"", "caf\u{e9}", "a=b", "-"] {
            assert_ne!(
                problem(8, vec![field(name, 0, Kind::Unsigned(8))]),
                "",
                "{name}"
            );
        }
        let longest = "a".repeat(MAX_NAME_BYTES);
        let problem = |name: &str| problem(8, vec![field(name, 0, Kind::Unsigned(8))]);
        assert_eq!(problem(&longest), "");
        assert_eq!(problem(&(longest + "a")), "the name exceeds 511 bytes");
    }

    #[test]
    fn names_that_are_equal_with_their_units_are_rejected() {
        let mut nanoseconds = field("wait", 0, Kind::Unsigned(8));
        nanoseconds.unit = Unit::Nanoseconds;
        let plain = field("wait_usec", 8, Kind::Unsigned(8));
        assert_ne!(problem(16, vec![nanoseconds, plain]), "");
        let kind = Kind::Histogram {
            scale: Scale::Log2,
            slots: 8,
        };
        let count = field("lat_count", 0, Kind::Unsigned(8));
        assert_ne!(problem(96, vec![field("lat", 0, kind), count]), "");
        assert_ne!(problem(8, vec![field("cgroup", 0, Kind::Unsigned(8))]), "");
    }

    #[test]
    fn a_label_field_is_never_a_histogram() {
        let mut label = field(
            "h",
            0,
            Kind::Histogram {
                scale: Scale::Log2,
                slots: 8,
            },
        );
        label.meaning = Meaning::Label;
        assert_eq!(
            problem(96, vec![label]),
            "a histogram cannot be a label field"
        );
    }
}
