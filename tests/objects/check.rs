//! `cgview --check`: what is in an object, and what would become of it here.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::common::objects::{Placed, example, object, renamed, say, text};
use crate::common::{CGVIEW, FixtureDir, run, sh};

/// `CGVIEW_ABI` of the authoring header.
const ABI: u32 = 2;

fn check(words: &[&str], object: &Path) -> (bool, String, String) {
    let words = words.iter().map(AsRef::as_ref);
    let output: Output = run(CGVIEW, words.chain([object.as_os_str()]));
    let string = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.success(),
        string(output.stdout),
        string(output.stderr),
    )
}

/// The reason for which an object cannot be used: on standard error, and the same in the JSON.
fn refusal(object: &Path) -> String {
    let (usable, _, complaint) = check(&["--check"], object);
    assert!(!usable, "{} is usable", object.display());
    let (usable, json, _) = check(&["--check", "--json"], object);
    assert!(!usable);
    let manifest: Value = serde_json::from_str(&json).expect("JSON");
    let reason = text(&manifest["unavailable"]);
    assert!(complaint.contains(&reason), "{complaint}: {reason}");
    assert!(
        complaint.contains(&object.display().to_string()),
        "{complaint}"
    );
    complaint
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_good_object_is_described_with_exit_status_0() {
    let (usable, shown, complaint) = check(&["--check"], &object("stranger", &[]));
    assert!(usable, "{complaint}");
    assert_eq!(complaint, "");
    for line in [
        "view execs (text) iter/cgroup verified_insns ",
        "collector on_exec tp_btf/sched_process_exec verified_insns ",
        "map counts size_bytes ",
    ] {
        let found = shown.lines().find(|shown| shown.starts_with(line));
        let number = found.and_then(|found| found[line.len()..].parse::<u64>().ok());
        assert!(number.is_some_and(|number| number > 0), "{line}: {shown}");
    }
    let (usable, shown, _) = check(&["--check"], &example("runqlat"));
    assert!(usable && shown.contains("view runqlat (record)"), "{shown}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn jq_reads_the_json_of_check() {
    let object = object("walks", &[]);
    let command = format!("{CGVIEW} --check --json {}", object.display());
    let names = sh(&format!("{{ {command} || true; }} | jq -r '.views[].name'"));
    let names = String::from_utf8(names).expect("UTF-8");
    assert_eq!(
        names.lines().collect::<Vec<_>>(),
        [
            "itself",
            "walk.pre-order",
            "post",
            "up",
            "children",
            "first",
            "sleepy"
        ]
    );
    let live = sh(&format!(
        "{{ {command} || true; }} | jq '[.views[].program.unavailable == null] | index(true)'"
    ));
    assert_eq!(live, b"0\n");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_missing_hook_is_named() {
    let nonexistent = object("collector", &["HOOK=\"tp_btf/cgview_no_such\"", "VIEW"]);
    let reason = refusal(&nonexistent);
    assert!(reason.contains("cgview_no_such"), "{reason}");
    let unattached = object("collector", &["HOOK=\"kprobe/cgview_no_such\"", "VIEW"]);
    let reason = refusal(&unattached);
    assert!(reason.contains("collector collector: attach"), "{reason}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_refusal_ends_with_the_end_of_the_verifiers_log() {
    let reason = refusal(&object("refused", &[]));
    assert!(
        reason.contains("infinite loop detected") || reason.contains("loop"),
        "{reason}"
    );
    assert!(reason.lines().count() <= 9, "{reason}");
    assert!(!reason.contains("processed "), "{reason}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn an_object_without_a_view_is_refused() {
    let reason = refusal(&object(
        "collector",
        &["HOOK=\"tp_btf/sched_process_exec\""],
    ));
    assert!(reason.contains("no iter/cgroup program"), "{reason}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_file_that_is_no_object_is_refused_with_a_reason() {
    let dir = FixtureDir::new("check");
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("write");
        path
    };
    assert!(refusal(&file("empty", b"")).contains("the file is empty"));
    let good = fs::read(say("greet", "hello")).expect("read");
    for bytes in [b"no ELF at all".as_slice(), &good[..good.len() / 2]] {
        let reason = refusal(&file("bad", bytes));
        assert!(reason.lines().count() == 1 && reason.len() > 40, "{reason}");
    }
    assert!(refusal(Path::new("/bin/true")).len() > 40);
    for path in [dir.path().join("nowhere"), dir.path().to_owned()] {
        let (usable, shown, complaint) = check(&["--check"], &path);
        assert!(!usable && shown.is_empty());
        assert!(
            complaint.contains(&path.display().to_string()),
            "{complaint}"
        );
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn an_object_of_another_abi_is_refused_by_name() {
    let dir = FixtureDir::new("abi");
    let (good, tag) = (example("net"), format!("cgview:abi={ABI}"));
    // Before the first version that has a tag, there was one without.
    for (found, other) in [("9", "cgview:abi=9"), ("1", "cgview:abi:2")] {
        let path = dir.path().join(found);
        fs::write(&path, renamed(&good, &tag, other)).expect("write");
        let why = format!("built with cgview ABI {found}, this cgview knows {ABI}");
        let reason = refusal(&path);
        assert!(reason.contains(&why), "{reason}");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn check_refuses_what_the_mount_refuses_with_the_same_reason() {
    let placed = Placed::new();
    let named = |define: &str| object("say", &["VIEW=bad", "TEXT=\"bad\"", define]);
    for (name, object, why) in [
        ("slash", named("NAME=\"a/b\""), "\"a/b\" cannot be the name"),
        ("clash", object("unusable", &[]), "field \"cgroup\""),
    ] {
        let refused = placed.refusal(&placed.put(name, &object));
        assert!(refused.contains(why), "{name}: {refused}");
        let check = run(CGVIEW, ["--check".as_ref(), object.as_os_str()]);
        let complaint = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(!check.status.success(), "{name} passes the check");
        assert!(complaint.contains(&refused), "{complaint}: {refused}");
    }
}
