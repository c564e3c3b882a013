//! What a request can fail with, and the one place that gives each failure its errno.

use std::fmt;

use fuser::Errno;

use crate::{bpf, mirror};

/// Why a request was not answered with success.
#[derive(Debug)]
pub(super) enum Error {
    /// The kernel sent a number that stands for nothing.
    NoSuchNode,
    /// There is no such name in that directory.
    NoSuchName,
    /// The node was another's name when the kernel looked it up: it has to look again.
    Stale,
    /// Only read(2) can be used now.
    NotByPageCache,
    /// The cgroup of an open file is gone.
    Gone,
    /// A file was asked for its entries, or a directory for its bytes.
    WrongKind,
    /// A write-like call.
    ReadOnly,
    /// A file that cannot be removed there: the view is inherited, or it is no view.
    NotPlacedHere,
    /// The object's file or pin cannot be removed.
    Remove(std::io::Error),
    /// The handle is not open.
    BadHandle,
    /// The snapshots of all open files together take too much memory.
    TooMuchOpen,
    /// The cgroup's id leaves no room for the numbers of its files.
    NumberTooLarge,
    /// The mirror could not answer.
    Mirror(mirror::Error),
    /// The view could not answer.
    Bpf(bpf::Error),
}

impl Error {
    /// The errno that the reader gets.
    pub(super) fn errno(&self) -> Errno {
        match self {
            Error::NoSuchNode | Error::Stale => Errno::ESTALE,
            Error::NoSuchName => Errno::ENOENT,
            // What kernfs says of an open file whose node is gone.
            Error::Gone => Errno::ENODEV,
            Error::WrongKind => Errno::ENOTDIR,
            Error::ReadOnly => Errno::EROFS,
            // What splice and sendfile say of a file that they cannot work on.
            Error::NotByPageCache => Errno::EINVAL,
            Error::NotPlacedHere => Errno::EPERM,
            Error::Remove(source) => raw(source),
            Error::BadHandle => Errno::EBADF,
            Error::TooMuchOpen => Errno::ENOMEM,
            Error::NumberTooLarge => Errno::EOVERFLOW,
            Error::Mirror(error) => match error {
                mirror::Error::NotFound { .. } => Errno::ENOENT,
                mirror::Error::Gone(_) | mirror::Error::Outside(_) => Errno::ESTALE,
                mirror::Error::Io { source, .. } | mirror::Error::Thread(source) => raw(source),
            },
            Error::Bpf(error) => match error {
                bpf::Error::Gone => Errno::ENODEV,
                bpf::Error::TooBig { .. } => Errno::E2BIG,
                bpf::Error::Link { source, .. }
                | bpf::Error::Read { source, .. }
                | bpf::Error::Sweep { source, .. }
                | bpf::Error::Bpffs { source, .. }
                | bpf::Error::Loader { source, .. } => raw(source),
                // The view's author has to see that the program and its record disagree.
                bpf::Error::Record { .. } => Errno::EBADMSG,
                bpf::Error::SubtreeTooBig { .. } => Errno::ENOMEM,
                bpf::Error::Busy { .. } | bpf::Error::InUse { .. } => Errno::EBUSY,
                bpf::Error::NoSuchForm { .. } => Errno::ENOENT,
                bpf::Error::Object { .. } => Errno::ENOEXEC,
            },
        }
    }

    /// Whether it is part of the ordinary life of cgroups and readers, and no news for a log.
    pub(super) fn is_ordinary(&self) -> bool {
        match self {
            Error::NoSuchNode
            | Error::NoSuchName
            | Error::Stale
            | Error::Gone
            | Error::WrongKind
            | Error::ReadOnly
            | Error::NotByPageCache
            | Error::NotPlacedHere
            | Error::BadHandle
            | Error::TooMuchOpen
            | Error::Mirror(
                mirror::Error::NotFound { .. } | mirror::Error::Gone(_) | mirror::Error::Outside(_),
            )
            | Error::Bpf(bpf::Error::Gone | bpf::Error::NoSuchForm { .. }) => true,
            Error::Remove(_) | Error::NumberTooLarge | Error::Mirror(_) | Error::Bpf(_) => false,
        }
    }
}

/// The system's own errno; one without is a failed invariant of a library.
fn raw(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_i32)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSuchNode => f.write_str("no such node"),
            Error::NoSuchName => f.write_str("no such name"),
            Error::Stale => f.write_str("the name means another cgroup now"),
            Error::Gone => f.write_str("the cgroup is gone"),
            Error::WrongKind => f.write_str("not that kind of file"),
            Error::NotByPageCache => f.write_str("others read it too: only read(2) can be used"),
            Error::ReadOnly => f.write_str("cgview is read-only"),
            Error::NotPlacedHere => f.write_str("no view is placed here under that name"),
            Error::Remove(source) => write!(f, "remove the view's object: {source}"),
            Error::BadHandle => f.write_str("no such open file"),
            Error::TooMuchOpen => f.write_str("the open files hold too many bytes; close some"),
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
        Error::Mirror(error)
    }
}

impl From<bpf::Error> for Error {
    fn from(error: bpf::Error) -> Error {
        Error::Bpf(error)
    }
}

impl From<bpf::record::Error> for Error {
    fn from(source: bpf::record::Error) -> Error {
        Error::Bpf(bpf::Error::Record {
            view: String::new(),
            source,
        })
    }
}
