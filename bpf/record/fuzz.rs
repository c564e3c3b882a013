//! Renders random layouts and bytes: nothing panics, and every output has its format.

use super::histogram::max_slots;
use super::sample::Random;
use super::{CgroupRecords, Error, Plan, help, json, prometheus, schema, table, text, tree_json};
use crate::bpf::record::layout::{Field, Kind, Meaning, Record, Scale, Unit};

const NAMES: [&str; 12] = [
    "a", "b", "ms", "aB", "lat", "le", "cgroup", "x_total", "x_count", "_", "usage", "dev",
];

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len() as u64) as usize]
}

/// Mostly small; sometimes a limit or a number whose sums and products overflow.
fn size(random: &mut Random, bound: u64, limits: &[usize]) -> usize {
    if random.below(8) == 0 {
        let extremes = [0, usize::MAX, usize::MAX / 2, usize::MAX / 8];
        return pick(random, &[limits, &extremes].concat());
    }
    random.below(bound) as usize
}

fn kind(random: &mut Random) -> Kind {
    let bytes = pick(random, &[1, 2, 4, 8, 8, 8, 3, 0, 9, usize::MAX]);
    match random.below(4) {
        0 => Kind::Unsigned(bytes),
        1 => Kind::Signed(bytes),
        2 => Kind::String(size(random, 20, &[255, 4096])),
        _ => {
            let scale = pick(random, &[Scale::Log2, Scale::LogLinear]);
            let most = max_slots(scale);
            let slots = size(random, most as u64 + 2, &[most, most, most + 1]);
            Kind::Histogram { scale, slots }
        }
    }
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
        Meaning::Label,
    ];
    let overflowing = random.below(30) == 0;
    Field {
        name: name.to_owned(),
        offset_bytes: if overflowing {
            usize::MAX - random.below(20) as usize
        } else {
            random.below(400) as usize
        },
        kind: kind(random),
        meaning: pick(random, &meanings),
        unit: pick(random, &units),
        help: pick(random, &["", "Help.", "a\nb\\\"\u{1b}"]).to_owned(),
        absent_if_ones: random.below(2) == 0,
        with_descendants: random.below(2) == 0,
    }
}

fn record(random: &mut Random) -> Record {
    let names: Vec<_> = NAMES.iter().filter(|_| random.below(4) == 0).collect();
    Record {
        size_bytes: size(random, 4000, &[1, 8192, 32 * 1024]),
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
        let rows = if plan.has_rows { random.below(4) } else { 1 };
        let record = bytes(random, rows as usize * plan.record.size_bytes);
        cgroups.push((path(random), record));
    }
    cgroups
}

fn assert_formats(plan: &Plan, cgroups: &[CgroupRecords<'_>]) {
    let mut out = Vec::new();
    for cgroup in cgroups {
        text(plan, cgroup.record, &mut out).unwrap();
        assert!(out.is_empty() || out.ends_with(b"\n"));
        let mut object = Vec::new();
        json(plan, cgroup.record, &mut object).unwrap();
        serde_json::from_slice::<serde_json::Value>(&object).unwrap();
    }
    out.clear();
    tree_json(plan, cgroups, &mut out, &mut |_| true).unwrap();
    assert_eq!(out.split(|b| *b == b'\n').count(), cgroups.len() + 1);
    for line in out.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<serde_json::Value>(line).unwrap();
    }
    out.clear();
    table(plan, cgroups, &mut out, &mut |_| true).unwrap();
    let shown = String::from_utf8(out).unwrap();
    let words = shown.lines().next().unwrap().split_whitespace().count();
    for line in shown.split_terminator('\n') {
        assert_eq!(line.split_whitespace().count(), words, "{line:?}");
        assert_eq!(line.trim_end(), line);
    }
    assert_prometheus(plan, cgroups);
    serde_json::from_slice::<serde_json::Value>(&schema(plan)).unwrap();
    String::from_utf8(help(plan)).unwrap();
}

fn assert_prometheus(plan: &Plan, cgroups: &[CgroupRecords<'_>]) {
    let mut out = Vec::new();
    prometheus(plan, cgroups, &mut out, &mut |_| true).unwrap();
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

fn assert_rejected(plan: &Plan, record: &[u8]) {
    let mut out = b"before".to_vec();
    let whole = vec![0; plan.record.size_bytes];
    let path = b"x";
    let cgroups = [&whole, record].map(|record| CgroupRecords { path, record });
    let results = [
        text(plan, record, &mut out),
        json(plan, record, &mut out),
        table(plan, &cgroups, &mut out, &mut |_| true),
        tree_json(plan, &cgroups, &mut out, &mut |_| true),
        prometheus(plan, &cgroups, &mut out, &mut |_| true),
    ];
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Length { .. } | Error::Rows { .. }));
    }
    assert_eq!(out, b"before");
}

#[test]
fn any_layout_and_any_bytes_render_or_are_rejected() {
    let mut random = Random::new(7);
    let (mut rendered, mut full_histograms) = (0, 0);
    for _ in 0..20_000 {
        let record = record(&mut random);
        let name = pick(&mut random, &["stats", "net.rx-b", "", "\u{e9}\n"]);
        let Ok(plan) = Plan::new(name, "Help.", &record) else {
            continue;
        };
        rendered += 1;
        let is_full = |kind| matches!(kind, Kind::Histogram { slots: 252, .. });
        full_histograms += usize::from(record.fields.iter().any(|f| is_full(f.kind)));
        let cgroups = cgroups(&mut random, &plan);
        let cgroups = cgroups
            .iter()
            .map(|(path, record)| CgroupRecords { path, record });
        assert_formats(&plan, &cgroups.collect::<Vec<_>>());
        if record.size_bytes > 1 {
            let incomplete = 1 + random.below(record.size_bytes as u64 - 1) as usize;
            assert_rejected(&plan, &vec![0; incomplete]);
            assert_rejected(&plan, &vec![0; 2 * record.size_bytes + incomplete]);
        }
    }
    assert!(rendered > 1000, "only {rendered} layouts are usable");
    assert!(full_histograms > 10, "only {full_histograms} layouts");
}
