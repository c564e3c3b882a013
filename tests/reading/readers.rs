//! Every ordinary reader gets every byte, of small files and of large ones.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::common::readers::{BYTE_BY_BYTE, Reader, WHOLE};
use crate::common::{FixtureCgroup, FixtureDir, MountedCgview, less_if_emulated, sh, value};

/// So many cgroups make a table of some hundred KiB.
const MANY: usize = 400;

/// A cgroup with so many children.
fn with_children(what: &str, count: usize) -> FixtureCgroup {
    let cgroup = FixtureCgroup::new(what);
    for number in 0..count {
        cgroup.mkdir(format!("child-{number}"));
    }
    cgroup
}

/// The bytes of the file as read(2) gives them, the file being about something that rests.
fn by_read(file: &Path) -> Vec<u8> {
    fs::read(file).unwrap_or_else(|e| panic!("read {}: {e}", file.display()))
}

fn assert_reads_all<'a>(file: &Path, readers: impl IntoIterator<Item = &'a Reader>) {
    let dir = FixtureDir::new("copies");
    for reader in readers {
        let expected = by_read(file);
        let read = reader.read(file, dir.path());
        // It may have changed meanwhile, for one machine is shared by many; not for long.
        if read != expected {
            let name = reader.name;
            let again = reader.read(file, dir.path());
            let (got, of) = (again.len(), by_read(file).len());
            assert!(again == by_read(file), "{name} gets {got} bytes of {of}");
        }
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn every_reader_gets_all_of_a_small_file() {
    let cgroup = FixtureCgroup::new("small");
    let mount = MountedCgview::of(&cgroup);
    let file = mount.dir_of(cgroup.path()).join("stats");
    assert_reads_all(&file, WHOLE.iter().chain(&BYTE_BY_BYTE));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn every_reader_gets_all_of_a_large_file() {
    let cgroup = with_children("large", MANY);
    let mount = MountedCgview::of(&cgroup);
    let file = mount.dir_of(cgroup.path()).join("stats.tree");
    let lines = by_read(&file).split(|byte| *byte == b'\n').count();
    assert!(lines > MANY);
    assert!(by_read(&file).len() > 64 * 1024);
    assert_reads_all(&file, WHOLE.iter().step_by(less_if_emulated(1, 3)));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn every_reader_gets_all_of_the_files_about_the_views() {
    let mount = MountedCgview::new();
    let readers = WHOLE.iter().step_by(less_if_emulated(1, 4));
    assert_reads_all(&mount.join(".cgview/views/stats/help"), readers);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn parts_of_a_file_are_the_right_parts() {
    let cgroup = with_children("parts", 100);
    let mount = MountedCgview::of(&cgroup);
    for file in ["stats", "stats.tree"] {
        let file = mount.dir_of(cgroup.path()).join(file);
        let all = by_read(&file);
        let end = |count: usize| &all[all.len() - count..];
        let part = |script: &str| sh(&format!("f='{}'; {script}", file.display()));
        assert_eq!(part("tail -c 5 \"$f\""), end(5));
        assert_eq!(part("head -c 10 \"$f\""), all[..10]);
        assert_eq!(
            part("dd if=\"$f\" bs=1 skip=7 count=20 status=none"),
            all[7..27]
        );
        let last = all.split_inclusive(|byte| *byte == b'\n').next_back();
        assert_eq!(Some(&*part("tail -n 1 \"$f\"")), last);
        let lines = all.iter().filter(|byte| **byte == b'\n').count();
        let counts = String::from_utf8(part("wc -lc <\"$f\"; wc -c \"$f\"")).expect("text");
        let counts: Vec<_> = counts.split_whitespace().take(3).collect();
        let length = all.len().to_string();
        assert_eq!(counts, [&*lines.to_string(), &*length, &*length]);
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn pread_at_0_is_live_and_complete_each_time() {
    let cgroup = with_children("pread", 50);
    let mount = MountedCgview::of(&cgroup);
    let dir = mount.dir_of(cgroup.path());
    let [stats, file] =
        ["stats", "stats.tree"].map(|file| File::open(dir.join(file)).expect("open"));
    let mut buffer = vec![0; 1 << 20];
    for more in 0..50 {
        let length = file.read_at(&mut buffer, 0).expect("read");
        let lines = buffer[..length]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        // A head, the cgroup itself and its children.
        assert_eq!(lines as u64, 2 + 50 + more);
        assert!(buffer[..length].ends_with(b"\n"));
        let length = stats.read_at(&mut buffer, 0).expect("read");
        let text = str::from_utf8(&buffer[..length]).expect("text");
        assert_eq!(value(text, "nr_descendants"), Some(50 + more));
        cgroup.mkdir(format!("more-{more}"));
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn tar_keeps_every_byte_and_pads_to_the_size_shown() {
    let cgroup = with_children("tar", 3);
    let mount = MountedCgview::of(&cgroup);
    let dir = FixtureDir::new("tar");
    let source = mount.dir_of(cgroup.path());
    sh(&format!(
        "tar -C '{}' -cf '{out}/archive' . 2>'{out}/said' || test $? = 1; ! grep -v padding '{out}/said' | \
         grep -v 'previous errors'; tar -C '{out}' -xf '{out}/archive'",
        source.display(),
        out = dir.path().display()
    ));
    for file in ["stats", "child-0/stats", "child-2/stats"] {
        let all = by_read(&source.join(file));
        let archived = fs::read(dir.path().join(file)).expect("unpacked");
        assert_eq!(archived[..all.len()], all);
        assert!(archived[all.len()..].iter().all(|byte| *byte == 0));
    }
}
