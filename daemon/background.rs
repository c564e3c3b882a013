//! Going to the background: the command returns when the mount answers, or with the reason why
//! there is none.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::setsid;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::sys::{Forked, close_inherited, fork};

/// Which process this is after [`background`].
pub enum Side {
    /// The command: it has to end with this result, an error being ready to print.
    Command(Result<(), String>),
    /// The daemon: it has to tell how its start went.
    Daemon(Starting),
}

/// A daemon's way to tell the command that it is ready or why it is not.
pub struct Starting {
    pipe: File,
}

/// Forks. To be called before any thread is started and any file opened: what the caller of the
/// command has open beside the standard streams is none of the daemon's business.
///
/// # Errors
/// When there can be no pipe or no process.
pub fn background() -> io::Result<Side> {
    close_inherited(3)?;
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    match fork()? {
        Forked::Parent => {
            drop(write);
            Ok(Side::Command(wait(read)))
        }
        Forked::Child => {
            drop(read);
            // It fails for the leader of a session only, which a new process is not.
            let _ = setsid();
            Ok(Side::Daemon(Starting {
                pipe: File::from(write),
            }))
        }
    }
}

/// The daemon's word: an empty message is success, and none at all a crash.
fn wait(read: OwnedFd) -> Result<(), String> {
    let mut message = Vec::new();
    if let Err(error) = File::from(read).read_to_end(&mut message) {
        return Err(format!("wait for the daemon: {error}"));
    }
    match message.split_first() {
        Some((b'+', _)) => Ok(()),
        Some((_, reason)) => Err(String::from_utf8_lossy(reason).into_owned()),
        None => Err("the daemon ended before the mount was there".to_owned()),
    }
}

impl Starting {
    /// The mount answers: the command ends, and the standard streams that it has from its caller
    /// are let go, or `$(mount ...)` would wait for the daemon.
    ///
    /// # Errors
    /// When the streams cannot be replaced.
    pub fn ready(mut self) -> io::Result<()> {
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        rustix::process::chdir("/")?;
        self.tell(b"+")
    }

    /// There is no mount.
    pub fn failed(mut self, reason: &str) {
        // If the command is gone too, nobody is left to be told.
        let _ = self.tell(format!("-{reason}").as_bytes());
    }

    fn tell(&mut self, message: &[u8]) -> io::Result<()> {
        match self.pipe.write_all(message) {
            Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => Ok(()),
            other => other,
        }
    }
}
