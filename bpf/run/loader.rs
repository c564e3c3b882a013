//! Starts the loader process for an object and reads its answer. An object that crashes or hangs its
//! loader costs that object, not the mount.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bpf::child::{self, Allowed};
use crate::bpf::manifest::Manifest;

/// Verifying a large program on a slow machine takes seconds.
const ALLOWED: Allowed = Allowed {
    time: Duration::from_secs(120),
    answer_bytes: 16 << 20,
};

/// The hidden argument that makes a process of this program the loader.
pub const ARGUMENT: &str = "--load";

/// Where a loader puts what it has loaded.
pub(super) struct Target<'a> {
    /// Where to pin.
    pub(super) dir: &'a Path,
    /// The cgroup to which collectors of cgroup types are attached. The loader inherits it, so the
    /// descriptor is not close-on-exec.
    pub(super) cgroup: BorrowedFd<'a>,
    /// The pins of the object before, if there was one.
    pub(super) previous: Option<&'a Path>,
}

/// Loads the object in `elf`; without a target, checks it. Gives up when `ending` says so. An object
/// that cannot be used is no error: its manifest says why.
///
/// # Errors
/// When no loader could be started, or when it did not answer.
pub(super) fn load(
    elf: &[u8],
    target: Option<&Target<'_>>,
    ending: &dyn Fn() -> bool,
) -> io::Result<Manifest> {
    if ending() {
        return Err(io::Error::other("cgview ends"));
    }
    let child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .args(target.iter().flat_map(|target| arguments(target)))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (answer, status) = child::converse(child, elf, &ALLOWED, ending)?;
    let manifest = serde_json::from_slice(&answer).ok();
    Ok(manifest.filter(|_| status.success()).unwrap_or_else(|| {
        Manifest::unavailable(format!("the loader ended with {status} on this object"))
    }))
}

/// As the loader expects them. The cgroup is named by its descriptor, not by its path: something may
/// be mounted over the path, cgview for instance.
fn arguments(target: &Target<'_>) -> Vec<PathBuf> {
    let cgroup = format!("/proc/self/fd/{}", target.cgroup.as_raw_fd());
    let mut arguments = vec![target.dir.to_owned(), cgroup.into()];
    arguments.extend(target.previous.map(Path::to_owned));
    arguments
}
