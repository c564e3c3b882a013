//! Cgroups too deep to be watched.

use rustix::fs::{AtFlags, Mode, OFlags, fstat, mkdirat, openat, unlinkat};

use super::*;

/// Cgroups whose paths are too long for a system call, made and removed through descriptors.
struct DeepChain {
    dirs: Vec<OwnedFd>,
    name: String,
}

impl DeepChain {
    fn make(top: OwnedFd, levels: usize) -> DeepChain {
        let name = "d".repeat(255);
        let mut dirs = vec![top];
        for _ in 0..levels {
            let dir = dirs.last().unwrap();
            mkdirat(dir, &name, Mode::RWXU).unwrap();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            dirs.push(openat(dir, &name, flags, Mode::empty()).unwrap());
        }
        DeepChain { dirs, name }
    }
}

impl Drop for DeepChain {
    fn drop(&mut self) {
        self.dirs.pop();
        for dir in self.dirs.iter().rev() {
            unlinkat(dir, &self.name, AtFlags::REMOVEDIR).unwrap();
        }
    }
}

#[test]
#[ignore = "needs root and cgroup2"]
fn tree_deeper_than_any_path_is_answered_correctly() {
    let fixture = FixtureCgroup::new();
    let chain = DeepChain::make(open_source(fixture.path()).unwrap().fd, 20);
    let (mirror, _) = start(fixture.path());
    assert_eq!(mirror.health().cgroups, 21);
    assert!(mirror.health().unwatched > 0);
    let mut at = mirror.root();
    for _ in 0..20 {
        assert_eq!(mirror.list(at).unwrap().len(), 1);
        at = mirror.lookup(at, OsStr::new(&chain.name)).unwrap();
    }
    assert_eq!(mirror.path(at).unwrap().components().count(), 20);
    let parents: Vec<_> = mirror.ancestors(at).unwrap();
    assert_eq!(parents.len(), 21);
    // The path of an unknown id is found by going up.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let deepest = chain.dirs.last().unwrap();
    mkdirat(deepest, "new", Mode::RWXU).unwrap();
    let new = openat(deepest, "new", flags, Mode::empty()).unwrap();
    let id = CgroupId(fstat(&new).unwrap().st_ino);
    assert!(mirror.path(id).unwrap().ends_with("new"));
    unlinkat(deepest, "new", AtFlags::REMOVEDIR).unwrap();
    assert!(!mirror.is_alive(id).unwrap());
}

#[test]
#[ignore = "needs root and cgroup2"]
fn removal_of_an_unwatched_cgroup_is_reported_by_a_rescan() {
    let fixture = FixtureCgroup::new();
    let chain = DeepChain::make(open_source(fixture.path()).unwrap().fd, 20);
    let (mirror, changes) = start(fixture.path());
    assert!(mirror.health().unwatched > 0);
    drop(chain);
    eventually("all are reported", || gone_ids(&changes).len() == 20);
    eventually("none is unwatched", || mirror.health().unwatched == 0);
    let rescans = mirror.health().rescans;
    thread::sleep(3 * watch::RESCAN_INTERVAL);
    assert_eq!(mirror.health().rescans, rescans, "rescans without need");
}
