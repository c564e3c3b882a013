//! `stats` has the values of cgroupfs, and none where cgroupfs has none.

use std::fs;
use std::time::Duration;

use crate::common::watched::{Watched, same_as};
use crate::common::{FixtureCgroup, MountedCgview, eventually, id, value};

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn an_idle_cgroup_has_exactly_the_values_of_cgroupfs() {
    let cgroup = FixtureCgroup::new("idle");
    let child = cgroup.mkdir("a/b");
    let mount = MountedCgview::of(&cgroup);
    for path in [cgroup.path(), child.as_path(), &cgroup.path().join("a")] {
        Watched::new(&mount, path).assert_same_as_cgroupfs();
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_controller_that_is_not_shown_gives_no_values() {
    let cgroup = FixtureCgroup::new("shown");
    // io uses memory, which then works unseen.
    for controller in ["cpu", "memory", "pids"] {
        let control = cgroup.path().join("cgroup.subtree_control");
        let _ = fs::write(control, format!("-{controller}"));
    }
    let child = cgroup.mkdir("child");
    assert!(!child.join("memory.current").exists());
    let mount = MountedCgview::of(&cgroup);
    Watched::new(&mount, &child).assert_same_as_cgroupfs();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_root_shows_what_the_kernel_keeps_for_it() {
    let mount = MountedCgview::new();
    let root = Watched::new(&mount, &crate::common::cgroup_root());
    let text = root.text();
    let keys: Vec<_> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(
        keys,
        [
            "id",
            "level",
            "nr_descendants",
            "nr_dying_descendants",
            "nr_threads"
        ]
    );
    assert_eq!(value(&text, "id"), Some(id(&root.cgroup)));
    assert_eq!(value(&text, "level"), Some(0));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_keys_are_always_in_the_same_order() {
    let cgroup = FixtureCgroup::new("order");
    let mount = MountedCgview::of(&cgroup);
    let text = Watched::new(&mount, cgroup.path()).text();
    let shown: Vec<_> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let all = [
        "id",
        "level",
        "nr_descendants",
        "nr_dying_descendants",
        "nr_threads",
    ];
    let all = all
        .into_iter()
        .chain(same_as().map(|(key, _, _)| key).skip(2));
    let expected: Vec<_> = all.filter(|key| shown.contains(key)).collect();
    assert_eq!(shown, expected);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn id_level_and_descendants_follow_the_tree() {
    let cgroup = FixtureCgroup::new("tree");
    let mount = MountedCgview::of(&cgroup);
    let mut path = cgroup.path().to_owned();
    for level in 1..6 {
        let watched = Watched::new(&mount, &path);
        let text = watched.text();
        assert_eq!(value(&text, "id"), Some(id(&path)));
        assert_eq!(value(&text, "level"), Some(level));
        path.push("below");
        fs::create_dir(&path).expect("mkdir");
        watched.assert_same_as_cgroupfs();
    }
    assert_eq!(
        Watched::new(&mount, cgroup.path()).value("nr_descendants"),
        Some(5)
    );
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_removed_cgroup_in_use_is_a_dying_descendant() {
    let cgroup = FixtureCgroup::new("dying");
    let child = cgroup.mkdir("child");
    let mount = MountedCgview::of(&cgroup);
    let watched = Watched::new(&mount, cgroup.path());
    let before = watched.value("nr_dying_descendants");
    // A program that is attached to a cgroup, or an iterator on it, keeps it.
    let other = MountedCgview::of(&cgroup);
    fs::read(other.dir_of(&child).join("stats")).expect("read");
    let held: Vec<_> = other
        .links()
        .iter()
        .map(|pin| fs::File::open(pin).expect("open"))
        .collect();
    fs::remove_dir(&child).expect("rmdir");
    assert_eq!(watched.value("nr_dying_descendants"), before.map(|n| n + 1));
    assert_eq!(
        watched.value("nr_dying_descendants"),
        watched.native("cgroup.stat", Some("nr_dying_descendants"))
    );
    drop(held);
    eventually(Duration::from_secs(10), "nothing holds the cgroup", || {
        watched.value("nr_dying_descendants") == before
    });
}
