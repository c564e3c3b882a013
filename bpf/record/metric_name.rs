//! The Prometheus names of fields: `cgview_<view>_<field>_<unit>_total` in snake case, with base
//! units and without the words that `promtool check metrics` rejects.

use std::collections::HashSet;

use super::layout::{Field, Kind, Meaning, Record, Unit};

/// The type of a field in Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    Histogram,
    /// A string: a label of a gauge that is always 1.
    Info,
    /// A label field: a label of every sample.
    Label,
}

/// How Prometheus shows a field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metric {
    /// The metric name; for a label field, the label name.
    pub(super) name: String,
    /// The label name of a string or label field; empty for others.
    pub(super) label: String,
    pub(super) kind: Type,
    /// Never empty.
    pub(super) help: String,
}

/// The last words of a histogram's samples. Other metrics must not end with them.
const HISTOGRAM_ENDS: [&str; 3] = ["bucket", "count", "sum"];

/// Labels with a meaning in Prometheus or in cgview.
const TAKEN_LABELS: [&str; 3] = ["cgroup", "le", "quantile"];

/// Words that promtool takes for a type or for a unit that is not a base unit.
const REJECTED: &str = "s ms us ns sec b kb mb gb tb pb m h d minutes hours days weeks bits \
    kelvins fahrenheit rankine inches yards miles calories pounds ounces \
    counter gauge histogram summary";

/// Units that promtool rejects if they have one of [`PREFIXES`], as in `milliseconds`.
const PREFIXED: &str = "amperes bytes celsius grams joules kelvin meters metres moles seconds \
    volts minutes hours days weeks bits inches yards miles calories pounds ounces";

const PREFIXES: &str = "pico nano micro milli centi deci deca hecto kilo kibi mega mibi giga \
    gibi tera tebi peta pebi";

/// The metric of each field of a record, with unique names.
pub(super) fn metrics(view: &str, record: &Record) -> Vec<Metric> {
    let mut names = HashSet::new();
    let mut labels: HashSet<_> = TAKEN_LABELS.map(str::to_owned).into();
    let metric = |field| metric(view, field, &mut names, &mut labels);
    record.fields.iter().map(metric).collect()
}

fn metric(
    view: &str,
    field: &Field,
    names: &mut HashSet<String>,
    labels: &mut HashSet<String>,
) -> Metric {
    let kind = kind(field);
    let label = match kind {
        Type::Info | Type::Label => unique(&label_stem(&field.name), "", labels),
        Type::Counter | Type::Gauge | Type::Histogram => String::new(),
    };
    let name = match kind {
        Type::Label => label.clone(),
        Type::Counter => unique(&metric_stem(view, field, kind), "_total", names),
        Type::Info => unique(&metric_stem(view, field, kind), "_info", names),
        Type::Gauge | Type::Histogram => unique(&metric_stem(view, field, kind), "", names),
    };
    let help = if field.help.is_empty() {
        format!("Field {} of the view {view}.", field.name)
    } else {
        field.help.clone()
    };
    Metric {
        name,
        label,
        kind,
        help,
    }
}

fn kind(field: &Field) -> Type {
    match (field.meaning, field.kind) {
        (Meaning::Label, _) => Type::Label,
        (_, Kind::String(_)) => Type::Info,
        (_, Kind::Histogram { .. }) => Type::Histogram,
        (Meaning::Counter, _) => Type::Counter,
        (Meaning::Gauge, _) => Type::Gauge,
    }
}

/// The unit of samples in Prometheus.
pub(super) fn base_unit(unit: Unit) -> Option<&'static str> {
    match unit {
        Unit::None => None,
        Unit::Nanoseconds | Unit::Microseconds => Some("seconds"),
        Unit::Bytes => Some("bytes"),
    }
}

/// The name of a metric without `_total` or `_info`.
fn metric_stem(view: &str, field: &Field, kind: Type) -> String {
    let mut words = vec!["cgview".to_owned()];
    words.extend(
        snake_words(view)
            .chain(snake_words(&field.name))
            .map(accepted),
    );
    while words.last().is_some_and(|word| word == "total") {
        words.pop();
    }
    let is_new = |unit: &&str| kind != Type::Info && words.last().is_none_or(|word| word != unit);
    let unit = base_unit(field.unit).filter(is_new);
    words.extend(unit.map(str::to_owned));
    let is_histogram_end = |word: &String| HISTOGRAM_ENDS.contains(&word.as_str());
    if kind != Type::Counter && words.last().is_some_and(is_histogram_end) {
        words.push("value".to_owned());
    }
    words.join("_")
}

fn label_stem(name: &str) -> String {
    let words: Vec<_> = snake_words(name).collect();
    if words.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("key_{}", words.join("_"));
    }
    words.join("_")
}

/// The words of a name in lower case. All characters but letters and digits separate words, and so
/// does `camelCase`.
fn snake_words(name: &str) -> impl Iterator<Item = String> {
    let mut separated = String::new();
    let mut was_lower = false;
    for char in name.chars() {
        if was_lower && char.is_ascii_uppercase() {
            separated.push('_');
        }
        was_lower = char.is_ascii_lowercase();
        let kept = if char.is_ascii_alphanumeric() {
            char
        } else {
            '_'
        };
        separated.push(kept.to_ascii_lowercase());
    }
    let words: Vec<_> = separated.split('_').map(str::to_owned).collect();
    words.into_iter().filter(|word| !word.is_empty())
}

/// Appends `value` to a word that promtool rejects.
fn accepted(word: String) -> String {
    let is_prefixed = |prefix: &str| {
        let rest = word.strip_prefix(prefix);
        rest.is_some_and(|rest| PREFIXED.split(' ').any(|unit| unit == rest))
    };
    let is_rejected = REJECTED.split(' ').any(|rejected| rejected == word);
    if is_rejected || PREFIXES.split(' ').any(is_prefixed) {
        return word + "value";
    }
    word
}

/// `stem` and `end`, with a number between them if another field has that name.
fn unique(stem: &str, end: &str, taken: &mut HashSet<String>) -> String {
    let mut name = format!("{stem}{end}");
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{stem}_{number}{end}");
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests;
