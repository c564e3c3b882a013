//! Why a mount or a remount fails, in the words that the command prints.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::{DEVICE, TYPE};

/// Why a mount or a remount failed.
#[derive(Debug)]
pub enum MountError {
    /// The mountpoint cannot be opened, or its mount cannot be found.
    Mountpoint(PathBuf, io::Error),
    /// The mountpoint is not a directory.
    NotADirectory(PathBuf),
    /// A cgview is mounted there, and its daemon answers.
    AlreadyMounted(PathBuf),
    /// A remount names a directory on which no cgview is mounted.
    NotMounted(PathBuf),
    /// A remount would change an option that is fixed, or the kernel did not allow it.
    Remount(PathBuf, String),
    /// The mount of a cgview whose daemon is gone cannot be detached.
    Detach(PathBuf, io::Error),
    /// Another FUSE file system, of this type, is mounted there, and its daemon is gone.
    ForeignDead(PathBuf, String),
    /// A FUSE file system of this type is mounted there, and its daemon does not answer.
    NoAnswer(PathBuf, String),
    /// The FUSE device cannot be opened.
    Device(io::Error),
    /// mount(2) failed.
    Mount(PathBuf, io::Error),
    /// The FUSE session could not be set up.
    Session(io::Error),
}

impl MountError {
    pub(super) fn mountpoint(path: &Path) -> impl Fn(io::Error) -> MountError {
        move |source| MountError::Mountpoint(path.to_owned(), source)
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountError::Mountpoint(path, source) => {
                write!(f, "mountpoint {}: {source}", path.display())
            }
            MountError::NotADirectory(path) => {
                write!(f, "mountpoint {} is not a directory", path.display())
            }
            MountError::AlreadyMounted(path) => {
                let path = path.display();
                write!(
                    f,
                    "a cgview is mounted at {path} already; run `umount {path}` first"
                )
            }
            MountError::NotMounted(path) => {
                write!(f, "no cgview is mounted at {}", path.display())
            }
            MountError::Remount(path, why) => write!(f, "remount {}: {why}", path.display()),
            MountError::Detach(path, source) => write!(
                f,
                "detach the {TYPE} mount at {}, whose daemon is gone: {source}",
                path.display()
            ),
            MountError::ForeignDead(path, kind) => {
                let path = path.display();
                write!(
                    f,
                    "the daemon of the {kind} mount at {path} is gone, and the mount is not \
                     cgview's; run `umount {path}` first"
                )
            }
            MountError::NoAnswer(path, kind) => {
                let path = path.display();
                write!(
                    f,
                    "the daemon of the {kind} mount at {path} does not answer; continue or kill \
                     it, or run `umount -l {path}` first"
                )
            }
            MountError::Device(source) => write!(
                f,
                "open {DEVICE}: {source}; run as root, and load the module fuse"
            ),
            MountError::Mount(path, source) => {
                write!(f, "mount {TYPE} at {}: {source}", path.display())
            }
            MountError::Session(source) => write!(f, "start the FUSE session: {source}"),
        }
    }
}

impl std::error::Error for MountError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MountError::Mountpoint(_, source)
            | MountError::Detach(_, source)
            | MountError::Device(source)
            | MountError::Mount(_, source)
            | MountError::Session(source) => Some(source),
            MountError::NotADirectory(_)
            | MountError::AlreadyMounted(_)
            | MountError::NotMounted(_)
            | MountError::Remount(..)
            | MountError::ForeignDead(..)
            | MountError::NoAnswer(..) => None,
        }
    }
}
