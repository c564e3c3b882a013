//! Inode numbers that every program can hold: a listing has no number that is too large for a
//! 32-bit program without large-file support, and no number is negative for a program that takes
//! them for signed.

use std::fs;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};

use crate::common::{FixtureCgroup, MountedCgview, id};

const FORMS: [&str; 6] = ["", ".json", ".prom", ".bin", ".tree", ".tree.json"];

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn listed_inode_numbers_fit_32_bits_and_are_those_of_stat() {
    let cgroup = FixtureCgroup::new("listed");
    let child = cgroup.mkdir("child");
    let mount = MountedCgview::with_all_views();
    // The kernel's counter starts again at 0 and then counts its rounds in the upper half.
    assert!(id(&child) >> 32 == 0, "cgroup ids themselves are larger");
    let control = [
        ".cgview",
        ".cgview/views",
        ".cgview/views/stats",
        ".cgview/prom",
    ];
    let mut directories = vec![mount.path().to_owned(), mount.dir_of(&child)];
    directories.extend(control.map(|below| mount.join(below)));
    for directory in directories {
        let mut entries = 0;
        for entry in fs::read_dir(&directory).expect("list") {
            let entry = entry.expect("an entry");
            let path = entry.path();
            assert!(
                entry.ino() >> 32 == 0,
                "{}: {:#x}",
                path.display(),
                entry.ino()
            );
            // Cgroups of others may go meanwhile.
            if let Ok(stat) = fs::symlink_metadata(&path) {
                assert_eq!(stat.ino(), entry.ino(), "{}", path.display());
            }
            entries += 1;
        }
        assert!(entries > 0, "{} is empty", directory.display());
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn every_form_has_a_number_of_its_own_that_is_positive() {
    let cgroup = FixtureCgroup::new("forms");
    let mount = MountedCgview::with_all_views();
    let mut numbers = Vec::new();
    for view in ["stats", "vmscan"] {
        for form in FORMS {
            let path = mount.dir_of(cgroup.path()).join(format!("{view}{form}"));
            let number = id(&path);
            assert!(number.cast_signed() > 0, "{}: {number:#x}", path.display());
            numbers.push(number);
        }
    }
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count);
}
