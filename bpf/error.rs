//! What can go wrong between a reader and a program's output.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::record;

/// Why a view gave no bytes, or the engine did not start.
#[derive(Debug)]
pub enum Error {
    /// The cgroup is not there any more.
    Gone,
    /// The program wrote more than the kernel's buffer of 32 KiB holds.
    TooBig {
        /// The view's name.
        view: String,
    },
    /// The program could not be linked to the cgroup.
    Link {
        /// The view's name.
        view: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The program's output could not be read.
    Read {
        /// The view's name.
        view: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The program wrote bytes that are not its record.
    Record {
        /// The view's name.
        view: String,
        /// What does not fit.
        source: record::Error,
    },
    /// The sweep of a subtree failed.
    Sweep {
        /// The view's name.
        view: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The records of the subtree take more memory than one sweep may.
    SubtreeTooBig {
        /// The view's name.
        view: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// Another reader's sweep of the view has taken too long, or the tree grew too fast.
    Busy {
        /// The view's name.
        view: String,
    },
    /// The view has no such form: it writes no records, or has no program that collects a subtree.
    NoSuchForm {
        /// The view's name.
        view: String,
    },
    /// The own bpffs could not be made or used.
    Bpffs {
        /// The path concerned.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Too many daemons that were mounted at the same place still serve open files.
    InUse {
        /// The mountpoint.
        mountpoint: PathBuf,
    },
    /// The loader process could not be run.
    Loader {
        /// Which object it was for.
        object: String,
        /// What failed.
        source: io::Error,
    },
    /// The object cannot be used here.
    Object {
        /// Which one.
        object: String,
        /// Why, from libbpf or the verifier.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Gone => write!(f, "the cgroup is gone"),
            Error::TooBig { view } => write!(
                f,
                "view {view} writes more than the kernel's buffer of 32 KiB holds; \
                 let it stop earlier"
            ),
            Error::Link { view, source } => write!(f, "link view {view} to a cgroup: {source}"),
            Error::Read { view, source } => write!(f, "read view {view}: {source}"),
            Error::Record { view, source } => write!(f, "view {view}: {source}"),
            Error::Sweep { view, source } => {
                write!(f, "collect a subtree for view {view}: {source}")
            }
            Error::SubtreeTooBig { view, limit_bytes } => write!(
                f,
                "view {view}: the subtree's records take more than {limit_bytes} bytes; read a \
                 smaller subtree, or mount with a larger max_snapshot_mib"
            ),
            Error::Busy { view } => write!(
                f,
                "view {view}: other sweeps or new cgroups held up this one; try again"
            ),
            Error::NoSuchForm { view } => write!(f, "view {view} has no such form"),
            Error::Bpffs {
                path,
                action,
                source,
            } => write!(f, "{action} {}: {source}", path.display()),
            Error::InUse { mountpoint } => write!(
                f,
                "too many cgviews that were mounted at {} still serve open files; end some",
                mountpoint.display()
            ),
            Error::Loader { object, source } => write!(f, "run the loader for {object}: {source}"),
            Error::Object { object, reason } => write!(f, "view object {object}: {reason}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Link { source, .. }
            | Error::Read { source, .. }
            | Error::Sweep { source, .. }
            | Error::Bpffs { source, .. }
            | Error::Loader { source, .. } => Some(source),
            Error::Record { source, .. } => Some(source),
            Error::Gone
            | Error::TooBig { .. }
            | Error::SubtreeTooBig { .. }
            | Error::Busy { .. }
            | Error::NoSuchForm { .. }
            | Error::InUse { .. }
            | Error::Object { .. } => None,
        }
    }
}
