//! A subtree as one table: a header, then one line a record, in the order of the rows. The first
//! column is the cgroup's path, numbers stand at the right, every cell is one word (`-` if there
//! is no value), so that `sort -k` and `awk` find what people see.

use super::escape::{self, word, word_width};
use super::field::Value;
use super::histogram::Summary;
use super::number::{digits, digits_before, hundredths_before, signed_before};
use super::plan::{Column, Plan};
use super::text::{ABSENT, push_value};
use super::{Error, Row};

/// The header of the first column.
const PATH_HEADER: &[u8] = b"cgroup";

/// Longer paths push their own line to the right instead of widening all others: a deep cgroup
/// could blow the table up otherwise.
const MAX_PATH_WIDTH: usize = 120;

/// Appends a table of all rows.
///
/// # Errors
/// [`Error::Length`] or [`Error::Rows`], and `out` is as it was, if one row is no such record.
pub fn table(plan: &Plan, rows: &[Row<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
    let records = plan.fit_all(rows)?;
    let mut summaries = Vec::with_capacity(records * plan.histograms.len());
    for record in rows.iter().flat_map(|row| plan.records(row.record)) {
        summaries.extend(plan.summaries(record));
    }
    let shape = Shape::measure(plan, rows, &summaries);
    out.reserve((records + 1) * (shape.path_width + shape.tail_bytes + 1));
    shape.header(plan, out);
    let mut path = Vec::new();
    let mut summaries = summaries.as_slice();
    for row in rows {
        path.clear();
        shape.path(row.path, &mut path);
        for record in plan.records(row.record) {
            let (own, rest) = summaries.split_at(plan.histograms.len());
            summaries = rest;
            out.extend_from_slice(&path);
            shape.tail(plan, record, own, out);
        }
    }
    Ok(())
}

/// Where the columns of a table end.
struct Shape {
    path_width: usize,
    /// The bytes of a line behind the path, without the newline.
    tail_bytes: usize,
    /// Of each column of the plan, within the tail: where its cell starts and ends.
    cells: Vec<(usize, usize)>,
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

impl Shape {
    fn measure(plan: &Plan, rows: &[Row<'_>], mut summaries: &[Summary]) -> Self {
        let mut path_width = PATH_HEADER.len();
        let mut widest = vec![Widest::default(); plan.columns.len()];
        for row in rows {
            let width = word_width(row.path);
            if width <= MAX_PATH_WIDTH {
                path_width = path_width.max(width);
            }
            for record in plan.records(row.record) {
                let (own, rest) = summaries.split_at(plan.histograms.len());
                summaries = rest;
                for (column, widest) in plan.columns.iter().zip(&mut widest) {
                    widest.add(plan.value(column, record, own));
                }
            }
        }
        Shape::new(path_width, &plan.columns, &widest)
    }

    fn new(path_width: usize, columns: &[Column], widest: &[Widest]) -> Self {
        let mut tail_bytes = 0;
        let mut cells = Vec::with_capacity(columns.len());
        for (column, widest) in columns.iter().zip(widest) {
            let width = digits(widest.unsigned)
                .max(widest.width)
                .max(column.key.len());
            let start = tail_bytes + 1;
            tail_bytes = start + width;
            cells.push((start, tail_bytes));
        }
        Shape {
            path_width,
            tail_bytes,
            cells,
        }
    }

    fn header(&self, plan: &Plan, out: &mut Vec<u8>) {
        self.path(PATH_HEADER, out);
        let tail = self.blank_tail(out);
        for (column, &(start, end)) in plan.columns.iter().zip(&self.cells) {
            let at = if column.is_text() {
                start
            } else {
                end - column.key.len()
            };
            tail[at..at + column.key.len()].copy_from_slice(column.key.as_bytes());
        }
        end_line(out);
    }

    fn path(&self, path: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        word(path, out);
        let width = escape::width(&out[start..]);
        out.resize(out.len() + self.path_width.saturating_sub(width), b' ');
    }

    /// Appends a line's cells, behind its path.
    fn tail(&self, plan: &Plan, record: &[u8], summaries: &[Summary], out: &mut Vec<u8>) {
        let tail = self.blank_tail(out);
        for (column, &(start, end)) in plan.columns.iter().zip(&self.cells) {
            match plan.value(column, record, summaries) {
                Value::Unsigned(value) => {
                    digits_before(tail, end, value);
                }
                Value::Signed(value) => {
                    signed_before(tail, end, value);
                }
                Value::Hundredths { whole, hundredths } => {
                    hundredths_before(tail, end, whole, hundredths);
                }
                Value::Absent if !column.is_text() => {
                    tail[end - ABSENT.len()..end].copy_from_slice(ABSENT);
                }
                value => {
                    let mut word = Vec::new();
                    push_value(value, &mut word);
                    tail[start..start + word.len()].copy_from_slice(&word);
                }
            }
        }
        end_line(out);
    }

    /// Appends blanks for all cells, to be written over.
    fn blank_tail<'a>(&self, out: &'a mut Vec<u8>) -> &'a mut [u8] {
        let start = out.len();
        out.resize(start + self.tail_bytes, b' ');
        &mut out[start..]
    }
}

/// Ends a line, without the blanks that a text leaves in the last column.
fn end_line(out: &mut Vec<u8>) {
    while out.last() == Some(&b' ') {
        out.pop();
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::manifest::Record;
    use crate::bpf::render::sample::{
        keyed, keyed_bytes, latency, latency_bytes, plain, plain_bytes,
    };

    fn rendered(record: &Record, rows: &[(&[u8], Vec<u8>)]) -> String {
        let plan = Plan::new("v", "", record).unwrap();
        let rows: Vec<_> = rows
            .iter()
            .map(|(path, record)| Row { path, record })
            .collect();
        let mut out = Vec::new();
        table(&plan, &rows, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_for_people() {
        let rows: [(&[u8], _); 3] = [
            (b".", plain_bytes(5_000, u64::MAX, -3, b"init")),
            (b"system.slice", plain_bytes(1_000_000_000_000, 0, 10, b"")),
            (
                b"system.slice/a b",
                plain_bytes(0, 12_345_678_901_234, 0, b"-"),
            ),
        ];
        let expected = "\
cgroup              usage_usec  current_bytes depth comm
.                            5              -    -3 init
system.slice        1000000000              0    10 -
system.slice/a\\040b          0 12345678901234     0 \\055
";
        assert_eq!(rendered(&plain(), &rows), expected);
    }

    #[test]
    fn each_row_of_a_cgroup_is_a_line() {
        let two = [
            keyed_bytes(b"8:0", 1, 7, 250),
            keyed_bytes(b"sda", 0, 70, 0),
        ]
        .concat();
        let rows: [(&[u8], _); 2] = [(b"x", two), (b"y", vec![])];
        let expected = "\
cgroup dev cpu reads wait_usec
x      8:0   1     7       250
x      sda   0    70         0
";
        assert_eq!(rendered(&keyed(), &rows), expected);
    }

    #[test]
    fn a_histogram_is_six_columns() {
        let rows: [(&[u8], _); 2] = [(b".", latency_bytes(&[1000])), (b"a", latency_bytes(&[]))];
        let expected = "\
cgroup lat_count lat_sum_usec lat_p50_usec lat_p90_usec lat_p99_usec lat_max_usec
.              1            1         0.94         0.94         0.94         1.00
a              0            0            -            -            -            -
";
        assert_eq!(rendered(&latency(), &rows), expected);
    }

    #[test]
    fn one_long_path_does_not_widen_the_table() {
        let long = vec![b'x'; MAX_PATH_WIDTH + 1];
        let record = || plain_bytes(0, 0, 0, b"");
        let shown = rendered(&plain(), &[(&long, record()), (b"a", record())]);
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines[1].starts_with(&format!("{}          0 ", "x".repeat(121))));
        assert!(lines[2].starts_with("a               0 "));
    }

    #[test]
    fn no_cgroups_are_a_header() {
        let shown = rendered(&plain(), &[]);
        assert_eq!(shown, "cgroup usage_usec current_bytes depth comm\n");
    }
}
