//! The mount table of this process.
//!
//! Nothing here sends a request to a file system, so a FUSE daemon that is stopped cannot block it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// The file that holds the table.
pub const TABLE: &str = "/proc/self/mountinfo";

/// One line of the table, see proc_pid_mountinfo(5).
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// The mount's id. No two mounts have the same at one time.
    pub id: u64,
    /// The device number of the file system, `major:minor`. All its mounts share it.
    pub device: String,
    /// The directory of the file system that is the root of this mount.
    pub root: OsString,
    /// The mountpoint, as seen from the root directory of this process.
    pub point: PathBuf,
    /// The file system's type with its subtype, such as `fuse.cgview`.
    pub kind: String,
    /// Whether this mount or its whole file system is read-only.
    pub read_only: bool,
}

/// Lists all mounts below the root directory of this process, in the order of the table.
///
/// # Errors
/// Those of reading [`TABLE`].
pub fn read() -> io::Result<Vec<Mount>> {
    let table = fs::read(TABLE)?;
    Ok(table.split(|&b| b == b'\n').filter_map(parse).collect())
}

/// Finds the topmost mount whose mountpoint is `path`, which has to be canonical.
///
/// # Errors
/// Those of statx(2) and of reading [`TABLE`].
pub fn at(path: &Path) -> io::Result<Option<Mount>> {
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let id = statx(CWD, path, flags, StatxFlags::MNT_ID)?.stx_mnt_id;
    let mounts = read()?;
    Ok(mounts
        .into_iter()
        .find(|mount| mount.id == id && mount.point == path))
}

/// Parses `id parent major:minor root point options [tag...] - kind source super-options`.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&b| b == b' ');
    let id = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = String::from_utf8_lossy(fields.nth(1)?).into_owned();
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?).into();
    let options = fields.next()?;
    let mut fields = fields.skip_while(|field| *field != b"-");
    let kind = String::from_utf8_lossy(fields.nth(1)?).into_owned();
    let super_options = fields.nth(1).unwrap_or_default();
    Some(Mount {
        id,
        device,
        root,
        point,
        kind,
        read_only: has_ro(options) || has_ro(super_options),
    })
}

fn has_ro(options: &[u8]) -> bool {
    options.split(|&b| b == b',').any(|option| option == b"ro")
}

/// Undoes the kernel's `\ooo` for space, tab, newline and backslash.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = tail
            .split_at_checked(3)
            .filter(|_| first == b'\\')
            .and_then(|(digits, after)| Some((octal(digits)?, after)));
        let (byte, after) = escaped.unwrap_or((first, tail));
        bytes.push(byte);
        rest = after;
    }
    OsString::from_vec(bytes)
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
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
            read_only: false,
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
    fn a_mount_is_read_only_by_itself_or_by_its_file_system() {
        for (options, super_options, read_only) in [
            ("rw,relatime", "rw,errors=ro", false),
            ("ro,relatime", "rw", true),
            ("rw", "rw,ro", true),
        ] {
            let line = format!("1 2 0:3 / /mnt {options} - fuse.cgview cgview {super_options}");
            assert_eq!(parse(line.as_bytes()).unwrap().read_only, read_only);
        }
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
