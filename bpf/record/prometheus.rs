//! Prometheus' text format 0.0.4: each metric once, with HELP, TYPE and all samples, in base units,
//! without timestamps. Labels are `cgroup`, the path from the root (`/`, `/a/b`), and the label
//! fields. A string is a label of a gauge `..._info` that is 1. An absent value has no sample.

use std::collections::HashSet;

use super::escape;
use super::field::{Integer, StringField, Value};
use super::histogram::Histogram;
use super::layout::Unit;
use super::metric_name::{Metric, Type};
use super::number::{push_fraction, push_signed, push_unsigned};
use super::plan::{Plan, Source};
use super::{CgroupRecords, Error, Room, make_room};

/// Room for the number at the end of a line: most numbers are shorter.
const NUMBER_BYTES: usize = 22;

/// Room for what follows the name of a histogram in its longest line.
const BUCKET_BYTES: usize = 32;

/// Appends every metric of the view with the samples of all cgroups. Paths are relative to the root
/// of the mount. If rows of a cgroup have equal labels, only the first is shown, because Prometheus
/// rejects a scrape with duplicate samples.
///
/// # Errors
/// [`Error::Length`] or [`Error::Rows`] if the bytes of a cgroup do not fit the layout; `out` is
/// unchanged. [`Error::NoRoom`].
pub fn prometheus(
    plan: &Plan,
    cgroups: &[CgroupRecords<'_>],
    out: &mut Vec<u8>,
    room: &mut Room<'_>,
) -> Result<(), Error> {
    let records = plan.count_records(cgroups)?;
    let samples = Samples::new(plan, cgroups, records, room)?;
    let held_bytes = samples.labels.capacity();
    let mut room = |bytes: usize| room(held_bytes.saturating_add(bytes));
    for (member, metric) in plan.members.iter().zip(&plan.metrics) {
        if member.is_label {
            continue;
        }
        header(metric, out);
        match &member.source {
            Source::Integer(integer) => samples.integers(metric, *integer, out, &mut room)?,
            Source::String(string) => samples.strings(metric, *string, out, &mut room)?,
            Source::Histogram { histogram, .. } => {
                samples.histogram(metric, histogram, out, &mut room)?;
            }
        }
    }
    Ok(())
}

fn header(metric: &Metric, out: &mut Vec<u8>) {
    let kind: &[u8] = match metric.kind {
        Type::Counter => b"counter\n",
        Type::Histogram => b"histogram\n",
        Type::Gauge | Type::Info | Type::Label => b"gauge\n",
    };
    let name = metric.name.as_bytes();
    out.extend_from_slice(b"# HELP ");
    out.extend_from_slice(name);
    out.push(b' ');
    escape::help(&metric.help, out);
    out.extend_from_slice(b"\n# TYPE ");
    out.extend_from_slice(name);
    out.push(b' ');
    out.extend_from_slice(kind);
}

/// Every record with its labels, which are the same for each metric.
struct Samples<'a> {
    /// `cgroup="/a"} ` of all records, concatenated.
    labels: Vec<u8>,
    /// The end of each record's labels, and the record.
    records: Vec<(usize, &'a [u8])>,
}

impl<'a> Samples<'a> {
    fn new(
        plan: &Plan,
        cgroups: &[CgroupRecords<'a>],
        count: usize,
        room: &mut Room<'_>,
    ) -> Result<Self, Error> {
        let mut samples = Samples {
            labels: Vec::with_capacity(64 * count),
            records: Vec::with_capacity(count),
        };
        let mut seen = HashSet::new();
        for cgroup in cgroups {
            seen.clear();
            make_room(&mut samples.labels, cgroup.path.len(), room)?;
            for record in plan.records(cgroup.record) {
                let start = samples.labels.len();
                push_labels(plan, cgroup.path, record, &mut samples.labels);
                if plan.has_rows {
                    let labels = samples.labels.get(start..).unwrap_or_default();
                    if !seen.insert(labels.to_vec()) {
                        samples.labels.truncate(start);
                        continue;
                    }
                }
                samples.records.push((samples.labels.len(), record));
            }
        }
        Ok(samples)
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &'a [u8])> {
        let mut start = 0;
        self.records.iter().map(move |(end, record)| {
            let labels = self.labels.get(start..*end).unwrap_or_default();
            start = *end;
            (labels, *record)
        })
    }

    fn integers(
        &self,
        metric: &Metric,
        integer: Integer,
        out: &mut Vec<u8>,
        room: &mut Room<'_>,
    ) -> Result<(), Error> {
        let prefix = format!("{}{{", metric.name).into_bytes();
        let line_bytes = prefix.len() + NUMBER_BYTES;
        let lines_bytes = self.labels.len() + self.records.len() * line_bytes;
        make_room(out, lines_bytes, room)?;
        for (labels, record) in self.iter() {
            let value = integer.read(record);
            if value != Value::Absent {
                out.extend_from_slice(&prefix);
                out.extend_from_slice(labels);
                push_number(value, integer.unit, out);
                out.push(b'\n');
            }
        }
        Ok(())
    }

    fn strings(
        &self,
        metric: &Metric,
        string: StringField,
        out: &mut Vec<u8>,
        room: &mut Room<'_>,
    ) -> Result<(), Error> {
        let prefix = format!("{}{{{}=\"", metric.name, metric.label).into_bytes();
        for (labels, record) in self.iter() {
            if let Value::String(bytes @ [_, ..]) = string.read(record) {
                let line_bytes = prefix.len() + escape::MAX_GROWTH * bytes.len() + labels.len();
                make_room(out, line_bytes + NUMBER_BYTES, room)?;
                out.extend_from_slice(&prefix);
                escape::label_value(bytes, out);
                out.extend_from_slice(b"\",");
                out.extend_from_slice(labels);
                out.extend_from_slice(b"1\n");
            }
        }
        Ok(())
    }

    fn histogram(
        &self,
        metric: &Metric,
        histogram: &Histogram,
        out: &mut Vec<u8>,
        room: &mut Room<'_>,
    ) -> Result<(), Error> {
        let name = &metric.name;
        let buckets = buckets(name, histogram);
        // Also those with +Inf, the sum and the count.
        let lines = buckets.len() + 3;
        let line_bytes = name.len() + BUCKET_BYTES + NUMBER_BYTES;
        let infinity = format!("{name}_bucket{{le=\"+Inf\",").into_bytes();
        let (sum, count) = (format!("{name}_sum{{"), format!("{name}_count{{"));
        for (labels, record) in self.iter() {
            if histogram.is_absent(record) {
                continue;
            }
            make_room(out, lines * (labels.len() + line_bytes), room)?;
            let mut line = |prefix: &[u8], value, unit| {
                out.extend_from_slice(prefix);
                out.extend_from_slice(labels);
                push_number(Value::Unsigned(value), unit, out);
                out.push(b'\n');
            };
            let mut counts = histogram.counts(record);
            let (mut slot, mut seen) = (0, 0u64);
            for bucket in &buckets {
                let added = counts.by_ref().take(bucket.end_slot - slot);
                seen = added.fold(seen, u64::wrapping_add);
                slot = bucket.end_slot;
                line(&bucket.prefix, seen, Unit::None);
            }
            let total = counts.fold(seen, u64::wrapping_add);
            line(&infinity, total, Unit::None);
            line(sum.as_bytes(), histogram.sum(record), histogram.unit);
            line(count.as_bytes(), total, Unit::None);
        }
        Ok(())
    }
}

/// Appends the labels of a record and the characters between them and the number.
fn push_labels(plan: &Plan, path: &[u8], record: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"cgroup=\"/");
    if path != b"." {
        escape::label_value(path, out);
    }
    for (member, metric) in plan.members.iter().zip(&plan.metrics) {
        if !member.is_label {
            continue;
        }
        out.extend_from_slice(b"\",");
        out.extend_from_slice(metric.label.as_bytes());
        out.extend_from_slice(b"=\"");
        let value = match &member.source {
            Source::Integer(integer) => integer.read_shown(record),
            Source::String(string) => string.read(record),
            Source::Histogram { .. } => Value::Absent,
        };
        match value {
            Value::String(string) => escape::label_value(string, out),
            Value::Unsigned(value) => push_unsigned(out, value),
            Value::Signed(value) => push_signed(out, value),
            Value::Absent | Value::Hundredths { .. } => {}
        }
    }
    out.extend_from_slice(b"\"} ");
}

/// Appends an integer of the record in its base unit, exactly.
#[inline]
fn push_number(value: Value<'_>, unit: Unit, out: &mut Vec<u8>) {
    let size = match value {
        Value::Unsigned(value) => value,
        Value::Signed(value) => {
            if value < 0 {
                out.push(b'-');
            }
            value.unsigned_abs()
        }
        Value::Absent | Value::Hundredths { .. } | Value::String(_) => return,
    };
    match unit {
        Unit::None | Unit::Bytes => push_unsigned(out, size),
        Unit::Microseconds => push_fraction::<6>(out, size),
        Unit::Nanoseconds => push_fraction::<9>(out, size),
    }
}

/// A bucket of Prometheus, which counts all slots before `end_slot`.
struct Bucket {
    end_slot: usize,
    /// `name_bucket{le="0.001",`
    prefix: Vec<u8>,
}

/// The buckets of a histogram, as far as its slots reach: powers of four, which are bounds of slots
/// in both scales. Times go from about 0.3 us to 4.9 h, other values to 2^40.
fn buckets(name: &str, histogram: &Histogram) -> Vec<Bucket> {
    let powers = match histogram.unit {
        Unit::Nanoseconds => 4..=22,
        Unit::Microseconds => 1..=17,
        Unit::None | Unit::Bytes => 1..=20,
    };
    let lows: Vec<_> = (0..histogram.slots)
        .map(|slot| histogram.range(slot).0)
        .collect();
    let bucket = |power| {
        let bound = 4u64.pow(power);
        let end_slot = lows.iter().position(|low| *low == bound)?;
        let prefix = format!("{name}_bucket{{le=\"{}\",", le(bound, histogram.unit));
        Some(Bucket {
            end_slot,
            prefix: prefix.into_bytes(),
        })
    };
    powers.filter_map(bucket).collect()
}

/// The inclusive upper bound of a bucket whose slots count integers below `bound`, written as
/// Prometheus writes floats. Times are integers without their fraction: all times below `bound` are
/// in the bucket. The greatest of other integers is one less.
fn le(bound: u64, unit: Unit) -> String {
    let seconds = match unit {
        Unit::None | Unit::Bytes => return (bound - 1).to_string(),
        Unit::Microseconds => bound as f64 / 1e6,
        Unit::Nanoseconds => bound as f64 / 1e9,
    };
    if seconds >= 1e-4 {
        return seconds.to_string();
    }
    let scientific = format!("{seconds:e}");
    match scientific.split_once("e-") {
        Some((digits, exponent)) => format!("{digits}e-{exponent:0>2}"),
        None => scientific,
    }
}

#[cfg(test)]
mod tests;
