//! Cgroups nested deeper than a path can be long.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::thread;

use rustix::fs::{Mode, OFlags, mkdirat, openat};

use super::{FixtureCgroup, run};

/// A cgroup with a chain of descendants, removed on drop.
pub struct Deep(pub FixtureCgroup);

impl Deep {
    /// Each name is in the one before.
    pub fn new(names: &[String]) -> Deep {
        let deep = Deep(FixtureCgroup::new("deep"));
        let mut at: OwnedFd = File::open(deep.0.path()).expect("open").into();
        for name in names {
            mkdirat(&at, &**name, Mode::from_bits_retain(0o755)).expect("mkdirat");
            at = openat(&at, &**name, OFlags::RDONLY, Mode::empty()).expect("openat");
        }
        deep
    }
}

impl Drop for Deep {
    fn drop(&mut self) {
        let below = ["-mindepth", "1", "-depth", "-type", "d", "-delete"].map(OsStr::new);
        let arguments = [self.0.path().as_os_str()].into_iter().chain(below);
        let removed = run("find", arguments).status.success();
        assert!(removed || thread::panicking(), "remove the descendants");
    }
}
