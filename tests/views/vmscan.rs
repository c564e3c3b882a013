//! The worked example of the kernel series: reclaim delay, summed up the tree of cgroups.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{
    FixtureCgroup, MountedCgview, cgroup_root, has_controller, read, remove_cgroup, run, value,
};

/// A v1 memory cgroup, for hosts that keep memory there.
struct MemoryV1(PathBuf);

impl Drop for MemoryV1 {
    fn drop(&mut self) {
        remove_cgroup(&self.0);
    }
}

/// Something that reclaims: a process in `cgroup` that reads more file pages than its memory limit
/// holds. They are clean, or a slow disk would have it run out of memory.
fn reclaim(cgroup: &Path) {
    let limit = MemoryLimit::new(cgroup);
    let script = r#"
        file=$(mktemp /var/tmp/cgview-reclaim.XXXXXX) || exit 1
        exec 3<> "$file"
        rm "$file"   # at once: a process that runs out of memory removes nothing
        file=/proc/self/fd/3
        dd if=/dev/zero of=$file bs=1M count=64 conv=fsync status=none || exit 1
        dd if=$file iflag=nocache count=0 status=none || exit 1
        echo $$ > "$1" || exit 1
        [ -z "$2" ] || echo $$ > "$2" || exit 1
        cat $file $file $file > /dev/null
    "#;
    let procs = cgroup.join("cgroup.procs");
    let limited = limit.procs();
    let arguments = ["-c".as_ref(), script.as_ref(), "reclaim".as_ref()];
    let arguments = arguments
        .into_iter()
        .chain([procs.as_os_str(), limited.as_os_str()]);
    let output = run("bash", arguments);
    assert!(output.status.success(), "{output:?}");
}

/// A limit of 24 MiB for the processes that join.
enum MemoryLimit {
    /// By the cgroup itself.
    Own,
    /// By a cgroup of the v1 hierarchy.
    V1(MemoryV1),
}

impl MemoryLimit {
    fn new(cgroup: &Path) -> MemoryLimit {
        const LIMIT: &str = "25165824";
        if has_controller(cgroup, "memory") {
            fs::write(cgroup.join("memory.max"), LIMIT).expect("set memory.max");
            return MemoryLimit::Own;
        }
        let path = Path::new("/sys/fs/cgroup/memory").join(crate::common::unique("reclaim"));
        fs::create_dir(&path).expect("this host has memory cgroups in v2 or in v1");
        let v1 = MemoryV1(path);
        fs::write(v1.0.join("memory.limit_in_bytes"), LIMIT).expect("set the limit");
        MemoryLimit::V1(v1)
    }

    /// Where a process joins for the limit, beyond its own cgroup.
    fn procs(&self) -> PathBuf {
        match self {
            MemoryLimit::Own => PathBuf::new(),
            MemoryLimit::V1(v1) => v1.0.join("cgroup.procs"),
        }
    }
}

fn delay(mount: &MountedCgview, cgroup: &Path, key: &str) -> u64 {
    let text = read(&mount.dir_of(cgroup).join("vmscan")).expect("read vmscan");
    value(&text, key).unwrap_or_else(|| panic!("{key} is not in {text}"))
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_parent_has_its_own_reclaims_and_its_childrens() {
    let tree = FixtureCgroup::new("vmscan");
    let middle = FixtureCgroup::at(tree.path().join("middle"));
    let leaves = [middle.mkdir("leaf1"), middle.mkdir("leaf2")];
    let mount = MountedCgview::with(&["-o", "builtin=vmscan"]);
    for leaf in &leaves {
        assert_eq!(delay(&mount, leaf, "reclaims"), 0);
        reclaim(leaf);
    }
    let count = |cgroup: &Path| delay(&mount, cgroup, "reclaims");
    let usec = |cgroup: &Path| delay(&mount, cgroup, "reclaim_delay_usec");
    let own = |cgroup: &Path| delay(&mount, cgroup, "reclaim_delay_local_usec");

    let [first, second] = leaves.each_ref().map(|leaf| count(leaf));
    assert!(first > 0 && second > 0, "{first} {second}");
    assert_eq!(count(middle.path()), first + second);
    assert_eq!(count(tree.path()), first + second);
    assert_eq!(own(middle.path()), 0);
    let children: u64 = leaves.iter().map(|leaf| usec(leaf)).sum();
    // Nanoseconds are summed, microseconds are shown: each addend may lose one.
    assert!((children..children + 2).contains(&usec(middle.path())));
    assert!(leaves.iter().all(|leaf| own(leaf) == usec(leaf)));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn counts_of_a_removed_child_stay_in_its_parents() {
    let tree = FixtureCgroup::new("vmscan-removed");
    let leaf = tree.mkdir("leaf");
    let mount = MountedCgview::with(&["-o", "builtin=vmscan"]);
    reclaim(&leaf);
    let before = delay(&mount, tree.path(), "reclaims");
    assert!(before > 0);
    fs::remove_dir(&leaf).expect("rmdir");
    assert_eq!(delay(&mount, tree.path(), "reclaims"), before);
    let root = delay(&mount, &cgroup_root(), "reclaims");
    assert!(root >= before, "{root} < {before}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_cgroup_that_never_reclaimed_has_zero_and_nothing_if_memory_is_not_controlled() {
    let cgroup = FixtureCgroup::new("vmscan-idle");
    let mount = MountedCgview::with(&["-o", "builtin=vmscan"]);
    let has_v1 = Path::new("/sys/fs/cgroup/memory").exists();
    if has_v1 || has_controller(&cgroup_root(), "memory") {
        assert_eq!(delay(&mount, cgroup.path(), "reclaims"), 0);
        assert_eq!(delay(&mount, cgroup.path(), "reclaim_delay_usec"), 0);
    } else {
        let text = read(&mount.dir_of(cgroup.path()).join("vmscan"));
        assert_eq!(text.expect("read vmscan"), "");
    }
}
