//! The directory that cgview mirrors: found in the mount table, or given and checked.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::{error, fmt, fs, io};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, fstatfs, open, statx};

const MOUNTS: &str = "/proc/self/mountinfo";

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
            SourceError::Mounts(source) => write!(f, "cannot read {MOUNTS}: {source}"),
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
    let mut found: Vec<Mount> = read_mounts()?
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
    let mount = read_mounts()
        .ok()?
        .into_iter()
        .find(|mount| mount.id == id)?;
    Some(mount.kind)
}

/// One line of mountinfo.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    id: u64,
    root: OsString,
    point: PathBuf,
    kind: String,
}

fn read_mounts() -> Result<Vec<Mount>, SourceError> {
    let table = fs::read(MOUNTS).map_err(SourceError::Mounts)?;
    Ok(table
        .split(|&b| b == b'\n')
        .filter_map(parse_mount)
        .collect())
}

/// `id parent major:minor root point options [tag...] - kind source options`, see
/// proc_pid_mountinfo(5).
fn parse_mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&b| b == b' ');
    let id = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let root = unescape(fields.nth(2)?);
    let point = unescape(fields.next()?).into();
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mount {
        id,
        root,
        point,
        kind: String::from_utf8_lossy(kind).into_owned(),
    })
}

/// Undoes the kernel's `\ooo` for space, tab, newline and backslash.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|_| *first == b'\\');
        let escaped = octal
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_line_is_read_with_any_number_of_tags() {
        let expected = Mount {
            id: 36,
            root: "/".into(),
            point: "/sys/fs/cgroup/unified".into(),
            kind: "cgroup2".to_owned(),
        };
        for tags in ["", "shared:9 ", "shared:9 master:2 "] {
            let line = format!(
                "36 35 0:31 / /sys/fs/cgroup/unified rw,relatime {tags}- cgroup2 cgroup2 rw"
            );
            assert_eq!(parse_mount(line.as_bytes()).as_ref(), Some(&expected));
        }
    }

    #[test]
    fn spaces_and_newlines_in_a_mount_point_are_unescaped() {
        let line = br"1 2 0:3 /a\134b /mnt/a\040b\012c\x rw - cgroup2 none rw";
        let mount = parse_mount(line).unwrap();
        assert_eq!(mount.root, r"/a\b");
        assert_eq!(mount.point, Path::new("/mnt/a b\nc\\x"));
    }

    #[test]
    fn a_torn_line_is_no_mount() {
        for line in [
            "",
            "36",
            "36 35 0:31 / /mnt rw",
            "x 35 0:31 / /mnt rw - cgroup2 a rw",
        ] {
            assert_eq!(parse_mount(line.as_bytes()), None);
        }
    }

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
