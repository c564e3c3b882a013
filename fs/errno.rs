//! Why a request fails, and the one place that gives each failure its errno.

use std::fmt;
use std::io::{self, ErrorKind};

use fuser::Errno;

use crate::{bpf, mirror};

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Error {
    /// The cgroup or the view was removed.
    Gone,
    /// The kernel sent an inode number that stands for nothing.
    NoSuchNode,
    /// The directory has no entry of that name.
    NoSuchName,
    /// The kernel knows of a smaller file: it has to look the name up again.
    Grown,
    /// The page cache cannot be filled now; read(2) works.
    NotByPageCache,
    /// The request is for a directory and the node is a file, or the other way round.
    WrongKind,
    /// The request would change something.
    ReadOnly,
    /// No view that could be removed is placed in this directory under that name.
    NotPlacedHere,
    /// The object's file or pin cannot be removed.
    Remove(io::Error),
    /// The handle is not open.
    BadHandle,
    /// The open files together hold too many bytes.
    TooMuchOpen,
    /// The run took longer than a run may.
    TookTooLong,
    /// The user has too many requests that wait.
    TooManyWaiting,
    /// The cgroup's id leaves no room for the inode numbers of its files.
    NumberTooLarge,
    /// The mirror failed.
    Mirror(mirror::Error),
    /// The view failed.
    Bpf(bpf::Error),
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// A name, or an inode that the kernel remembers for a name.
    Name,
    /// A file or directory that is open.
    Open,
}

impl Subject {
    /// The errno for what is gone. `ESTALE` makes the kernel look the name up again, and the caller
    /// gets what has the name now, or `ENOENT`. An open file cannot be looked up again: `ENODEV`
    /// is what cgroupfs answers there.
    fn gone(self) -> Errno {
        match self {
            Subject::Name => Errno::ESTALE,
            Subject::Open => Errno::ENODEV,
        }
    }
}

impl Error {
    /// The errno of the reply.
    pub(super) fn errno(&self, subject: Subject) -> Errno {
        match self {
            Error::Gone => subject.gone(),
            Error::NoSuchNode | Error::Grown => Errno::ESTALE,
            Error::NoSuchName => Errno::ENOENT,
            Error::WrongKind => Errno::ENOTDIR,
            Error::ReadOnly => Errno::EROFS,
            // Readers by splice and sendfile take this for "use read(2)".
            Error::NotByPageCache => Errno::EINVAL,
            Error::NotPlacedHere => Errno::EPERM,
            Error::Remove(source) => raw(source),
            Error::BadHandle => Errno::EBADF,
            Error::TooMuchOpen => Errno::ENOMEM,
            Error::TookTooLong => Errno::ETIMEDOUT,
            Error::TooManyWaiting => Errno::EBUSY,
            Error::NumberTooLarge => Errno::EOVERFLOW,
            Error::Mirror(error) => match error {
                mirror::Error::NotFound { .. } => Errno::ENOENT,
                mirror::Error::Gone(_) | mirror::Error::Outside(_) => subject.gone(),
                mirror::Error::Io { source, .. } | mirror::Error::Thread(source) => raw(source),
            },
            Error::Bpf(error) => match error {
                bpf::Error::Gone => subject.gone(),
                bpf::Error::TooBig { .. } => Errno::E2BIG,
                bpf::Error::Link { source, .. }
                | bpf::Error::Read { source, .. }
                | bpf::Error::Sweep { source, .. }
                | bpf::Error::Bpffs { source, .. }
                | bpf::Error::Loader { source, .. } => raw(source),
                // The program and its record disagree, which only the view's author can cure.
                bpf::Error::Record { .. } => Errno::EBADMSG,
                bpf::Error::SubtreeTooBig { .. } => Errno::ENOMEM,
                bpf::Error::Busy { .. } | bpf::Error::InUse { .. } => Errno::EBUSY,
                bpf::Error::NoSuchForm { .. } => Errno::ENOENT,
                bpf::Error::Object { .. } => Errno::ENOEXEC,
            },
        }
    }

    /// Whether cgroups and readers cause it in normal operation; such an error is not logged.
    pub(super) fn is_ordinary(&self) -> bool {
        match self {
            Error::Gone
            | Error::NoSuchNode
            | Error::NoSuchName
            | Error::Grown
            | Error::WrongKind
            | Error::ReadOnly
            | Error::NotByPageCache
            | Error::NotPlacedHere
            | Error::BadHandle
            | Error::Mirror(
                mirror::Error::NotFound { .. } | mirror::Error::Gone(_) | mirror::Error::Outside(_),
            )
            | Error::Bpf(bpf::Error::Gone | bpf::Error::NoSuchForm { .. }) => true,
            Error::Remove(_)
            | Error::TooMuchOpen
            | Error::TookTooLong
            | Error::TooManyWaiting
            | Error::NumberTooLarge
            | Error::Mirror(_)
            | Error::Bpf(_) => false,
        }
    }
}

/// The errno of an I/O error: the system's, or the one that fits its kind. `EIO` remains for an
/// error of another kind that carries no errno, such as one that a library made with
/// `io::Error::other`.
fn raw(error: &io::Error) -> Errno {
    const BY_KIND: [(ErrorKind, Errno); 8] = [
        (ErrorKind::Interrupted, Errno::EINTR),
        (ErrorKind::InvalidInput, Errno::EINVAL),
        (ErrorKind::NotFound, Errno::ENOENT),
        (ErrorKind::OutOfMemory, Errno::ENOMEM),
        (ErrorKind::PermissionDenied, Errno::EACCES),
        (ErrorKind::TimedOut, Errno::ETIMEDOUT),
        (ErrorKind::Unsupported, Errno::EOPNOTSUPP),
        (ErrorKind::WouldBlock, Errno::EAGAIN),
    ];
    let by_kind = || BY_KIND.iter().find(|(kind, _)| *kind == error.kind());
    match error.raw_os_error() {
        Some(errno) => Errno::from_i32(errno),
        None => by_kind().map_or(Errno::EIO, |(_, errno)| *errno),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Gone => f.write_str("the cgroup or the view was removed"),
            Error::NoSuchNode => f.write_str("the inode number stands for nothing"),
            Error::NoSuchName => f.write_str("no such name"),
            Error::Grown => f.write_str("the file has grown; open it again"),
            Error::WrongKind => f.write_str("a file in place of a directory, or the reverse"),
            Error::NotByPageCache => f.write_str("other readers use the page cache; use read(2)"),
            Error::ReadOnly => f.write_str("cgview is read-only"),
            Error::NotPlacedHere => f.write_str("no view of that name is placed here"),
            Error::Remove(source) => write!(f, "remove the view's object: {source}"),
            Error::BadHandle => f.write_str("the handle is not open"),
            Error::TooMuchOpen => {
                f.write_str("open files hold too many bytes; close some, or raise max_snapshot_mib")
            }
            Error::TookTooLong => f.write_str("the read of a subtree took too long; read less"),
            Error::TooManyWaiting => f.write_str("too many reads of subtrees wait; try again"),
            Error::NumberTooLarge => {
                f.write_str("the cgroup's id is too large for the inode numbers of its files")
            }
            Error::Mirror(error) => error.fmt(f),
            Error::Bpf(error) => error.fmt(f),
        }
    }
}

impl From<mirror::Error> for Error {
    fn from(error: mirror::Error) -> Error {
        match error {
            mirror::Error::Gone(_) | mirror::Error::Outside(_) => Error::Gone,
            error @ (mirror::Error::NotFound { .. }
            | mirror::Error::Io { .. }
            | mirror::Error::Thread(_)) => Error::Mirror(error),
        }
    }
}

impl From<bpf::Error> for Error {
    fn from(error: bpf::Error) -> Error {
        if matches!(error, bpf::Error::Gone) {
            return Error::Gone;
        }
        Error::Bpf(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::CgroupId;

    #[test]
    fn what_is_gone_is_looked_up_again_by_name_and_enodev_when_open() {
        let gone = [
            Error::Gone,
            mirror::Error::Gone(CgroupId(7)).into(),
            bpf::Error::Gone.into(),
        ];
        for error in gone {
            assert!(matches!(error, Error::Gone), "{error:?}");
            assert_eq!(error.errno(Subject::Name).code(), libc::ESTALE);
            assert_eq!(error.errno(Subject::Open).code(), libc::ENODEV);
            assert!(error.is_ordinary());
        }
    }

    #[test]
    fn an_io_error_without_an_errno_is_eio_only_where_its_kind_says_nothing() {
        let errno = |error: io::Error| raw(&error).code();
        assert_eq!(
            errno(io::Error::from_raw_os_error(libc::EMFILE)),
            libc::EMFILE
        );
        let timed_out = io::Error::new(ErrorKind::TimedOut, "the tree grows too fast");
        assert_eq!(errno(timed_out), libc::ETIMEDOUT);
        assert_eq!(errno(ErrorKind::OutOfMemory.into()), libc::ENOMEM);
        assert_eq!(errno(io::Error::other("no errno")), libc::EIO);
    }
}
