//! The names of columns: a field's name and its unit. The text and the JSON use them as keys.

use super::layout::{Field, Kind, Unit};

/// A number that summarizes a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stat {
    /// The number of values.
    Count,
    /// The sum of the values.
    Sum,
    /// An estimate from the slots.
    Percentile(Percentile),
    /// The largest value.
    Max,
}

/// The value that this percentage of all values do not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Percentile {
    P50,
    P90,
    P99,
}

/// The columns of a histogram, in order.
pub(super) const STATS: [Stat; 6] = [
    Stat::Count,
    Stat::Sum,
    Stat::Percentile(Percentile::P50),
    Stat::Percentile(Percentile::P90),
    Stat::Percentile(Percentile::P99),
    Stat::Max,
];

impl Percentile {
    /// Every percentile, in increasing order.
    pub(super) const ALL: [Percentile; 3] = [Percentile::P50, Percentile::P90, Percentile::P99];

    pub(super) fn percent(self) -> u64 {
        match self {
            Percentile::P50 => 50,
            Percentile::P90 => 90,
            Percentile::P99 => 99,
        }
    }
}

impl Stat {
    /// The key in a JSON histogram, and the end of a column's name.
    pub(super) fn key(self, unit: Unit) -> String {
        match self {
            Stat::Count => "count".to_owned(),
            Stat::Sum => format!("sum{}", suffix(unit)),
            Stat::Percentile(of) => format!("p{}{}", of.percent(), suffix(unit)),
            Stat::Max => format!("max{}", suffix(unit)),
        }
    }
}

/// The end of a name. Times are always shown in microseconds.
fn suffix(unit: Unit) -> &'static str {
    match unit {
        Unit::None => "",
        Unit::Nanoseconds | Unit::Microseconds => "_usec",
        Unit::Bytes => "_bytes",
    }
}

/// The key of a field in JSON, where a histogram is one object.
pub(super) fn json_key(field: &Field) -> String {
    match field.kind {
        Kind::Unsigned(_) | Kind::Signed(_) => format!("{}{}", field.name, suffix(field.unit)),
        Kind::String(_) | Kind::Histogram { .. } => field.name.clone(),
    }
}

/// The columns of a field: one, or one for each of [`STATS`].
pub(super) fn names(field: &Field) -> Vec<String> {
    match field.kind {
        Kind::Histogram { .. } => STATS
            .iter()
            .map(|stat| format!("{}_{}", field.name, stat.key(field.unit)))
            .collect(),
        Kind::Unsigned(_) | Kind::Signed(_) | Kind::String(_) => vec![json_key(field)],
    }
}

/// Every name of a field in any rendering but Prometheus, without duplicates.
pub(super) fn all_names(field: &Field) -> Vec<String> {
    let mut names = names(field);
    if matches!(field.kind, Kind::Histogram { .. }) {
        names.push(json_key(field));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::record::layout::Scale;
    use crate::bpf::record::sample::field;

    #[test]
    fn a_name_ends_with_the_unit() {
        let mut wait = field("wait", 0, Kind::Unsigned(8));
        assert_eq!(json_key(&wait), "wait");
        wait.unit = Unit::Nanoseconds;
        assert_eq!(json_key(&wait), "wait_usec");
        wait.unit = Unit::Microseconds;
        assert_eq!(json_key(&wait), "wait_usec");
        wait.unit = Unit::Bytes;
        assert_eq!(json_key(&wait), "wait_bytes");
    }

    #[test]
    fn a_histogram_has_six_columns() {
        let mut lat = field(
            "lat",
            0,
            Kind::Histogram {
                scale: Scale::Log2,
                slots: 8,
            },
        );
        lat.unit = Unit::Nanoseconds;
        let names = names(&lat).join(" ");
        let expected = "lat_count lat_sum_usec lat_p50_usec lat_p90_usec lat_p99_usec lat_max_usec";
        assert_eq!(names, expected);
        assert_eq!(json_key(&lat), "lat");
    }
}
