//! A subtree as one table: a header, then one line a record, in the order of the rows. The first
//! column is the cgroup's path, all others are aligned at the right, and every cell is one word
//! (`-` if there is no value), so that `sort -k` and `awk` find what people see.

use std::borrow::Cow;

use super::escape::{word, word_width};
use super::field::Value;
use super::histogram::Summary;
use super::number::{digits, digits_before, hundredths_before, signed_before};
use super::plan::{Cell, Column, Plan};
use super::text::{ABSENT, push_value};
use super::{CgroupRecords, Error};
use crate::bpf::record::layout::Unit;

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
pub fn table(plan: &Plan, rows: &[CgroupRecords<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
    let count = plan.fit_all(rows)?;
    let lines = if plan.keyed {
        Cow::Owned(line_of_each_record(plan, rows, count))
    } else {
        Cow::Borrowed(rows)
    };
    let table = Table {
        plan,
        summaries: lines
            .iter()
            .flat_map(|line| plan.summaries(line.record))
            .collect(),
    };
    let shape = table.measure(&lines);
    out.reserve((count + 1) * (shape.path_width + shape.tail.len()));
    shape.header(plan, out);
    for (number, block) in lines.chunks(BLOCK_LINES).enumerate() {
        table.block(&shape, number * BLOCK_LINES, block, out);
    }
    Ok(())
}

fn line_of_each_record<'a>(
    plan: &Plan,
    rows: &[CgroupRecords<'a>],
    count: usize,
) -> Vec<CgroupRecords<'a>> {
    let mut lines = Vec::with_capacity(count);
    for &CgroupRecords { path, record } in rows {
        lines.extend(
            plan.records(record)
                .map(|record| CgroupRecords { path, record }),
        );
    }
    lines
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
        block: &[CgroupRecords<'a>],
        mut each: impl FnMut(usize, Value<'a>),
    ) {
        let records = block.iter().map(|line| line.record).enumerate();
        match column.cell {
            Cell::Integer(integer, Unit::Nanoseconds) => {
                integer.read_each(records, |at, value| each(at, value.thousandth()));
            }
            Cell::Integer(integer, _) => integer.read_each(records, each),
            Cell::Text(text) => records.for_each(|(at, record)| each(at, text.read(record))),
            Cell::Stat(index, stat) => {
                let histograms = &self.plan.histograms;
                let of_column = self.summaries.iter().skip(index).step_by(histograms.len());
                let of_block = of_column.skip(first).take(block.len()).enumerate();
                of_block.for_each(|(at, one)| each(at, one.value(stat, histograms[index].unit)));
            }
        }
    }

    fn measure(&self, lines: &[CgroupRecords<'_>]) -> Shape {
        let path_widths: Vec<_> = lines.iter().map(|line| word_width(line.path)).collect();
        let mut values = vec![Values::NONE; self.plan.columns.len()];
        for (number, block) in lines.chunks(BLOCK_LINES).enumerate() {
            for (column, values) in self.plan.columns.iter().zip(&mut values) {
                self.column(column, number * BLOCK_LINES, block, |_, value| {
                    values.add(value);
                });
            }
        }
        Shape::new(path_widths, &self.plan.columns, &values)
    }

    fn block(&self, shape: &Shape, first: usize, block: &[CgroupRecords<'_>], out: &mut Vec<u8>) {
        let mut starts = [0; BLOCK_LINES];
        let widths = shape.path_widths.iter().skip(first);
        for ((line, width), start) in block.iter().zip(widths).zip(&mut starts) {
            *start = shape.line(line.path, *width, out);
        }
        let columns = self.plan.columns.iter().zip(&shape.cells);
        for (column, Place { end, .. }) in columns.filter(|(_, cell)| !cell.is_constant) {
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

/// What the values of a column are like so far.
#[derive(Clone, Copy)]
struct Values {
    /// Of the unsigned ones; the least is above the greatest as long as there is none.
    least: u64,
    greatest: u64,
    any_absent: bool,
    /// Of the widest among all others; 0 as long as there is none.
    width: usize,
}

impl Values {
    const NONE: Values = Values {
        least: u64::MAX,
        greatest: 0,
        any_absent: false,
        width: 0,
    };

    #[inline]
    fn add(&mut self, value: Value<'_>) {
        match value {
            Value::Unsigned(value) => {
                self.least = self.least.min(value);
                self.greatest = self.greatest.max(value);
            }
            Value::Absent => self.any_absent = true,
            other => self.width = self.width.max(width(other)),
        }
    }

    /// No less than any value takes.
    fn width(&self) -> usize {
        digits(self.greatest).max(ABSENT.len()).max(self.width)
    }

    /// The one value, if all are the same number or all are absent.
    fn constant(&self) -> Option<Value<'static>> {
        let any_unsigned = self.least <= self.greatest;
        match (any_unsigned, self.any_absent) {
            _ if self.width > 0 => None,
            (true, false) if self.least == self.greatest => Some(Value::Unsigned(self.least)),
            (false, true) => Some(Value::Absent),
            _ => None,
        }
    }
}

fn width(value: Value<'_>) -> usize {
    match value {
        Value::Absent => ABSENT.len(),
        Value::Unsigned(value) => digits(value),
        Value::Signed(value) => digits(value.unsigned_abs()) + usize::from(value < 0),
        Value::Hundredths { whole, .. } => digits(whole) + ".00".len(),
        Value::Text(_) => {
            let mut word = Vec::new();
            push_value(value, &mut word);
            word.len()
        }
    }
}

/// Where a cell ends, within the tail of its line.
struct Place {
    end: usize,
    /// Every line has the same there.
    is_constant: bool,
}

/// What all lines have in common.
struct Shape {
    /// Of the first column.
    path_width: usize,
    /// Of each line's path.
    path_widths: Vec<usize>,
    /// Of each column of the plan.
    cells: Vec<Place>,
    /// A line behind its path: blanks, and the values that are the same in all lines. Most of a
    /// large tree is idle, and most of its columns are all 0 or absent.
    tail: Vec<u8>,
}

impl Shape {
    fn new(path_widths: Vec<usize>, columns: &[Column], values: &[Values]) -> Self {
        let usual = path_widths.iter().filter(|width| **width <= MAX_PATH_WIDTH);
        let path_width = usual
            .max()
            .map_or(PATH_HEADER.len(), |width| PATH_HEADER.len().max(*width));
        let mut end = 0;
        let cells = columns.iter().zip(values).map(|(column, values)| {
            end += 1 + values.width().max(column.key.len());
            Place {
                end,
                is_constant: values.constant().is_some(),
            }
        });
        let cells: Vec<_> = cells.collect();
        let mut tail = vec![b' '; end];
        for (cell, values) in cells.iter().zip(values) {
            if let Some(value) = values.constant() {
                write_before(&mut tail, cell.end, value);
            }
        }
        tail.push(b'\n');
        Shape {
            path_width,
            path_widths,
            cells,
            tail,
        }
    }

    fn header(&self, plan: &Plan, out: &mut Vec<u8>) {
        let start = self.line(PATH_HEADER, PATH_HEADER.len(), out);
        let end = out.len() - 1;
        out[start..end].fill(b' ');
        for (column, cell) in plan.columns.iter().zip(&self.cells) {
            write_before(out, start + cell.end, Value::Text(column.key.as_bytes()));
        }
    }

    /// Appends a line with blanks for the values that are not the same in all, to be written over;
    /// returns where the tail starts. `width` is that of the path.
    fn line(&self, path: &[u8], width: usize, out: &mut Vec<u8>) -> usize {
        word(path, out);
        let start = out.len() + self.path_width.saturating_sub(width);
        out.resize(start, b' ');
        out.extend_from_slice(&self.tail);
        start
    }
}

#[cfg(test)]
mod tests;
