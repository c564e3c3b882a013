//! The mount table of this process, as the kernel tells it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// Where the table is read.
pub const TABLE: &str = "/proc/self/mountinfo";

/// One line of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// The mount's id.
    pub id: u64,
    /// The file system's device number, `major:minor`.
    pub device: String,
    /// What of the file system is mounted.
    pub root: OsString,
    /// Where.
    pub point: PathBuf,
    /// The file system's type.
    pub kind: String,
}

/// All mounts.
pub fn read() -> io::Result<Vec<Mount>> {
    let table = fs::read(TABLE)?;
    Ok(table.split(|&b| b == b'\n').filter_map(parse).collect())
}

/// The topmost mount whose mountpoint is `path`, if it is one.
pub fn at(path: &Path) -> io::Result<Option<Mount>> {
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let id = statx(CWD, path, flags, StatxFlags::MNT_ID)?.stx_mnt_id;
    let mounts = read()?;
    Ok(mounts
        .into_iter()
        .find(|mount| mount.id == id && mount.point == path))
}

/// `id parent major:minor root point options [tag...] - kind source options`, see
/// proc_pid_mountinfo(5).
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&b| b == b' ');
    let id = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = String::from_utf8_lossy(fields.nth(1)?).into_owned();
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?).into();
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mount {
        id,
        device,
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
            device: "0:31".to_owned(),
            root: "/".into(),
            point: "/sys/fs/cgroup/unified".into(),
            kind: "cgroup2".to_owned(),
        };
        for tags in ["", "shared:9 ", "shared:9 master:2 "] {
            let line = format!(
                "36 35 0:31 / /sys/fs/cgroup/unified rw,relatime {tags}- cgroup2 cgroup2 rw"
            );
            assert_eq!(parse(line.as_bytes()).as_ref(), Some(&expected));
        }
    }

    #[test]
    fn spaces_and_newlines_in_a_mount_point_are_unescaped() {
        let line = br"1 2 0:3 /a\134b /mnt/a\040b\012c\x rw - cgroup2 none rw";
        let mount = parse(line).unwrap();
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
            assert_eq!(parse(line.as_bytes()), None);
        }
    }
}
