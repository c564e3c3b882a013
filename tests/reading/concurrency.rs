//! Many readers at a time, and open files of cgroups that are gone.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{FixtureCgroup, MountedCgview, errno, eventually, less_if_emulated, value};

/// The cgroups that stay while others come and go.
const STAYING: usize = 300;

/// Checks that one pass over `stats.tree.json` is of one run: each line is whole, no cgroup is
/// there twice, and all that stayed are there.
fn assert_one_run(pass: &[u8]) {
    let text = str::from_utf8(pass).expect("text");
    let row = |line| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
    let rows: Vec<_> = text.lines().map(row).collect();
    assert!(text.ends_with('\n'));
    let ids: HashSet<_> = rows
        .iter()
        .map(|row| row["id"].as_u64().expect("an id"))
        .collect();
    assert_eq!(ids.len(), rows.len());
    assert_eq!(text.matches("\"child-").count(), STAYING);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn each_pass_at_any_sizes_is_one_run() {
    let cgroup = FixtureCgroup::new("passes");
    for number in 0..STAYING {
        cgroup.mkdir(format!("child-{number}"));
    }
    let mount = MountedCgview::of(&cgroup);
    let file = &mount.join("stats.tree.json");
    let end = Instant::now() + Duration::from_secs(less_if_emulated(8, 2));
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0..).take_while(|_| Instant::now() < end) {
                cgroup.mkdir(format!("more-{}", number % 50));
                thread::sleep(Duration::from_millis(3));
                let _ = fs::remove_dir(cgroup.path().join(format!("more-{}", (number + 25) % 50)));
            }
        });
        for size in [1000, 4096, 4097, 30_000, 1 << 20] {
            scope.spawn(move || {
                let mut open = File::open(file).expect("open");
                let mut buffer = vec![0; size];
                while Instant::now() < end {
                    let mut pass = Vec::new();
                    loop {
                        let length = open.read_at(&mut buffer, pass.len() as u64).expect("read");
                        pass.extend_from_slice(&buffer[..length]);
                        if length == 0 {
                            break;
                        }
                    }
                    assert_one_run(&pass);
                    if size % 2 == 0 {
                        open = File::open(file).expect("open");
                    }
                }
            });
        }
    });
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn later_parts_belong_to_the_pass_in_any_order() {
    let cgroup = FixtureCgroup::new("order");
    for number in 0..100 {
        cgroup.mkdir(number.to_string());
    }
    let mount = MountedCgview::of(&cgroup);
    let file = File::open(mount.join("stats.tree.json")).expect("open");
    let mut first = vec![0; 1 << 20];
    let length = file.read_at(&mut first, 0).expect("read");
    cgroup.mkdir("new");
    let mut part = [0; 777];
    for offset in (0..length)
        .step_by(part.len())
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        let read = file.read_at(&mut part, offset as u64).expect("read");
        assert_eq!(part[..read], first[offset..length.min(offset + part.len())]);
    }
    assert_eq!(file.read_at(&mut part, length as u64).expect("read"), 0);
    assert_eq!(file.read_at(&mut part, 1 << 60).expect("read"), 0);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_thousand_open_files_are_each_their_own() {
    let cgroup = FixtureCgroup::new("handles");
    let mount = MountedCgview::of(&cgroup);
    let path = mount.join("stats");
    let mut files = Vec::new();
    let many = less_if_emulated(1000, 100);
    for number in 0..many {
        let mut file = File::open(&path).expect("open");
        // Half of them have read the first byte of a run.
        if number % 2 == 0 {
            file.read_exact(&mut [0]).expect("read");
        }
        files.push(file);
        if number % (many / 10) == 0 {
            cgroup.mkdir(number.to_string());
        }
    }
    let descendants = |text: &str| value(text, "nr_descendants").expect("there");
    for (number, file) in files.iter_mut().enumerate() {
        let mut text = String::new();
        file.read_to_string(&mut text).expect("read");
        let expected = if number % 2 == 0 {
            number.div_ceil(many / 10) as u64
        } else {
            10
        };
        assert_eq!(descendants(&text), expected, "file {number}");
    }
    let status = fs::read_to_string(mount.join(".cgview/status")).unwrap_or_default();
    drop(files);
    if let Some(open) = value(&status, "open_files") {
        assert!(open >= many as u64);
        eventually(Duration::from_secs(5), "the files are closed", || {
            let status = fs::read_to_string(mount.join(".cgview/status")).expect("status");
            value(&status, "open_files") < Some(5)
        });
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn open_files_of_a_removed_cgroup_read_enodev_and_keep_nothing() {
    let cgroup = FixtureCgroup::new("outlive");
    let mount = MountedCgview::of(&cgroup);
    let dying = || {
        let stat = fs::read_to_string(cgroup.path().join("cgroup.stat")).expect("read");
        value(&stat, "nr_dying_descendants")
    };
    let before = dying();
    let child = cgroup.mkdir("child");
    let open = |name: &str| File::open(mount.dir_of(&child).join(name)).expect("open");
    let path = mount.dir_of(&child).join("stats");
    let files: Vec<_> = ["stats", "stats.json", "stats.tree"]
        .into_iter()
        .cycle()
        .take(30)
        .map(open)
        .collect();
    let mut buffer = [0; 4096];
    for file in files.iter().skip(5) {
        assert!(file.read_at(&mut buffer, 0).expect("read") > 0);
    }
    fs::remove_dir(&child).expect("rmdir");
    let mut assert_gone = || {
        for file in &files {
            let read = errno(file.read_at(&mut buffer, 0));
            assert_eq!(read, Some(libc::ENODEV));
        }
    };
    assert_gone();
    assert_eq!(errno(File::open(path)), Some(libc::ENOENT));
    eventually(Duration::from_secs(2), "nothing holds the cgroup", || {
        dying() == before
    });
    fs::create_dir(&child).expect("mkdir");
    assert_gone();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_file_that_is_open_is_read_by_many_threads() {
    let cgroup = FixtureCgroup::new("shared");
    let mount = MountedCgview::of(&cgroup);
    let file = &File::open(mount.join("stats")).expect("open");
    let id = cgroup.id();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                let mut buffer = [0; 4096];
                for _ in 0..less_if_emulated(500, 50) {
                    let length = file.read_at(&mut buffer, 0).expect("read");
                    let text = str::from_utf8(&buffer[..length]).expect("text");
                    assert_eq!(value(text, "id"), Some(id));
                    assert!(text.ends_with('\n'));
                }
            });
        }
    });
}
