//! One test for each promise about what is where and what a read gives.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use crate::common::{FixtureCgroup, MountedCgview, id, less_if_emulated, read, value};

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_directory_is_its_cgroup() {
    let cgroup = FixtureCgroup::new("ids");
    let child = cgroup.mkdir("a/b");
    let mount = MountedCgview::new();
    for path in [cgroup.path(), child.as_path()] {
        let dir = mount.dir_of(path);
        assert_eq!(id(&dir), id(path));
        let text = read(&dir.join("stats")).expect("read stats");
        assert_eq!(value(&text, "id"), Some(id(path)));
    }
    assert_eq!(id(mount.path()), id(&crate::common::cgroup_root()));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_read_at_the_start_of_an_open_file_is_live() {
    let cgroup = FixtureCgroup::new("live");
    let mount = MountedCgview::new();
    let file = fs::File::open(mount.dir_of(cgroup.path()).join("stats")).expect("open");
    let mut buffer = [0; 4096];
    for children in 0..4 {
        let length = file.read_at(&mut buffer, 0).expect("read");
        let text = str::from_utf8(&buffer[..length]).expect("text");
        assert_eq!(value(text, "nr_descendants"), Some(children));
        cgroup.mkdir(children.to_string());
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn an_open_file_of_a_removed_cgroup_reads_enodev() {
    let cgroup = FixtureCgroup::new("gone");
    let child = cgroup.mkdir("child");
    let mount = MountedCgview::new();
    let path = mount.dir_of(&child).join("stats");
    let file = fs::File::open(&path).expect("open");
    let mut buffer = [0; 4096];
    file.read_at(&mut buffer, 0).expect("read");
    fs::remove_dir(&child).expect("rmdir");
    let error = file.read_at(&mut buffer, 0).expect_err("gone");
    assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    let error = fs::File::open(&path).expect_err("gone");
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_cgroup_of_the_same_name_is_another_one() {
    let cgroup = FixtureCgroup::new("again");
    let mount = MountedCgview::new();
    let path = mount.dir_of(cgroup.path()).join("child/stats");
    for _ in 0..less_if_emulated(50, 5) {
        let child = cgroup.mkdir("child");
        let text = read(&path).expect("read");
        assert_eq!(value(&text, "id"), Some(id(&child)));
        fs::remove_dir(&child).expect("rmdir");
        let error = read(&path).expect_err("gone");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn files_and_directories_have_their_modes() {
    let cgroup = FixtureCgroup::new("modes");
    let mount = MountedCgview::new();
    let dir = fs::metadata(mount.dir_of(cgroup.path())).expect("stat");
    assert_eq!((dir.mode() & 0o7777, dir.uid()), (0o555, 0));
    let file = fs::metadata(mount.dir_of(cgroup.path()).join("stats")).expect("stat");
    assert_eq!(
        (file.mode() & 0o7777, file.uid(), file.nlink()),
        (0o444, 0, 1)
    );
}
