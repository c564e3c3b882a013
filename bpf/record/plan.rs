//! A layout made ready for rendering: checked, and all names prepared.

use std::slice::ChunksExact;

use super::column::{self, STATS, Stat};
use super::field::{Integer, StringField, Value};
use super::histogram::{Histogram, Summary};
use super::layout::{Field, Kind, Meaning, Record, Unit};
use super::{CgroupRecords, Error, check, metric_name};

/// A record view that is ready for rendering. Make it once and use it for every read.
#[derive(Debug)]
pub struct Plan {
    pub(super) view: String,
    pub(super) help: String,
    pub(super) record: Record,
    /// The record has label fields: a cgroup has any number of rows.
    pub(super) has_rows: bool,
    /// In the order of the struct. A histogram has a column for each of [`STATS`].
    pub(super) columns: Vec<Column>,
    /// One for each field, in the order of the struct.
    pub(super) members: Vec<Member>,
    /// One for each histogram, in the order of the struct.
    pub(super) histograms: Vec<Histogram>,
    /// One for each field, in the order of the struct.
    pub(super) metrics: Vec<metric_name::Metric>,
}

/// A column of the table; also a line or a `KEY=VALUE` of the text.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) is_label: bool,
    pub(super) cell: Cell,
}

/// The value of a column in a record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell {
    Integer(Integer),
    String(StringField),
    /// A number of the histogram with this index in [`Plan::histograms`].
    Stat {
        histogram: usize,
        stat: Stat,
        unit: Unit,
    },
}

/// A member of a JSON object; also a metric of Prometheus.
#[derive(Debug)]
pub(super) struct Member {
    /// `,"name":`
    pub(super) prefix: Vec<u8>,
    pub(super) is_label: bool,
    pub(super) source: Source,
}

/// The value of a field in a record.
#[derive(Debug)]
pub(super) enum Source {
    Integer(Integer),
    String(StringField),
    Histogram {
        histogram: Histogram,
        /// `"name":` for each of [`STATS`].
        stat_prefixes: Vec<Vec<u8>>,
    },
}

impl Plan {
    /// Checks the layout of a view's record and prepares the names in its renderings.
    ///
    /// # Errors
    /// [`Error::Record`] or [`Error::Field`] if the layout is not usable.
    pub fn new(view: &str, help: &str, record: &Record) -> Result<Self, Error> {
        check::check(record)?;
        let mut plan = Plan {
            view: view.to_owned(),
            help: help.to_owned(),
            record: record.clone(),
            has_rows: record.fields.iter().any(|f| f.meaning == Meaning::Label),
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
        let is_label = field.meaning == Meaning::Label;
        let source = source(field);
        let cells = match source {
            Source::Integer(integer) => vec![Cell::Integer(integer)],
            Source::String(string) => vec![Cell::String(string)],
            Source::Histogram { histogram, .. } => self.add_histogram(histogram),
        };
        for (name, cell) in column::names(field).into_iter().zip(cells) {
            self.columns.push(Column {
                name,
                is_label,
                cell,
            });
        }
        self.members.push(Member {
            prefix: format!(",\"{}\":", column::json_key(field)).into_bytes(),
            is_label,
            source,
        });
    }

    fn add_histogram(&mut self, histogram: Histogram) -> Vec<Cell> {
        let (index, unit) = (self.histograms.len(), histogram.unit);
        self.histograms.push(histogram);
        let cell = |stat| Cell::Stat {
            histogram: index,
            stat,
            unit,
        };
        STATS.map(cell).to_vec()
    }

    /// Checks that bytes are one record, or whole rows if the record has label fields.
    ///
    /// # Errors
    /// [`Error::Length`] or [`Error::Rows`] if they are not.
    pub fn fits(&self, bytes: &[u8]) -> Result<(), Error> {
        let (size_bytes, found_bytes) = (self.record.size_bytes, bytes.len());
        if !self.has_rows && found_bytes != size_bytes {
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

    /// Checks the bytes of all cgroups with [`Plan::fits`]; returns how many records they have.
    pub(super) fn count_records(&self, cgroups: &[CgroupRecords<'_>]) -> Result<usize, Error> {
        let mut records = 0;
        for cgroup in cgroups {
            self.fits(cgroup.record)?;
            records += cgroup.record.len() / self.record.size_bytes;
        }
        Ok(records)
    }

    /// The record of a cgroup, or its rows.
    pub(super) fn records<'a>(&self, bytes: &'a [u8]) -> ChunksExact<'a, u8> {
        bytes.chunks_exact(self.record.size_bytes)
    }

    /// The summary of each histogram of a record.
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
        match &column.cell {
            Cell::Integer(integer) => integer.read_shown(record),
            Cell::String(string) => string.read(record),
            Cell::Stat {
                histogram,
                stat,
                unit,
            } => summaries
                .get(*histogram)
                .map_or(Value::Absent, |summary| summary.value(*stat, *unit)),
        }
    }
}

fn source(field: &Field) -> Source {
    let Field {
        offset_bytes,
        unit,
        absent_if_ones,
        ..
    } = *field;
    match field.kind {
        Kind::Unsigned(size_bytes) | Kind::Signed(size_bytes) => Source::Integer(Integer {
            offset_bytes,
            size_bytes,
            signed: matches!(field.kind, Kind::Signed(_)),
            unit,
            absent_if_ones,
        }),
        Kind::String(size_bytes) => Source::String(StringField {
            offset_bytes,
            size_bytes,
            absent_if_ones,
        }),
        Kind::Histogram { scale, slots } => Source::Histogram {
            histogram: Histogram {
                offset_bytes,
                scale,
                slots,
                unit,
                absent_if_ones,
            },
            stat_prefixes: STATS
                .map(|stat| format!("\"{}\":", stat.key(unit)).into_bytes())
                .to_vec(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::record::sample::{field, record};

    #[test]
    fn without_label_fields_there_is_exactly_one_record() {
        let record = record(16, vec![field("a", 0, Kind::Unsigned(8))]);
        let plan = Plan::new("v", "", &record).unwrap();
        assert!(plan.fits(&[0; 16]).is_ok());
        for found in [0, 15, 17, 32] {
            let error = plan.fits(&vec![0; found]).unwrap_err();
            let expected =
                format!("the program must write one record of 16 bytes, but wrote {found} bytes");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn with_label_fields_there_is_any_number_of_rows() {
        let mut cpu = field("cpu", 0, Kind::Unsigned(4));
        cpu.meaning = Meaning::Label;
        let plan = Plan::new("v", "", &record(16, vec![cpu])).unwrap();
        for found in [0, 16, 48] {
            assert!(plan.fits(&vec![0; found]).is_ok());
        }
        let error = plan.fits(&[0; 17]).unwrap_err();
        let expected = "the program must write whole rows of 16 bytes, but wrote 17 bytes";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_layout_that_is_not_usable_makes_no_plan() {
        let record = record(4, vec![field("a", 0, Kind::Unsigned(8))]);
        let error = Plan::new("v", "", &record).unwrap_err();
        let expected = "unusable record field \"a\": it reaches beyond the record";
        assert_eq!(error.to_string(), expected);
    }
}
