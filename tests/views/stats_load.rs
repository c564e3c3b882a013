//! The values of `stats` are those of cgroupfs also while the cgroup works.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::resident::Resident;
use crate::common::watched::{EVENTS, Watched, same_as};
use crate::common::{
    FixtureCgroup, MountedCgview, eventually, has_controller, less_if_emulated, value,
};

/// How user and system time share the exact usage comes from ticks, and depends on when it was asked
/// for before: ours and that of cpu.stat stay some ticks apart, more where a guest's ticks come late.
const TICKS_USEC: u64 = 100_000;

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn nr_threads_counts_the_threads_of_the_cgroup_alone() {
    let cgroup = FixtureCgroup::new("threads");
    let mount = MountedCgview::of(&cgroup);
    for controller in ["memory", "io"] {
        // Domain controllers; a threaded cgroup can have none of them.
        let control = cgroup.path().join("cgroup.subtree_control");
        let _ = fs::write(control, format!("-{controller}"));
    }
    let children = [cgroup.mkdir("a"), cgroup.mkdir("b")];
    for child in &children {
        fs::write(child.join("cgroup.type"), "threaded").expect("threaded");
    }
    let script = "exec python3 -S -c 'import threading, time\n\
                  for _ in range(7): threading.Thread(target=time.sleep, args=(999,)).start()'";
    let resident = Resident::new(cgroup.path(), script);
    let tasks = PathBuf::from(format!("/proc/{}/task", resident.pid()));
    let threads = || -> Vec<_> { fs::read_dir(&tasks).expect("list").flatten().collect() };
    eventually(Duration::from_secs(60), "eight threads", || {
        threads().len() == 8
    });
    for (thread, child) in threads()
        .iter()
        .skip(1)
        .zip(children.iter().cycle())
        .take(5)
    {
        let tid = thread.file_name().into_string().expect("a number");
        fs::write(child.join("cgroup.threads"), tid).expect("move the thread");
    }
    for (path, expected) in [(cgroup.path(), 3), (&*children[0], 3), (&*children[1], 2)] {
        let watched = Watched::new(&mount, path);
        let native = fs::read_to_string(path.join("cgroup.threads")).expect("read");
        assert_eq!(native.lines().count(), expected);
        assert_eq!(watched.value("nr_threads"), Some(expected as u64));
        assert_eq!(
            watched.value("pids_current"),
            watched.native("pids.current", None)
        );
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn cpu_time_is_that_of_cpu_stat_while_it_runs() {
    let cgroup = FixtureCgroup::new("cpu");
    let child = cgroup.mkdir("child");
    let mount = MountedCgview::of(&cgroup);
    let parent = Watched::new(&mount, cgroup.path());
    let child = Watched::new(&mount, &child);
    let _busy = Resident::new(&child.cgroup, "while :; do read -r _ </proc/version; done");
    for _ in 0..less_if_emulated(100, 10) {
        for watched in [&parent, &child] {
            let (usage, native) = watched.bracketed("usage_usec", "cpu.stat", "usage_usec");
            assert!(native.contains(&usage), "{usage} not in {native:?}");
            for key in ["user_usec", "system_usec"] {
                let (part, native) = watched.bracketed(key, "cpu.stat", key);
                let (least, most) = (
                    native.start().saturating_sub(TICKS_USEC),
                    native.end() + TICKS_USEC,
                );
                assert!(
                    (least..=most).contains(&part),
                    "{key} {part} not near {native:?}"
                );
            }
        }
    }
    eventually(Duration::from_secs(60), "both parts grow", || {
        child.value("user_usec") > Some(0) && child.value("system_usec") > Some(0)
    });
    let text = child.text();
    let [usage, user, system] =
        ["usage_usec", "user_usec", "system_usec"].map(|key| value(&text, key).expect("there"));
    assert!(
        usage - 1 <= user + system && user + system <= usage,
        "{text}"
    );
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn throttling_is_that_of_cpu_stat() {
    let cgroup = FixtureCgroup::new("throttled");
    let child = cgroup.mkdir("child");
    let mount = MountedCgview::of(&cgroup);
    let watched = Watched::new(&mount, &child);
    if !has_controller(&child, "cpu") {
        for key in ["nr_periods", "nr_throttled", "throttled_usec"] {
            assert_eq!(watched.value(key), None);
        }
        return;
    }
    fs::write(child.join("cpu.max"), "2000 20000").expect("cpu.max");
    let _busy = Resident::busy(&child);
    eventually(Duration::from_secs(60), "it was throttled", || {
        watched.value("nr_throttled") > Some(5)
    });
    for key in ["nr_periods", "nr_throttled", "throttled_usec"] {
        let (shown, native) = watched.bracketed(key, "cpu.stat", key);
        assert!(native.contains(&shown), "{key} {shown} not in {native:?}");
        assert!(shown > 0);
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn memory_and_pids_are_those_of_cgroupfs_at_their_limits() {
    let cgroup = FixtureCgroup::new("limits");
    let child = cgroup.mkdir("child");
    let mount = MountedCgview::of(&cgroup);
    let watched = Watched::new(&mount, &child);
    if !has_controller(&child, "memory") || !has_controller(&child, "pids") {
        return watched.assert_same_as_cgroupfs();
    }
    for (file, limit) in [("memory.high", "8M"), ("memory.swap.max", "0")] {
        fs::write(child.join(file), limit).unwrap_or_else(|e| panic!("{file}: {e}"));
    }
    let over_high = "sleep 1 & dd if=/dev/zero of=/dev/null bs=12M count=1 2>/dev/null; wait";
    Resident::new(&child, over_high).wait();
    fs::write(child.join("memory.max"), "9M").expect("memory.max");
    fs::write(child.join("memory.high"), "max").expect("memory.high");
    Resident::new(&child, "tail /dev/zero 2>/dev/null").wait();
    eventually(Duration::from_secs(20), "the cgroup is empty", || {
        watched.native("cgroup.events", Some("populated")) == Some(0)
    });
    let keys = [
        "pids_peak",
        "memory_peak_bytes",
        "memory_events_high",
        "memory_events_max",
    ];
    for key in keys.into_iter().chain(EVENTS.map(|(key, _, _)| key)) {
        let file = same_as().find(|(other, _, _)| *other == key);
        let (_, file, _) = file.expect("listed");
        let there = child.join(file).exists();
        assert_eq!(
            watched.value(key).is_some_and(|count| count > 0),
            there,
            "{key}"
        );
    }
    eventually(
        Duration::from_secs(20),
        "the values stand still and are the same",
        || {
            let text = watched.text();
            same_as().all(|(key, file, of)| value(&text, key) == watched.native(file, of))
        },
    );
}
