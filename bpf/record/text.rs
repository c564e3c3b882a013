//! The plain form of one cgroup, in the formats of cgroupfs: flat keyed (`KEY VALUE`), or nested
//! keyed (`LABEL:LABEL KEY=VALUE KEY=VALUE`) if the record has label fields. An absent value and an
//! empty string have no key.

use super::Error;
use super::escape;
use super::field::Value;
use super::histogram::Summary;
use super::number::{push_hundredths, push_signed, push_unsigned};
use super::plan::Plan;

/// An absent value or an empty string, where a word is required.
pub(super) const ABSENT: &[u8] = b"-";

/// Appends a line for each value of a cgroup's record, or a line for each of its rows.
///
/// # Errors
/// [`Error::Length`] or [`Error::Rows`] if the bytes do not fit the layout; `out` is unchanged.
pub fn text(plan: &Plan, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    plan.fits(bytes)?;
    for record in plan.records(bytes) {
        let summaries: Vec<_> = plan.summaries(record).collect();
        if plan.has_rows {
            nested_line(plan, record, &summaries, out);
        } else {
            flat_lines(plan, record, &summaries, out);
        }
    }
    Ok(())
}

fn flat_lines(plan: &Plan, record: &[u8], summaries: &[Summary], out: &mut Vec<u8>) {
    for column in &plan.columns {
        let value = plan.value(column, record, summaries);
        if is_shown(value) {
            out.extend_from_slice(column.name.as_bytes());
            out.push(b' ');
            push_value(value, out);
            out.push(b'\n');
        }
    }
}

fn nested_line(plan: &Plan, record: &[u8], summaries: &[Summary], out: &mut Vec<u8>) {
    let labels = plan.columns.iter().filter(|column| column.is_label);
    let several = labels.clone().count() > 1;
    for (position, column) in labels.enumerate() {
        if position > 0 {
            out.push(b':');
        }
        match plan.value(column, record, summaries) {
            // A label must not contain the character that separates labels.
            Value::String(string @ [_, ..]) if several => escape::word_without(string, ':', out),
            value => push_value(value, out),
        }
    }
    for column in plan.columns.iter().filter(|column| !column.is_label) {
        let value = plan.value(column, record, summaries);
        if is_shown(value) {
            out.push(b' ');
            out.extend_from_slice(column.name.as_bytes());
            out.push(b'=');
            push_value(value, out);
        }
    }
    out.push(b'\n');
}

fn is_shown(value: Value<'_>) -> bool {
    !matches!(value, Value::Absent | Value::String(b""))
}

/// Appends a value as one word.
pub(super) fn push_value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Absent | Value::String(b"") => out.extend_from_slice(ABSENT),
        Value::Unsigned(value) => push_unsigned(out, value),
        Value::Signed(value) => push_signed(out, value),
        Value::Hundredths { whole, hundredths } => push_hundredths(out, whole, hundredths),
        // This string would look like an absent value.
        Value::String(ABSENT) => out.extend_from_slice(br"\055"),
        Value::String(string) => escape::word(string, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::record::layout::Record;
    use crate::bpf::record::sample::{latency, latency_bytes, plain, plain_bytes, row, row_bytes};

    fn rendered(record: &Record, bytes: &[u8]) -> String {
        let plan = Plan::new("v", "", record).unwrap();
        let mut out = Vec::new();
        text(&plan, bytes, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_has_a_line_for_each_field_in_order() {
        let bytes = plain_bytes(1_234_999, 4096, -3, b"bash");
        let expected = "usage_usec 1234\ncurrent_bytes 4096\ndepth -3\ncomm bash\n";
        assert_eq!(rendered(&plain(), &bytes), expected);
    }

    #[test]
    fn an_absent_value_has_no_line() {
        let bytes = plain_bytes(u64::MAX, u64::MAX, 0, b"");
        assert_eq!(
            rendered(&plain(), &bytes),
            "usage_usec 18446744073709551\ndepth 0\n"
        );
    }

    #[test]
    fn a_string_cannot_forge_a_line() {
        let bytes = plain_bytes(0, 0, 0, b"a\nusage 7");
        assert!(rendered(&plain(), &bytes).ends_with("\ncomm a\\012usage\\0407\n"));
        let bytes = plain_bytes(0, 0, 0, b"-");
        assert!(rendered(&plain(), &bytes).ends_with("\ncomm \\055\n"));
    }

    #[test]
    fn a_row_is_one_line() {
        let bytes = [row_bytes(b"8:0", 1, 7, 250), row_bytes(b"", 0, 0, u64::MAX)];
        let expected = "8\\0720:1 reads=7 wait_usec=250\n-:0 reads=0\n";
        assert_eq!(rendered(&row(), &bytes.concat()), expected);
        assert_eq!(rendered(&row(), &[]), "");
    }

    #[test]
    fn one_label_keeps_its_colon() {
        let mut one_label = row();
        one_label.fields.remove(1);
        let bytes = row_bytes(b"8:0", 1, 7, 250);
        assert_eq!(rendered(&one_label, &bytes), "8:0 reads=7 wait_usec=250\n");
    }

    #[test]
    fn a_histogram_has_six_lines() {
        // Slots [896, 1023] and [4194304, 5242879]; the maximum is the upper bound of the second.
        let bytes = latency_bytes(&[1000, 1000, 1000, 5_000_000]);
        let expected = "lat_count 4\nlat_sum_usec 5003\nlat_p50_usec 0.95\n\
                        lat_p90_usec 4597.15\nlat_p99_usec 4597.15\nlat_max_usec 5000.00\n";
        assert_eq!(rendered(&latency(), &bytes), expected);
    }

    #[test]
    fn an_empty_histogram_has_no_percentiles() {
        let bytes = latency_bytes(&[]);
        assert_eq!(
            rendered(&latency(), &bytes),
            "lat_count 0\nlat_sum_usec 0\n"
        );
    }

    #[test]
    fn a_wrong_length_leaves_the_output_unchanged() {
        let plan = Plan::new("v", "", &plain()).unwrap();
        let mut out = b"before".to_vec();
        assert!(text(&plan, &[0; 31], &mut out).is_err());
        assert_eq!(out, b"before");
    }
}
