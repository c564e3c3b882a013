//! JSON compared with output written by hand.

use super::*;
use crate::bpf::record::layout::{Kind, Record, Scale};
use crate::bpf::record::sample::{
    field, histogram_bytes, latency, latency_bytes, plain, plain_bytes, record, row, row_bytes,
};

fn rendered(record: &Record, bytes: &[u8]) -> String {
    let plan = Plan::new("v", "", record).unwrap();
    let mut out = Vec::new();
    json(&plan, bytes, &mut out).unwrap();
    serde_json::from_slice::<serde_json::Value>(&out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_record_is_one_object() {
    let bytes = plain_bytes(1_234_999, 4096, -3, b"ba\"sh");
    let expected = "{\"usage_usec\":1234,\"current_bytes\":4096,\"depth\":-3,\
                    \"comm\":\"ba\\\"sh\"}\n";
    assert_eq!(rendered(&plain(), &bytes), expected);
}

#[test]
fn large_integers_are_strings_and_absent_values_have_no_member() {
    let bytes = plain_bytes(u64::MAX, (1 << 53) + 1, 0, b"\xff");
    let expected = "{\"usage_usec\":\"18446744073709551\",\
                    \"current_bytes\":\"9007199254740993\",\"depth\":0,\
                    \"comm\":\"\u{fffd}ff\"}\n";
    assert_eq!(rendered(&plain(), &bytes), expected);
    let bytes = plain_bytes(0, u64::MAX, 0, b"");
    let expected = "{\"usage_usec\":0,\"depth\":0,\"comm\":\"\"}\n";
    assert_eq!(rendered(&plain(), &bytes), expected);
}

#[test]
fn a_record_of_absent_values_is_an_empty_object() {
    let mut only = field("only", 0, Kind::Unsigned(1));
    only.absent_if_ones = true;
    assert_eq!(rendered(&record(1, vec![only]), &[0xff]), "{}\n");
}

#[test]
fn rows_are_an_array() {
    let bytes = [row_bytes(b"8:0", 1, 7, 250), row_bytes(b"8:1", 0, 0, 0)].concat();
    let expected = "[{\"dev\":\"8:0\",\"cpu\":1,\"reads\":7,\"wait_usec\":250},\
                    {\"dev\":\"8:1\",\"cpu\":0,\"reads\":0,\"wait_usec\":0}]\n";
    assert_eq!(rendered(&row(), &bytes), expected);
    assert_eq!(rendered(&row(), &[]), "[]\n");
}

#[test]
fn a_histogram_has_buckets_from_the_first_to_the_last_used() {
    let bytes = latency_bytes(&[1000, 1500, 1500]);
    let expected = "{\"lat\":{\"count\":3,\"sum_usec\":4,\"p50_usec\":1.39,\
                    \"p90_usec\":1.39,\"p99_usec\":1.39,\"max_usec\":1.50,\"buckets\":[\
                    {\"le_usec\":1.024,\"count\":1},{\"le_usec\":1.28,\"count\":0},\
                    {\"le_usec\":1.536,\"count\":2}]}}\n";
    assert_eq!(rendered(&latency(), &bytes), expected);
    let expected = "{\"lat\":{\"count\":0,\"sum_usec\":0,\"buckets\":[]}}\n";
    assert_eq!(rendered(&latency(), &latency_bytes(&[])), expected);
}

#[test]
fn the_last_bucket_has_no_bound_and_plain_bounds_are_inclusive() {
    let (scale, slots) = (Scale::Log2, 4);
    let sizes = record(48, vec![field("size", 0, Kind::Histogram { scale, slots })]);
    let bytes = histogram_bytes(scale, slots, &[4, 4, 999]);
    let tail = "\"buckets\":[{\"le\":7,\"count\":2},{\"le\":null,\"count\":1}]}}\n";
    assert!(rendered(&sizes, &bytes).ends_with(tail));
}

#[test]
fn a_tree_is_one_object_a_line() {
    let plan = Plan::new("v", "", &plain()).unwrap();
    let records = [plain_bytes(0, 1, 2, b""), plain_bytes(0, 3, 4, b"")];
    let paths = [b".".as_slice(), b"a b/\xff"];
    let cgroup = |at: usize| CgroupRecords {
        path: paths[at],
        record: &records[at],
    };
    let mut out = Vec::new();
    tree_json(&plan, &[cgroup(0), cgroup(1)], &mut out, &mut |_| true).unwrap();
    let expected = "{\"cgroup\":\".\",\"usage_usec\":0,\"current_bytes\":1,\"depth\":2,\
        \"comm\":\"\"}\n{\"cgroup\":\"a b/\u{fffd}ff\",\"usage_usec\":0,\
        \"current_bytes\":3,\"depth\":4,\"comm\":\"\"}\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_tree_of_rows_nests_them() {
    let plan = Plan::new("v", "", &row()).unwrap();
    let record = &row_bytes(b"sda", 0, 1, u64::MAX);
    let (path, empty) = (b"x".as_slice(), [].as_slice());
    let cgroups = [
        CgroupRecords { path, record },
        CgroupRecords {
            path,
            record: empty,
        },
    ];
    let mut out = Vec::new();
    tree_json(&plan, &cgroups, &mut out, &mut |_| true).unwrap();
    let expected = "{\"cgroup\":\"x\",\"rows\":[{\"dev\":\"sda\",\"cpu\":0,\"reads\":1}]}\n\
                    {\"cgroup\":\"x\",\"rows\":[]}\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
