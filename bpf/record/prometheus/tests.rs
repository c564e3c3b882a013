//! Prometheus text compared with output written by hand.

use super::*;
use crate::bpf::record::layout::{Kind, Record, Scale};
use crate::bpf::record::sample::{
    field, histogram_bytes, latency, latency_bytes, plain, plain_bytes, record, row, row_bytes,
};

fn rendered(record: &Record, cgroups: &[(&[u8], Vec<u8>)]) -> String {
    let plan = Plan::new("v", "", record).unwrap();
    let cgroups: Vec<_> = cgroups
        .iter()
        .map(|(path, record)| CgroupRecords { path, record })
        .collect();
    let mut out = Vec::new();
    prometheus(&plan, &cgroups, &mut out, &mut |_| true).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn samples_of_a_metric_are_together_and_in_base_units() {
    let cgroups: [(&[u8], _); 2] = [
        (b".", plain_bytes(1_500_000_000, 4096, -3, b"init")),
        (b"a/b", plain_bytes(1, u64::MAX, 4, b"")),
    ];
    let expected = r#"# HELP cgview_v_usage_seconds_total CPU time consumed.
# TYPE cgview_v_usage_seconds_total counter
cgview_v_usage_seconds_total{cgroup="/"} 1.5
cgview_v_usage_seconds_total{cgroup="/a/b"} 0.000000001
# HELP cgview_v_current_bytes Field current of the view v.
# TYPE cgview_v_current_bytes gauge
cgview_v_current_bytes{cgroup="/"} 4096
# HELP cgview_v_depth Field depth of the view v.
# TYPE cgview_v_depth gauge
cgview_v_depth{cgroup="/"} -3
cgview_v_depth{cgroup="/a/b"} 4
# HELP cgview_v_comm_info Field comm of the view v.
# TYPE cgview_v_comm_info gauge
cgview_v_comm_info{comm="init",cgroup="/"} 1
"#;
    assert_eq!(rendered(&plain(), &cgroups), expected);
}

#[test]
fn label_fields_are_labels_and_no_sample_is_repeated() {
    let twice = [
        row_bytes(b"8:0", 1, 7, 250),
        row_bytes(b"8:0", 1, 8, 0),
        row_bytes(b"8:0", 2, 9, u64::MAX),
    ];
    let cgroups: [(&[u8], _); 1] = [(b"a", twice.concat())];
    let expected = r#"# HELP cgview_v_reads_total Field reads of the view v.
# TYPE cgview_v_reads_total counter
cgview_v_reads_total{cgroup="/a",dev="8:0",cpu="1"} 7
cgview_v_reads_total{cgroup="/a",dev="8:0",cpu="2"} 9
# HELP cgview_v_wait_seconds_total Field wait of the view v.
# TYPE cgview_v_wait_seconds_total counter
cgview_v_wait_seconds_total{cgroup="/a",dev="8:0",cpu="1"} 0.00025
"#;
    assert_eq!(rendered(&row(), &cgroups), expected);
}

#[test]
fn paths_are_escaped() {
    let cgroups: [(&[u8], _); 1] = [(b"a\"b\\x2d\nc\xff", plain_bytes(0, u64::MAX, 0, b""))];
    let line = "cgview_v_depth{cgroup=\"/a\\\"b\\\\x2d\\nc\u{fffd}ff\"} 0\n";
    assert!(rendered(&plain(), &cgroups).contains(line));
}

#[test]
fn help_is_one_line() {
    let mut one = field("one", 0, Kind::Unsigned(1));
    one.help = "a\nb\\c".to_owned();
    let shown = rendered(&record(1, vec![one]), &[]);
    assert_eq!(
        shown,
        "# HELP cgview_v_one a\\nb\\\\c\n# TYPE cgview_v_one gauge\n"
    );
}

#[test]
fn buckets_are_cumulative_and_end_with_the_count() {
    let values = [255, 256, 1023, 1024, 1 << 60];
    let shown = rendered(&latency(), &[(b".", latency_bytes(&values))]);
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[1], "# TYPE cgview_v_lat_seconds histogram");
    let bucket = |le, n| format!("cgview_v_lat_seconds_bucket{{le=\"{le}\",cgroup=\"/\"}} {n}");
    assert_eq!(lines[2], bucket("2.56e-07", 1));
    assert_eq!(lines[3], bucket("1.024e-06", 3));
    assert_eq!(lines[4], bucket("4.096e-06", 4));
    assert_eq!(lines[8], bucket("0.001048576", 4));
    assert_eq!(lines[20], bucket("17592.186044416", 4));
    assert_eq!(lines[21], bucket("+Inf", 5));
    let sum = "cgview_v_lat_seconds_sum{cgroup=\"/\"} 1152921504.606849534";
    assert_eq!(lines[22], sum);
    assert_eq!(lines[23], "cgview_v_lat_seconds_count{cgroup=\"/\"} 5");
    assert_eq!(lines.len(), 24);
}

#[test]
fn bounds_of_integers_are_inclusive_and_end_with_the_slots() {
    let (scale, slots) = (Scale::Log2, 6);
    let sizes = record(64, vec![field("size", 0, Kind::Histogram { scale, slots })]);
    let shown = rendered(
        &sizes,
        &[(b".", histogram_bytes(scale, slots, &[3, 4, 15, 16, 99]))],
    );
    let lines: Vec<_> = shown.lines().skip(2).collect();
    let bucket = |le, n| format!("cgview_v_size_bucket{{le=\"{le}\",cgroup=\"/\"}} {n}");
    assert_eq!(lines[0], bucket("3", 1));
    assert_eq!(lines[1], bucket("15", 3));
    assert_eq!(lines[2], bucket("+Inf", 5));
    assert_eq!(lines[3], "cgview_v_size_sum{cgroup=\"/\"} 137");
}

#[test]
fn an_absent_histogram_has_no_samples() {
    let mut latency = latency();
    latency.fields[0].absent_if_ones = true;
    let shown = rendered(&latency, &[(b".", vec![0xff; latency.size_bytes])]);
    assert_eq!(shown.lines().count(), 2);
}
