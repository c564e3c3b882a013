//! Starts the loader process for an object and reads its answer. An object that crashes or hangs its
//! loader costs that object, not the mount.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::bpf::manifest::Manifest;

/// Longest time for one object; verifying a large program on a slow machine takes seconds.
const DEADLINE: Duration = Duration::from_secs(120);

/// How often the end of the mount is checked for while the loader works.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Largest manifest that is read.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

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
    let mut child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .args(target.iter().flat_map(|target| arguments(target)))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let answer = converse(&mut child, elf, ending);
    if answer.is_err() {
        // It may hang, and its answer is too late.
        let _ = child.kill();
    }
    let status = child.wait()?;
    match answer {
        Ok(Some(manifest)) if status.success() => Ok(manifest),
        Ok(_) => {
            let reason = format!("the loader ended with {status} on this object");
            Ok(Manifest::unavailable(reason))
        }
        Err(error) => Err(error),
    }
}

/// As the loader expects them. The cgroup is named by its descriptor, not by its path: something may
/// be mounted over the path, cgview for instance.
fn arguments(target: &Target<'_>) -> Vec<PathBuf> {
    let cgroup = format!("/proc/self/fd/{}", target.cgroup.as_raw_fd());
    let mut arguments = vec![target.dir.to_owned(), cgroup.into()];
    arguments.extend(target.previous.map(Path::to_owned));
    arguments
}

/// Writes the object and reads the answer, which ends when the loader does. `None`: no manifest.
fn converse(
    child: &mut Child,
    elf: &[u8],
    ending: &dyn Fn() -> bool,
) -> io::Result<Option<Manifest>> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the loader has no pipes"));
    };
    let elf = elf.to_vec();
    let (send, receive) = mpsc::channel();
    thread::Builder::new()
        .name("loader".to_owned())
        .spawn(move || {
            // A loader that dies meanwhile shows it by its exit status.
            let _ = stdin.write_all(&elf);
            drop(stdin);
            let mut answer = Vec::new();
            let read = stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut answer);
            // After the deadline nobody receives.
            let _ = send.send(read.map(|_| answer));
        })?;
    let deadline = Instant::now() + DEADLINE;
    loop {
        match receive.recv_timeout(CHECK_INTERVAL) {
            Ok(answer) => return Ok(serde_json::from_slice(&answer?).ok()),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the loader's answer was lost"));
            }
            Err(RecvTimeoutError::Timeout) if ending() => {
                return Err(io::Error::other("cgview ends"));
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() > deadline => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("the loader did not answer for {} s", DEADLINE.as_secs()),
                ));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
