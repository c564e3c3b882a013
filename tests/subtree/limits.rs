//! Subtrees at the limits: small ones in a large hierarchy, and ones that are deeper than a path
//! is long.

use std::fs;

use crate::common::deep::Deep;
use crate::common::objects::{Placed, eventually_says, say};
use crate::common::{FixtureCgroup, MountedCgview, less_if_emulated, read};

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_leafs_tree_is_read_when_the_whole_tree_is_over_the_limit() {
    let cgroup = FixtureCgroup::new("limit");
    for number in 0..less_if_emulated(8000, 5000) {
        cgroup.mkdir(number.to_string());
    }
    let options = ["-o", "builtin=stats,max_snapshot_mib=1"];
    let mount = MountedCgview::of_with(&cgroup, &options);
    for leaf in ["17", "18"] {
        let tree = read(&mount.join(leaf).join("stats.tree")).expect("read");
        assert_eq!(tree.lines().count(), 2, "{tree}");
    }
    let error = fs::read(mount.join("stats.tree")).expect_err("too large");
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    let tree = read(&mount.join("19/stats.tree")).expect("read");
    assert_eq!(tree.lines().count(), 2, "{tree}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_subtree_read_by_single_reads_is_whole_at_any_depth() {
    // Below 2,048 the depth is nothing special, but emulated CPUs take too long for more.
    let depth = less_if_emulated(2200, 100);
    let chain = Deep::new(&vec!["c".to_owned(); depth]);
    let placed = Placed::new();
    placed.put("hello", &say("hello", "hello"));
    let dir = placed.mount.dir_of(chain.0.path());
    eventually_says(&dir.join("hello"), "hello");
    let tree = read(&dir.join("hello.tree")).expect("read");
    let paths: Vec<_> = tree
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .collect();
    let texts = tree.lines().filter(|line| line.starts_with("hello "));
    assert_eq!((paths.len(), texts.count()), (1 + depth, 1 + depth));
    assert_eq!(paths[0], ".");
    // The deepest of which the path has at most 4,096 bytes.
    let shown = depth.min(2048);
    let expected = vec!["c"; shown].join("/");
    assert!(paths[shown] == expected, "{} bytes", paths[shown].len());
    assert!(
        paths[shown + 1..]
            .iter()
            .all(|path| path.starts_with("/id:"))
    );
}
