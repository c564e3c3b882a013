//! The examples as their authors' machines see them: compiled by clang with cgview's headers alone,
//! dropped into a directory of views, read through a mount.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::burn::Burning;
use crate::common::shown::{SOURCE, Shown, compile_by_guide, cpus, sources, usage_usec};
use crate::common::{
    CGVIEW, FixtureCgroup, FixtureDir, cgroup_root, eventually, id, kernel_has, less_if_emulated,
    run, sh,
};

#[test]
fn no_example_is_longer_than_a_hundred_lines() {
    for (name, path) in sources("examples") {
        let lines = fs::read_to_string(path).expect("read").lines().count();
        assert!(lines <= 100, "{name} has {lines} lines");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn every_example_loads_or_the_reason_is_shown() {
    let dir = FixtureDir::new("check");
    for (name, source) in sources("examples") {
        let object = dir.path().join(format!("{name}.bpf.o"));
        compile_by_guide(&source, &object);
        let checked = run(CGVIEW, ["--check".as_ref(), object.as_os_str()]);
        let complaints = String::from_utf8_lossy(&checked.stderr);
        // The one example that needs more than the oldest kernel has.
        let usable = name != "tasks" || kernel_has("bpf_iter_css_task_new");
        assert_eq!(checked.status.success(), usable, "{name}: {complaints}");
        assert!(
            usable || complaints.contains("bpf_iter_css_task_new"),
            "{complaints}"
        );
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn wait_shows_the_longest_wait_for_a_cpu() {
    let cgroup = FixtureCgroup::new("wait");
    let (busy, idle) = (cgroup.mkdir("busy"), cgroup.mkdir("idle"));
    let shown = Shown::example("wait");
    let began = Instant::now();
    let _burning = Burning::new(&busy, 2 * cpus());
    let longest = || {
        let text = shown.read(&busy, "wait");
        let (of, longest) = text.trim_end().split_once(' ').expect("two words");
        assert_eq!(of.parse(), Ok(id(&busy)));
        Duration::from_nanos(longest.parse().expect("ns"))
    };
    // With two tasks a CPU, each waits while the other runs.
    eventually(Duration::from_secs(30), "a task waits 1 ms", || {
        longest() >= Duration::from_millis(1)
    });
    assert!(longest() < began.elapsed());
    assert_eq!(shown.read(&idle, "wait"), format!("{} 0\n", id(&idle)));
    // The tree of a text view is made of the same texts.
    let tree = shown.read(&cgroup.path().join("idle"), "wait.tree");
    assert_eq!(tree, format!("# .\n{} 0\n", id(&idle)));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn runqlat_accounts_for_the_time_that_no_cpu_was_given() {
    let cgroup = FixtureCgroup::new("runqlat");
    let busy = cgroup.mkdir("busy");
    let shown = Shown::example("runqlat");
    let processes = 2 * cpus();
    let burning = Burning::new(&busy, processes);
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(less_if_emulated(3, 2)));
    let json = shown.json(&busy, "runqlat.json");
    let used = usage_usec(&busy);
    let wanted = began.elapsed().as_micros() as f64 * processes as f64;
    let lat = &json["wait"];
    let number = |of: &str| {
        lat[of]
            .as_f64()
            .unwrap_or_else(|| panic!("no {of} in {lat}"))
    };
    // A task that never sleeps runs or waits. Those that wait just now are not counted yet.
    let sum = number("sum_usec");
    let accounted = (sum + used as f64) / wanted;
    // An emulated CPU now and then gets none itself.
    let least = less_if_emulated(0.7, 0.4);
    assert!(
        (least..1.3).contains(&accounted),
        "{used} used + {sum} waited of {wanted}"
    );
    let percentiles = ["p50_usec", "p90_usec", "p99_usec", "max_usec"].map(number);
    assert!(percentiles.is_sorted(), "{percentiles:?}");
    assert!(percentiles[0] > 0.0);
    let buckets = lat["buckets"].as_array().expect("buckets");
    let counts = buckets
        .iter()
        .map(|b| b["count"].as_u64().expect("a count"));
    assert_eq!(Some(counts.sum()), lat["count"].as_u64());
    drop(burning);
    let tree = shown.read(cgroup.path(), "runqlat.tree");
    assert_eq!(tree.lines().count(), 3, "{tree}");
    let metrics = shown.file(&busy, "runqlat.prom");
    sh(&format!("promtool check metrics < '{}'", metrics.display()));
}

/// Starts so many processes in a cgroup.
fn start_in(cgroup: &Path, processes: usize) {
    let script = "echo $$ > \"$0/cgroup.procs\" || exit; for ((i = 0; i < $1; i++)); do (:); done";
    let processes = processes.to_string();
    let output = run(
        "bash",
        [
            "-c".as_ref(),
            script.as_ref(),
            cgroup.as_os_str(),
            processes.as_ref(),
        ],
    );
    assert!(output.status.success(), "{output:?}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn forks_go_up_the_tree() {
    let cgroup = FixtureCgroup::new("forks");
    let all = cgroup.mkdir("all");
    let leaves = [cgroup.mkdir("all/first"), cgroup.mkdir("all/second")];
    let shown = Shown::example("forks");
    let forks = |cgroup: &Path| shown.json(cgroup, "forks.json")["forks"].as_u64();
    start_in(&leaves[0], 10);
    start_in(&leaves[1], 5);
    start_in(&all, 3);
    let by_cgroup = [&leaves[0], &leaves[1], &all].map(|cgroup| forks(cgroup));
    assert_eq!(by_cgroup, [Some(10), Some(5), Some(18)]);
    assert_eq!(forks(cgroup.path()), Some(18));
    fs::remove_dir(&leaves[0]).expect("rmdir");
    start_in(&leaves[1], 1);
    assert_eq!(forks(cgroup.path()), Some(19));
    let tree = shown.read(cgroup.path(), "forks.tree");
    let lines: Vec<Vec<&str>> = tree
        .lines()
        .map(|line| line.split(' ').filter(|word| !word.is_empty()).collect())
        .collect();
    let expected = [
        ["cgroup", "forks"],
        [".", "19"],
        ["all", "19"],
        ["all/second", "6"],
    ];
    assert_eq!(lines, expected);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn protoc_decodes_proto() {
    let cgroup = FixtureCgroup::new("proto");
    let long = "n".repeat(255);
    let child = cgroup.mkdir("a \"child\"");
    let shown = Shown::example("proto");
    let decoded = |cgroup: &Path| {
        let script = format!(
            "protoc --proto_path={SOURCE}/examples --decode=Cgroup proto.proto < '{}'",
            shown.file(cgroup, "proto").display()
        );
        String::from_utf8(sh(&script)).expect("UTF-8")
    };
    let level = cgroup
        .path()
        .strip_prefix(cgroup_root())
        .expect("below")
        .iter()
        .count();
    let expected = format!(
        "id: {}\nlevel: {}\nname: \"a \\\"child\\\"\"\n",
        id(&child),
        level + 1
    );
    assert_eq!(decoded(&child), expected);
    let deep = cgroup.mkdir(Path::new("a \"child\"").join(&long));
    assert!(decoded(&deep).contains(&format!("name: \"{long}\"")));
    assert!(decoded(&child).contains("nr_descendants: 1\n"));
    let root = decoded(&cgroup_root());
    assert!(root.starts_with("id: 1\nnr_descendants: "), "{root}");
}
