//! Starts the loader process for an object and takes its answer. The daemon itself parses no
//! object: a file that crashes or hangs the loader costs that file, not the mount.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::bpf::manifest::Manifest;

/// Longest time that a loader may take: verifying a large program on a slow machine takes seconds.
const DEADLINE: Duration = Duration::from_secs(120);

/// How often it is seen to whether an answer is still wanted.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Largest answer that is believed.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

/// The hidden argument that makes a process of this program the loader.
pub const ARGUMENT: &str = "--load";

/// Where a loader puts what it has loaded.
pub(super) struct Place<'a> {
    /// Where to pin.
    pub(super) dir: &'a Path,
    /// The cgroup that collectors of cgroup types are attached to.
    pub(super) cgroup: &'a Path,
    /// The pins of the object before, if there was one.
    pub(super) previous: Option<&'a Path>,
}

/// Loads `elf`; without a place it is only checked. Given up when `ending` says so.
/// What is wrong with the object is in the manifest's `error`; an `Err` means that no loader
/// could be started or that it did not answer.
pub(super) fn load(
    elf: &[u8],
    place: Option<&Place<'_>>,
    ending: &dyn Fn() -> bool,
) -> io::Result<Manifest> {
    if ending() {
        return Err(io::Error::other("cgview ends"));
    }
    let words = place.map(|place| [Some(place.dir), Some(place.cgroup), place.previous]);
    let mut child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .args(words.into_iter().flatten().flatten())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let answer = converse(&mut child, elf, ending);
    if answer.is_err() {
        // It may hang; what it has answered too late is not wanted any more.
        let _ = child.kill();
    }
    let status = child.wait()?;
    match answer {
        Ok(Some(manifest)) if status.success() => Ok(manifest),
        Ok(_) => Ok(Manifest {
            error: Some(format!("the loader ended with {status} on this object")),
            ..Manifest::default()
        }),
        Err(error) => Err(error),
    }
}

/// Feeds the object and reads the answer, which ends when the loader does.
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
            // A loader that dies while it is being fed says so by its exit status.
            let _ = stdin.write_all(&elf);
            drop(stdin);
            let mut answer = Vec::new();
            let read = stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut answer);
            // Nobody listens any more after the deadline.
            let _ = send.send(read.map(|_| answer));
        })?;
    let deadline = Instant::now() + DEADLINE;
    loop {
        match receive.recv_timeout(CHECK_EVERY) {
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
