//! The mirror against a real cgroupfs.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{CStr, OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::mount::{MountFlags, UnmountFlags};

use super::fixture::FixtureCgroup;
use super::*;

type Changes = Arc<Mutex<Vec<Change>>>;

fn start(path: &Path) -> (Mirror, Changes) {
    let changes = Changes::default();
    let told = Arc::clone(&changes);
    let source = open_source(path).unwrap();
    let mirror = Mirror::start(source.fd, move |change| told.lock().push(change)).unwrap();
    (mirror, changes)
}

/// A quarter of it in a guest of tests/vm/run, which does without KVM.
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

/// The cgroups that this process watches, as the kernel has it in lines of
/// `inotify wd:1 ino:3e8 sdev:...` with the inode number in hexadecimal.
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
fn the_first_scan_knows_paths_ids_and_ancestors() {
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
fn nested_creation_is_seen_at_once_by_lookup_and_soon_by_events() {
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
fn events_alone_find_nested_creation() {
    let fixture = FixtureCgroup::new();
    let (_mirror, changes) = start(fixture.path());
    let mut made = HashSet::new();
    for round in 0..100 {
        for path in ["", "/b", "/b/c", "/b/c/d"] {
            made.insert(fixture.make(&format!("r{round}{path}")));
        }
    }
    eventually("all appear", || appeared_ids(&changes).len() == 400);
    let told: HashSet<_> = appeared_ids(&changes).into_iter().collect();
    assert_eq!(told, made);
}

#[test]
#[ignore = "needs root and cgroup2"]
fn a_removed_cgroup_is_gone_at_once_and_told_once() {
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
fn what_was_made_after_a_name_came_back_is_seen() {
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
        eventually("the second one goes", || gone_ids(&changes).contains(&new));
        assert_ne!(old, new, "round {round}");
        eventually("only the root remains", || mirror.health().cgroups == 1);
        changes.lock().clear();
    }
    eventually("two watches remain", || mirror.health().watches == 2);
}

#[test]
#[ignore = "needs root and cgroup2"]
fn churn_over_few_names_loses_no_end_and_no_watch() {
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
    let told_gone = || gone_ids(&changes).into_iter().collect::<HashSet<_>>();
    eventually("every end is told", || {
        mirror.health().cgroups == 1 && told_gone().is_superset(&looked_up)
    });
    assert_eq!(gone_ids(&changes).len(), told_gone().len(), "told twice");
    eventually("all watches are removed", || {
        let health = mirror.health();
        health.watches == watches && health.unwatched == 0
    });
}

#[test]
#[ignore = "needs root and cgroup2"]
fn the_kernel_holds_no_watch_of_the_removed() {
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
    eventually("only the living are watched", || {
        let watched = watched_in_kernel();
        watched.contains(&last) && watched.is_disjoint(&removed)
    });
    drop(mirror);
    eventually("no watch", || !watched_in_kernel().contains(&last));
}

#[test]
#[ignore = "needs root and cgroup2"]
fn a_storm_of_siblings_is_followed_to_the_end() {
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
    eventually("all go", || mirror.health().cgroups == 1);
    eventually("each end is told", || gone_ids(&changes).len() == siblings);
    assert_eq!(appeared_ids(&changes).len(), siblings);
}

#[test]
#[ignore = "needs root and cgroup2"]
fn lost_events_cost_a_rescan_and_no_change() {
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
    eventually("the tree is right", || mirror.health().cgroups == 3);
    eventually("the end is told", || gone_ids(&changes).contains(&first));
    let appeared = appeared_ids(&changes);
    assert!(appeared.contains(&kept) && appeared.contains(&last));
    assert!(mirror.health().overflows > 0);
    eventually("all is watched", || mirror.health().watches == 4);
}

#[test]
#[ignore = "needs root and cgroup2"]
fn the_end_of_the_source_itself_is_told() {
    let fixture = FixtureCgroup::new();
    let source = fixture.make("source");
    let (mirror, changes) = start(&fixture.path().join("source"));
    fixture.remove("source");
    eventually("the root goes", || gone_ids(&changes) == [source]);
    assert!(matches!(mirror.list(source), Err(Error::Gone(_))));
    assert!(matches!(mirror.path(source), Err(Error::Gone(_))));
}

#[test]
#[ignore = "needs root and cgroup2"]
fn a_cgroup_beside_the_source_is_outside() {
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
fn odd_names_are_names() {
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

/// Cgroups too deep for any path, made and removed through descriptors.
struct DeepChain {
    dirs: Vec<OwnedFd>,
    name: String,
}

impl DeepChain {
    fn make(top: OwnedFd, levels: usize) -> DeepChain {
        let name = "d".repeat(255);
        let mut dirs = vec![top];
        for _ in 0..levels {
            let dir = dirs.last().unwrap();
            mkdirat(dir, &name, Mode::RWXU).unwrap();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            dirs.push(openat(dir, &name, flags, Mode::empty()).unwrap());
        }
        DeepChain { dirs, name }
    }
}

impl Drop for DeepChain {
    fn drop(&mut self) {
        self.dirs.pop();
        for dir in self.dirs.iter().rev() {
            unlinkat(dir, &self.name, rustix::fs::AtFlags::REMOVEDIR).unwrap();
        }
    }
}

#[test]
#[ignore = "needs root and cgroup2"]
fn a_tree_deeper_than_any_path_is_answered_right() {
    let fixture = FixtureCgroup::new();
    let chain = DeepChain::make(open_source(fixture.path()).unwrap().fd, 20);
    let (mirror, _) = start(fixture.path());
    assert_eq!(mirror.health().cgroups, 21);
    assert!(mirror.health().unwatched > 0);
    let mut at = mirror.root();
    for _ in 0..20 {
        assert_eq!(mirror.list(at).unwrap().len(), 1);
        at = mirror.lookup(at, OsStr::new(&chain.name)).unwrap();
    }
    assert_eq!(mirror.path(at).unwrap().components().count(), 20);
    let parents: Vec<_> = mirror.ancestors(at).unwrap();
    assert_eq!(parents.len(), 21);
    // An id that the tree has never met is found by going up.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let deepest = chain.dirs.last().unwrap();
    mkdirat(deepest, "new", Mode::RWXU).unwrap();
    let new = openat(deepest, "new", flags, Mode::empty()).unwrap();
    let id = CgroupId(rustix::fs::fstat(&new).unwrap().st_ino);
    assert!(mirror.path(id).unwrap().ends_with("new"));
    unlinkat(deepest, "new", rustix::fs::AtFlags::REMOVEDIR).unwrap();
    assert!(!mirror.is_alive(id).unwrap());
}

#[test]
#[ignore = "needs root and cgroup2"]
fn the_end_of_an_unwatched_cgroup_is_told_late() {
    let fixture = FixtureCgroup::new();
    let chain = DeepChain::make(open_source(fixture.path()).unwrap().fd, 20);
    let (mirror, changes) = start(fixture.path());
    assert!(mirror.health().unwatched > 0);
    drop(chain);
    eventually("all are told", || gone_ids(&changes).len() == 20);
    eventually("none is unwatched", || mirror.health().unwatched == 0);
    let rescans = mirror.health().rescans;
    thread::sleep(3 * follow::RESCAN_INTERVAL);
    assert_eq!(mirror.health().rescans, rescans, "rescans without need");
}

#[test]
#[ignore = "needs root"]
fn a_v1_rename_is_told_and_followed() {
    let hierarchy = V1Hierarchy::mount();
    let fixture = FixtureCgroup::below(&hierarchy.point);
    let id = fixture.make("before");
    let below = fixture.make("before/below");
    let (mirror, changes) = start(fixture.path());
    fs::rename(fixture.path().join("before"), fixture.path().join("after")).unwrap();
    let renamed = Change::Renamed {
        id,
        parent: mirror.root(),
        name: "before".into(),
    };
    eventually("the rename is told", || {
        *changes.lock() == [renamed.clone()]
    });
    assert_eq!(mirror.path(below).unwrap(), Path::new("after/below"));
    let again = fixture.make("before");
    let new = fixture.make("after/below/new");
    eventually("both names are watched", || {
        let appeared = appeared_ids(&changes);
        appeared.contains(&again) && appeared.contains(&new)
    });
    fixture.remove("after/below/new");
    fixture.remove("after/below");
    fixture.remove("after");
    eventually("all three go", || gone_ids(&changes) == [new, below, id]);
}

/// A v1 hierarchy of no controller, mounted for a test.
struct V1Hierarchy {
    point: PathBuf,
}

impl V1Hierarchy {
    const OPTIONS: &CStr = c"none,name=cgview-test";

    fn mount() -> V1Hierarchy {
        let point = std::env::temp_dir().join(format!("cgview-v1-{}", std::process::id()));
        fs::create_dir(&point).unwrap();
        let hierarchy = V1Hierarchy { point };
        hierarchy.mount_again();
        hierarchy
    }

    fn mount_again(&self) {
        let flags = MountFlags::empty();
        rustix::mount::mount("cgview", &self.point, "cgroup", flags, Self::OPTIONS).unwrap();
    }

    fn is_left(&self) -> bool {
        let hierarchies = fs::read_to_string("/proc/self/cgroup").unwrap();
        hierarchies.contains(":name=cgview-test:")
    }
}

impl Drop for V1Hierarchy {
    fn drop(&mut self) {
        // The kernel keeps a hierarchy that has a dying cgroup at the unmount, and frees any
        // other a while after.
        for _ in 0..5 {
            rustix::mount::unmount(&self.point, UnmountFlags::empty()).unwrap();
            let deadline = Instant::now() + Duration::from_secs(3);
            while self.is_left() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
            if !self.is_left() {
                break;
            }
            self.mount_again();
        }
        fs::remove_dir(&self.point).unwrap();
    }
}

#[test]
#[ignore = "needs root and cgroup2"]
fn the_source_descriptor_stays_the_one_given() {
    let fixture = FixtureCgroup::new();
    let source = open_source(fixture.path()).unwrap().fd;
    let number = source.as_fd().as_raw_fd();
    let mirror = Mirror::start(source, |_| {}).unwrap();
    assert_eq!(mirror.hierarchy.cgroupfs.source().as_raw_fd(), number);
    assert_eq!(
        mirror.list(mirror.root()).unwrap(),
        Vec::<(OsString, CgroupId)>::new()
    );
}
