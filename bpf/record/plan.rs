//! A layout made ready: checked, and every name that a rendering writes formed once.

use std::slice::ChunksExact;

use super::column::{self, STATS, Stat};
use super::field::{Integer, Text, Value};
use super::histogram::{Histogram, Summary};
use super::{CgroupRecords, Error, check, metric_name};
use crate::bpf::record::layout::{Field, Kind, Meaning, Record, Unit};

/// A record view that is ready to be rendered: its layout is sound, and its names are formed.
#[derive(Debug)]
pub struct Plan {
    pub(super) view: String,
    pub(super) help: String,
    pub(super) record: Record,
    /// One cgroup has any number of rows, told apart by key fields.
    pub(super) keyed: bool,
    /// In the order of the struct; a histogram is [`STATS`] columns.
    pub(super) columns: Vec<Column>,
    /// As the fields of the record.
    pub(super) members: Vec<Member>,
    pub(super) histograms: Vec<Histogram>,
    /// As the fields of the record.
    pub(super) metrics: Vec<metric_name::Metric>,
}

/// One value of a row in the text and in the table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) key: String,
    pub(super) is_key: bool,
    pub(super) cell: Cell,
}

/// Where a column's value comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell {
    /// An integer, shown in thousandths if it is in nanoseconds.
    Integer(Integer, Unit),
    Text(Text),
    /// One number of the histogram of that index.
    Stat(usize, Stat),
}

/// One member of a JSON object.
#[derive(Debug)]
pub(super) struct Member {
    /// `,"name":`
    pub(super) prefix: Vec<u8>,
    /// The field's first column.
    pub(super) column: usize,
    /// Of a histogram, `"name":` of each of its [`STATS`].
    pub(super) stats: Vec<Vec<u8>>,
}

impl Plan {
    /// Checks the layout of the view's record and forms the names of its renderings.
    ///
    /// # Errors
    /// [`Error::Record`] or [`Error::Field`] where the layout cannot be trusted.
    pub fn new(view: &str, help: &str, record: &Record) -> Result<Self, Error> {
        check::check(record)?;
        let mut plan = Plan {
            view: view.to_owned(),
            help: help.to_owned(),
            record: record.clone(),
            keyed: record.fields.iter().any(|f| f.meaning == Meaning::Key),
            columns: Vec::new(),
            members: Vec::new(),
            histograms: Vec::new(),
            metrics: metric_name::metrics(view, record),
        };
        for field in &record.fields {
            plan.add(field);
        }
        Ok(plan)
    }

    fn add(&mut self, field: &Field) {
        self.members.push(Member {
            prefix: format!(",\"{}\":", column::own(field)).into_bytes(),
            column: self.columns.len(),
            stats: stat_prefixes(field),
        });
        let cells = self.cells(field);
        for (key, cell) in column::flat(field).into_iter().zip(cells) {
            self.columns.push(Column {
                key,
                is_key: field.meaning == Meaning::Key,
                cell,
            });
        }
    }

    fn cells(&mut self, field: &Field) -> Vec<Cell> {
        let (offset_bytes, absent_if_ones) = (field.offset_bytes, field.absent_if_ones);
        match field.kind {
            Kind::Unsigned(size_bytes) | Kind::Signed(size_bytes) => {
                let integer = Integer {
                    offset_bytes,
                    size_bytes,
                    signed: matches!(field.kind, Kind::Signed(_)),
                    absent_if_ones,
                };
                vec![Cell::Integer(integer, field.unit)]
            }
            Kind::Text(size_bytes) => vec![Cell::Text(Text {
                offset_bytes,
                size_bytes,
                absent_if_ones,
            })],
            Kind::Histogram { scale, slots } => {
                let index = self.histograms.len();
                self.histograms.push(Histogram {
                    offset_bytes,
                    scale,
                    slots,
                    unit: field.unit,
                    absent_if_ones,
                });
                STATS.map(|stat| Cell::Stat(index, stat)).to_vec()
            }
        }
    }

    /// Whether these bytes are one cgroup's record, or its rows if the record has key fields.
    ///
    /// # Errors
    /// [`Error::Length`] or [`Error::Rows`] where the bytes are not what the layout says.
    pub fn fits(&self, bytes: &[u8]) -> Result<(), Error> {
        let (size_bytes, found_bytes) = (self.record.size_bytes, bytes.len());
        if !self.keyed && found_bytes != size_bytes {
            return Err(Error::Length {
                expected_bytes: size_bytes,
                found_bytes,
            });
        }
        if !found_bytes.is_multiple_of(size_bytes) {
            return Err(Error::Rows {
                row_bytes: size_bytes,
                found_bytes,
            });
        }
        Ok(())
    }

    /// Checks all rows, and says how many records they hold.
    pub(super) fn fit_all(&self, rows: &[CgroupRecords<'_>]) -> Result<usize, Error> {
        let mut records = 0;
        for row in rows {
            self.fits(row.record)?;
            records += row.record.len() / self.record.size_bytes;
        }
        Ok(records)
    }

    /// The records of one cgroup: just one unless there are key fields.
    pub(super) fn records<'a>(&self, bytes: &'a [u8]) -> ChunksExact<'a, u8> {
        bytes.chunks_exact(self.record.size_bytes)
    }

    /// Every histogram of a record in a few numbers.
    pub(super) fn summaries<'a>(&'a self, record: &'a [u8]) -> impl Iterator<Item = Summary> + 'a {
        self.histograms.iter().map(|one| one.summary(record))
    }

    /// The value of a column, given the [`Plan::summaries`] of the record.
    #[inline]
    pub(super) fn value<'a>(
        &self,
        column: &Column,
        record: &'a [u8],
        summaries: &[Summary],
    ) -> Value<'a> {
        match column.cell {
            Cell::Integer(integer, Unit::Nanoseconds) => integer.read(record).thousandth(),
            Cell::Integer(integer, _) => integer.read(record),
            Cell::Text(text) => text.read(record),
            Cell::Stat(index, stat) => summaries[index].value(stat, self.histograms[index].unit),
        }
    }
}

fn stat_prefixes(field: &Field) -> Vec<Vec<u8>> {
    let prefix = |stat: &Stat| format!("\"{}\":", stat.key(field.unit)).into_bytes();
    match field.kind {
        Kind::Histogram { .. } => STATS.iter().map(prefix).collect(),
        Kind::Unsigned(_) | Kind::Signed(_) | Kind::Text(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::record::sample::{field, record};

    #[test]
    fn a_record_without_keys_is_exactly_one() {
        let record = record(16, vec![field("a", 0, Kind::Unsigned(8))]);
        let plan = Plan::new("v", "", &record).unwrap();
        assert!(plan.fits(&[0; 16]).is_ok());
        for found in [0, 15, 17, 32] {
            let error = plan.fits(&vec![0; found]).unwrap_err();
            let expected = format!("a record of 16 bytes expected, found {found} bytes");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_record_with_keys_is_any_number_of_rows() {
        let mut key = field("cpu", 0, Kind::Unsigned(4));
        key.meaning = Meaning::Key;
        let plan = Plan::new("v", "", &record(16, vec![key])).unwrap();
        for found in [0, 16, 48] {
            assert!(plan.fits(&vec![0; found]).is_ok());
        }
        let error = plan.fits(&[0; 17]).unwrap_err();
        let expected = "whole rows of 16 bytes expected, found 17 bytes";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_unsound_layout_makes_no_plan() {
        let record = record(4, vec![field("a", 0, Kind::Unsigned(8))]);
        let error = Plan::new("v", "", &record).unwrap_err();
        let expected = "unusable record field \"a\": it reaches beyond the record";
        assert_eq!(error.to_string(), expected);
    }
}
