//! Many cgroups that come and go quickly.

use super::*;

/// The cgroups that this process watches: /proc/PID/fdinfo has a line `inotify wd:1 ino:3e8 ...`
/// per watch, with the inode number in hexadecimal.
fn watched_in_kernel() -> HashSet<CgroupId> {
    let files = fs::read_dir("/proc/self/fdinfo").unwrap();
    let infos = files.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());
    let table = infos.collect::<String>();
    let inodes = table.lines().filter_map(|line| {
        let fields = line.strip_prefix("inotify wd:")?;
        fields
            .split(' ')
            .find_map(|field| field.strip_prefix("ino:"))
    });
    inodes
        .map(|inode| CgroupId(u64::from_str_radix(inode, 16).unwrap()))
        .collect()
}

#[test]
#[ignore = "needs root and cgroup2"]
fn children_of_a_cgroup_made_again_are_reported() {
    let fixture = FixtureCgroup::new();
    let (mirror, changes) = start(fixture.path());
    for round in 0..100 {
        let old = fixture.make("a/old");
        fixture.remove("a/old");
        fixture.remove("a");
        let new = fixture.make("a/new");
        eventually("the second one appears", || {
            appeared_ids(&changes).contains(&new)
        });
        fixture.remove("a/new");
        fixture.remove("a");
        eventually("the second one is gone", || {
            gone_ids(&changes).contains(&new)
        });
        assert_ne!(old, new, "round {round}");
        eventually("only the root remains", || mirror.health().cgroups == 1);
        changes.lock().clear();
    }
    eventually("two watches remain", || mirror.health().watches == 2);
}

#[test]
#[ignore = "needs root and cgroup2"]
fn churn_over_few_names_loses_no_removal_and_no_watch() {
    let fixture = FixtureCgroup::new();
    let (mirror, changes) = start(fixture.path());
    let watches = mirror.health().watches;
    let mut looked_up = HashSet::new();
    for round in 0..less_if_emulated(3_000) {
        let name = ["a", "b", "c", "d"][round % 4];
        let id = fixture.make(name);
        if round % 3 == 0 {
            assert_eq!(mirror.lookup(mirror.root(), OsStr::new(name)).unwrap(), id);
            looked_up.insert(id);
        }
        fixture.remove(name);
    }
    looked_up.extend(appeared_ids(&changes));
    let reported_gone = || gone_ids(&changes).into_iter().collect::<HashSet<_>>();
    eventually("each removal is reported", || {
        mirror.health().cgroups == 1 && reported_gone().is_superset(&looked_up)
    });
    assert_eq!(
        gone_ids(&changes).len(),
        reported_gone().len(),
        "reported twice"
    );
    eventually("all watches are removed", || {
        let health = mirror.health();
        health.watches == watches && health.unwatched == 0
    });
}

#[test]
#[ignore = "needs root and cgroup2"]
fn kernel_keeps_no_watch_of_removed_cgroups() {
    let fixture = FixtureCgroup::new();
    let (mirror, changes) = start(fixture.path());
    let mut removed = HashSet::new();
    for _ in 0..less_if_emulated(500) {
        removed.extend([fixture.make("a/b"), fixture.make("a")]);
        fixture.remove("a/b");
        fixture.remove("a");
    }
    let last = fixture.make("z");
    eventually("the last appears", || {
        appeared_ids(&changes).contains(&last)
    });
    eventually("only existing cgroups are watched", || {
        let watched = watched_in_kernel();
        watched.contains(&last) && watched.is_disjoint(&removed)
    });
    drop(mirror);
    eventually("no watch", || !watched_in_kernel().contains(&last));
}

#[test]
#[ignore = "needs root and cgroup2"]
fn each_of_many_siblings_is_reported() {
    let fixture = FixtureCgroup::new();
    let (mirror, changes) = start(fixture.path());
    let siblings = less_if_emulated(1_500);
    for n in 0..siblings {
        fixture.make(&format!("n{n}"));
    }
    eventually("all appear", || mirror.health().cgroups == siblings + 1);
    for n in 0..siblings {
        fixture.remove(&format!("n{n}"));
    }
    eventually("all are gone", || mirror.health().cgroups == 1);
    eventually("each removal is reported", || {
        gone_ids(&changes).len() == siblings
    });
    assert_eq!(appeared_ids(&changes).len(), siblings);
}

#[test]
#[ignore = "needs root and cgroup2"]
fn lost_events_cause_a_rescan_that_misses_no_change() {
    let fixture = FixtureCgroup::new();
    let first = fixture.make("first");
    let (mirror, changes) = start(fixture.path());
    let slow = changes.lock();
    let kept = fixture.make("kept/below");
    for round in 0..2_000 {
        fixture.make("a");
        if round == 1_900 {
            fixture.remove("first");
        }
        fixture.remove("a");
    }
    let last = mirror.lookup(mirror.root(), OsStr::new("kept")).unwrap();
    drop(slow);
    eventually("a rescan", || mirror.health().rescans > 0);
    eventually("the tree is correct", || mirror.health().cgroups == 3);
    eventually("the removal is reported", || {
        gone_ids(&changes).contains(&first)
    });
    let appeared = appeared_ids(&changes);
    assert!(appeared.contains(&kept) && appeared.contains(&last));
    assert!(mirror.health().overflows > 0);
    eventually("all is watched", || mirror.health().watches == 4);
}
