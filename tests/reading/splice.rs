//! Readers by splice(2), sendfile(2) and mmap(2) go through the kernel's page cache, which has one
//! copy and one size of a file for all readers. They get all bytes of one run, or an error and no
//! byte; after an error each of these programs falls back to read(2).

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::readers::{Reader, WHOLE, python};
use crate::common::resident::Resident;
use crate::common::{FixtureCgroup, FixtureDir, MountedCgview, id, less_if_emulated, value};

const SENDFILE: &str = "
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
while os.sendfile(1, fd, None, 1 << 20): pass";

const SPLICE: &str = "
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
while os.splice(fd, 1, 1 << 20): pass";

/// Reads from the start for as many seconds as given, and prints each run and a dot. A refusal is
/// allowed. EINVAL is the daemon's answer, which Linux 7 passes on as EIO: its FUSE fills pages by
/// iomap.
const SENDFILE_LOOP: &str = "
import os, sys, time
out = os.memfd_create('out')
refused = (22,) if int(os.uname().release.split('.')[0]) < 7 else (5, 22)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    os.ftruncate(out, 0)
    os.lseek(out, 0, 0)
    fd = os.open(sys.argv[1], os.O_RDONLY)
    try:
        while os.sendfile(out, fd, None, 1 << 20): pass
    except OSError as e:
        assert e.errno in refused and os.fstat(out).st_size == 0, e
    os.close(fd)
    sys.stdout.buffer.write(os.pread(out, 1 << 24, 0) + b'.\\n')";

/// The readers of the common list that try a splice first.
fn splicing() -> impl Iterator<Item = &'static Reader> {
    let names = ["busybox cat", "uutils cat", "python copyfile"];
    WHOLE
        .iter()
        .filter(move |reader| names.contains(&reader.name))
}

fn by_python(script: &str, file: &Path) -> Vec<u8> {
    // A pipe, as splice wants one end to be.
    python(script, &[file.as_os_str()])
}

/// A text that is one whole run of `stats`.
fn assert_whole_stats(text: &[u8], id: u64) {
    let text = str::from_utf8(text).expect("text");
    assert_eq!(value(text, "id"), Some(id), "{text:?}");
    assert!(text.ends_with('\n'), "{text:?}");
    let last = text.lines().last().unwrap_or_default();
    let expected = [
        "system_usec ",
        "throttled_usec ",
        "memory_events_oom_kill ",
        "pids_",
    ];
    assert!(expected.iter().any(|key| last.starts_with(key)), "{text:?}");
    let keys = text.lines().map(|line| line.split(' ').next());
    let mut keys: Vec<_> = keys.collect();
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count, "{text:?}");
    assert!(!text.contains('\0'), "{text:?}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn sendfile_and_splice_give_every_byte() {
    let cgroup = FixtureCgroup::new("calls");
    for number in 0..less_if_emulated(500, 100) {
        cgroup.mkdir(number.to_string());
    }
    let mount = MountedCgview::of(&cgroup);
    let files = ["stats", "stats.tree", "stats.json", "stats.tree.json"];
    for file in files.into_iter().take(less_if_emulated(4, 2)) {
        let file = mount.dir_of(cgroup.path()).join(file);
        for script in [SENDFILE, SPLICE] {
            let expected = fs::read(&file).expect("read");
            let got = by_python(script, &file);
            assert!(
                got == expected,
                "{}: {} of {} bytes",
                file.display(),
                got.len(),
                expected.len()
            );
        }
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_file_that_grew_past_its_shown_size_is_read_to_its_end() {
    let cgroup = FixtureCgroup::new("grows");
    let mount = MountedCgview::of(&cgroup);
    let copies = FixtureDir::new("copies");
    let file = mount.dir_of(cgroup.path()).join("stats.tree");
    for round in 0..less_if_emulated(12, 4) {
        for number in 0..less_if_emulated(100, 30) {
            cgroup.mkdir(format!("child-{round}-{number}"));
        }
        // No other has read it since.
        let got = match round % 5 {
            0 => by_python(SENDFILE, &file),
            1 => by_python(SPLICE, &file),
            by => splicing()
                .nth(by - 2)
                .expect("three")
                .read(&file, copies.path()),
        };
        let expected = fs::read(&file).expect("read");
        assert!(
            got == expected,
            "round {round}: {} of {} bytes",
            got.len(),
            expected.len()
        );
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn readers_at_the_same_time_do_not_spoil_each_others_small_file() {
    let cgroup = FixtureCgroup::new("together");
    let child = cgroup.mkdir("child");
    let _busy = Resident::busy(&child);
    let mount = MountedCgview::of(&cgroup);
    let file = mount.dir_of(&child).join("stats");
    let id = id(&child);
    let file = &file;
    let seconds = Duration::from_secs(less_if_emulated(8, 1));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                let time = seconds.as_secs().to_string();
                let all = python(SENDFILE_LOOP, &[file.as_os_str(), time.as_ref()]);
                let all = String::from_utf8(all).expect("text");
                let runs = all.split(".\n").filter(|text| !text.is_empty());
                runs.for_each(|text| assert_whole_stats(text.as_bytes(), id));
            });
        }
        for reader in splicing() {
            scope.spawn(move || {
                let copies = FixtureDir::new("copies");
                let end = Instant::now() + seconds;
                while Instant::now() < end {
                    assert_whole_stats(&reader.read(file, copies.path()), id);
                    fs::metadata(file).expect("stat");
                }
            });
        }
    });
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn readers_at_the_same_time_do_not_spoil_each_others_large_file() {
    let cgroup = FixtureCgroup::new("large");
    for number in 0..400 {
        cgroup.mkdir(number.to_string());
    }
    let mount = MountedCgview::of(&cgroup);
    let file = &mount.dir_of(cgroup.path()).join("stats.tree.json");
    let nested = cgroup.path().join("0");
    let end = Instant::now() + Duration::from_secs(less_if_emulated(8, 1));
    thread::scope(|scope| {
        // All rows keep their number, and one says which run it is of.
        scope.spawn(|| {
            for number in (0..).take_while(|_| Instant::now() < end) {
                let child = nested.join(number.to_string());
                fs::create_dir(&child).expect("mkdir");
                thread::sleep(Duration::from_millis(2));
                fs::remove_dir(&child).expect("rmdir");
            }
        });
        for reader in splicing().chain(splicing()) {
            scope.spawn(move || {
                let copies = FixtureDir::new("copies");
                while Instant::now() < end {
                    let read = reader.read(file, copies.path());
                    let text = str::from_utf8(&read).expect("text");
                    assert!(text.ends_with("}\n"), "{}", reader.name);
                    let ids = text.lines().map(|line| {
                        assert!(
                            line.starts_with('{') && line.ends_with('}'),
                            "{}: {line:?}",
                            reader.name
                        );
                        let id = line
                            .split("\"id\":")
                            .nth(1)
                            .and_then(|rest| rest.split([',', '}']).next());
                        id.unwrap_or_else(|| panic!("{}: {line:?}", reader.name))
                            .trim()
                    });
                    let mut ids: Vec<_> = ids.collect();
                    let count = ids.len();
                    ids.sort_unstable();
                    ids.dedup();
                    assert_eq!(ids.len(), count, "{}: a row came twice", reader.name);
                    assert!(
                        (401..=402).contains(&count),
                        "{}: {count} rows",
                        reader.name
                    );
                }
            });
        }
    });
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_private_map_shows_one_run_and_a_shared_one_is_refused() {
    let cgroup = FixtureCgroup::new("map");
    let mount = MountedCgview::of(&cgroup);
    let file = mount.dir_of(cgroup.path()).join("stats");
    let script = "
import errno, mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
try:
    mmap.mmap(fd, 4096, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    sys.exit('a shared map was made')
except OSError as e:
    assert e.errno == errno.ENODEV, e
private = mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
sys.stdout.buffer.write(private[:].rstrip(b'\\0'))";
    assert_eq!(by_python(script, &file), fs::read(&file).expect("read"));
}
