//! Layouts and bytes at random: nothing panics, and what comes out keeps its format.

use super::sample::Random;
use super::{CgroupRecords, Plan, help, json, prometheus, schema, table, text, tree_json};
use crate::bpf::record::layout::{Field, Kind, Meaning, Record, Scale, Unit};

const NAMES: [&str; 12] = [
    "a", "b", "ms", "aB", "lat", "le", "cgroup", "x_total", "x_count", "_", "usage", "dev",
];

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len() as u64) as usize]
}

fn kind(random: &mut Random) -> Kind {
    let size = pick(random, &[1, 2, 4, 8, 8, 3]);
    let scale = pick(random, &[Scale::Log2, Scale::LogLinear]);
    let slots = random.below(80) as usize;
    let histogram = Kind::Histogram { scale, slots };
    let text = Kind::Text(random.below(20) as usize);
    pick(
        random,
        &[Kind::Unsigned(size), Kind::Signed(size), text, histogram],
    )
}

fn field(random: &mut Random, name: &str) -> Field {
    let units = [
        Unit::None,
        Unit::Nanoseconds,
        Unit::Microseconds,
        Unit::Bytes,
    ];
    let meanings = [
        Meaning::Counter,
        Meaning::Gauge,
        Meaning::Gauge,
        Meaning::Key,
    ];
    let beyond = pick(random, &[0, 0, 0, 0, usize::MAX / 2]);
    Field {
        name: name.to_owned(),
        offset_bytes: random.below(400) as usize + beyond,
        kind: kind(random),
        meaning: pick(random, &meanings),
        unit: pick(random, &units),
        help: pick(random, &["", "Help.", "a\nb\\\"\u{1b}"]).to_owned(),
        absent_if_ones: random.below(2) == 0,
        with_descendants: random.below(2) == 0,
    }
}

fn record(random: &mut Random) -> Record {
    let names: Vec<_> = NAMES.iter().filter(|_| random.below(3) == 0).collect();
    Record {
        size_bytes: 200 + random.below(1000) as usize,
        fields: names.into_iter().map(|name| field(random, name)).collect(),
    }
}

/// Random bytes, with runs of zeros and ones as records have them.
fn bytes(random: &mut Random, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let run = random.below(24) as usize;
        let byte = random.next_u64() as u8;
        match random.below(3) {
            0 => bytes.extend(random.next_u64().to_ne_bytes()),
            1 => bytes.resize(bytes.len() + run, pick(random, &[0, 0xff])),
            _ => bytes.push(byte),
        }
    }
    bytes.truncate(length);
    bytes
}

fn path(random: &mut Random) -> Vec<u8> {
    let length = random.below(200) as usize;
    let mut path = bytes(random, length + 1);
    path.retain(|b| *b != 0);
    path.push(b'x');
    path
}

/// Up to four cgroups: their paths and records.
fn cgroups(random: &mut Random, plan: &Plan) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut cgroups = Vec::new();
    for _ in 0..random.below(5) {
        let rows = if plan.keyed {
            random.below(4) as usize
        } else {
            1
        };
        let record = bytes(random, rows * plan.record.size_bytes);
        cgroups.push((path(random), record));
    }
    cgroups
}

fn assert_formats(plan: &Plan, rows: &[CgroupRecords<'_>]) {
    let mut out = Vec::new();
    for row in rows {
        text(plan, row.record, &mut out).unwrap();
        assert!(out.is_empty() || out.ends_with(b"\n"));
        let mut object = Vec::new();
        json(plan, row.record, &mut object).unwrap();
        serde_json::from_slice::<serde_json::Value>(&object).unwrap();
    }
    out.clear();
    tree_json(plan, rows, &mut out).unwrap();
    assert_eq!(out.split(|b| *b == b'\n').count(), rows.len() + 1);
    for line in out.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<serde_json::Value>(line).unwrap();
    }
    out.clear();
    table(plan, rows, &mut out).unwrap();
    let shown = String::from_utf8(out).unwrap();
    let words = shown.lines().next().unwrap().split_whitespace().count();
    for line in shown.split_terminator('\n') {
        assert_eq!(line.split_whitespace().count(), words, "{line:?}");
        assert_eq!(line.trim_end(), line);
    }
    assert_prometheus(plan, rows);
    serde_json::from_slice::<serde_json::Value>(&schema(plan)).unwrap();
    String::from_utf8(help(plan)).unwrap();
}

fn assert_prometheus(plan: &Plan, rows: &[CgroupRecords<'_>]) {
    let mut out = Vec::new();
    prometheus(plan, rows, &mut out).unwrap();
    let shown = String::from_utf8(out).unwrap();
    for line in shown
        .split_terminator('\n')
        .filter(|line| !line.starts_with('#'))
    {
        assert!(line.starts_with("cgview"), "{line:?}");
        let (_, value) = line.rsplit_once("\"} ").unwrap();
        value.parse::<f64>().unwrap();
    }
}

#[test]
fn any_layout_and_any_bytes_render_or_are_refused() {
    let mut random = Random::new(7);
    let mut rendered = 0;
    for _ in 0..20_000 {
        let record = record(&mut random);
        let name = pick(&mut random, &["stats", "net.rx-b", "", "\u{e9}\n"]);
        let Ok(plan) = Plan::new(name, "Help.", &record) else {
            continue;
        };
        rendered += 1;
        let cgroups = cgroups(&mut random, &plan);
        let rows = cgroups
            .iter()
            .map(|(path, record)| CgroupRecords { path, record });
        let rows: Vec<_> = rows.collect();
        assert_formats(&plan, &rows);
    }
    assert!(rendered > 1000, "only {rendered} layouts were sound");
}
