//! A bpffs for a test alone: not every machine has one at /sys/fs/bpf.

use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::FixtureDir;

/// Unmounted on drop.
pub struct Bpffs(FixtureDir);

impl Bpffs {
    pub fn new() -> Bpffs {
        let dir = FixtureDir::new("bpffs");
        mount("bpf", dir.path(), "bpf", MountFlags::empty(), None).expect("mount a bpffs");
        Bpffs(dir)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}
