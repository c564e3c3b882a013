//! The errors of the mirror.

use std::ffi::OsString;
use std::{error, fmt, io};

use super::CgroupId;

/// Why the mirror cannot answer.
#[derive(Debug)]
pub enum Error {
    /// The cgroup exists, but has no child of this name.
    NotFound {
        /// The cgroup that was asked for a child.
        parent: CgroupId,
        /// The name that no child has.
        name: OsString,
    },
    /// The cgroup was removed. The kernel never uses its id again.
    Gone(CgroupId),
    /// The cgroup exists, but not below the source directory.
    Outside(CgroupId),
    /// A system call failed for another reason.
    Io {
        /// What failed, to be read after "cannot" and before "cgroup ID".
        action: &'static str,
        /// The cgroup on which it failed.
        id: CgroupId,
        /// The error of the kernel.
        source: io::Error,
    },
    /// The mirror's thread cannot be started.
    Thread(io::Error),
}

impl Error {
    /// The error of `action` on the cgroup `id`.
    ///
    /// `ESTALE` (from a file handle, fs/kernfs/mount.c) and `ENODEV` (from an open file,
    /// fs/kernfs/file.c) mean that the cgroup was removed.
    pub(super) fn io(action: &'static str, id: CgroupId, source: io::Error) -> Error {
        match source.raw_os_error() {
            Some(libc::ESTALE | libc::ENODEV) => Error::Gone(id),
            _ => Error::Io { action, id, source },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotFound { parent, name } => {
                write!(f, "cgroup {parent} has no child {}", name.display())
            }
            Error::Gone(id) => write!(f, "cgroup {id} was removed"),
            Error::Outside(id) => write!(f, "cgroup {id} is not below the source directory"),
            Error::Io { action, id, source } => write!(f, "cannot {action} cgroup {id}: {source}"),
            Error::Thread(source) => write!(f, "cannot start the mirror's thread: {source}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Io { source, .. } | Error::Thread(source) => Some(source),
            Error::NotFound { .. } | Error::Gone(_) | Error::Outside(_) => None,
        }
    }
}
