//! The attributes of each node, and for how long the kernel may cache names and attributes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use rustix::fs::Stat;

/// The kernel looks a name up again after this time, or when the name was invalidated. It may be
/// long: `open` and `getattr` answer `ESTALE` for a name that now means another cgroup, and the
/// kernel then looks the name up by itself.
pub(super) const ENTRY_TTL: Duration = Duration::from_secs(3600);

/// The link count and the times of a directory change with its children. A cgroup that is closed by
/// chmod stays open for so long at most, where inotify does not report the change.
const DIRECTORY_TTL: Duration = Duration::from_secs(1);

/// The kernel asks for the size at each open: a reader by splice gets no more bytes than the size,
/// and a splice sets the kernel's size to the length that it has read.
const FILE_TTL: Duration = Duration::ZERO;

/// The granularity of a file's size. `tail` and others read the last block first, and the block
/// size is the file's size: a length that is rounded up to a block lets them find the end, as in
/// sysfs.
const BLOCK_BYTES: usize = 4096;

/// The attributes of a node.
pub(super) struct Attributes {
    pub(super) attr: FileAttr,
    /// For how long the kernel may cache them.
    pub(super) ttl: Duration,
}

/// The size that `stat` shows for a file of this length. It is never 0: readers by splice take
/// such a file for empty.
pub(super) fn shown_size(length_bytes: usize) -> u64 {
    length_bytes.max(1).next_multiple_of(BLOCK_BYTES) as u64
}

/// The attributes of a cgroup's directory: those of cgroupfs, with `extra_links` more links. Its
/// mode has no more than the bits of `mode_mask`.
pub(super) fn cgroup(number: INodeNo, stat: &Stat, extra_links: u32, mode_mask: u16) -> Attributes {
    let nlink = u32::try_from(stat.st_nlink).unwrap_or(u32::MAX);
    let attr = FileAttr {
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        nlink: nlink.saturating_add(extra_links),
        perm: (stat.st_mode & u32::from(mode_mask)) as u16,
        uid: stat.st_uid,
        gid: stat.st_gid,
        ..directory_attr(number, UNIX_EPOCH)
    };
    let ttl = DIRECTORY_TTL;
    Attributes { attr, ttl }
}

/// The attributes of a directory below `.cgview`, given the number of its subdirectories.
pub(super) fn directory(number: INodeNo, subdirectories: usize, since: SystemTime) -> Attributes {
    let subdirectories = u32::try_from(subdirectories).unwrap_or(u32::MAX);
    let mut attr = directory_attr(number, since);
    attr.nlink = attr.nlink.saturating_add(subdirectories);
    let ttl = DIRECTORY_TTL;
    Attributes { attr, ttl }
}

/// The attributes of a file whose last output had this length. Its times are `now`: a view shows
/// the present, and a scraper that expects fresh files accepts it.
pub(super) fn file(number: INodeNo, length_bytes: usize, now: SystemTime) -> Attributes {
    let attr = file_attr(number, length_bytes, now);
    let ttl = FILE_TTL;
    Attributes { attr, ttl }
}

fn directory_attr(number: INodeNo, time: SystemTime) -> FileAttr {
    FileAttr {
        kind: FileType::Directory,
        perm: 0o555,
        nlink: 2,
        size: 0,
        ..file_attr(number, 0, time)
    }
}

fn file_attr(number: INodeNo, length_bytes: usize, time: SystemTime) -> FileAttr {
    let size = shown_size(length_bytes);
    FileAttr {
        ino: number,
        size,
        blocks: 0,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: FileType::RegularFile,
        perm: 0o444,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: u32::try_from(size).unwrap_or(BLOCK_BYTES as u32),
        flags: 0,
    }
}

fn time(seconds: i64, nanoseconds: u64) -> SystemTime {
    let seconds = Duration::from_secs(seconds.max(0).cast_unsigned());
    UNIX_EPOCH + seconds + Duration::from_nanos(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_looks_empty_or_shorter_than_it_is() {
        assert_eq!(shown_size(0), 4096);
        assert_eq!(shown_size(4096), 4096);
        assert_eq!(shown_size(4097), 8192);
    }
}
