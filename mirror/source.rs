//! The directory that cgview mirrors: found in the mount table, or given and checked.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::{error, fmt, io};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, fstatfs, open, statx};

use crate::mounts;

/// `CGROUP2_SUPER_MAGIC` and `CGROUP_SUPER_MAGIC` (linux/magic.h).
const MAGIC_V2: i64 = 0x6367_7270;
const MAGIC_V1: i64 = 0x0027_e0eb;

/// Which kind of hierarchy a source belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy of one or some controllers.
    V1,
    /// The unified hierarchy.
    V2,
}

/// A cgroup directory, open and checked to be one.
#[derive(Debug)]
pub struct Source {
    /// The open directory.
    pub fd: OwnedFd,
    /// The kind of its hierarchy.
    pub version: Version,
}

/// Why there is nothing to mirror.
#[derive(Debug)]
pub enum SourceError {
    /// cgroup2 is not mounted where this process can see it.
    NoCgroup2,
    /// The mount table cannot be read.
    Mounts(io::Error),
    /// The directory cannot be opened.
    Open(PathBuf, io::Error),
    /// The directory belongs to the file system named.
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

/// Where cgroup2 is mounted: the whole hierarchy before a part of it, and not where another mount
/// hides it.
pub fn find_cgroup2() -> Result<PathBuf, SourceError> {
    let mut found: Vec<mounts::Mount> = mounts::read()
        .map_err(SourceError::Mounts)?
        .into_iter()
        .filter(|mount| mount.kind == "cgroup2")
        .collect();
    found.sort_by_key(|mount| mount.root != "/");
    found
        .into_iter()
        .map(|mount| mount.point)
        .find(|point| matches!(open_source(point), Ok(source) if source.version == Version::V2))
        .ok_or(SourceError::NoCgroup2)
}

/// Opens `path` as what to mirror: any directory of cgroup2 or of a v1 hierarchy.
pub fn open_source(path: &Path) -> Result<Source, SourceError> {
    let failed = |e: rustix::io::Errno| SourceError::Open(path.to_owned(), e.into());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = open(path, flags, Mode::empty()).map_err(failed)?;
    // The type of f_type differs from one architecture to the next.
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

/// The name of the file system that `fd` is in.
fn kind_of(fd: &OwnedFd) -> Option<String> {
    let id = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        .ok()?
        .stx_mnt_id;
    let mount = mounts::read()
        .ok()?
        .into_iter()
        .find(|mount| mount.id == id);
    mount.map(|mount| mount.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_source_is_named() {
        let error = open_source(Path::new("/nonexistent/dir")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/dir"), "{error}");
    }

    #[test]
    fn a_file_is_no_source() {
        let error = open_source(Path::new("/proc/self/stat")).unwrap_err();
        assert!(
            matches!(&error, SourceError::Open(_, e) if e.kind() == io::ErrorKind::NotADirectory)
        );
    }

    #[test]
    fn another_file_system_is_called_by_its_name() {
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
