//! The renderings, read by the tools for which they are made: jq, promtool, sort and awk.
//! A tool that is missing fails its test.

use std::io::Write;
use std::process::{Command, Stdio};

use cgview::bpf::record::{
    CgroupRecords, Field, Kind, Meaning, Plan, Record, Scale, Unit, json, prometheus, schema,
    table, tree_json,
};

/// Awkward paths of cgroups; no two are the same label.
const PATHS: [&[u8]; 10] = [
    b".",
    b"system.slice/dev-\\x2dmapper.mount",
    b"a b",
    b"quote\"d",
    b"line\nbreak",
    b"tab\tand\x01",
    b"\xff",
    b"\xfe",
    "snow\u{2603}".as_bytes(),
    b"{cgroup=\"/\"} 1",
];

/// Names that a linter of metrics objects to, and some that become the same in snake case.
const FIELDS: [&str; 20] = [
    "usage",
    "ms",
    "wait_us",
    "hours",
    "milliseconds",
    "kilobytes",
    "gauge",
    "counter",
    "histogram",
    "summary",
    "x_total",
    "x_bucket",
    "x_count",
    "x_sum",
    "camelCase",
    "camel_case",
    "_",
    "__a",
    "s",
    "UPPER",
];

const TYPES: [(Meaning, Unit); 6] = [
    (Meaning::Counter, Unit::None),
    (Meaning::Counter, Unit::Nanoseconds),
    (Meaning::Counter, Unit::Bytes),
    (Meaning::Gauge, Unit::None),
    (Meaning::Gauge, Unit::Microseconds),
    (Meaning::Gauge, Unit::Bytes),
];

fn field(name: &str, offset_bytes: usize, kind: Kind) -> Field {
    Field {
        name: name.to_owned(),
        offset_bytes,
        kind,
        meaning: Meaning::Gauge,
        unit: Unit::None,
        help: String::new(),
        absent_if_ones: true,
        with_descendants: false,
    }
}

/// Every awkward field name as a number, a text and two histograms.
fn awkward() -> Record {
    let mut fields = Vec::new();
    for (at, name) in FIELDS.iter().enumerate() {
        let mut number = field(name, 8 * at, Kind::Unsigned(8));
        (number.meaning, number.unit) = TYPES[at % TYPES.len()];
        fields.push(number);
    }
    fields.push(field("commName", 160, Kind::String(16)));
    for (name, scale, unit) in [
        ("lat", Scale::LogLinear, Unit::Nanoseconds),
        ("size_count", Scale::Log2, Unit::None),
    ] {
        let mut histogram = field(name, 176, Kind::Histogram { scale, slots: 60 });
        histogram.unit = unit;
        fields.push(histogram);
    }
    Record {
        size_bytes: 176 + 16 + 8 * 60,
        fields,
    }
}

/// Rows of a device (key) and two counters.
fn keyed() -> Record {
    let mut device = field("deviceName", 0, Kind::String(8));
    let mut cpu = field("le", 8, Kind::Unsigned(4));
    (device.meaning, cpu.meaning) = (Meaning::Label, Meaning::Label);
    let mut reads = field("reads", 12, Kind::Unsigned(4));
    reads.meaning = Meaning::Counter;
    Record {
        size_bytes: 16,
        fields: vec![device, cpu, reads],
    }
}

fn plan(record: &Record) -> Plan {
    Plan::new("net.rx-Bytes", "A view.", record).unwrap()
}

/// Small numbers, all different, and a text that wants to be escaped everywhere.
fn bytes(record: &Record) -> Vec<u8> {
    let words = (0..record.size_bytes as u64 / 8).flat_map(|n| (n * n * 1000).to_ne_bytes());
    let mut bytes: Vec<_> = words.collect();
    if let Some(text) = bytes.get_mut(160..176) {
        text.copy_from_slice(b"a \"b\"\\\n\xff,{}=1\0\0\0");
    }
    bytes
}

fn rows(record: &[u8]) -> Vec<CgroupRecords<'_>> {
    PATHS
        .iter()
        .map(|path| CgroupRecords { path, record })
        .collect()
}

/// Feeds a program and returns what it printed; its complaints fail the test.
fn run(program: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program[0]));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?}: {complaints}");
    assert_eq!(complaints, "", "{program:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs promtool"]
fn promtool_accepts_any_name_of_a_field_or_a_cgroup() {
    for record in [awkward(), keyed()] {
        let bytes = bytes(&record);
        let mut out = Vec::new();
        prometheus(&plan(&record), &rows(&bytes), &mut out, &mut |_| true).unwrap();
        assert_eq!(run(&["promtool", "check", "metrics"], &out), "");
    }
}

#[test]
#[ignore = "needs jq"]
fn jq_reads_back_any_bytes_and_64_bit_numbers() {
    let record = awkward();
    let mut bytes = bytes(&record);
    bytes[..8].copy_from_slice(&((1u64 << 53) + 1).to_ne_bytes());
    let mut out = Vec::new();
    tree_json(&plan(&record), &rows(&bytes), &mut out, &mut |_| true).unwrap();
    let shown = run(&["jq", "-r", ".cgroup | @json"], &out);
    assert_eq!(shown.lines().count(), PATHS.len());
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[1], r#""system.slice/dev-\\x2dmapper.mount""#);
    assert_eq!(lines[4], r#""line\nbreak""#);
    assert_eq!(lines[6], "\"\u{fffd}ff\"");
    let usage = run(&["jq", "-r", ".usage"], &out);
    assert_eq!(usage.lines().next(), Some("9007199254740993"));
    let counted = run(&["jq", ".lat | ([.buckets[].count] | add) == .count"], &out);
    assert!(counted.lines().all(|line| line == "true"), "{counted}");
}

#[test]
#[ignore = "needs jq"]
fn jq_reads_a_record_its_rows_and_the_schema() {
    for (record, length) in [(awkward(), "23\n"), (keyed(), "1\n")] {
        let plan = plan(&record);
        let mut out = Vec::new();
        json(&plan, &bytes(&record), &mut out).unwrap();
        assert_eq!(run(&["jq", "length"], &out), length);
        let fields = run(&["jq", ".fields | length"], &schema(&plan));
        assert_eq!(fields, format!("{}\n", record.fields.len()));
    }
}

#[test]
#[ignore = "needs sort and awk"]
fn sort_and_awk_find_columns_beside_empty_and_spaced_labels() {
    let record = keyed();
    let device = |name: &[u8], reads: u32| {
        let mut row = name.to_vec();
        row.resize(12, 0);
        row.extend(reads.to_ne_bytes());
        row
    };
    let records = [device(b"sda", 9), device(b"", 100), device(b"s d", 11)];
    let paths: [&[u8]; 3] = [b".", b"a b", b"c\n"];
    let rows: Vec<_> = paths
        .iter()
        .zip(&records)
        .map(|(path, record)| CgroupRecords { path, record })
        .collect();
    let mut out = Vec::new();
    table(&plan(&record), &rows, &mut out, &mut |_| true).unwrap();
    let top = run(
        &[
            "sh",
            "-c",
            "tail -n +2 | sort -rn -k4 | awk '{print $1, $2, NF}'",
        ],
        &out,
    );
    assert_eq!(top, "a\\040b - 4\nc\\012 s\\040d 4\n. sda 4\n");
}
