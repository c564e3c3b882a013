//! One read is one run: a program that clears what it shows loses nothing, whatever the length of
//! its output and the way in which it is read.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::common::objects::{PATIENCE, Placed, object};
use crate::common::readers::python;
use crate::common::{FixtureCgroup, eventually, less_if_emulated};

const VIEW: &str = "clears";

/// How many lines of 40 bytes follow the first: outputs of a few bytes, 2 to 4 KiB, more than the
/// size that an unknown file shows, and much more.
const LINES: [usize; 4] = [0, 80, 150, 600];

/// All of them, or the first and one above the size that is shown.
fn lines() -> &'static [usize] {
    less_if_emulated(&LINES, &[0, 150])
}

/// The readers by sendfile fill the page cache.
const SENDFILE: &str = "
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
while os.sendfile(1, fd, None, 1 << 20): pass";

/// A mount with a view whose runs are numbered, which nobody has read yet.
fn placed(lines: usize) -> Placed {
    let placed = Placed::new();
    let defines = [format!("VIEW={VIEW}"), format!("LINES={lines}")];
    let defines: Vec<_> = defines.iter().map(String::as_str).collect();
    placed.put(VIEW, &object(VIEW, &defines));
    let listed = || {
        let entries = fs::read_dir(placed.mount.path()).expect("list").flatten();
        entries
            .map(|entry| entry.file_name())
            .any(|name| name == VIEW)
    };
    eventually(PATIENCE, "the view is there", listed);
    placed
}

/// The number of the run that made this output, which has to be whole.
fn run_of(output: &[u8], lines: usize) -> u64 {
    let text = str::from_utf8(output).expect("text");
    assert_eq!(text.lines().count(), 1 + lines, "{text:?}");
    let first = text.lines().next().expect("a line");
    let number = first.strip_prefix("run ").expect("a run");
    number.parse().unwrap_or_else(|e| panic!("{first}: {e}"))
}

/// A pass over an open file from its start.
fn pass(file: &File) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 1500];
    loop {
        let length = file.read_at(&mut buffer, all.len() as u64).expect("read");
        if length == 0 {
            return all;
        }
        all.extend_from_slice(&buffer[..length]);
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_program_that_clears_what_it_shows_loses_nothing() {
    let cgroup = FixtureCgroup::new("clears");
    for &lines in lines() {
        let placed = placed(lines);
        let file = placed.mount.dir_of(cgroup.path()).join(VIEW);
        let mut runs = Vec::new();
        for _ in 0..5 {
            runs.push(run_of(&fs::read(&file).expect("read"), lines));
        }
        for _ in 0..3 {
            runs.push(run_of(&python(SENDFILE, &[file.as_os_str()]), lines));
        }
        let open = File::open(&file).expect("open");
        for _ in 0..3 {
            runs.push(run_of(&pass(&open), lines));
        }
        let expected: Vec<u64> = (1..=runs.len() as u64).collect();
        assert_eq!(runs, expected, "{lines} lines");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_first_read_gets_the_run_of_open_however_late_it_comes() {
    let cgroup = FixtureCgroup::new("late");
    for &lines in lines() {
        let placed = placed(lines);
        let file = placed.mount.dir_of(cgroup.path()).join(VIEW);
        for run in [1, 2] {
            let open = File::open(&file).expect("open");
            thread::sleep(Duration::from_millis(300));
            assert_eq!(run_of(&pass(&open), lines), run, "{lines} lines");
        }
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_read_of_the_end_leaves_the_run_for_a_read_of_the_start() {
    let cgroup = FixtureCgroup::new("end");
    let lines = LINES[2];
    let placed = placed(lines);
    let file = placed.mount.dir_of(cgroup.path()).join(VIEW);
    let open = File::open(file).expect("open");
    let mut end = [0; 40];
    let length = "run 1\n".len() + (lines - 1) * 40;
    open.read_exact_at(&mut end, length as u64).expect("read");
    assert_eq!(run_of(&pass(&open), lines), 1);
    assert_eq!(run_of(&pass(&open), lines), 2);
}

fn assert_enodev(read: io::Result<usize>) {
    let error = read.expect_err("the cgroup is gone");
    assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_first_read_answers_enodev_when_the_cgroup_went_after_open() {
    let cgroup = FixtureCgroup::new("went");
    for &lines in lines() {
        let placed = placed(lines);
        let open = |child: &Path| {
            let file = placed.mount.dir_of(child).join(VIEW);
            File::open(file).expect("open")
        };
        for offset in [0, 3] {
            let child = cgroup.mkdir(format!("child-{lines}-{offset}"));
            let file = open(&child);
            fs::remove_dir(&child).expect("rmdir");
            assert_enodev(file.read_at(&mut [0; 100], offset));
            assert_enodev(file.read_at(&mut [0; 100], 0));
        }
    }
}
