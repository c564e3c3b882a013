//! A subtree as one table: a header, then one line a record, in the order of the rows. The first
//! column is the cgroup's path, all others are aligned at the right, and every cell is one word
//! (`-` if there is no value), so that `sort -k` and `awk` find what people see.

use super::escape::{self, word, word_width};
use super::field::Value;
use super::histogram::Summary;
use super::number::{digits, digits_before, hundredths_before, signed_before};
use super::plan::{Cell, Column, Plan};
use super::text::{ABSENT, push_value};
use super::{Error, Row};
use crate::bpf::manifest::Unit;

/// The header of the first column.
const PATH_HEADER: &[u8] = b"cgroup";

/// Longer paths push their own line to the right instead of widening all others: a deep cgroup
/// could blow the table up otherwise.
const MAX_PATH_WIDTH: usize = 120;

/// Lines that are written column by column, so that how a column is read is decided once for all
/// of them; few enough to stay in the cache.
const BLOCK_LINES: usize = 64;

/// Appends a table of all rows.
///
/// # Errors
/// [`Error::Length`] or [`Error::Rows`], and `out` is as it was, if one row is no such record.
pub fn table(plan: &Plan, rows: &[Row<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
    let count = plan.fit_all(rows)?;
    let mut lines = Vec::with_capacity(count);
    for &Row { path, record } in rows {
        lines.extend(plan.records(record).map(|record| Row { path, record }));
    }
    let table = Table {
        plan,
        summaries: lines
            .iter()
            .flat_map(|line| plan.summaries(line.record))
            .collect(),
    };
    let shape = table.measure(&lines);
    out.reserve((count + 1) * (shape.path_width + shape.tail_bytes + 1));
    shape.header(plan, out);
    for (number, block) in lines.chunks(BLOCK_LINES).enumerate() {
        table.block(&shape, number * BLOCK_LINES, block, out);
    }
    Ok(())
}

/// The values of a table.
struct Table<'a> {
    plan: &'a Plan,
    /// Of each line, every histogram of the record.
    summaries: Vec<Summary>,
}

impl Table<'_> {
    /// Calls `each` with the values of a column in a block that starts at line `first`.
    #[inline]
    fn column<'a>(
        &self,
        column: &Column,
        first: usize,
        block: &[Row<'a>],
        mut each: impl FnMut(usize, Value<'a>),
    ) {
        let records = block.iter().map(|line| line.record).enumerate();
        match column.cell {
            Cell::Integer(integer, Unit::Nanoseconds) => {
                records.for_each(|(at, record)| each(at, integer.read(record).thousandth()));
            }
            Cell::Integer(integer, _) => {
                records.for_each(|(at, record)| each(at, integer.read(record)));
            }
            Cell::Text(text) => records.for_each(|(at, record)| each(at, text.read(record))),
            Cell::Stat(index, stat) => {
                let histograms = &self.plan.histograms;
                let of_column = self.summaries.iter().skip(index).step_by(histograms.len());
                let of_block = of_column.skip(first).take(block.len()).enumerate();
                of_block.for_each(|(at, one)| each(at, one.value(stat, histograms[index].unit)));
            }
        }
    }

    fn measure(&self, lines: &[Row<'_>]) -> Shape {
        let widths = lines.iter().map(|line| word_width(line.path));
        let path_width = widths
            .filter(|width| *width <= MAX_PATH_WIDTH)
            .max()
            .unwrap_or(0);
        let mut widest = vec![Widest::default(); self.plan.columns.len()];
        for (number, block) in lines.chunks(BLOCK_LINES).enumerate() {
            for (column, widest) in self.plan.columns.iter().zip(&mut widest) {
                self.column(column, number * BLOCK_LINES, block, |_, value| {
                    widest.add(value);
                });
            }
        }
        Shape::new(path_width, &self.plan.columns, &widest)
    }

    fn block(&self, shape: &Shape, first: usize, block: &[Row<'_>], out: &mut Vec<u8>) {
        let mut starts = [0; BLOCK_LINES];
        for (line, start) in block.iter().zip(&mut starts) {
            *start = shape.blank_line(line.path, out);
        }
        for (column, end) in self.plan.columns.iter().zip(&shape.ends) {
            self.column(column, first, block, |at, value| match value {
                Value::Unsigned(value) => {
                    digits_before(out, starts[at] + end, value);
                }
                value => write_before(out, starts[at] + end, value),
            });
        }
    }
}

/// Writes a value so that it ends before `end`, over the blanks there.
#[inline(never)]
fn write_before(out: &mut [u8], end: usize, value: Value<'_>) {
    match value {
        Value::Unsigned(value) => {
            digits_before(out, end, value);
        }
        Value::Signed(value) => {
            signed_before(out, end, value);
        }
        Value::Hundredths { whole, hundredths } => {
            hundredths_before(out, end, whole, hundredths);
        }
        Value::Absent => out[end - ABSENT.len()..end].copy_from_slice(ABSENT),
        Value::Text(_) => {
            let mut word = Vec::new();
            push_value(value, &mut word);
            out[end - word.len()..end].copy_from_slice(&word);
        }
    }
}

/// The widest value of a column so far.
#[derive(Clone, Copy, Default)]
struct Widest {
    unsigned: u64,
    width: usize,
}

impl Widest {
    #[inline]
    fn add(&mut self, value: Value<'_>) {
        let width = match value {
            Value::Unsigned(value) => {
                self.unsigned = self.unsigned.max(value);
                return;
            }
            Value::Absent => ABSENT.len(),
            Value::Signed(value) => digits(value.unsigned_abs()) + usize::from(value < 0),
            Value::Hundredths { whole, .. } => digits(whole) + ".00".len(),
            Value::Text(_) => {
                let mut word = Vec::new();
                push_value(value, &mut word);
                word.len()
            }
        };
        self.width = self.width.max(width);
    }
}

/// Where the columns of a table end.
struct Shape {
    path_width: usize,
    /// The bytes of a line behind the path, without the newline.
    tail_bytes: usize,
    /// Where each column of the plan ends, within the tail.
    ends: Vec<usize>,
}

impl Shape {
    fn new(path_width: usize, columns: &[Column], widest: &[Widest]) -> Self {
        let mut tail_bytes = 0;
        let widths = columns.iter().zip(widest).map(|(column, widest)| {
            digits(widest.unsigned)
                .max(widest.width)
                .max(column.key.len())
        });
        let ends = widths.map(|width| {
            tail_bytes += 1 + width;
            tail_bytes
        });
        Shape {
            path_width: path_width.max(PATH_HEADER.len()),
            ends: ends.collect(),
            tail_bytes,
        }
    }

    fn header(&self, plan: &Plan, out: &mut Vec<u8>) {
        let start = self.blank_line(PATH_HEADER, out);
        for (column, end) in plan.columns.iter().zip(&self.ends) {
            write_before(out, start + end, Value::Text(column.key.as_bytes()));
        }
    }

    /// Appends a path and blanks for all cells, to be written over; returns where these start.
    fn blank_line(&self, path: &[u8], out: &mut Vec<u8>) -> usize {
        let line = out.len();
        word(path, out);
        let width = escape::width(&out[line..]);
        let start = out.len() + self.path_width.saturating_sub(width);
        out.resize(start + self.tail_bytes, b' ');
        out.push(b'\n');
        start
    }
}

#[cfg(test)]
mod tests;
