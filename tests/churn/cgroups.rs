//! Cgroups that come and go while they are read.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::footprint::Footprint;
use crate::common::{
    FixtureCgroup, MountedCgview, errno, eventually, id, less_if_emulated, read, value,
};

/// So many cycles show what leaks; an emulated CPU takes minutes for them.
fn cycles() -> usize {
    less_if_emulated(20_000, 200)
}

/// After so many rounds the daemon's memory has to have stopped growing.
const MOST_ROUNDS: usize = 5;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const READERS: usize = 3;

/// A cgroup's time under its name: it was there at some moment in this span, and not outside.
struct Life {
    name: usize,
    id: u64,
    from: Instant,
    to: Instant,
}

/// What a read gave, and when.
struct Seen {
    name: usize,
    id: u64,
    from: Instant,
    to: Instant,
}

/// Removes and makes the cgroups again, one after the other, now and then with none of the name in
/// between, until there were enough of cycles and of reads that got something; at the end none is
/// left.
fn churn(parent: &Path, reads: &AtomicUsize) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    let mut open: [Option<(u64, Instant)>; NAMES.len()] = [None; NAMES.len()];
    let mut end = |name: usize, open: &mut Option<(u64, Instant)>| {
        if let Some((id, from)) = open.take() {
            fs::remove_dir(parent.join(NAMES[name])).expect("rmdir");
            let to = Instant::now();
            lives.push(Life { name, id, from, to });
        }
    };
    let deadline = Instant::now() + Duration::from_secs(120);
    let enough = |cycle| cycle >= cycles() && reads.load(Ordering::Relaxed) > cycles() / 100;
    for cycle in (0..).take_while(|cycle| !enough(*cycle) && Instant::now() < deadline) {
        let name = cycle % NAMES.len();
        end(name, &mut open[name]);
        if cycle % 7 == 0 {
            end(
                (name + 1) % NAMES.len(),
                &mut open[(name + 1) % NAMES.len()],
            );
        }
        let from = Instant::now();
        let path = parent.join(NAMES[name]);
        fs::create_dir(&path).expect("mkdir");
        open[name] = Some((id(&path), from));
    }
    for (name, open) in open.iter_mut().enumerate() {
        end(name, open);
    }
    lives
}

/// Reads one name after the other until `stop`.
fn read_on(dir: &Path, first: usize, stop: &AtomicBool, reads: &AtomicUsize) -> Vec<Seen> {
    let mut seen = Vec::new();
    for name in (0..NAMES.len()).cycle().skip(first) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let path = dir.join(NAMES[name]).join("stats");
        let from = Instant::now();
        match read(&path) {
            Ok(text) => {
                let to = Instant::now();
                let id = value(&text, "id").unwrap_or_else(|| panic!("no id in {text:?}"));
                assert!(text.contains("\nsystem_usec "), "not whole: {text:?}");
                seen.push(Seen { name, id, from, to });
                reads.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                // ESTALE when it went twice while it was looked up.
                let gone = [libc::ENOENT, libc::ENODEV, libc::ESTALE].map(Some);
                assert!(gone.contains(&error.raw_os_error()), "{error}");
            }
        }
    }
    seen
}

fn dying(cgroup: &Path) -> Option<u64> {
    let stat = fs::read_to_string(cgroup.join("cgroup.stat")).expect("cgroup.stat");
    value(&stat, "nr_dying_descendants")
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn readers_see_only_cgroups_that_existed_and_nothing_is_kept() {
    let cgroup = FixtureCgroup::new("churn");
    let mount = MountedCgview::of(&cgroup);
    let dir = mount.dir_of(cgroup.path());
    let dying_before = dying(cgroup.path());
    let mut before = None;
    for round in 1..=MOST_ROUNDS {
        let (lives, seen) = churn_and_read(&cgroup, &dir);
        eventually(Duration::from_secs(2), "no dying cgroup is left", || {
            dying(cgroup.path()) == dying_before
        });
        assert!(seen.len() > cycles() / 100, "{} reads", seen.len());
        assert_all_true(&lives, &seen);
        let after = settled(&mount, before.as_ref());
        if let Some(before) = before.replace(after.clone()) {
            if after.rss_kib < before.rss_kib + 4096 {
                break;
            }
            assert!(round < MOST_ROUNDS, "it grows: {before:?}, {after:?}");
        }
    }
}

fn churn_and_read(cgroup: &FixtureCgroup, dir: &Path) -> (Vec<Life>, Vec<Seen>) {
    let (stop, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let reader = |first| {
            let (stop, reads) = (&stop, &reads);
            scope.spawn(move || read_on(dir, first, stop, reads))
        };
        let readers: Vec<_> = (0..READERS).map(reader).collect();
        let lives = churn(cgroup.path(), &reads);
        stop.store(true, Ordering::Relaxed);
        let seen = readers
            .into_iter()
            .flat_map(|reader| reader.join().expect("a reader"));
        (lives, seen.collect())
    })
}

/// Each read is of a cgroup that bore the name at some moment of the read.
fn assert_all_true(lives: &[Life], seen: &[Seen]) {
    let lives: std::collections::HashMap<u64, &Life> = lives.iter().map(|l| (l.id, l)).collect();
    for seen in seen {
        let life = lives.get(&seen.id).expect("a cgroup of the test");
        assert_eq!(life.name, seen.name, "another name's cgroup");
        assert!(life.from <= seen.to, "a cgroup of the future");
        let late = seen.from.saturating_duration_since(life.to);
        assert!(late.is_zero(), "a cgroup gone for {late:?}");
    }
}

/// The footprint when all events are worked off, which then has to be as `before`.
fn settled(mount: &MountedCgview, before: Option<&Footprint>) -> Footprint {
    let mut last = Footprint::of(mount);
    eventually(
        Duration::from_secs(20),
        "the footprint is as before",
        || {
            thread::sleep(Duration::from_millis(200));
            let now = Footprint::of(mount);
            let rests = now.without_memory() == last.without_memory();
            last = now;
            rests && before.is_none_or(|before| before.without_memory() == last.without_memory())
        },
    );
    last
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn nested_cgroups_are_there_at_once() {
    let cgroup = FixtureCgroup::new("nested");
    let mount = MountedCgview::of(&cgroup);
    let dir = mount.dir_of(cgroup.path());
    for _ in 0..less_if_emulated(50, 5) {
        let deepest = cgroup.mkdir("a/b/c/d");
        let text = read(&dir.join("a/b/c/d/stats")).expect("read");
        assert_eq!(value(&text, "id"), Some(id(&deepest)));
        let mut path = PathBuf::from("a");
        for below in ["b", "c", "d"] {
            let names: Vec<_> = fs::read_dir(dir.join(&path)).expect("list").collect();
            let found = names
                .iter()
                .flatten()
                .find(|entry| entry.file_name() == below);
            let entry = found.unwrap_or_else(|| panic!("{below} is not in {}", path.display()));
            path.push(below);
            assert_eq!(
                fs::metadata(dir.join(&path)).expect("stat").ino(),
                id(&cgroup.path().join(&path))
            );
            assert!(entry.file_type().expect("type").is_dir());
        }
        for gone in ["a/b/c/d", "a/b/c", "a/b", "a"] {
            fs::remove_dir(cgroup.path().join(gone)).expect("rmdir");
        }
        assert_eq!(errno(read(&dir.join("a/b/c/d/stats"))), Some(libc::ENOENT));
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_files_of_a_removed_cgroup_are_gone_at_once() {
    let cgroup = FixtureCgroup::new("removed");
    let mount = MountedCgview::of(&cgroup);
    let dir = mount.dir_of(cgroup.path()).join("child");
    for _ in 0..less_if_emulated(50, 5) {
        let child = cgroup.mkdir("child");
        for file in ["stats", "stats.json", "stats.tree"] {
            read(&dir.join(file)).expect("read");
        }
        assert_eq!(fs::metadata(&dir).expect("stat").ino(), id(&child));
        fs::remove_dir(&child).expect("rmdir");
        for file in ["stats", "stats.json", "stats.tree"] {
            assert_eq!(errno(fs::metadata(dir.join(file))), Some(libc::ENOENT));
            assert_eq!(errno(read(&dir.join(file))), Some(libc::ENOENT));
        }
        assert_eq!(errno(fs::read_dir(&dir)), Some(libc::ENOENT));
        assert_eq!(errno(fs::metadata(&dir)), Some(libc::ENOENT));
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_working_directory_in_a_removed_cgroup_is_stale() {
    let cgroup = FixtureCgroup::new("cwd");
    let child = cgroup.mkdir("child");
    let mount = MountedCgview::of(&cgroup);
    let dir = mount.dir_of(&child);
    let script = "cd \"$0\"; cat stats >/dev/null; rmdir \"$1\"; mkdir \"$1\"; LC_ALL=C ls . 2>&1; cat stats 2>&1";
    let output = crate::common::run(
        "bash",
        [
            "-c".as_ref(),
            script.as_ref(),
            dir.as_os_str(),
            child.as_os_str(),
        ],
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{text}");
    assert!(!text.contains("id "), "{text}");
}
