//! Percentiles of histograms, against the exact ones of the same values.

use crate::common::shown::Shown;
use crate::common::{FixtureCgroup, id};

/// The values that tests/bpf/quantiles.bpf.c counts for a cgroup.
fn sequence(id: u64) -> impl Iterator<Item = u64> {
    let mut state = id;
    (0..5000).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    })
}

fn skewed(value: u64) -> u64 {
    1000 + ((value % 1000) << ((value >> 20) % 24))
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn percentiles_are_within_an_eighth() {
    let cgroup = FixtureCgroup::new("quantiles");
    let shown = Shown::new("tests/bpf", "quantiles");
    for child in 0..20 {
        let path = cgroup.mkdir(child.to_string());
        let values: Vec<u64> = sequence(id(&path)).collect();
        let json = shown.json(&path, "quantiles.json");
        let check = |name: &str, unit: &str, scale: f64, error: f64, of: &dyn Fn(u64) -> u64| {
            let mut exact: Vec<u64> = values.iter().map(|value| of(*value)).collect();
            exact.sort_unstable();
            let shown = |stat: &str| {
                let key = format!("{stat}{unit}");
                let shown = json[name][&key].as_f64();
                shown.unwrap_or_else(|| panic!("no {name}.{key} in {json}"))
            };
            assert_eq!(json[name]["count"].as_u64(), Some(exact.len() as u64));
            let sum = exact.iter().sum::<u64>() as f64 / scale;
            assert_eq!(shown("sum"), sum.floor(), "{name}");
            let max = exact[exact.len() - 1] as f64 / scale;
            assert!((shown("max") - max).abs() < 0.01, "{name}");
            for percent in [50, 90, 99] {
                // The smallest value that so many percent do not exceed.
                let rank = (exact.len() * percent).div_ceil(100);
                let exact = exact[rank - 1] as f64 / scale;
                let shown = shown(&format!("p{percent}"));
                // Two digits are shown, the rest is cut off.
                let off = (shown - exact).abs() - 0.01;
                assert!(
                    off <= error * exact,
                    "{name} p{percent}: {shown}, exact {exact}"
                );
            }
        };
        check("even", "", 1.0, 0.125, &|value| {
            1_000_000 + value % 1_000_000
        });
        check("skewed", "_usec", 1000.0, 0.125, &skewed);
        check("few", "_bytes", 1.0, 0.125, &|value| value % 10);
        check("coarse", "_usec", 1.0, 0.5, &skewed);
        // The sweep fills the same.
        let swept = shown.json(&path, "quantiles.tree.json");
        assert_eq!(swept["even"], json["even"]);
        assert_eq!(swept["coarse"], json["coarse"]);
    }
}
