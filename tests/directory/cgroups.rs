//! A directory stands for one cgroup, also when the name is used again.

use std::fs;

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
