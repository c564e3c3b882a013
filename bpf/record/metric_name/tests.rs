//! Names compared with names written by hand.

use super::*;
use crate::bpf::record::layout::Scale;
use crate::bpf::record::sample::{field, record};

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
fn names_that_promtool_rejects_are_changed() {
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
fn metric_names_and_label_names_are_unique() {
    let mut fields: Vec<_> = ["a_c", "aC", "a__c"]
        .map(|name| field(name, 0, Kind::Unsigned(1)))
        .into();
    for name in ["le", "Cgroup", "_", "_x", "x"] {
        let mut label = field(name, 0, Kind::Unsigned(1));
        label.meaning = Meaning::Label;
        fields.push(label);
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
fn a_string_is_a_label_of_an_info_metric() {
    let found = metrics("v", &record(8, vec![field("comm", 0, Kind::String(8))]));
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
