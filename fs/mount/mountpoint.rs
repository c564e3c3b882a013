//! The directory to mount on: what mount(8) does not check, and what an earlier daemon left there.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::mounts;

use super::probe::Daemon;
use super::{MountError, TYPE};

/// A directory that is ready to be mounted on.
#[derive(Debug)]
pub struct Mountpoint {
    pub(super) path: PathBuf,
}

impl Mountpoint {
    /// Checks the directory, and detaches the mount of a cgview whose daemon is gone.
    ///
    /// Blocks for 5 s at most when another daemon does not answer.
    ///
    /// # Errors
    /// [`MountError::Mountpoint`], [`MountError::NotADirectory`], [`MountError::AlreadyMounted`],
    /// [`MountError::Detach`], [`MountError::ForeignDead`] or [`MountError::NoAnswer`].
    pub fn prepare(path: &Path) -> Result<Mountpoint, MountError> {
        let path = canonicalize(path)?;
        while let Some(mount) = mounts::at(&path).map_err(MountError::mountpoint(&path))? {
            let is_cgview = mount.kind == TYPE;
            let daemon = Daemon::ask(&path, &mount.kind).map_err(MountError::mountpoint(&path))?;
            match daemon {
                Daemon::Gone if is_cgview => {
                    unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
                        .map_err(|error| MountError::Detach(path.clone(), error.into()))?;
                }
                Daemon::Gone => return Err(MountError::ForeignDead(path, mount.kind)),
                Daemon::Silent => return Err(MountError::NoAnswer(path, mount.kind)),
                Daemon::Answers if is_cgview => return Err(MountError::AlreadyMounted(path)),
                Daemon::Answers => break,
            }
        }
        Ok(Mountpoint { path })
    }

    /// The canonical path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The canonical path of a directory. Unlike realpath(3), asks no FUSE daemon of a mount there:
/// with `O_PATH` the kernel does not open the file.
pub(super) fn canonicalize(path: &Path) -> Result<PathBuf, MountError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = match open(path, flags, Mode::empty()) {
        Err(Errno::NOTDIR) => return Err(MountError::NotADirectory(path.to_owned())),
        opened => opened.map_err(|error| MountError::mountpoint(path)(error.into()))?,
    };
    fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
        .map_err(MountError::mountpoint(path))
}
