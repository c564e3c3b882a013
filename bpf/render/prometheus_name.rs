//! What a field is called in Prometheus: `cgview_<view>_<field>_<unit>_total` in snake case, with
//! base units and without the words that `promtool check metrics` objects to.

use std::collections::HashSet;

use crate::bpf::manifest::{Field, Kind, Meaning, Record, Unit};

/// What a field is in Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    Histogram,
    /// A text: the label of a gauge that is always 1.
    Info,
    /// A key: a label of every sample.
    Label,
}

/// The name of a field in Prometheus.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metric {
    /// The family, or the label of a key field.
    pub(super) name: String,
    /// Of a text or a key field.
    pub(super) label: String,
    pub(super) kind: Type,
    /// Never empty.
    pub(super) help: String,
}

/// Words that end a sample of a histogram, so that no other family may end with them.
const HISTOGRAM_ENDS: [&str; 3] = ["bucket", "count", "sum"];

/// Labels that are not the author's to use.
const TAKEN_LABELS: [&str; 3] = ["cgroup", "le", "quantile"];

/// Words that a linter reads as a unit other than the base one, or as a type.
const REFUSED: &[&str] = &[
    "s",
    "ms",
    "us",
    "ns",
    "sec",
    "b",
    "kb",
    "mb",
    "gb",
    "tb",
    "pb",
    "m",
    "h",
    "d",
    "minutes",
    "hours",
    "days",
    "weeks",
    "bits",
    "kelvins",
    "fahrenheit",
    "rankine",
    "inches",
    "yards",
    "miles",
    "calories",
    "pounds",
    "ounces",
    "counter",
    "gauge",
    "histogram",
    "summary",
];

/// Units that a linter refuses with a prefix, as in `milliseconds`.
const PREFIXED: [&str; 22] = [
    "amperes", "bytes", "celsius", "grams", "joules", "kelvin", "meters", "metres", "moles",
    "seconds", "volts", "minutes", "hours", "days", "weeks", "bits", "inches", "yards", "miles",
    "calories", "pounds", "ounces",
];

/// Those prefixes.
const PREFIXES: [&str; 16] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega",
    "mibi", "giga", "gibi", "tera", "peta",
];

/// Names every field of a record; no name is given twice.
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
        Type::Counter => unique(&family_stem(view, field, kind), "_total", names),
        Type::Info => unique(&family_stem(view, field, kind), "_info", names),
        Type::Gauge | Type::Histogram => unique(&family_stem(view, field, kind), "", names),
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
        (Meaning::Key, _) => Type::Label,
        (_, Kind::Text(_)) => Type::Info,
        (_, Kind::Histogram { .. }) => Type::Histogram,
        (Meaning::Counter, _) => Type::Counter,
        (Meaning::Gauge, _) => Type::Gauge,
    }
}

/// The base unit of a field's samples.
pub(super) fn base_unit(unit: Unit) -> Option<&'static str> {
    match unit {
        Unit::None => None,
        Unit::Nanoseconds | Unit::Microseconds => Some("seconds"),
        Unit::Bytes => Some("bytes"),
    }
}

/// A family's name without the ending that its type asks for.
fn family_stem(view: &str, field: &Field, kind: Type) -> String {
    let mut words = vec!["cgview".to_owned()];
    words.extend(snake_words(view).chain(snake_words(&field.name)).map(tame));
    while words.last().is_some_and(|word| word == "total") {
        words.pop();
    }
    let is_new = |unit: &&str| kind != Type::Info && words.last().is_none_or(|word| word != unit);
    let unit = base_unit(field.unit).filter(is_new);
    words.extend(unit.map(str::to_owned));
    let is_taken = |word: &String| HISTOGRAM_ENDS.contains(&word.as_str());
    if kind != Type::Counter && words.last().is_some_and(is_taken) {
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

/// The words of a name in lower case: broken at all but letters and digits, and in `camelCase`.
fn snake_words(name: &str) -> impl Iterator<Item = String> {
    let mut broken = String::new();
    let mut was_lower = false;
    for char in name.chars() {
        if was_lower && char.is_ascii_uppercase() {
            broken.push('_');
        }
        was_lower = char.is_ascii_lowercase();
        let kept = if char.is_ascii_alphanumeric() {
            char
        } else {
            '_'
        };
        broken.push(kept.to_ascii_lowercase());
    }
    let words: Vec<_> = broken.split('_').map(str::to_owned).collect();
    words.into_iter().filter(|word| !word.is_empty())
}

/// A word that no linter takes for a unit or a type.
fn tame(word: String) -> String {
    let is_prefixed = |prefix: &&str| {
        let rest = word.strip_prefix(*prefix);
        rest.is_some_and(|rest| PREFIXED.contains(&rest))
    };
    if REFUSED.contains(&word.as_str()) || PREFIXES.iter().any(is_prefixed) {
        return word + "value";
    }
    word
}

/// `stem` and `end`, with a number between them if that is taken.
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
mod tests {
    use super::*;
    use crate::bpf::manifest::Scale;
    use crate::bpf::render::sample::{field, record};

    fn name(view: &str, field_name: &str, meaning: Meaning, unit: Unit) -> String {
        let mut field = field(field_name, 0, Kind::Unsigned(8));
        (field.meaning, field.unit) = (meaning, unit);
        metrics(view, &record(8, vec![field])).remove(0).name
    }

    #[test]
    fn names_have_base_units_and_counters_total() {
        let counter = |field, unit| name("stats", field, Meaning::Counter, unit);
        let gauge = |field, unit| name("stats", field, Meaning::Gauge, unit);
        let usage = counter("usage", Unit::Nanoseconds);
        assert_eq!(usage, "cgview_stats_usage_seconds_total");
        assert_eq!(counter("forks", Unit::None), "cgview_stats_forks_total");
        assert_eq!(
            counter("forks_total", Unit::None),
            "cgview_stats_forks_total"
        );
        assert_eq!(gauge("current", Unit::Bytes), "cgview_stats_current_bytes");
        assert_eq!(
            gauge("wait", Unit::Microseconds),
            "cgview_stats_wait_seconds"
        );
        assert_eq!(gauge("bytes", Unit::Bytes), "cgview_stats_bytes");
        assert_eq!(gauge("limit_total", Unit::None), "cgview_stats_limit");
        assert_eq!(
            gauge("task_count", Unit::None),
            "cgview_stats_task_count_value"
        );
    }

    #[test]
    fn awkward_names_are_tamed() {
        let gauge = |view, field| name(view, field, Meaning::Gauge, Unit::None);
        assert_eq!(
            gauge("net.rx-Bytes", "__nrTasks"),
            "cgview_net_rx_bytes_nr_tasks"
        );
        assert_eq!(gauge("v", "wait_ms"), "cgview_v_wait_msvalue");
        assert_eq!(gauge("v", "milliseconds"), "cgview_v_millisecondsvalue");
        assert_eq!(gauge("caf\u{e9}\n", "gauge"), "cgview_caf_gaugevalue");
    }

    #[test]
    fn no_two_families_and_no_two_labels_meet() {
        let mut fields: Vec<_> = ["a_c", "aC", "a__c"]
            .map(|name| field(name, 0, Kind::Unsigned(1)))
            .into();
        for name in ["le", "Cgroup", "_", "_x", "x"] {
            let mut key = field(name, 0, Kind::Unsigned(1));
            key.meaning = Meaning::Key;
            fields.push(key);
        }
        let names = metrics("v", &record(1, fields));
        let names: Vec<_> = names.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(
            names[..3],
            ["cgview_v_a_c", "cgview_v_a_c_2", "cgview_v_a_c_3"]
        );
        assert_eq!(names[3..], ["le_2", "cgroup_2", "key_", "x", "x_2"]);
    }

    #[test]
    fn texts_are_labels_of_an_info() {
        let found = metrics("v", &record(8, vec![field("comm", 0, Kind::Text(8))]));
        assert_eq!(found[0].name, "cgview_v_comm_info");
        assert_eq!(found[0].label, "comm");
        assert_eq!(found[0].help, "Field comm of the view v.");
    }

    #[test]
    fn a_histogram_has_no_total() {
        let (scale, slots) = (Scale::Log2, 8);
        let mut lat = field("lat_total", 0, Kind::Histogram { scale, slots });
        lat.unit = Unit::Nanoseconds;
        lat.meaning = Meaning::Counter;
        let found = metrics("runq", &record(80, vec![lat]));
        assert_eq!(found[0].name, "cgview_runq_lat_seconds");
        assert_eq!(found[0].kind, Type::Histogram);
    }
}
