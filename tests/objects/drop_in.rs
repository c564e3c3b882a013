//! View objects that come, change and go while cgview runs.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::objects::{Placed, is_absent, object, promptly, say, says, text};
use crate::common::{FixtureCgroup, Stop, id, less_if_emulated, read};

/// Writes a file in pieces over 600 ms.
fn write_slowly(path: &Path, bytes: &[u8]) {
    let mut file = fs::File::create(path).expect("create");
    for piece in bytes.chunks(bytes.len().div_ceil(6)) {
        file.write_all(piece).expect("write");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn an_object_that_is_dropped_in_is_seen_in_every_cgroup() {
    let cgroup = FixtureCgroup::new("drop");
    let child = cgroup.mkdir("a/b");
    let placed = Placed::new();
    let files = [&crate::common::cgroup_root(), cgroup.path(), &child]
        .map(|cgroup| (id(cgroup), placed.mount.dir_of(cgroup).join("greet")));
    assert!(files.iter().all(|(_, file)| is_absent(file)));
    let path = placed.put("any", &say("greet", "hello"));
    for (id, file) in &files {
        promptly("the view is there", || {
            read(file).is_ok_and(|text| text == format!("hello {id}\n"))
        });
        let dir = fs::read_dir(file.parent().expect("a parent")).expect("list");
        assert!(dir.flatten().any(|entry| entry.file_name() == "greet"));
    }
    let younger = placed.mount.dir_of(&cgroup.mkdir("later")).join("greet");
    assert!(says(&younger, "hello "));
    fs::remove_file(&path).expect("remove the object");
    for (_, file) in &files {
        promptly("the view is gone", || is_absent(file));
    }
    let dir = fs::read_dir(placed.mount.path()).expect("list");
    assert!(!dir.flatten().any(|entry| entry.file_name() == "greet"));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_replacement_takes_effect_however_it_is_written() {
    let placed = Placed::new();
    let view = placed.mount.join("greet");
    let path = placed.put("greet", &say("greet", "hello"));
    promptly("hello", || says(&view, "hello "));

    fs::copy(say("greet", "copied"), &path).expect("copy in place");
    promptly("copied", || says(&view, "copied "));

    let hidden = placed.views.path().join("new.tmp");
    fs::copy(say("greet", "moved"), &hidden).expect("copy beside");
    fs::rename(&hidden, &path).expect("rename over");
    promptly("moved", || says(&view, "moved "));

    let bytes = fs::read(say("greet", "written")).expect("read an object");
    write_slowly(&path, &bytes);
    promptly("written", || says(&view, "written "));
    assert!(
        !placed.mount.log().contains("not used"),
        "a half object was tried"
    );

    fs::rename(&path, placed.file("other")).expect("rename");
    thread::sleep(Duration::from_millis(300));
    promptly("written, from its new name", || says(&view, "written "));
    fs::remove_file(placed.file("other")).expect("remove");
    promptly("the view is gone", || is_absent(&view));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn readers_see_no_gap_while_an_object_is_replaced() {
    // An emulated machine takes seconds for each.
    let replacements = less_if_emulated(50, 3);
    let cgroup = FixtureCgroup::new("gap");
    let placed = Placed::new();
    let objects = [say("greet", "tick"), say("greet", "tock")];
    let path = placed.put("greet", &objects[0]);
    let view = placed.mount.dir_of(cgroup.path()).join("greet");
    promptly("tick", || says(&view, "tick "));
    let expected = ["tick", "tock"].map(|word| format!("{word} {}\n", cgroup.id()));
    let (done, reads) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let text = read(&view).unwrap_or_else(|error| format!("{error}"));
                    assert!(expected.contains(&text), "a reader got {text:?}");
                    assert!(view.exists(), "no file");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let end = Stop(&done);
        for round in 1..=replacements {
            let index = round as usize % 2;
            let hidden = placed.views.path().join("new.tmp");
            fs::copy(&objects[index], &hidden).expect("copy beside");
            fs::rename(&hidden, &path).expect("rename over");
            let word = &expected[index];
            promptly("the replacement", || says(&view, word));
        }
        drop(end);
    });
    println!("{} reads", reads.load(Ordering::Relaxed));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_bad_replacement_leaves_the_old_view_and_is_reported() {
    let placed = Placed::new();
    let view = placed.mount.join("greet");
    let path = placed.put("greet", &say("greet", "hello"));
    promptly("hello", || says(&view, "hello "));
    let good = fs::read(say("greet", "hello")).expect("read an object");
    let bad = object("refused", &[]);
    for bytes in [
        &good[..good.len() / 2],
        b"no ELF",
        b"",
        &fs::read(bad).expect("read"),
    ] {
        fs::write(&path, bytes).expect("replace");
        let reason = placed.refusal(&path);
        assert!(
            reason.starts_with("the one before stays in use: "),
            "{reason}"
        );
        assert!(says(&view, "hello "));
        assert_eq!(placed.status_of(&path)["live"], true);
        fs::copy(say("greet", "hello"), &path).expect("restore");
        promptly("used again", || placed.status_of(&path)["reason"].is_null());
    }
    fs::write(&path, b"bad").expect("replace");
    placed.refusal(&path);
    fs::remove_file(&path).expect("remove");
    promptly("the view is gone", || is_absent(&view));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn an_object_written_without_cgview_works_unchanged() {
    let cgroup = FixtureCgroup::new("stranger");
    let placed = Placed::new();
    let path = placed.put("stranger", &object("stranger", &[]));
    let child = cgroup.mkdir("child");
    let view = placed.mount.dir_of(&child).join("execs");
    promptly("execs 0", || says(&view, "execs 0\n"));
    let procs: PathBuf = child.join("cgroup.procs");
    for _ in 0..3 {
        crate::common::sh(&format!("echo $$ > {} && exec true", procs.display()));
    }
    assert_eq!(read(&view).expect("read"), "execs 3\n");
    let status = placed.status_of(&path);
    assert_eq!(text(&status["collectors"][0]["name"]), "on_exec");
    assert_eq!(status["collectors"][0]["live"], true);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn optional_programs_may_be_missing() {
    let placed = Placed::new();
    let path = placed.put("optional", &object("optional", &[]));
    let view = placed.mount.join("which");
    promptly("which", || {
        says(&view, "there 1 nowhere 0 unattached 0 refused 0\n")
    });
    assert!(is_absent(&placed.mount.join("refused")));
    let status = placed.status_of(&path);
    let named = |list: &str, name: &str| {
        let mut entries = status[list].as_array().expect("a list").iter();
        entries.find(|e| e["name"] == name).expect("there").clone()
    };
    assert_eq!(named("collectors", "there")["live"], true);
    let nowhere = text(&named("collectors", "nowhere")["reason"]);
    assert!(nowhere.contains("cgview_no_such_tracepoint"), "{nowhere}");
    assert_eq!(named("collectors", "unattached")["live"], false);
    let refused = text(&named("views", "refused")["reason"]);
    assert!(refused.contains("invalid mem access"), "{refused}");
}
