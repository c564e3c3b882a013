//! `.cgview/status` and status.json: good enough to answer "the file isn't there: why?".

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::objects::{
    Placed, eventually_says, object, of_origin, promptly, renamed, say, status_of, text,
};
use crate::common::{FixtureCgroup, less_if_emulated, read, run};

/// `kernel.bpf_stats_enabled`, which is as before after the drop.
struct RunStatistics(String);

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl RunStatistics {
    fn on() -> RunStatistics {
        let before = fs::read_to_string(SWITCH).expect("read the switch");
        fs::write(SWITCH, "1").expect("count runs");
        RunStatistics(before)
    }
}

impl Drop for RunStatistics {
    fn drop(&mut self) {
        let _ = fs::write(SWITCH, self.0.trim());
    }
}

fn health(placed: &Placed, figure: &str) -> u64 {
    placed.status()["health"][figure].as_u64().expect(figure)
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn every_object_and_view_is_shown_with_origin_placement_and_state() {
    let cgroup = FixtureCgroup::new("status");
    let placed = Placed::with(",builtin=stats");
    let at = Path::new(cgroup.name()).join("below/x");
    let good = placed.put(&at, &object("stranger", &[]));
    let bad = placed.put("bad", &object("refused", &[]));
    promptly("loaded", || placed.status_of(&good)["live"] == true);
    let reason = placed.refusal(&bad);
    assert!(reason.contains("loop"), "{reason}");

    let status = placed.status_of(&good);
    let now = run("date", ["+%s"]).stdout;
    let now: u64 = String::from_utf8_lossy(&now)
        .trim()
        .parse()
        .expect("a time");
    let placement = format!("/{}/below", cgroup.name().display());
    assert_eq!(text(&status["placement"]), placement);
    let since = status["since"].as_u64().expect("since");
    assert!(since <= now && now - since < 300, "{since} {now}");
    assert!(
        status["map_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 100_000)
    );
    let view = &status["views"][0];
    assert_eq!(text(&view["name"]), "execs");
    assert_eq!(text(&view["kind"]), "text");
    assert_eq!(view["live"], true);
    assert!(
        view["verified_insns"]
            .as_u64()
            .is_some_and(|insns| insns > 5)
    );

    let builtin = status_of(&placed.mount, Path::new("builtin:stats"));
    assert_eq!(text(&builtin["placement"]), "/");
    assert_eq!(text(&builtin["views"][0]["kind"]), "record");
}

/// Asserts that the text has what the JSON says about each object.
fn agree(status: &Value, text_file: &str) {
    for object in status["objects"].as_array().expect("objects") {
        let state = if object["live"] == true {
            "live"
        } else {
            "unavailable"
        };
        let line = format!(
            "object {} placement {} {state} since {} map_bytes {}",
            text(&object["origin"]),
            text(&object["placement"]),
            object["since"],
            object["map_bytes"],
        );
        let (_, rest) = text_file
            .split_once(&line)
            .unwrap_or_else(|| panic!("{line}"));
        let part = rest.split("\nobject ").next().expect("a part");
        let reasons = text(&object["reason"]);
        for reason in reasons.lines() {
            assert!(part.contains(&format!("  because {reason}\n")), "{part}");
        }
        for view in object["views"].as_array().expect("views") {
            let (name, kind) = (text(&view["name"]), text(&view["kind"]));
            let state = if view["live"] == true {
                "live"
            } else {
                "unavailable"
            };
            assert!(
                part.contains(&format!("  view {name} {kind} {state} ")),
                "{part}"
            );
        }
        for collector in object["collectors"].as_array().expect("collectors") {
            let (name, section) = (text(&collector["name"]), text(&collector["section"]));
            assert!(
                part.contains(&format!("  collector {name} {section} ")),
                "{part}"
            );
        }
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_text_and_the_json_agree() {
    let placed = Placed::new();
    let first = placed.put("1", &say("greet", "hello"));
    placed.put("2", &say("greet", "hidden"));
    placed.put("optional", &object("optional", &[]));
    placed.put("walks", &object("walks", &[]));
    let bad = placed.put("bad", &object("refused", &[]));
    placed.refusal(&bad);
    for name in ["1", "2", "optional", "walks"] {
        promptly("loaded", || {
            placed.status_of(&placed.file(name))["live"] == true
        });
    }
    agree(
        &placed.status(),
        &read(&placed.mount.join(".cgview/status")).expect("status"),
    );
    fs::write(&first, b"bad").expect("replace by a bad one");
    let reason = placed.refusal(&first);
    assert!(reason.contains("stays in use"), "{reason}");
    let status = placed.status();
    let text_file = read(&placed.mount.join(".cgview/status")).expect("status");
    agree(&status, &text_file);
    let version = text(&status["version"]);
    assert!(text_file.starts_with(&format!("version {version}\n")));
    for figure in status["health"].as_object().expect("health").keys() {
        assert!(
            crate::common::value(&text_file, figure).is_some(),
            "{figure}"
        );
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn runs_and_their_mean_time_are_shown_while_the_kernel_counts_them() {
    let placed = Placed::new();
    let path = placed.put("greet", &say("greet", "hello"));
    let view = placed.mount.join("greet");
    eventually_says(&view, "hello ");
    let counting = RunStatistics::on();
    for _ in 0..10 {
        read(&view).expect("read");
    }
    let status = placed.status_of(&path);
    drop(counting);
    let runs = status["views"][0]["runs"].as_u64().expect("runs");
    let mean = status["views"][0]["mean_run_nsec"].as_u64().expect("mean");
    // A walk of one cgroup runs the program for it and for the end.
    assert!((10..100).contains(&runs), "{runs}");
    assert!((1..1_000_000_000).contains(&mean), "{mean}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_health_figures_move() {
    let cgroup = FixtureCgroup::new("health");
    let placed = Placed::with(",builtin=stats");
    let (cgroups, watches) = (health(&placed, "cgroups"), health(&placed, "watches"));
    let (events, links) = (health(&placed, "events"), health(&placed, "links"));
    let children: Vec<_> = (0..20).map(|n| cgroup.mkdir(n.to_string())).collect();
    promptly("events", || health(&placed, "events") >= events + 20);
    // Other tests make and remove cgroups beside this one.
    promptly("cgroups", || {
        health(&placed, "cgroups") + 10 >= cgroups + 20
    });
    promptly("watches", || {
        health(&placed, "watches") + 10 >= watches + 20
    });
    for child in &children {
        read(&placed.mount.dir_of(child).join("stats")).expect("read");
    }
    assert!(health(&placed, "links") >= links + 20);
    let open_files = health(&placed, "open_files");
    let stats = placed.mount.dir_of(cgroup.path()).join("stats.tree");
    let open = fs::File::open(&stats).expect("open");
    assert!(health(&placed, "open_files") > open_files);
    drop(open);
    promptly("closed", || health(&placed, "open_files") <= open_files);
    for child in &children {
        fs::remove_dir(child).expect("rmdir");
    }
    promptly("links are released", || {
        health(&placed, "links") < links + 20
    });
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn three_hundred_objects_at_once_are_live_soon_and_shown_fast() {
    let objects = less_if_emulated(300, 6);
    let placed = Placed::new();
    let one = say("greet000", "hello");
    let started = Instant::now();
    for n in 0..objects {
        let bytes = renamed(&one, "greet000", &format!("greet{n:03}"));
        fs::write(placed.file(format!("{n}")), bytes).expect("write an object");
    }
    let live = |status: &Value| {
        let mine = (0..objects).map(|n| placed.file(format!("{n}")));
        mine.filter(|file| of_origin(status, file).is_some_and(|o| o["live"] == true))
            .count()
    };
    crate::common::eventually(Duration::from_secs(200), "all are live", || {
        std::thread::sleep(Duration::from_millis(100));
        live(&placed.status()) == objects
    });
    println!("{objects} objects were live after {:?}", started.elapsed());
    let asked = Instant::now();
    let status = placed.status();
    let text_file = read(&placed.mount.join(".cgview/status")).expect("status");
    let took = asked.elapsed();
    println!("status and status.json took {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    agree(&status, &text_file);
    let names = fs::read_dir(placed.mount.path()).expect("list").flatten();
    let views = names.filter(|e| e.file_name().to_string_lossy().starts_with("greet"));
    assert_eq!(views.count(), objects);
    for n in [0, objects - 1] {
        eventually_says(&placed.mount.join(format!("greet{n:03}")), "hello ");
    }
}
