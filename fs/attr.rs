//! What `stat` says of each node, and for how long the kernel may believe it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use rustix::fs::Stat;

/// A name is asked for again only after this, or when it was invalidated: `open` and `getattr`
/// answer `ESTALE` when it means another cgroup now, and the kernel then looks it up by itself.
pub(super) const ENTRY_TTL: Duration = Duration::from_secs(3600);

/// Link count and times of a directory change with its children.
pub(super) const DIRECTORY_TTL: Duration = Duration::from_secs(1);

/// A reader by splice gets what the size says, and a splice makes the kernel believe in the size
/// that it has read: so the size is asked for at each open.
pub(super) const FILE_TTL: Duration = Duration::ZERO;

/// The granularity of a file's size. `tail` and others read the last block first, and a block is
/// as large as the size: with the length rounded up they all find the end (as in sysfs).
const BLOCK_BYTES: usize = 4096;

/// The size that a file of this length shows. Not 0, which readers by splice take for empty.
pub(super) fn shown_size(length_bytes: usize) -> u64 {
    length_bytes.max(1).next_multiple_of(BLOCK_BYTES) as u64
}

/// A cgroup's directory: links and times as cgroupfs has them.
pub(super) fn cgroup(number: INodeNo, stat: &Stat) -> FileAttr {
    FileAttr {
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        ..directory(number, UNIX_EPOCH)
    }
}

/// A directory of cgview's own.
pub(super) fn directory(number: INodeNo, since: SystemTime) -> FileAttr {
    FileAttr {
        kind: FileType::Directory,
        perm: 0o555,
        nlink: 2,
        size: 0,
        ..file(number, 0, since)
    }
}

/// A file of so many bytes, as of `time`: for a view that is now, and a scraper that wants to see
/// a fresh file does.
pub(super) fn file(number: INodeNo, length_bytes: usize, time: SystemTime) -> FileAttr {
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
