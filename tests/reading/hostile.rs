//! What one reader can do to the others: readers are not trusted, nor are those who name cgroups.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Seek as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create, sendfile};

use crate::common::deep::Deep;
use crate::common::objects::{Placed, eventually_says, object, promptly, status};
use crate::common::{
    FixtureCgroup, MountedCgview, as_nobody, errno, eventually, id, less_if_emulated, read,
};

/// A mount with the view `busy`, for which each run of a cgroup takes about a millisecond.
fn with_busy_view() -> Placed {
    let placed = Placed::with(",builtin=stats");
    let loops = less_if_emulated(300_000, 10_000);
    placed.put("busy", &object("busy", &[&format!("LOOPS={loops}")]));
    promptly("the view is there", || placed.mount.join("busy").exists());
    placed
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn nobody_waits_for_other_readers_of_subtrees() {
    let cgroup = FixtureCgroup::new("busy");
    for parent in ["a", "b", "c"] {
        for child in 0..less_if_emulated(300, 60) {
            cgroup.mkdir(format!("{parent}/{child}"));
        }
    }
    let placed = with_busy_view();
    let dir = placed.mount.dir_of(cgroup.path());
    let ended = Arc::new(AtomicUsize::new(0));
    let readers = ["a", "b", "c"].map(|parent| {
        let (file, ended) = (dir.join(parent).join("busy.tree"), Arc::clone(&ended));
        thread::spawn(move || {
            let read = as_nobody("cat \"$1\"", &[file.as_os_str()]);
            ended.fetch_add(1, Ordering::SeqCst);
            assert!(read.status.success(), "{read:?}");
        })
    });
    let runs_before = || {
        read(&dir.join("a/0/busy"))
            .expect("read")
            .trim()
            .parse::<u64>()
    };
    eventually(Duration::from_secs(60), "a subtree is read", || {
        runs_before().expect("a number") > 10
    });
    // One user's trees are read one after the other. All this comes before the last of them.
    for _ in 0..5 {
        assert!(fs::read_dir(dir.join("b")).expect("list").count() > 10);
        assert!(read(&dir.join("c/1/stats")).is_ok());
        assert!(read(&dir.join("c/stats.tree")).is_ok());
        assert!(read(&placed.mount.join(".cgview/status")).is_ok());
    }
    assert!(
        ended.load(Ordering::SeqCst) < 3,
        "all trees were read meanwhile"
    );
    for reader in readers {
        reader.join().expect("read");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn readers_of_the_same_subtree_share_a_run_that_began_after_they_asked() {
    let cgroup = FixtureCgroup::new("shared");
    let children = less_if_emulated(300, 60);
    for child in 0..children {
        cgroup.mkdir(child.to_string());
    }
    let placed = with_busy_view();
    let dir = placed.mount.dir_of(cgroup.path());
    let runs = || -> usize {
        let text = read(&dir.join("busy")).expect("read");
        text.trim().parse().expect("a number")
    };
    let before = runs();
    let readers: Vec<_> = (0..32)
        .map(|_| {
            let file = dir.join("busy.tree");
            thread::spawn(move || {
                let asked = runs_so_far(&file);
                let tree = read(&file).expect("read");
                assert_eq!(tree.lines().count(), 2 * (children + 1), "{tree}");
                let first: Option<u64> = tree.lines().nth(1).and_then(|line| line.parse().ok());
                assert!(first.expect("a number") >= asked, "older than the request");
            })
        })
        .collect();
    for reader in readers {
        reader.join().expect("read");
    }
    let trees = (runs() - before) / children;
    assert!(
        trees < 16,
        "{trees} runs of the whole subtree for 32 readers"
    );
}

/// How many runs the view beside this tree had before now.
fn runs_so_far(tree: &Path) -> u64 {
    let text = read(&tree.with_extension("")).expect("read");
    text.trim().parse().expect("a number")
}

/// A process of the user that holds as many open files as it gets.
struct Hoarder(Child);

impl Hoarder {
    fn new(user: u32, file: &Path) -> Hoarder {
        let script = "while exec {held}<\"$1\" && read -rN 100 -u $held _; do :; done 2>&1\n\
                      echo\n\
                      exec sleep 999";
        let child = Command::new("setpriv")
            .args([format!("--reuid={user}"), format!("--regid={user}")])
            .args(["--clear-groups", "bash", "-c", script, "bash"])
            .arg(file)
            .stdout(Stdio::piped())
            .spawn();
        let mut hoarder = Hoarder(child.expect("run setpriv"));
        let out = hoarder.0.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("read");
        assert!(line.contains("Cannot allocate memory"), "{line}");
        hoarder
    }
}

impl Drop for Hoarder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn users_who_hold_all_they_can_leave_memory_for_others() {
    let cgroup = FixtureCgroup::new("hoard");
    for child in 0..less_if_emulated(1500, 500) {
        cgroup.mkdir(child.to_string());
    }
    let options = ["-o", "builtin=stats,max_snapshot_mib=2"];
    let mount = MountedCgview::of_with(&cgroup, &options);
    let tree = mount.join("stats.tree");
    let _hoarders: Vec<_> = [1001, 1002, 1003]
        .map(|user| Hoarder::new(user, &tree))
        .into();
    let held = status(&mount)["health"]["snapshot_bytes"].as_u64();
    assert!(
        held.expect("a number") <= 1 << 20,
        "half of the limit: {held:?}"
    );
    // Another user lists directories and reads small files; root also reads trees.
    let light = as_nobody(
        "ls -U \"$1\" >/dev/null && cat \"$1/1/stats\"",
        &[mount.path().as_os_str()],
    );
    assert!(light.status.success(), "{light:?}");
    assert!(read(&tree).is_ok());
    assert!(read(&mount.join(".cgview/status")).is_ok());
}

/// Neither acts on a terminal nor hides or turns what stands beside it.
fn is_harmless(char: char) -> bool {
    let turns = ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{2028}'];
    char == '\n' || !(char.is_control() || turns.contains(&char))
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn names_of_cgroups_act_on_nothing_that_shows_them() {
    let name = "\u{1b}[2J\r\u{7}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}";
    let cgroup = FixtureCgroup::new("names");
    let evil = cgroup.mkdir(name);
    // Its path is in the status, because it hides a view there.
    cgroup.mkdir(format!("{name}/stats"));
    let placed = Placed::with(",builtin=stats");
    let dir = placed.mount.dir_of(cgroup.path());
    placed.put("hello", &object("say", &["VIEW=hello", "TEXT=\"hello\""]));
    eventually_says(&dir.join("hello"), "hello");
    let evil_id = id(&evil);
    for (file, shows) in [
        (dir.join("stats.tree"), r"\033[2J".to_owned()),
        (dir.join("stats.tree.json"), r"\u001b[2J".to_owned()),
        (dir.join("hello.tree"), format!("hello {evil_id}")),
        (
            placed.mount.dir_of(&evil).join("stats.prom"),
            "31m".to_owned(),
        ),
        (
            placed.mount.join(".cgview/prom/stats.prom"),
            "31m".to_owned(),
        ),
        (placed.mount.join(".cgview/status"), r"\u{1b}[2J".to_owned()),
        (
            placed.mount.join(".cgview/status.json"),
            r"\u001b[2J".to_owned(),
        ),
    ] {
        let text = read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert!(text.contains(&shows), "{}", file.display());
        let bad = text.chars().find(|char| !is_harmless(*char));
        assert_eq!(bad, None, "in {}", file.display());
    }
    let json = read(&dir.join("stats.tree.json")).expect("read");
    let named = json.lines().any(|line| {
        let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
        object["cgroup"] == name
    });
    assert!(named, "the name reads back: {json}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn paths_that_are_too_long_are_shown_as_ids() {
    let names: Vec<_> = (0..less_if_emulated(400, 60))
        .map(|number| format!("{number:0>250}"))
        .collect();
    let chain = Deep::new(&names);
    let mount = MountedCgview::of_with(&chain.0, &["-o", "builtin=stats"]);
    for (file, id) in [
        ("stats.tree", "\n/id:"),
        ("stats.tree.json", "\"/id:"),
        (".cgview/prom/stats.prom", "cgroup=\"//id:"),
    ] {
        let text = read(&mount.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(text.contains(id), "{file}");
        let longest = text.lines().map(str::len).max();
        assert!(longest < Some(6000), "{file}: {longest:?}");
        assert!(text.lines().count() > names.len(), "{file}");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_read_that_fails_each_time_is_logged_once() {
    let placed = Placed::new();
    placed.put("lines", &object("long", &["LINES=40"]));
    let view = placed.mount.join("lines");
    promptly("the view is there", || view.exists());
    for _ in 0..less_if_emulated(1000, 50) {
        assert_eq!(
            errno(File::open(&view).and_then(|mut file| { io::copy(&mut file, &mut io::sink()) })),
            Some(libc::E2BIG)
        );
    }
    let lines = placed.mount.log();
    assert!(
        lines.lines().filter(|line| line.contains("lines")).count() < 5,
        "{lines}"
    );
}

/// What sendfile(2) gives of an open file.
fn sent(file: &File) -> io::Result<String> {
    let mut copy = File::from(memfd_create("copy", MemfdFlags::empty())?);
    while sendfile(&copy, file, None, 1 << 20)? > 0 {}
    copy.rewind()?;
    io::read_to_string(copy)
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn who_fills_the_page_cache_and_stays_gives_no_old_bytes_to_others() {
    let cgroup = FixtureCgroup::new("fills");
    let children: Vec<_> = (0..100)
        .map(|n| cgroup.mkdir(format!("child-{n}")))
        .collect();
    let mount = MountedCgview::of_with(&cgroup, &["-o", "builtin=stats"]);
    let tree = mount.join("stats.tree");
    // Only a file whose size the kernel knows is read through the page cache.
    read(&tree).expect("read");
    let mut filler = None;
    promptly("the page cache is filled", || {
        let file = File::open(&tree).expect("open");
        let filled = sent(&file).is_ok_and(|text| text.contains("child-7 "));
        filler = filled.then_some(file);
        filled
    });
    for child in &children {
        fs::remove_dir(child).expect("rmdir");
    }
    // A filler's right lasts five seconds.
    thread::sleep(Duration::from_millis(5100));
    for _ in 0..20 {
        let file = File::open(&tree).expect("open");
        // EINVAL (on Linux 7, EIO) means "use read(2)".
        let text = sent(&file)
            .or_else(|_| io::read_to_string(&file))
            .expect("read");
        assert!(!text.contains("child-"), "{text}");
        assert!(text.starts_with("cgroup "), "{text}");
        let _ = filler.as_ref().map(sent);
    }
}
