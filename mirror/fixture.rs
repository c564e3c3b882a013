//! A cgroup for tests to make cgroups in. It is removed on drop with its descendants.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use super::CgroupId;

pub(super) struct FixtureCgroup {
    path: PathBuf,
}

impl FixtureCgroup {
    /// Makes a cgroup below the root of cgroup2.
    pub(super) fn new() -> FixtureCgroup {
        FixtureCgroup::below(&super::find_cgroup2().unwrap())
    }

    pub(super) fn below(hierarchy: &Path) -> FixtureCgroup {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = hierarchy.join(format!("cgview-mirror-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        FixtureCgroup { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn make(&self, below: &str) -> CgroupId {
        let path = self.path.join(below);
        fs::create_dir_all(&path).unwrap();
        CgroupId(fs::metadata(path).unwrap().ino())
    }

    pub(super) fn remove(&self, below: &str) {
        fs::remove_dir(self.path.join(below)).unwrap();
    }
}

impl Drop for FixtureCgroup {
    fn drop(&mut self) {
        remove_tree(&self.path).unwrap();
    }
}

fn remove_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}
