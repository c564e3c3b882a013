//! The table compared with output written by hand.

use super::*;
use crate::bpf::record::layout::Record;
use crate::bpf::record::sample::{latency, latency_bytes, plain, plain_bytes, row, row_bytes};

fn rendered(record: &Record, cgroups: &[(&[u8], Vec<u8>)]) -> String {
    let plan = Plan::new("v", "", record).unwrap();
    let cgroups: Vec<_> = cgroups
        .iter()
        .map(|(path, record)| CgroupRecords { path, record })
        .collect();
    let mut out = Vec::new();
    table(&plan, &cgroups, &mut out, &mut |_| true).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn columns_are_aligned() {
    let cgroups: [(&[u8], _); 3] = [
        (b".", plain_bytes(5_000, u64::MAX, -3, b"init")),
        (b"system.slice", plain_bytes(1_000_000_000_000, 0, 10, b"")),
        (
            b"system.slice/a b",
            plain_bytes(0, 12_345_678_901_234, 0, b"-"),
        ),
    ];
    let expected = "\
cgroup              usage_usec  current_bytes depth comm
.                            5              -    -3 init
system.slice        1000000000              0    10    -
system.slice/a\\040b          0 12345678901234     0 \\055
";
    assert_eq!(rendered(&plain(), &cgroups), expected);
}

#[test]
fn each_row_of_a_cgroup_is_a_line() {
    let two = [row_bytes(b"8:0", 1, 7, 250), row_bytes(b"sda", 0, 70, 0)].concat();
    let cgroups: [(&[u8], _); 2] = [(b"x", two), (b"y", vec![])];
    let expected = "\
cgroup dev cpu reads wait_usec
x      8:0   1     7       250
x      sda   0    70         0
";
    assert_eq!(rendered(&row(), &cgroups), expected);
}

#[test]
fn a_histogram_is_six_columns() {
    let cgroups: [(&[u8], _); 2] = [(b".", latency_bytes(&[1000])), (b"a", latency_bytes(&[]))];
    let expected = "\
cgroup lat_count lat_sum_usec lat_p50_usec lat_p90_usec lat_p99_usec lat_max_usec
.              1            1         0.94         0.94         0.94         1.00
a              0            0            -            -            -            -
";
    assert_eq!(rendered(&latency(), &cgroups), expected);
}

#[test]
fn one_long_path_does_not_widen_the_table() {
    let long = vec![b'x'; MAX_PATH_WIDTH + 1];
    let record = || plain_bytes(0, 0, 0, b"");
    let shown = rendered(&plain(), &[(&long, record()), (b"a", record())]);
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[1].starts_with(&format!("{}          0 ", "x".repeat(121))));
    assert!(lines[2].starts_with("a               0 "));
}

#[test]
fn without_cgroups_there_is_a_header() {
    let shown = rendered(&plain(), &[]);
    assert_eq!(shown, "cgroup usage_usec current_bytes depth comm\n");
}
