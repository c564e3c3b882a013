//! Whether the daemon of a FUSE mount answers. A request that a daemon has read and does not answer
//! cannot be interrupted, not even by SIGKILL, so another process asks.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::statvfs;
use rustix::io::Errno;

use super::MountError;

/// The hidden argument that makes a process of this program ask.
const ARGUMENT: &str = "--probe";

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The daemon of a mount.
pub(super) enum Daemon {
    /// It answers, or the file system has none.
    Answers,
    /// It has closed the FUSE device without unmounting.
    Gone,
    /// It has not answered for 5 s.
    Silent,
}

impl Daemon {
    pub(super) fn ask(path: &Path, kind: &str) -> io::Result<Daemon> {
        if !kind.starts_with("fuse") {
            return Ok(Daemon::Answers);
        }
        let mut child = Command::new("/proc/self/exe")
            .arg(ARGUMENT)
            .arg(path)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        while Instant::now() < deadline {
            match child.try_wait()? {
                Some(status) if status.success() => return Ok(Daemon::Answers),
                Some(_) => return Ok(Daemon::Gone),
                None => thread::sleep(POLL_INTERVAL),
            }
        }
        // The kill may have no effect until the daemon goes on.
        child.kill()?;
        Ok(Daemon::Silent)
    }
}

/// Asks the file system that is mounted on a directory by statvfs(2), which no cache answers.
/// Blocks for as long as the daemon does not answer.
///
/// # Errors
/// [`MountError::Mountpoint`] if the daemon of a FUSE file system is gone.
pub fn probe(mountpoint: &Path) -> Result<(), MountError> {
    match statvfs(mountpoint) {
        // CONNREFUSED: the daemon went before it answered its first request.
        Err(error @ (Errno::NOTCONN | Errno::CONNABORTED | Errno::CONNREFUSED)) => {
            Err(MountError::mountpoint(mountpoint)(error.into()))
        }
        _ => Ok(()),
    }
}
