//! Prometheus' text format 0.0.4: one family after the other, HELP and TYPE once each, base
//! units, no timestamps. Labels are `cgroup`, the path from the root (`/`, `/a/b`), and the key
//! fields. A text field is the label of a gauge `..._info` that is 1. Absent values have no line.

use std::collections::HashSet;

use super::escape;
use super::field::{Integer, Text, Value};
use super::histogram::Histogram;
use super::metric_name::{Metric, Type};
use super::number::{push_fraction, push_signed, push_unsigned};
use super::plan::{Cell, Plan};
use super::{CgroupRecords, Error};
use crate::bpf::record::layout::Unit;

/// The longest number that a line ends with, roughly, to size the buffer by.
const NUMBER_BYTES: usize = 22;

/// Appends every family of the view with the samples of all rows, whose paths are those below the
/// root of the mount. Where two rows of a cgroup have the same keys, only the first is shown: one
/// sample told twice would have the whole scrape refused.
///
/// # Errors
/// [`Error::Length`] or [`Error::Rows`], and `out` is as it was, if one row is no such record.
pub fn prometheus(plan: &Plan, rows: &[CgroupRecords<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
    let records = plan.fit_all(rows)?;
    let samples = Samples::new(plan, rows, records);
    for (member, metric) in plan.members.iter().zip(&plan.metrics) {
        if metric.kind == Type::Label {
            continue;
        }
        header(metric, out);
        match plan.columns[member.column].cell {
            Cell::Stat(index, _) => samples.histogram(metric, &plan.histograms[index], out),
            Cell::Text(text) => samples.texts(metric, text, out),
            Cell::Integer(integer, unit) => samples.numbers(metric, integer, unit, out),
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

/// Every record with its labels, which are the same in each family.
struct Samples<'a> {
    /// `cgroup="/a"} ` of all records, one behind the other.
    labels: Vec<u8>,
    /// Where a record's labels end, and the record.
    records: Vec<(usize, &'a [u8])>,
}

impl<'a> Samples<'a> {
    fn new(plan: &Plan, rows: &[CgroupRecords<'a>], count: usize) -> Self {
        let mut samples = Samples {
            labels: Vec::with_capacity(64 * count),
            records: Vec::with_capacity(count),
        };
        let mut seen = HashSet::new();
        for row in rows {
            seen.clear();
            for record in plan.records(row.record) {
                let start = samples.labels.len();
                push_labels(plan, row.path, record, &mut samples.labels);
                if plan.keyed && !seen.insert(samples.labels[start..].to_vec()) {
                    samples.labels.truncate(start);
                    continue;
                }
                samples.records.push((samples.labels.len(), record));
            }
        }
        samples
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &'a [u8])> {
        let mut start = 0;
        self.records.iter().map(move |(end, record)| {
            let labels = &self.labels[start..*end];
            start = *end;
            (labels, *record)
        })
    }

    /// Room for a line of each sample.
    fn reserve(&self, prefix: &[u8], out: &mut Vec<u8>) {
        let line_bytes = prefix.len() + NUMBER_BYTES;
        out.reserve(self.labels.len() + self.records.len() * line_bytes);
    }

    fn numbers(&self, metric: &Metric, integer: Integer, unit: Unit, out: &mut Vec<u8>) {
        let prefix = format!("{}{{", metric.name).into_bytes();
        self.reserve(&prefix, out);
        for (labels, record) in self.iter() {
            let value = integer.read(record);
            if value != Value::Absent {
                out.extend_from_slice(&prefix);
                out.extend_from_slice(labels);
                push_number(value, unit, out);
                out.push(b'\n');
            }
        }
    }

    fn texts(&self, metric: &Metric, text: Text, out: &mut Vec<u8>) {
        let prefix = format!("{}{{{}=\"", metric.name, metric.label).into_bytes();
        for (labels, record) in self.iter() {
            if let Value::Text(text @ [_, ..]) = text.read(record) {
                out.extend_from_slice(&prefix);
                escape::label(text, out);
                out.extend_from_slice(b"\",");
                out.extend_from_slice(labels);
                out.extend_from_slice(b"1\n");
            }
        }
    }

    fn histogram(&self, metric: &Metric, histogram: &Histogram, out: &mut Vec<u8>) {
        let name = &metric.name;
        let buckets = buckets(name, histogram);
        let infinity = format!("{name}_bucket{{le=\"+Inf\",").into_bytes();
        let (sum, count) = (format!("{name}_sum{{"), format!("{name}_count{{"));
        for (labels, record) in self.iter() {
            if histogram.is_absent(record) {
                continue;
            }
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
    }
}

/// Appends the labels of a record, and what ends them.
fn push_labels(plan: &Plan, path: &[u8], record: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"cgroup=\"/");
    if path != b"." {
        escape::label(path, out);
    }
    for (member, metric) in plan.members.iter().zip(&plan.metrics) {
        let column = &plan.columns[member.column];
        if !column.is_key {
            continue;
        }
        out.extend_from_slice(b"\",");
        out.extend_from_slice(metric.label.as_bytes());
        out.extend_from_slice(b"=\"");
        match plan.value(column, record, &[]) {
            Value::Text(text) => escape::label(text, out),
            Value::Unsigned(value) => push_unsigned(out, value),
            Value::Signed(value) => push_signed(out, value),
            Value::Absent | Value::Hundredths { .. } => {}
        }
    }
    out.extend_from_slice(b"\"} ");
}

/// Appends a number in its base unit, exactly.
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
        Value::Absent | Value::Hundredths { .. } | Value::Text(_) => return,
    };
    match unit {
        Unit::None | Unit::Bytes => push_unsigned(out, size),
        Unit::Microseconds => push_fraction::<6>(out, size),
        Unit::Nanoseconds => push_fraction::<9>(out, size),
    }
}

/// A bucket of Prometheus: all slots before `end_slot`.
struct Bucket {
    end_slot: usize,
    /// `name_bucket{le="0.001",`
    prefix: Vec<u8>,
}

/// Buckets at powers of four, which are slot bounds in either scale: from some 0.3 us to 4.9 h, or
/// to 2^40, as far as the slots reach.
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

/// The label of a bucket whose slots count integers below `bound`. An integer time is what is left
/// when the fraction is cut off, so all times below `bound` are in it; of plain integers the
/// greatest is one less. Floats are written as Prometheus itself does.
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
