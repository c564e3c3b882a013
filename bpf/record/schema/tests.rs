//! Schema and help compared with output written by hand.

use super::*;
use crate::bpf::record::layout::Record;
use crate::bpf::record::sample::{field, latency, plain, record, row};
use serde_json::{Value, json};

fn read(record: &Record) -> Value {
    let plan = Plan::new("v", "What it is.", record).unwrap();
    serde_json::from_slice(&schema(&plan)).unwrap()
}

#[test]
fn a_field_has_its_unit_in_every_rendering() {
    let schema = read(&plain());
    assert_eq!(schema["view"], "v");
    assert_eq!(schema["rows"], "one");
    let usage = &schema["fields"][0];
    assert_eq!(usage["meaning"], "counter");
    assert_eq!(usage["absent"], Value::Null);
    assert_eq!(usage["raw"]["unit"], "nanoseconds");
    assert_eq!(usage["json"]["name"], "usage_usec");
    assert_eq!(usage["keys"], json!([usage["json"]]));
    let expected = json!({
        "name": "cgview_v_usage_seconds_total", "type": "counter", "unit": "seconds",
    });
    assert_eq!(usage["prometheus"], expected);
    assert_eq!(schema["fields"][1]["absent"], "all bits set");
    assert_eq!(schema["fields"][3]["prometheus"]["label"], "comm");
}

#[test]
fn a_histogram_has_its_keys_and_its_error() {
    let lat = &read(&latency())["fields"][0];
    assert_eq!(lat["keys"].as_array().unwrap().len(), 6);
    assert_eq!(lat["keys"][2]["name"], "lat_p50_usec");
    assert_eq!(lat["keys"][2]["type"], "decimal");
    assert_eq!(
        lat["json"],
        json!({
            "name": "lat", "type": "object", "unit": "usec", "help": "Time on the run queue.",
        })
    );
    assert_eq!(lat["raw"]["percentile_error_percent"], 12.5);
    assert_eq!(lat["raw"]["kind"]["histogram"]["scale"], "log_linear");
}

#[test]
fn a_label_field_is_a_label() {
    let schema = read(&row());
    assert_eq!(schema["rows"], "any number");
    let expected = json!({ "label": "dev", "type": "label", "unit": null });
    assert_eq!(schema["fields"][0]["prometheus"], expected);
}

#[test]
fn help_has_a_line_for_each_key() {
    let plan = Plan::new("v", "What it\nis.", &plain()).unwrap();
    let expected = "\
v: What it is.

usage_usec     usec   counter    CPU time consumed.
current_bytes  bytes  gauge
depth          -      gauge
comm           -      gauge
";
    assert_eq!(String::from_utf8(help(&plan)).unwrap(), expected);
}

#[test]
fn help_aligns_the_longest_names() {
    let name = "a".repeat(511);
    let fields = vec![
        field(&name, 0, Kind::Unsigned(8)),
        field("b", 8, Kind::Unsigned(8)),
    ];
    let plan = Plan::new("v", "", &record(16, fields)).unwrap();
    let shown = String::from_utf8(help(&plan)).unwrap();
    let expected = format!("{name}  -      gauge\nb{}  -      gauge\n", " ".repeat(510));
    assert!(shown.ends_with(&expected));
}
