//! What a read of a whole subtree promises, also while cgroups come and go and programs run: every
//! line is a cgroup that existed, once, under its own name, after its parent; every cgroup that was
//! there all the time has a line; a counter that includes descendants is never below their sum.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::burn::Burning;
use crate::common::objects::{PATIENCE, Placed, is_absent, object};
use crate::common::{FixtureCgroup, MountedCgview, Stop, eventually, id, less_if_emulated, read};
use serde_json::Value;

/// The lines of a `.tree.json`: paths and members.
fn tree(path: &Path) -> Vec<(String, Value)> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = text.lines().map(|line| {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        let path = object["cgroup"].as_str().expect("a path");
        (path.to_owned(), object)
    });
    lines.collect()
}

fn number(object: &Value, member: &str) -> u64 {
    object[member]
        .as_u64()
        .unwrap_or_else(|| panic!("no {member} in {object}"))
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((parent, _)) => parent,
        None => ".",
    }
}

/// Asserts that each line comes after its parent's, and siblings' subtrees do not mix.
fn assert_pre_order(tree: &[(String, Value)]) {
    let mut line: Vec<&str> = Vec::new();
    for (path, _) in tree {
        let Some(&root) = line.first() else {
            assert_eq!(path, ".");
            line.push(path);
            continue;
        };
        while line.last().is_some_and(|last| *last != parent(path)) {
            line.pop();
        }
        assert!(!line.is_empty(), "{path} does not follow its parent");
        assert_eq!(root, ".");
        line.push(path);
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_subtree_is_what_single_reads_give() {
    let cgroup = FixtureCgroup::new("single");
    for one in ["a", "b b", "c\\d", "e\"f"] {
        for two in 0..5u8 {
            cgroup.mkdir(format!("{one}/{two}/x\ty"));
            cgroup.mkdir(Path::new(one).join(OsStr::from_bytes(&[0xff, b'0' + two])));
        }
    }
    let mount = MountedCgview::new();
    let dir = mount.dir_of(cgroup.path());
    let by_id: HashMap<u64, PathBuf> = walk(cgroup.path())
        .into_iter()
        .map(|path| (id(&path), path))
        .collect();
    let tree = tree(&dir.join("stats.tree.json"));
    assert_pre_order(&tree);
    assert_eq!(tree.len(), by_id.len());
    for (path, mut object) in tree {
        let cgroup = by_id.get(&number(&object, "id")).expect("a cgroup");
        let single = read(&mount.dir_of(cgroup).join("stats.json")).expect("read");
        let single: Value = serde_json::from_str(&single).expect("JSON");
        object.as_object_mut().expect("an object").remove("cgroup");
        assert_eq!(object, single, "{path}");
    }
}

/// A cgroup and all below it.
fn walk(cgroup: &Path) -> Vec<PathBuf> {
    let mut found = vec![cgroup.to_owned()];
    let entries = fs::read_dir(cgroup).expect("list a cgroup").flatten();
    for entry in entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        found.extend(walk(&entry.path()));
    }
    found
}

/// Creates and removes cgroups of the same names until `stop`; notes each one.
fn churn(below: &Path, name: &str, stop: &AtomicBool, existed: &Mutex<HashSet<(String, u64)>>) {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        let paths = [
            name.to_owned(),
            format!("{name}/in"),
            format!("{name}/in/{}", round % 7),
        ];
        for path in &paths {
            fs::create_dir(below.join(path)).expect("mkdir");
            let id = id(&below.join(path));
            existed.lock().expect("no panic").insert((path.clone(), id));
        }
        for path in paths.iter().rev() {
            fs::remove_dir(below.join(path)).expect("rmdir");
        }
        round += 1;
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn under_churn_every_line_is_a_cgroup_that_existed() {
    let cgroup = FixtureCgroup::new("churn");
    let stable: HashSet<(String, u64)> = (0..20)
        .flat_map(|n| [format!("stable{n}"), format!("stable{n}/below")])
        .map(|path| {
            let made = cgroup.mkdir(&path);
            (path, id(&made))
        })
        .collect();
    let mount = MountedCgview::new();
    let file = mount.dir_of(cgroup.path()).join("stats.tree.json");
    let existed = Mutex::new(HashSet::from([(".".to_owned(), cgroup.id())]));
    existed
        .lock()
        .expect("no panic")
        .extend(stable.iter().cloned());
    let stop = AtomicBool::new(false);
    let mut seen = HashSet::new();
    let mut most = 0;
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        // Between the stable ones in the order of creation, and of names.
        for name in ["churn-a", "stable1/churn", "stable19/below/churn"] {
            scope.spawn(|| churn(cgroup.path(), name, &stop, &existed));
        }
        let deadline = Instant::now() + Duration::from_secs(less_if_emulated(5, 2));
        while Instant::now() < deadline {
            let tree = tree(&file);
            assert_pre_order(&tree);
            let lines: Vec<(String, u64)> = tree
                .into_iter()
                .map(|(path, object)| (path, number(&object, "id")))
                .collect();
            let paths: HashSet<_> = lines.iter().map(|(path, _)| path).collect();
            let ids: HashSet<_> = lines.iter().map(|(_, id)| id).collect();
            assert_eq!((paths.len(), ids.len()), (lines.len(), lines.len()));
            most = most.max(lines.len());
            let lines: HashSet<_> = lines.into_iter().collect();
            assert!(stable.is_subset(&lines));
            seen.extend(lines);
        }
    });
    let existed = existed.into_inner().expect("no panic");
    let foreign: Vec<_> = seen.difference(&existed).collect();
    assert!(foreign.is_empty(), "{foreign:?} never existed");
    let churned = seen.difference(&stable).count();
    assert!(
        churned > 10,
        "{churned} cgroups that came and went, {most} lines"
    );
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_removed_cgroup_is_not_in_the_next_read() {
    let cgroup = FixtureCgroup::new("removed");
    let mount = MountedCgview::new();
    let file = mount.dir_of(cgroup.path()).join("stats.tree.json");
    for round in 0..less_if_emulated(100, 10) {
        let child = cgroup.mkdir("child");
        let shown = tree(&file);
        let shown = shown.iter().find(|(path, _)| path == "child");
        let (_, object) = shown.unwrap_or_else(|| panic!("round {round}: not there"));
        assert_eq!(number(object, "id"), id(&child));
        fs::remove_dir(&child).expect("rmdir");
        assert_eq!(tree(&file).len(), 1, "round {round}");
    }
}

/// Asserts that a counter of each cgroup is at least the sum of its children's.
fn assert_sums(tree: &[(String, Value)], member: &str) {
    let mut of_children: HashMap<&str, u64> = HashMap::new();
    for (path, object) in tree.iter().filter(|(path, _)| path != ".") {
        *of_children.entry(parent(path)).or_default() += number(object, member);
    }
    for (path, object) in tree {
        let children = of_children.get(path.as_str()).copied().unwrap_or(0);
        let own = number(object, member);
        assert!(own >= children, "{path}: {member} {own} < {children}");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn sums_are_never_below_the_parts() {
    let cgroup = FixtureCgroup::new("sums");
    let leaves = ["a/b/1", "a/b/2", "a/c", "d"].map(|path| cgroup.mkdir(path));
    let burning: Vec<_> = leaves.iter().map(|leaf| Burning::new(leaf, 1)).collect();
    let mount = MountedCgview::new();
    let dir = mount.dir_of(cgroup.path());
    let file = dir.join("stats.tree.json");
    let stop = AtomicBool::new(false);
    let last = thread::scope(|scope| {
        let _stop = Stop(&stop);
        // Each of these brings the numbers of one leaf up to date, but not those far above it.
        for leaf in &leaves[..2] {
            let (native, view) = (leaf.join("cpu.stat"), mount.dir_of(leaf).join("stats"));
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    fs::read(&native).expect("read cpu.stat");
                    fs::read(&view).expect("read stats");
                }
            });
        }
        let mut last: HashMap<String, u64> = HashMap::new();
        let deadline = Instant::now() + Duration::from_secs(less_if_emulated(5, 2));
        while Instant::now() < deadline {
            let tree = tree(&file);
            assert_sums(&tree, "usage_usec");
            for (path, object) in tree {
                let usage = number(&object, "usage_usec");
                let before = last.insert(path.clone(), usage).unwrap_or(0);
                assert!(usage >= before, "{path} went back from {before} to {usage}");
            }
        }
        last
    });
    drop(burning);
    assert!(last["."] > 100_000, "{last:?}");
    // And a later look at each alone shows no less.
    for (path, usage) in last {
        let text = read(&dir.join(&path).join("stats")).expect("read");
        assert!(
            crate::common::value(&text, "usage_usec") >= Some(usage),
            "{path}"
        );
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_share_of_a_removed_cgroup_stays_in_its_parents() {
    let cgroup = FixtureCgroup::new("share");
    let leaf = cgroup.mkdir("a/b");
    let mount = MountedCgview::new();
    let dir = mount.dir_of(cgroup.path());
    drop({
        let burning = Burning::new(&leaf, 1);
        eventually(Duration::from_secs(20), "it burns", || {
            let text = read(&dir.join("a/b/stats")).expect("read");
            crate::common::value(&text, "usage_usec") > Some(300_000)
        });
        burning
    });
    let before = tree(&dir.join("stats.tree.json"));
    fs::remove_dir(&leaf).expect("rmdir");
    let after = tree(&dir.join("stats.tree.json"));
    assert_eq!((before.len(), after.len()), (3, 2));
    for ((path, before), (_, after)) in before.iter().zip(&after) {
        let (before, after) = (number(before, "usage_usec"), number(after, "usage_usec"));
        assert!(after >= before, "{path}: {after} < {before}");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_subtree_of_a_view_that_prepares_nothing_makes_no_link() {
    let placed = Placed::new();
    placed.put("quantiles", &object("quantiles", &[]));
    eventually(PATIENCE, "the view is live", || {
        !is_absent(&placed.mount.join("quantiles.tree"))
    });
    let links = placed.mount.links();
    assert!(links.is_empty(), "{links:?}");
}
