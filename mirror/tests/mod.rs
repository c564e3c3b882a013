//! The mirror against a real cgroupfs.

mod access;
mod churn;
mod covered;
mod deep;
mod rename;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::fixture::FixtureCgroup;
use super::*;

type Changes = Arc<Mutex<Vec<Change>>>;

fn start(path: &Path) -> (Mirror, Changes) {
    let changes = Changes::default();
    let reported = Arc::clone(&changes);
    let source = open_source(path).unwrap();
    let mirror = Mirror::start(source.fd, move |change| reported.lock().push(change)).unwrap();
    (mirror, changes)
}

/// A quarter of it in a guest of tests/vm/run, which has no KVM.
fn less_if_emulated(times: usize) -> usize {
    let emulated = std::env::var_os("CGVIEW_KERNEL").is_some();
    if emulated { times / 4 } else { times }
}

#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn gone_ids(changes: &Changes) -> Vec<CgroupId> {
    let gone = |change: &Change| match change {
        Change::Gone { id, .. } => Some(*id),
        _ => None,
    };
    changes.lock().iter().filter_map(gone).collect()
}

fn appeared_ids(changes: &Changes) -> Vec<CgroupId> {
    let appeared = |change: &Change| match change {
        Change::Appeared { id, .. } => Some(*id),
        _ => None,
    };
    changes.lock().iter().filter_map(appeared).collect()
}

#[test]
#[ignore = "needs root and cgroup2"]
fn first_scan_knows_paths_ids_and_ancestors() {
    let fixture = FixtureCgroup::new();
    let leaf = fixture.make("a/b/c");
    let a = fixture.make("a");
    let (mirror, changes) = start(fixture.path());

    assert_eq!(mirror.root().0, fs::metadata(fixture.path()).unwrap().ino());
    assert_eq!(mirror.health().cgroups, 4);
    assert_eq!(mirror.path(leaf).unwrap(), Path::new("a/b/c"));
    assert_eq!(mirror.path(mirror.root()).unwrap(), Path::new(""));
    assert_eq!(mirror.parent(a).unwrap(), Some(mirror.root()));
    assert_eq!(mirror.parent(mirror.root()).unwrap(), None);
    assert_eq!(mirror.ancestors(leaf).unwrap().len(), 4);
    assert_eq!(mirror.list(mirror.root()).unwrap(), [("a".into(), a)]);
    assert!(changes.lock().is_empty());
}

#[test]
#[ignore = "needs root and cgroup2"]
fn nested_cgroups_are_found_at_once_and_reported_soon() {
    let fixture = FixtureCgroup::new();
    let (mirror, changes) = start(fixture.path());
    for round in 0..100 {
        let top = format!("r{round}");
        let leaf = fixture.make(&format!("{top}/b/c/d"));
        let mut at = mirror.root();
        for name in [top.as_str(), "b", "c", "d"] {
            at = mirror.lookup(at, OsStr::new(name)).unwrap();
        }
        assert_eq!(at, leaf);
        let path = format!("{top}/b/c/d");
        assert_eq!(mirror.path(leaf).unwrap(), Path::new(&path));
    }
    eventually("400 appear", || appeared_ids(&changes).len() == 400);
    eventually("each is watched, and the one above the source", || {
        mirror.health().watches == mirror.health().cgroups + 1
    });
}

#[test]
#[ignore = "needs root and cgroup2"]
fn events_alone_find_nested_cgroups() {
    let fixture = FixtureCgroup::new();
    let (_mirror, changes) = start(fixture.path());
    let mut made = HashSet::new();
    for round in 0..100 {
        for path in ["", "/b", "/b/c", "/b/c/d"] {
            made.insert(fixture.make(&format!("r{round}{path}")));
        }
    }
    eventually("all appear", || appeared_ids(&changes).len() == 400);
    let reported: HashSet<_> = appeared_ids(&changes).into_iter().collect();
    assert_eq!(reported, made);
}

#[test]
#[ignore = "needs root and cgroup2"]
fn removed_cgroup_is_gone_at_once_and_reported_once() {
    let fixture = FixtureCgroup::new();
    let id = fixture.make("a");
    let (mirror, changes) = start(fixture.path());
    fixture.remove("a");
    assert!(!mirror.is_alive(id).unwrap());
    assert!(matches!(mirror.open(id), Err(Error::Gone(gone)) if gone == id));
    assert!(matches!(
        mirror.lookup(mirror.root(), OsStr::new("a")),
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        mirror.lookup(id, OsStr::new("b")),
        Err(Error::Gone(_))
    ));
    assert!(matches!(mirror.list(id), Err(Error::Gone(_))));
    eventually("gone", || gone_ids(&changes) == [id]);
    assert!(matches!(mirror.path(id), Err(Error::Gone(_))));
}

#[test]
#[ignore = "needs root and cgroup2"]
fn removal_of_the_source_is_reported() {
    let fixture = FixtureCgroup::new();
    let source = fixture.make("source");
    let (mirror, changes) = start(&fixture.path().join("source"));
    fixture.remove("source");
    eventually("the root is gone", || gone_ids(&changes) == [source]);
    assert!(matches!(mirror.list(source), Err(Error::Gone(_))));
    assert!(matches!(mirror.path(source), Err(Error::Gone(_))));
}

#[test]
#[ignore = "needs root and cgroup2"]
fn cgroup_beside_the_source_is_outside() {
    let fixture = FixtureCgroup::new();
    fixture.make("source");
    let beside = fixture.make("beside/below");
    let (mirror, _) = start(&fixture.path().join("source"));
    assert!(matches!(mirror.path(beside), Err(Error::Outside(id)) if id == beside));
    for name in ["..", ".", "", "a/b", "cgroup.procs"] {
        assert!(matches!(
            mirror.lookup(mirror.root(), OsStr::new(name)),
            Err(Error::NotFound { .. })
        ));
    }
}

#[test]
#[ignore = "needs root and cgroup2"]
fn unusual_names_are_kept_as_they_are() {
    let fixture = FixtureCgroup::new();
    let (mirror, changes) = start(fixture.path());
    let names = [" ", "a\\x2db", "'\"$()", "\u{e4}\u{1f600}", "..."].map(str::to_owned);
    let made: BTreeMap<_, _> = names.into_iter().map(|n| (fixture.make(&n), n)).collect();
    eventually("all appear", || appeared_ids(&changes).len() == made.len());
    for (id, name) in &made {
        assert_eq!(mirror.lookup(mirror.root(), name.as_ref()).unwrap(), *id);
        assert_eq!(mirror.path(*id).unwrap(), Path::new(name));
    }
}
