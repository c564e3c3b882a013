//! The directory of an object's pins in the own bpffs.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

/// The directory of an object's pins; removed with all pins on drop.
pub(super) struct PinDir {
    path: PathBuf,
    fd: OwnedFd,
}

impl PinDir {
    pub(super) fn open(path: PathBuf) -> io::Result<PinDir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, &path, flags, Mode::empty())?;
        Ok(PinDir { path, fd })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the links are looked up: no path is walked at a read.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for PinDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            log::warn!("unpin the object at {}: {error}", self.path.display());
        }
    }
}
