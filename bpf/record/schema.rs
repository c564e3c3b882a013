//! Describes the renderings of a view: `schema.json` for programs, `help` for readers.

use serde::Serialize;

use super::column::{self, STATS, Stat};
use super::layout::{Field, Kind, Meaning, Scale, Unit};
use super::metric_name::{Metric, Type, base_unit};
use super::plan::Plan;

/// Rules that hold for every view.
const NOTES: [&str; 4] = [
    "text, table and json have the same keys, but json has one object for a histogram",
    "json: integers beyond 2^53 are strings",
    "absent values have no line in text and prometheus, no member in json, and - in the table",
    "histogram bounds (le) of times are exclusive, others inclusive; the last slot has none",
];

#[derive(Serialize)]
struct ViewSchema<'a> {
    view: &'a str,
    help: &'a str,
    /// The size of the raw record, or of one row.
    record_bytes: usize,
    rows: &'static str,
    notes: [&'static str; 4],
    fields: Vec<FieldSchema<'a>>,
}

#[derive(Serialize)]
struct FieldSchema<'a> {
    name: &'a str,
    help: &'a str,
    meaning: Meaning,
    /// The condition for an absent value, if it can be absent.
    absent: Option<&'static str>,
    /// Whether the value includes the descendants.
    with_descendants: bool,
    raw: RawSchema,
    keys: Vec<KeySchema>,
    json: KeySchema,
    prometheus: PrometheusSchema<'a>,
}

/// The field in the raw record.
#[derive(Serialize)]
struct RawSchema {
    offset_bytes: usize,
    kind: Kind,
    unit: Unit,
    /// The largest relative error of a percentile; only for a histogram.
    #[serde(skip_serializing_if = "Option::is_none")]
    percentile_error_percent: Option<f64>,
}

#[derive(Serialize)]
struct KeySchema {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    unit: Option<&'static str>,
    help: String,
}

#[derive(Serialize)]
struct PrometheusSchema<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    label: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    unit: Option<&'static str>,
}

/// The `schema.json` of a view: each field's place in the raw record, and its name, type and unit in
/// every rendering.
pub fn schema(plan: &Plan) -> Vec<u8> {
    let fields = plan.record.fields.iter().zip(&plan.metrics);
    let schema = ViewSchema {
        view: &plan.view,
        help: &plan.help,
        record_bytes: plan.record.size_bytes,
        rows: if plan.has_rows { "any number" } else { "one" },
        notes: NOTES,
        fields: fields
            .map(|(field, metric)| field_schema(field, metric))
            .collect(),
    };
    // It cannot fail: there are only strings and finite numbers, and all map keys are strings.
    let mut out = serde_json::to_vec_pretty(&schema).unwrap_or_default();
    out.push(b'\n');
    out
}

/// The `help` of a view: its description, then a line for each key with unit, meaning and help.
pub fn help(plan: &Plan) -> Vec<u8> {
    let mut out = one_line(&format!("{}: {}", plan.view, plan.help));
    out.truncate(out.trim_end_matches([':', ' ']).len());
    out.push_str("\n\n");
    let keys: Vec<_> = plan
        .record
        .fields
        .iter()
        .flat_map(|field| {
            let meaning = meaning(field);
            keys(field).into_iter().map(move |key| (key, meaning))
        })
        .collect();
    let width = keys
        .iter()
        .map(|(key, _)| key.name.len())
        .max()
        .unwrap_or(0);
    for (key, meaning) in keys {
        let unit = key.unit.unwrap_or("-");
        let help = one_line(&key.help);
        let line = format!("{:width$}  {unit:5}  {meaning:9}  {help}", key.name);
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.into_bytes()
}

/// The help comes from an untrusted object: it must not send control characters to a terminal.
fn one_line(help: &str) -> String {
    help.replace(char::is_control, " ")
}

fn meaning(field: &Field) -> &'static str {
    match (field.kind, field.meaning) {
        (Kind::Histogram { .. }, _) => "histogram",
        (_, Meaning::Counter) => "counter",
        (_, Meaning::Gauge) => "gauge",
        (_, Meaning::Label) => "key",
    }
}

fn field_schema<'a>(field: &'a Field, metric: &'a Metric) -> FieldSchema<'a> {
    FieldSchema {
        name: &field.name,
        help: &field.help,
        meaning: field.meaning,
        absent: field.absent_if_ones.then_some("all bits set"),
        with_descendants: field.with_descendants,
        raw: RawSchema {
            offset_bytes: field.offset_bytes,
            kind: field.kind,
            unit: field.unit,
            percentile_error_percent: percentile_error_percent(field.kind),
        },
        keys: keys(field),
        json: json_key(field),
        prometheus: prometheus_schema(field, metric),
    }
}

fn percentile_error_percent(kind: Kind) -> Option<f64> {
    match kind {
        Kind::Histogram { scale, .. } => Some(match scale {
            Scale::Log2 => 50.0,
            Scale::LogLinear => 12.5,
        }),
        Kind::Unsigned(_) | Kind::Signed(_) | Kind::String(_) => None,
    }
}

/// The keys of a field in the text, which are its columns in the table.
fn keys(field: &Field) -> Vec<KeySchema> {
    if !matches!(field.kind, Kind::Histogram { .. }) {
        return vec![json_key(field)];
    }
    let names = column::names(field).into_iter();
    names
        .zip(STATS)
        .map(|(name, stat)| KeySchema {
            name,
            kind: stat_type(stat, field.unit),
            unit: shown_unit(field.unit).filter(|_| stat != Stat::Count),
            help: format!("{} {}", stat_help(stat), field.help),
        })
        .collect()
}

fn json_key(field: &Field) -> KeySchema {
    let (kind, unit) = match field.kind {
        Kind::Unsigned(_) | Kind::Signed(_) => ("integer", shown_unit(field.unit)),
        Kind::String(_) => ("string", None),
        Kind::Histogram { .. } => ("object", shown_unit(field.unit)),
    };
    KeySchema {
        name: column::json_key(field),
        kind,
        unit,
        help: field.help.clone(),
    }
}

fn shown_unit(unit: Unit) -> Option<&'static str> {
    match unit {
        Unit::None => None,
        Unit::Nanoseconds | Unit::Microseconds => Some("usec"),
        Unit::Bytes => Some("bytes"),
    }
}

fn stat_type(stat: Stat, unit: Unit) -> &'static str {
    match (stat, unit) {
        (Stat::Count | Stat::Sum, _) => "integer",
        (Stat::Max, Unit::None | Unit::Bytes) => "integer",
        (Stat::Max | Stat::Percentile(_), _) => "decimal",
    }
}

fn stat_help(stat: Stat) -> String {
    match stat {
        Stat::Count => "Number of values.".to_owned(),
        Stat::Sum => "Sum of the values.".to_owned(),
        Stat::Percentile(of) => format!("{} % of the values are not above this.", of.percent()),
        Stat::Max => "Largest value.".to_owned(),
    }
}

fn prometheus_schema<'a>(field: &Field, metric: &'a Metric) -> PrometheusSchema<'a> {
    let (kind, unit) = match metric.kind {
        Type::Counter => ("counter", base_unit(field.unit)),
        Type::Gauge => ("gauge", base_unit(field.unit)),
        Type::Histogram => ("histogram", base_unit(field.unit)),
        Type::Info => ("gauge", None),
        Type::Label => ("label", shown_unit(field.unit)),
    };
    PrometheusSchema {
        name: (metric.kind != Type::Label).then_some(metric.name.as_str()),
        label: &metric.label,
        kind,
        unit,
    }
}

#[cfg(test)]
mod tests;
