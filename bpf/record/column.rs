//! The names under which a field is rendered: its own name and its unit.

use crate::bpf::record::layout::{Field, Kind, Unit};

/// A number that a histogram is summed up to, in the order of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stat {
    /// How many values.
    Count,
    /// Their sum.
    Sum,
    /// The value that so many percent of them do not exceed.
    Percentile(usize),
    /// The largest one.
    Max,
}

/// What a histogram is summed up to.
pub(super) const STATS: [Stat; 6] = [
    Stat::Count,
    Stat::Sum,
    Stat::Percentile(0),
    Stat::Percentile(1),
    Stat::Percentile(2),
    Stat::Max,
];

/// The percentiles that [`Stat::Percentile`] counts through, in percent.
pub(super) const PERCENTILES: [u64; 3] = [50, 90, 99];

impl Stat {
    /// Its key inside of a JSON histogram, or behind the field's name elsewhere.
    pub(super) fn key(self, unit: Unit) -> String {
        match self {
            Stat::Count => "count".to_owned(),
            Stat::Sum => format!("sum{}", suffix(unit)),
            Stat::Percentile(at) => format!("p{}{}", PERCENTILES[at], suffix(unit)),
            Stat::Max => format!("max{}", suffix(unit)),
        }
    }
}

/// What a key ends with: times are shown in microseconds whatever the program writes.
pub(super) fn suffix(unit: Unit) -> &'static str {
    match unit {
        Unit::None => "",
        Unit::Nanoseconds | Unit::Microseconds => "_usec",
        Unit::Bytes => "_bytes",
    }
}

/// The key of a field that is one value; a histogram's in JSON.
pub(super) fn own(field: &Field) -> String {
    match field.kind {
        Kind::Histogram { .. } => field.name.clone(),
        Kind::Unsigned(_) | Kind::Signed(_) => format!("{}{}", field.name, suffix(field.unit)),
        Kind::Text(_) => field.name.clone(),
    }
}

/// The keys of a field in the text and the table.
pub(super) fn flat(field: &Field) -> Vec<String> {
    match field.kind {
        Kind::Histogram { .. } => STATS
            .iter()
            .map(|stat| format!("{}_{}", field.name, stat.key(field.unit)))
            .collect(),
        Kind::Unsigned(_) | Kind::Signed(_) | Kind::Text(_) => vec![own(field)],
    }
}

/// Every key that a field takes in any rendering, so that no other field may take it.
pub(super) fn all(field: &Field) -> Vec<String> {
    let mut keys = flat(field);
    if matches!(field.kind, Kind::Histogram { .. }) {
        keys.push(own(field));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::record::layout::Scale;
    use crate::bpf::record::sample::field;

    #[test]
    fn a_key_tells_its_unit() {
        let mut wait = field("wait", 0, Kind::Unsigned(8));
        assert_eq!(own(&wait), "wait");
        wait.unit = Unit::Nanoseconds;
        assert_eq!(own(&wait), "wait_usec");
        wait.unit = Unit::Microseconds;
        assert_eq!(own(&wait), "wait_usec");
        wait.unit = Unit::Bytes;
        assert_eq!(own(&wait), "wait_bytes");
    }

    #[test]
    fn a_histogram_has_six_keys() {
        let mut lat = field(
            "lat",
            0,
            Kind::Histogram {
                scale: Scale::Log2,
                slots: 8,
            },
        );
        lat.unit = Unit::Nanoseconds;
        let keys = flat(&lat).join(" ");
        let expected = "lat_count lat_sum_usec lat_p50_usec lat_p90_usec lat_p99_usec lat_max_usec";
        assert_eq!(keys, expected);
        assert_eq!(own(&lat), "lat");
    }
}
