//! The limits of what a read gives and of the links that it may pin.

use std::fs;

use crate::common::objects::{Placed, object, promptly, status};
use crate::common::{FixtureCgroup, MountedCgview, errno, read, value};

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_text_of_one_run_is_whole_or_reads_e2big() {
    let placed = Placed::new();
    for (lines, expected) in [(30, Ok(30 << 10)), (40, Err(libc::E2BIG))] {
        let path = placed.put("lines", &object("long", &[&format!("LINES={lines}")]));
        let view = placed.mount.join("lines");
        let mut found = Err(0);
        promptly("the view is read", || {
            let text = fs::read(&view).map(|text| text.len());
            found = text.map_err(|error| error.raw_os_error().unwrap_or_default());
            found == expected
        });
        assert_eq!(found, expected);
        assert_eq!(placed.status_of(&path)["live"], true);
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn max_links_limits_the_links_and_every_cgroup_stays_readable() {
    let cgroup = FixtureCgroup::new("links");
    let children: Vec<_> = (0..20).map(|n| cgroup.mkdir(n.to_string())).collect();
    let mount = MountedCgview::of_with(&cgroup, &["-o", "builtin=stats,max_links=5"]);
    for _ in 0..2 {
        for child in &children {
            let text = read(&mount.dir_of(child).join("stats")).expect("read");
            assert_eq!(value(&text, "id"), Some(crate::common::id(child)));
            assert!(mount.links().len() <= 5);
        }
    }
    assert_eq!(mount.links().len(), 5);
    assert_eq!(status(&mount)["health"]["links"], 5);
    let gone = mount.dir_of(&children[0]).join("stats");
    fs::remove_dir(&children[0]).expect("rmdir");
    assert_eq!(errno(read(&gone)), Some(libc::ENOENT));
}
