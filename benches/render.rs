//! How long the renderings of a whole hierarchy take, without the reads: `cargo bench --bench render`.

use std::time::{Duration, Instant};

use cgview::bpf::record::{
    CgroupRecords, Error, Field, Kind, Meaning, Plan, Record, Room, Scale, Unit, prometheus, table,
    text, tree_json,
};

const FIELDS: usize = 25;

type Render = fn(&Plan, &[CgroupRecords<'_>], &mut Vec<u8>, &mut Room<'_>) -> Result<(), Error>;

/// Counters and gauges of 8 bytes: times, sizes and plain numbers by turns.
fn numbers() -> Record {
    let field = |n: usize| Field {
        name: format!("field{n}"),
        offset_bytes: 8 * n,
        kind: Kind::Unsigned(8),
        meaning: [Meaning::Counter, Meaning::Gauge][n % 2],
        unit: [Unit::Nanoseconds, Unit::Bytes, Unit::None][n % 3],
        help: "A number.".to_owned(),
        absent_if_ones: n.is_multiple_of(5),
        with_descendants: false,
    };
    Record {
        size_bytes: 8 * FIELDS,
        fields: (0..FIELDS).map(field).collect(),
    }
}

fn latency() -> Record {
    let slots = 160;
    let lat = Field {
        name: "lat".to_owned(),
        offset_bytes: 0,
        kind: Kind::Histogram {
            scale: Scale::LogLinear,
            slots,
        },
        meaning: Meaning::Counter,
        unit: Unit::Nanoseconds,
        help: "A histogram.".to_owned(),
        absent_if_ones: false,
        with_descendants: false,
    };
    Record {
        size_bytes: 16 + 8 * slots,
        fields: vec![lat],
    }
}

/// Four rows a cgroup: a string and a small number as labels, two counters and a gauge.
fn row() -> Record {
    let field = |name: &str, offset_bytes, kind, meaning, unit| Field {
        name: name.to_owned(),
        offset_bytes,
        kind,
        meaning,
        unit,
        help: "A field of a row.".to_owned(),
        absent_if_ones: false,
        with_descendants: false,
    };
    let counter = Meaning::Counter;
    let fields = vec![
        field("device", 0, Kind::String(8), Meaning::Label, Unit::None),
        field("cpu", 8, Kind::Unsigned(4), Meaning::Label, Unit::None),
        field("reads", 16, Kind::Unsigned(8), counter, Unit::None),
        field("wait", 24, Kind::Unsigned(8), counter, Unit::Nanoseconds),
        field("level", 32, Kind::Signed(4), Meaning::Gauge, Unit::None),
    ];
    Record {
        size_bytes: 40,
        fields,
    }
}

/// The plain form of every cgroup, as reads of single files make it.
fn texts(
    plan: &Plan,
    cgroups: &[CgroupRecords<'_>],
    out: &mut Vec<u8>,
    _: &mut Room<'_>,
) -> Result<(), Error> {
    cgroups
        .iter()
        .try_for_each(|one| text(plan, one.record, out))
}

/// One record behind the other, of numbers from 1 to 13 digits.
fn records(record: &Record, cgroups: usize) -> Vec<u8> {
    let words = cgroups * record.size_bytes / 8;
    let number = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) >> (n % 41);
    (0..words as u64)
        .flat_map(|n| number(n).to_ne_bytes())
        .collect()
}

/// The shortest of several runs.
fn best(mut run: impl FnMut() -> Duration) -> Duration {
    (0..15).map(|_| run()).min().unwrap_or(Duration::MAX)
}

fn report(name: &str, render: Render, record: &Record, rows: usize, cgroups: usize) {
    let plan = Plan::new("stats", "Numbers.", record).unwrap();
    let bytes = records(record, rows * cgroups);
    let path = |n| format!("system.slice/group-{}.slice/unit-{n}.service", n / 100);
    let paths: Vec<_> = (0..cgroups).map(path).collect();
    let both = paths.iter().zip(bytes.chunks(rows * record.size_bytes));
    let rows = both.map(|(path, record)| CgroupRecords {
        path: path.as_bytes(),
        record,
    });
    let rows: Vec<_> = rows.collect();
    let timed = |out: &mut Vec<u8>| {
        let start = Instant::now();
        render(&plan, &rows, out, &mut |_| true).unwrap();
        start.elapsed()
    };
    let fresh = best(|| timed(&mut Vec::new()));
    let mut out = Vec::new();
    let reused = best(|| {
        out.clear();
        timed(&mut out)
    });
    let size_bytes = out.len();
    println!("{name:10} {cgroups:6} cgroups {size_bytes:9} bytes: {fresh:9.2?} {reused:9.2?}");
}

fn main() {
    println!("best of 15: in a new buffer, in a used one");
    for (kind, record, rows) in [
        ("25 numbers", numbers(), 1),
        ("1 histogram", latency(), 1),
        ("4 rows", row(), 4),
    ] {
        println!("{kind}");
        for cgroups in [10_000, 50_000] {
            report("text", texts, &record, rows, cgroups);
            report("table", table, &record, rows, cgroups);
            report("tree_json", tree_json, &record, rows, cgroups);
            report("prometheus", prometheus, &record, rows, cgroups);
        }
    }
}
