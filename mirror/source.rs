//! Finds the source, the cgroup directory to mirror, and checks that it is one.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::{error, fmt, io};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, fstatfs, open, statx};

use crate::mounts::{self, Mount};

/// `CGROUP2_SUPER_MAGIC` and `CGROUP_SUPER_MAGIC` (linux/magic.h).
const MAGIC_V2: i64 = 0x6367_7270;
const MAGIC_V1: i64 = 0x0027_e0eb;

/// The cgroup version of a hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy of v1, with some controllers or none.
    V1,
    /// The unified hierarchy of v2.
    V2,
}

/// An open directory of a cgroup.
#[derive(Debug)]
pub struct Source {
    /// The directory.
    pub fd: OwnedFd,
    /// The version of its hierarchy.
    pub version: Version,
}

/// Why there is no source.
#[derive(Debug)]
pub enum SourceError {
    /// This process sees no mount of cgroup2.
    NoCgroup2,
    /// The mount table cannot be read.
    Mounts(io::Error),
    /// The directory cannot be opened.
    Open(PathBuf, io::Error),
    /// The directory belongs to another file system, with this name.
    NotCgroup(PathBuf, String),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::NoCgroup2 => f.write_str(
                "no cgroup2 file system is mounted; mount one \
                 (mount -t cgroup2 none DIR) or name a cgroup directory as SOURCE",
            ),
            SourceError::Mounts(source) => write!(f, "cannot read {}: {source}", mounts::TABLE),
            SourceError::Open(path, source) => {
                write!(f, "cannot open source {}: {source}", path.display())
            }
            SourceError::NotCgroup(path, kind) => write!(
                f,
                "source {} is not a cgroup directory: its file system is {kind}; \
                 name a directory of cgroup2 or of a v1 hierarchy",
                path.display()
            ),
        }
    }
}

impl error::Error for SourceError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            SourceError::Mounts(source) | SourceError::Open(_, source) => Some(source),
            SourceError::NoCgroup2 | SourceError::NotCgroup(..) => None,
        }
    }
}

/// Finds a mountpoint of cgroup2: of the whole hierarchy if there is one, else of a part of it.
///
/// # Errors
/// [`SourceError::NoCgroup2`], or [`SourceError::Mounts`].
pub fn find_cgroup2() -> Result<PathBuf, SourceError> {
    visible_cgroup2()?
        .into_iter()
        .find(|point| matches!(open_source(point), Ok(source) if source.version == Version::V2))
        .ok_or(SourceError::NoCgroup2)
}

/// The mountpoints of cgroup2 that no other mount covers: to open a covered one can wait for a
/// daemon.
pub(super) fn visible_cgroup2() -> Result<Vec<PathBuf>, SourceError> {
    let mounts = mounts::read().map_err(SourceError::Mounts)?.into_iter();
    let mut cgroup2: Vec<Mount> = mounts.filter(|mount| mount.kind == "cgroup2").collect();
    cgroup2.sort_by_key(|mount| mount.root != "/");
    cgroup2.retain(|mount| matches!(mounts::at(&mount.point), Ok(Some(top)) if top.id == mount.id));
    Ok(cgroup2.into_iter().map(|mount| mount.point).collect())
}

/// Opens a source: any directory of cgroup2 or of a v1 hierarchy.
///
/// # Errors
/// [`SourceError::Open`], or [`SourceError::NotCgroup`].
pub fn open_source(path: &Path) -> Result<Source, SourceError> {
    let failed = |e: rustix::io::Errno| SourceError::Open(path.to_owned(), e.into());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = open(path, flags, Mode::empty()).map_err(failed)?;
    // The type of f_type depends on the architecture.
    let magic = fstatfs(&fd).map_err(failed)?.f_type as i64;
    let version = match magic {
        MAGIC_V2 => Version::V2,
        MAGIC_V1 => Version::V1,
        _ => {
            let kind = kind_of(&fd).unwrap_or_else(|| format!("of type {magic:#x}"));
            return Err(SourceError::NotCgroup(path.to_owned(), kind));
        }
    };
    Ok(Source { fd, version })
}

/// The type of the file system of `fd`.
fn kind_of(fd: &OwnedFd) -> Option<String> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let id = statx(fd, "", flags, StatxFlags::MNT_ID).ok()?.stx_mnt_id;
    let mut mounts = mounts::read().ok()?.into_iter();
    mounts.find(|mount| mount.id == id).map(|mount| mount.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_source_is_named_in_the_error() {
        let error = open_source(Path::new("/nonexistent/dir")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/dir"), "{error}");
    }

    #[test]
    fn file_is_no_source() {
        let error = open_source(Path::new("/proc/self/stat")).unwrap_err();
        assert!(
            matches!(&error, SourceError::Open(_, e) if e.kind() == io::ErrorKind::NotADirectory)
        );
    }

    #[test]
    fn other_file_system_is_named_in_the_error() {
        let error = open_source(Path::new("/proc/self"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/proc/self is not a cgroup directory: its file system is proc"),
            "{error}"
        );
    }

    #[test]
    #[ignore = "needs root and cgroup2"]
    fn cgroup2_is_found_and_opens_as_v2() {
        let path = find_cgroup2().unwrap();
        assert_eq!(open_source(&path).unwrap().version, Version::V2);
    }
}
