//! Objects that cannot be used: each is reported with its reason, and harms nothing else.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::common::objects::{
    BEING_LOADED, PATIENCE, Placed, eventually_says, is_absent, object, promptly, say, says, text,
};
use crate::common::{FixtureCgroup, eventually, less_if_emulated, run, sh};

/// A mount with a view that works.
fn with_good_view() -> (Placed, PathBuf) {
    let placed = Placed::new();
    placed.put("good", &say("good", "alive"));
    let view = placed.mount.join("good");
    eventually_says(&view, "alive ");
    (placed, view)
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn files_of_the_wrong_kind_are_reported() {
    let (placed, view) = with_good_view();
    let file = |name: &str| placed.file(name);
    symlink(file("loop"), file("loop")).expect("symlink");
    symlink("/nowhere", file("dangling")).expect("symlink");
    symlink("/dev/null", file("device")).expect("symlink");
    sh(&format!("mkfifo {}", file("fifo").display()));
    let huge = fs::File::create(file("huge")).expect("create");
    huge.set_len((16 << 20) + 1).expect("grow");
    fs::write(file("empty"), b"").expect("write");
    fs::write(file("script"), b"#!/bin/sh\nexit 0\n").expect("write");
    fs::copy("/bin/true", file("machine")).expect("copy");
    placed.put("writable", &say("bad", "bad"));
    fs::set_permissions(file("writable"), Permissions::from_mode(0o666)).expect("chmod");
    placed.put("owned", &say("bad", "bad"));
    chown(file("owned"), Some(65534), None).expect("chown");
    for (name, why) in [
        ("loop", "symbolic links"),
        ("dangling", "No such file"),
        ("device", "not a regular file"),
        ("fifo", "not a regular file"),
        ("huge", "larger than 16 MiB"),
        ("empty", "empty"),
        ("script", ""),
        ("machine", ""),
        ("writable", "chmod go-w"),
        ("owned", "chown root"),
    ] {
        let reason = placed.refusal(&file(name));
        assert!(reason.contains(why), "{name}: {reason}");
        println!("{name}: {reason}");
        assert!(says(&view, "alive "));
    }
    assert!(is_absent(&placed.mount.join("bad")));
    // What is repaired is used.
    fs::set_permissions(file("writable"), Permissions::from_mode(0o644)).expect("chmod");
    eventually_says(&placed.mount.join("bad"), "bad ");
    fs::remove_file(file("dangling")).expect("remove");
    placed.put("dangling", &say("found", "found"));
    eventually_says(&placed.mount.join("found"), "found ");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_directory_called_like_an_object_is_a_placement() {
    let cgroup = FixtureCgroup::at(crate::common::cgroup_root().join("cgview-test-x.bpf.o"));
    let (placed, _) = with_good_view();
    placed.put("cgview-test-x.bpf.o/greet", &say("greet", "hello"));
    eventually_says(&placed.mount.dir_of(cgroup.path()).join("greet"), "hello ");
    assert!(is_absent(&placed.mount.join("greet")));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn truncated_and_flipped_objects_are_refused_or_work() {
    let (placed, view) = with_good_view();
    let good = fs::read(object("stranger", &[])).expect("read an object");
    let mut files = Vec::new();
    let parts = less_if_emulated(20, 5);
    for part in 0..parts {
        let cut = placed.file(format!("cut{part}"));
        fs::write(&cut, &good[..good.len() * part / parts]).expect("write");
        let mut bytes = good.clone();
        let at = good.len() * part / parts + part;
        bytes[at] ^= 1 << (part % 8);
        let flipped = placed.file(format!("flip{part}"));
        fs::write(&flipped, bytes).expect("write");
        files.extend([(cut, false), (flipped, true)]);
    }
    for (file, may_work) in files {
        let status = placed.status_of(&file);
        let reason = text(&status["reason"]);
        assert_eq!(status["live"] == true, reason.is_empty(), "{status}");
        assert!(may_work || !reason.is_empty(), "{status}");
        assert!(!reason.contains("SIGABRT"), "{status}");
    }
    assert!(says(&view, "alive "));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn impossible_programs_maps_and_names_are_refused_with_the_reason() {
    let (placed, view) = with_good_view();
    let named = |define: &str| object("say", &["VIEW=bad", "TEXT=\"bad\"", define]);
    let maps = |entries: &str| object("maps", &[&format!("ENTRIES={entries}")]);
    for (name, object, why) in [
        ("endless", object("refused", &[]), "loop"),
        ("map", maps("0xffffffff"), "elements alone"),
        // Less than the machine may have, but more than an object should.
        ("limit", maps("0x100000"), "1073741824"),
        ("slash", named("NAME=\"a/b\""), "\"a/b\" cannot be the name"),
        ("dot", named("NAME=\".hidden\""), "cannot be the name"),
        (
            "twice",
            named("TWICE=\"bad\""),
            "two of its views are called bad",
        ),
    ] {
        let path = placed.put(name, &object);
        let reason = placed.refusal(&path);
        assert!(reason.contains(why), "{name}: {reason}");
        assert!(says(&view, "alive "));
    }
    assert!(is_absent(&placed.mount.join("bad")));
    placed.put("map", &maps("1000"));
    eventually_says(&placed.mount.join("elements_of"), "found 0");
}

/// The loader that the daemon has started and that runs now.
fn loader(of: u32) -> Option<String> {
    let parent = of.to_string();
    let output = run("pgrep", ["-P", &parent, "-f", "--", "--load"]).stdout;
    let output = String::from_utf8_lossy(&output).into_owned();
    output.lines().next().map(str::to_owned)
}

/// Sends a signal to the loader of an object that keeps it busy; gives its process id.
fn signal_loader(placed: &Placed, signal: &str) -> String {
    let mut found = None;
    let mut next_put = Instant::now();
    eventually(PATIENCE, "the loader gets a signal", || {
        // On a busy machine a loader may come and go unseen.
        if Instant::now() >= next_put {
            placed.put("slow", &object("slow", &[]));
            next_put = Instant::now() + Duration::from_secs(10);
        }
        found = loader(placed.mount.pid());
        let mut pid = found.iter();
        pid.any(|pid| run("kill", [signal, pid.as_str()]).status.success())
    });
    found.expect("a loader")
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn an_object_that_crashes_its_loader_is_reported() {
    let (placed, view) = with_good_view();
    signal_loader(&placed, "-ABRT");
    promptly("the signal is the reason", || {
        let reason = placed.refusal(&placed.file("slow"));
        reason.contains("the loader ended with signal: 6")
    });
    assert!(says(&view, "alive "));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn an_object_that_hangs_its_loader_holds_up_nothing() {
    let (placed, view) = with_good_view();
    let pid = signal_loader(&placed, "-STOP");
    let other = placed.put("other", &say("other", "other"));
    eventually_says(&placed.mount.join("other"), "other ");
    fs::remove_file(other).expect("remove");
    promptly("the other view is gone", || {
        is_absent(&placed.mount.join("other"))
    });
    assert!(says(&view, "alive "));
    assert_eq!(loader(placed.mount.pid()).as_ref(), Some(&pid));
    let status = fs::read_to_string(placed.mount.join(".cgview/status")).expect("status");
    assert!(status.contains(BEING_LOADED), "{status}");
    let started = Instant::now();
    drop(placed);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(15), "the end took {took:?}");
    promptly("the loader is gone", || {
        !fs::exists(format!("/proc/{pid}")).expect("stat")
    });
}
