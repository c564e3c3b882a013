//! Resource limits.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files (`RLIMIT_NOFILE`) to the hard limit.
///
/// A record view holds up to four descriptors, so the usual soft limit of 1024 is reached by some
/// 300 objects. Nothing here uses select(2), for which the soft limit is kept low.
///
/// # Errors
/// Those of setrlimit(2): `EPERM` if the hard limit exceeds /proc/sys/fs/nr_open.
pub fn raise_open_files_limit() -> rustix::io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)
}
