//! A subtree as one table: a header and one line for each record, in the order of the input. The
//! first column is the cgroup's path; all others are right-aligned. Every cell is one word (`-` if
//! there is no value), so that `sort -k` and `awk` find the columns.

use std::borrow::Cow;

use super::escape::{word, word_width};
use super::field::Value;
use super::histogram::Summary;
use super::layout::Unit;
use super::number::{digits, fill_bytes, fill_hundredths, fill_signed, fill_unsigned};
use super::plan::{Cell, Column, Plan};
use super::text::{ABSENT, push_value};
use super::{CgroupRecords, Error, Room, make_room};

/// The header of the first column.
const PATH_HEADER: &[u8] = b"cgroup";

/// A longer path shifts its own line instead of widening all lines: one deep cgroup would multiply
/// the size of the table.
const MAX_PATH_WIDTH: usize = 120;

/// Lines are written in blocks, column by column: the kind of a column is then matched once a block.
/// A block is small enough for the CPU's cache.
const BLOCK_LINES: usize = 64;

/// Appends a table of all cgroups.
///
/// # Errors
/// [`Error::Length`] or [`Error::Rows`] if the bytes of a cgroup do not fit the layout; `out` is
/// unchanged. [`Error::NoRoom`].
pub fn table(
    plan: &Plan,
    cgroups: &[CgroupRecords<'_>],
    out: &mut Vec<u8>,
    room: &mut Room<'_>,
) -> Result<(), Error> {
    let count = plan.count_records(cgroups)?;
    let lines = if plan.has_rows {
        Cow::Owned(line_of_each_row(plan, cgroups, count))
    } else {
        Cow::Borrowed(cgroups)
    };
    let table = Table::new(plan, &lines);
    let alignment = table.measure(&lines);
    let line_bytes = alignment.path_width + alignment.template.len();
    make_room(out, (count + 1) * line_bytes, room)?;
    alignment.header(plan, out);
    for (number, block) in lines.chunks(BLOCK_LINES).enumerate() {
        let first = number * BLOCK_LINES;
        make_room(out, alignment.block_bytes(first, block.len()), room)?;
        table.block(&alignment, first, block, out);
    }
    Ok(())
}

fn line_of_each_row<'a>(
    plan: &Plan,
    cgroups: &[CgroupRecords<'a>],
    count: usize,
) -> Vec<CgroupRecords<'a>> {
    let mut lines = Vec::with_capacity(count);
    for &CgroupRecords { path, record } in cgroups {
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
    /// For each histogram of the plan, its summary in each line.
    summaries: Vec<Vec<Summary>>,
}

impl<'a> Table<'a> {
    fn new(plan: &'a Plan, lines: &[CgroupRecords<'_>]) -> Self {
        let summaries = plan.histograms.iter().map(|histogram| {
            let summaries = lines.iter().map(|line| histogram.summary(line.record));
            summaries.collect()
        });
        Table {
            plan,
            summaries: summaries.collect(),
        }
    }
}

impl Table<'_> {
    /// Calls `each` with the values of a column in the lines of a block, and with what came with
    /// the record. The block starts at line `first`.
    #[inline]
    fn column<'a, T>(
        &self,
        column: &Column,
        first: usize,
        block: impl Iterator<Item = (T, &'a [u8])>,
        mut each: impl FnMut(T, Value<'a>),
    ) {
        match column.cell {
            Cell::Integer(integer) if integer.unit == Unit::Nanoseconds => {
                integer.read_each(block, |with, value| each(with, value.thousandth()));
            }
            Cell::Integer(integer) => integer.read_each(block, each),
            Cell::String(string) => {
                block.for_each(|(with, record)| each(with, string.read(record)));
            }
            Cell::Stat {
                histogram,
                stat,
                unit,
            } => {
                let of_lines = self.summaries.get(histogram);
                let of_block = of_lines.and_then(|of_lines| of_lines.get(first..));
                block
                    .zip(of_block.unwrap_or_default())
                    .for_each(|((with, _), summary)| each(with, summary.value(stat, unit)));
            }
        }
    }

    fn measure(&self, lines: &[CgroupRecords<'_>]) -> Alignment {
        let path_widths: Vec<_> = lines.iter().map(|line| word_width(line.path)).collect();
        let mut ranges = vec![ValueRange::EMPTY; self.plan.columns.len()];
        for (number, block) in lines.chunks(BLOCK_LINES).enumerate() {
            for (column, range) in self.plan.columns.iter().zip(&mut ranges) {
                let records = block.iter().map(|line| ((), line.record));
                self.column(column, number * BLOCK_LINES, records, |(), value| {
                    range.add(value);
                });
            }
        }
        Alignment::new(path_widths, &self.plan.columns, &ranges)
    }

    fn block(
        &self,
        alignment: &Alignment,
        first: usize,
        block: &[CgroupRecords<'_>],
        out: &mut Vec<u8>,
    ) {
        let mut starts = [0; BLOCK_LINES];
        let widths = alignment.path_widths.iter().skip(first);
        for ((line, width), start) in block.iter().zip(widths).zip(&mut starts) {
            *start = alignment.line(line.path, *width, out);
        }
        let columns = self.plan.columns.iter().zip(&alignment.cells);
        for (column, cell) in columns.filter(|(_, cell)| !cell.is_constant) {
            let records = block.iter().map(|line| line.record);
            let records = starts.into_iter().zip(records);
            self.column(column, first, records, |start, value| {
                let before_end = out.get_mut(..start + cell.end).unwrap_or_default();
                match value {
                    Value::Unsigned(value) => {
                        fill_unsigned(before_end, value);
                    }
                    value => fill_value(before_end, value),
                }
            });
        }
    }
}

/// Writes a value at the end of a buffer.
#[inline(never)]
fn fill_value(buffer: &mut [u8], value: Value<'_>) {
    match value {
        Value::Unsigned(value) => fill_unsigned(buffer, value),
        Value::Signed(value) => fill_signed(buffer, value),
        Value::Hundredths { whole, hundredths } => fill_hundredths(buffer, whole, hundredths),
        Value::Absent => fill_bytes(buffer, ABSENT),
        Value::String(_) => {
            let mut word = Vec::new();
            push_value(value, &mut word);
            fill_bytes(buffer, &word)
        }
    };
}

/// The range of a column's values.
#[derive(Clone, Copy)]
struct ValueRange {
    /// The least of the unsigned values; above `greatest` if there is none.
    least: u64,
    greatest: u64,
    any_absent: bool,
    /// The largest width of all other values; 0 if there is none.
    width: usize,
}

impl ValueRange {
    const EMPTY: ValueRange = ValueRange {
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

    /// A width that is enough for every value.
    fn width(&self) -> usize {
        digits(self.greatest).max(ABSENT.len()).max(self.width)
    }

    /// The only value, if all are the same integer or all are absent.
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
        Value::String(_) => {
            let mut word = Vec::new();
            push_value(value, &mut word);
            word.len()
        }
    }
}

/// A cell's position in the template of a line.
struct CellPosition {
    end: usize,
    /// The template has the value, which is the same in all lines.
    is_constant: bool,
}

/// How the columns of all lines are aligned.
struct Alignment {
    path_width: usize,
    /// The width of each line's path.
    path_widths: Vec<usize>,
    /// One for each column of the plan.
    cells: Vec<CellPosition>,
    /// A line after its path: blanks, and the values that are the same in all lines. Most cgroups
    /// of a large tree are idle: most columns are 0 or absent in all lines.
    template: Vec<u8>,
}

impl Alignment {
    fn new(path_widths: Vec<usize>, columns: &[Column], ranges: &[ValueRange]) -> Self {
        let usual = path_widths.iter().filter(|width| **width <= MAX_PATH_WIDTH);
        let path_width = usual
            .max()
            .map_or(PATH_HEADER.len(), |width| PATH_HEADER.len().max(*width));
        let mut end = 0;
        let cells = columns.iter().zip(ranges).map(|(column, range)| {
            end += 1 + range.width().max(column.name.len());
            CellPosition {
                end,
                is_constant: range.constant().is_some(),
            }
        });
        let cells: Vec<_> = cells.collect();
        let mut template = vec![b' '; end];
        for (cell, range) in cells.iter().zip(ranges) {
            if let Some(value) = range.constant() {
                fill_value(template.get_mut(..cell.end).unwrap_or_default(), value);
            }
        }
        template.push(b'\n');
        Alignment {
            path_width,
            path_widths,
            cells,
            template,
        }
    }

    /// The length of `count` lines from line `first` on.
    fn block_bytes(&self, first: usize, count: usize) -> usize {
        let widths = self.path_widths.iter().skip(first).take(count);
        let widths = widths.map(|width| self.path_width.max(*width));
        widths.sum::<usize>() + count * self.template.len()
    }

    fn header(&self, plan: &Plan, out: &mut Vec<u8>) {
        let start = self.line(PATH_HEADER, PATH_HEADER.len(), out);
        let end = out.len() - 1;
        out.get_mut(start..end).unwrap_or_default().fill(b' ');
        for (column, cell) in plan.columns.iter().zip(&self.cells) {
            let before_end = out.get_mut(..start + cell.end).unwrap_or_default();
            fill_bytes(before_end, column.name.as_bytes());
        }
    }

    /// Appends a path that is `width` characters wide, and the template; returns the start of the
    /// template.
    fn line(&self, path: &[u8], width: usize, out: &mut Vec<u8>) -> usize {
        word(path, out);
        let start = out.len() + self.path_width.saturating_sub(width);
        out.resize(start, b' ');
        out.extend_from_slice(&self.template);
        start
    }
}

#[cfg(test)]
mod tests;
