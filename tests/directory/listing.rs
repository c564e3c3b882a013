//! What a directory lists, and the sizes of files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use crate::common::{FixtureCgroup, MountedCgview};

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).expect("list").flatten();
    let names = entries.map(|entry| entry.file_name().into_string());
    names.map(|name| name.expect("UTF-8")).collect()
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_directory_lists_its_children_and_one_file_for_each_view() {
    let cgroup = FixtureCgroup::new("listing");
    cgroup.mkdir("a/b");
    let mount = MountedCgview::of_with(&cgroup, &["-o", "builtin=stats:vmscan"]);
    for (dir, children) in [
        ("", &[".cgview", "a"] as &[&str]),
        ("a", &["b"]),
        ("a/b", &[]),
    ] {
        let expected = children.iter().chain(&["stats", "vmscan"]);
        let expected: BTreeSet<_> = expected.map(|name| (*name).to_owned()).collect();
        // The native files of a cgroup are not among them.
        assert_eq!(names(&mount.join(dir)), expected, "{dir:?}");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_other_forms_of_a_view_open_although_they_are_not_listed() {
    let cgroup = FixtureCgroup::new("forms");
    let mount = MountedCgview::of(&cgroup);
    for form in ["", ".json", ".prom", ".bin", ".tree", ".tree.json"] {
        let file = File::open(mount.join(format!("stats{form}"))).expect("open");
        let stat = file.metadata().expect("stat");
        assert!(stat.is_file());
        assert!(stat.len() > 0 && stat.len().is_multiple_of(4096));
    }
    assert!(File::open(mount.join("stats.xml")).is_err());
}
