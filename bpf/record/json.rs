//! JSON with the keys of the text. A histogram is one object with its buckets; an absent value has
//! no member; an integer that a double cannot hold is a string.

use super::column::STATS;
use super::escape::json_string;
use super::field::Value;
use super::histogram::{Histogram, Summary};
use super::layout::Unit;
use super::number::{push_fraction, push_hundredths, push_signed, push_unsigned, quote_if_large};
use super::plan::{Plan, Source};
use super::{CgroupRecords, Error, Room, make_room};

/// Appends one line with a cgroup's record as an object, or with its rows as an array of objects.
///
/// # Errors
/// [`Error::Length`] or [`Error::Rows`] if the bytes do not fit the layout; `out` is unchanged.
pub fn json(plan: &Plan, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    plan.fits(bytes)?;
    record_or_rows(plan, bytes, out);
    out.push(b'\n');
    Ok(())
}

/// Appends one line with an object for each cgroup. The first member is `cgroup`, the path. The
/// others are the members of [`json`], or `rows` with the array.
///
/// # Errors
/// [`Error::Length`] or [`Error::Rows`] if the bytes of a cgroup do not fit the layout; `out` is
/// unchanged. [`Error::NoRoom`].
pub fn tree_json(
    plan: &Plan,
    cgroups: &[CgroupRecords<'_>],
    out: &mut Vec<u8>,
    room: &mut Room<'_>,
) -> Result<(), Error> {
    plan.count_records(cgroups)?;
    let mut longest_bytes = 0;
    for cgroup in cgroups {
        make_room(out, longest_bytes, room)?;
        let start = out.len();
        out.extend_from_slice(b"{\"cgroup\":");
        json_string(cgroup.path, out);
        if plan.has_rows {
            out.extend_from_slice(b",\"rows\":");
            record_or_rows(plan, cgroup.record, out);
        } else {
            members(plan, cgroup.record, out);
        }
        out.extend_from_slice(b"}\n");
        longest_bytes = longest_bytes.max(out.len() - start);
    }
    Ok(())
}

fn record_or_rows(plan: &Plan, bytes: &[u8], out: &mut Vec<u8>) {
    if plan.has_rows {
        array(plan.records(bytes), out, |record, out| {
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

fn array<T>(items: impl Iterator<Item = T>, out: &mut Vec<u8>, push: impl Fn(T, &mut Vec<u8>)) {
    let start = out.len();
    for item in items {
        out.push(b',');
        push(item, out);
    }
    open(b'[', start, out);
    out.push(b']');
}

/// Replaces the comma before the first item by a bracket, or appends it if there is no item.
fn open(bracket: u8, start: usize, out: &mut Vec<u8>) {
    match out.get_mut(start) {
        Some(comma) => *comma = bracket,
        None => out.push(bracket),
    }
}

/// Appends the members, each after a comma.
fn members(plan: &Plan, record: &[u8], out: &mut Vec<u8>) {
    for member in &plan.members {
        let value = match &member.source {
            Source::Integer(integer) => integer.read_shown(record),
            Source::String(string) => string.read(record),
            Source::Histogram {
                histogram,
                stat_prefixes,
            } => {
                if !histogram.is_absent(record) {
                    out.extend_from_slice(&member.prefix);
                    histogram_object(histogram, stat_prefixes, record, out);
                }
                continue;
            }
        };
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
        Value::String(string) => json_string(string, out),
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

/// Appends the slots from the first to the last whose count is not 0.
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
    array(
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

/// Appends the upper bound of a slot: the greatest value, or null for the last slot. A time is an
/// integer without its fraction, so its bound is one more, and exclusive.
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
