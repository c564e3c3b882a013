//! JSON: the keys of the text, types kept. Integers that a double cannot hold are strings, absent
//! fields are left out, histograms are objects with their buckets.

use super::column::STATS;
use super::escape::json_string;
use super::field::Value;
use super::histogram::{Histogram, Summary};
use super::number::{push_fraction, push_hundredths, push_signed, push_unsigned, quote_if_large};
use super::plan::{Cell, Plan};
use super::{CgroupRecords, Error};
use crate::bpf::record::layout::Unit;

/// Appends one cgroup's record as an object, or its rows as an array of objects if the record has
/// key fields, and a newline.
///
/// # Errors
/// [`Error::Length`] or [`Error::Rows`], and `out` is as it was, if the bytes are no such record.
pub fn json(plan: &Plan, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    plan.fits(bytes)?;
    record_or_rows(plan, bytes, out);
    out.push(b'\n');
    Ok(())
}

/// Appends one object a line for each cgroup: `cgroup`, the path as in the table (`.` is the
/// directory asked) but not escaped as a word, and then the members of [`json`], or `rows` with
/// the array if the record has key fields.
///
/// # Errors
/// [`Error::Length`] or [`Error::Rows`], and `out` is as it was, if one row is no such record.
pub fn tree_json(plan: &Plan, rows: &[CgroupRecords<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
    plan.fit_all(rows)?;
    for row in rows {
        out.extend_from_slice(b"{\"cgroup\":");
        json_string(row.path, out);
        if plan.keyed {
            out.extend_from_slice(b",\"rows\":");
            record_or_rows(plan, row.record, out);
        } else {
            members(plan, row.record, out);
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(())
}

fn record_or_rows(plan: &Plan, bytes: &[u8], out: &mut Vec<u8>) {
    if plan.keyed {
        list(b"[]", plan.records(bytes), out, |record, out| {
            object(plan, record, out);
        });
    } else {
        object(plan, bytes, out);
    }
}

fn object(plan: &Plan, record: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    members(plan, record, out);
    open(b'{', start, out);
    out.push(b'}');
}

/// Appends items that each begin with a comma, in the two brackets.
fn list<T>(
    brackets: &[u8; 2],
    items: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    push: impl Fn(T, &mut Vec<u8>),
) {
    let start = out.len();
    for item in items {
        out.push(b',');
        push(item, out);
    }
    open(brackets[0], start, out);
    out.push(brackets[1]);
}

/// Puts a bracket where the first comma stands, which needs no bracket of its own.
fn open(bracket: u8, start: usize, out: &mut Vec<u8>) {
    match out.get_mut(start) {
        Some(comma) => *comma = bracket,
        None => out.push(bracket),
    }
}

/// Appends each member with a comma before it.
fn members(plan: &Plan, record: &[u8], out: &mut Vec<u8>) {
    for member in &plan.members {
        let column = &plan.columns[member.column];
        if let Cell::Stat(index, _) = column.cell {
            let histogram = &plan.histograms[index];
            if !histogram.is_absent(record) {
                out.extend_from_slice(&member.prefix);
                histogram_object(histogram, &member.stats, record, out);
            }
            continue;
        }
        let value = plan.value(column, record, &[]);
        if value != Value::Absent {
            out.extend_from_slice(&member.prefix);
            push_value(value, out);
        }
    }
}

fn push_value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Absent => out.extend_from_slice(b"null"),
        Value::Unsigned(value) => push_integer(value, out),
        Value::Signed(value) => {
            quote_if_large(out, value.unsigned_abs(), |out| push_signed(out, value));
        }
        Value::Hundredths { whole, hundredths } => {
            quote_if_large(out, whole, |out| push_hundredths(out, whole, hundredths));
        }
        Value::Text(text) => json_string(text, out),
    }
}

fn push_integer(value: u64, out: &mut Vec<u8>) {
    quote_if_large(out, value, |out| push_unsigned(out, value));
}

fn histogram_object(histogram: &Histogram, prefixes: &[Vec<u8>], record: &[u8], out: &mut Vec<u8>) {
    let summary = histogram.summary(record);
    out.push(b'{');
    for (stat, prefix) in STATS.into_iter().zip(prefixes) {
        let value = summary.value(stat, histogram.unit);
        if value != Value::Absent {
            out.extend_from_slice(prefix);
            push_value(value, out);
            out.push(b',');
        }
    }
    out.extend_from_slice(b"\"buckets\":");
    buckets(histogram, record, &summary, out);
    out.push(b'}');
}

/// The slots from the first to the last that counted something.
fn buckets(histogram: &Histogram, record: &[u8], summary: &Summary, out: &mut Vec<u8>) {
    let counts = histogram.counts(record).enumerate();
    let used = counts
        .clone()
        .filter(|(_, count)| *count > 0)
        .map(|(slot, _)| slot);
    let first = used.clone().next().unwrap_or(0);
    let length = if summary.count == 0 {
        0
    } else {
        used.last().unwrap_or(0) - first + 1
    };
    list(
        b"[]",
        counts.skip(first).take(length),
        out,
        |(slot, count), out| {
            out.extend_from_slice(le_prefix(histogram.unit));
            push_bound(histogram, slot, out);
            out.extend_from_slice(b",\"count\":");
            push_integer(count, out);
            out.push(b'}');
        },
    );
}

fn le_prefix(unit: Unit) -> &'static [u8] {
    match unit {
        Unit::None => b"{\"le\":",
        Unit::Nanoseconds | Unit::Microseconds => b"{\"le_usec\":",
        Unit::Bytes => b"{\"le_bytes\":",
    }
}

/// The slot's upper bound: its greatest integer, or for a time, of which the integer is what is
/// left when the fraction is cut off, the least that is longer. The last slot has none.
fn push_bound(histogram: &Histogram, slot: usize, out: &mut Vec<u8>) {
    let (_, last) = histogram.range(slot);
    match histogram.unit {
        _ if last == u64::MAX => out.extend_from_slice(b"null"),
        Unit::None | Unit::Bytes => push_integer(last, out),
        Unit::Microseconds => push_integer(last + 1, out),
        Unit::Nanoseconds => push_fraction::<3>(out, last + 1),
    }
}

#[cfg(test)]
mod tests;
