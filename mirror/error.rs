//! What can go wrong when cgroupfs is asked about a cgroup.

use std::ffi::OsString;
use std::{error, fmt, io};

use super::CgroupId;

/// Why the mirror could not answer.
#[derive(Debug)]
pub enum Error {
    /// The cgroup is there, but has no child of that name.
    NotFound {
        /// The cgroup that was asked.
        parent: CgroupId,
        /// The name that it does not have.
        name: OsString,
    },
    /// The cgroup was removed. Its id will never come back.
    Gone(CgroupId),
    /// The cgroup lives, but not below the source directory.
    Outside(CgroupId),
    /// A system call failed for another reason.
    Io {
        /// What was tried, to be read after "cannot".
        action: &'static str,
        /// The cgroup it was tried on.
        id: CgroupId,
        /// What the kernel said.
        source: io::Error,
    },
    /// The mirror's thread could not be started.
    Thread(io::Error),
}

impl Error {
    /// The error of `action` on the cgroup `id`: `ESTALE` and `ENODEV` are cgroupfs's words for
    /// "removed".
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
