//! Going to the background: the command waits for its child, the daemon, until the mount answers
//! or has failed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::setsid;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::sys::{Forked, close_inherited, fork};

/// The process that [`background`] returns in.
pub enum Side {
    /// The command. The daemon has started, or this is why it has not.
    Command(Result<(), String>),
    /// The daemon, which has to report how its start went.
    Daemon(Starting),
}

/// The daemon's end of the pipe to the command. `+` means ready, `-` and a text is the error, and
/// the end of the file without either means that the daemon has died.
pub struct Starting {
    pipe: File,
}

/// Forks into the command and the daemon. In the command, returns when the daemon has reported.
///
/// Closes the descriptors that the caller of the command left open, except the standard streams.
///
/// # Errors
/// Those of pipe(2) and fork(2), and an error if the process has a second thread.
pub fn background() -> io::Result<Side> {
    close_inherited()?;
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    match fork()? {
        Forked::Parent => {
            drop(write);
            Ok(Side::Command(wait_for_report(read)))
        }
        Forked::Child => {
            drop(read);
            Ok(Side::Daemon(Starting {
                pipe: File::from(write),
            }))
        }
    }
}

fn wait_for_report(read: OwnedFd) -> Result<(), String> {
    let mut report = Vec::new();
    if let Err(error) = File::from(read).read_to_end(&mut report) {
        return Err(format!("wait for the daemon: {error}"));
    }
    match report.split_first() {
        Some((b'+', _)) => Ok(()),
        Some((_, reason)) => Err(String::from_utf8_lossy(reason).into_owned()),
        None => Err("the daemon died before the mount was ready; use -f to see why".to_owned()),
    }
}

impl Starting {
    /// Reports that the mount answers, and detaches from the caller of the command.
    ///
    /// The standard streams become /dev/null, since `$(mount ...)` waits until they are closed. The
    /// working directory becomes `/`. The session is left only now: while an automount point is
    /// mounted on, autofs lets pass only the process group that systemd runs mount(8) in.
    ///
    /// # Errors
    /// Those of opening /dev/null and of write(2). It is no error if the command is gone.
    pub fn ready(mut self) -> io::Result<()> {
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        rustix::process::chdir("/")?;
        // Fails only for the leader of a process group, which a forked process is not.
        let _ = setsid();
        self.report(b"+")
    }

    /// Reports why there is no mount.
    pub fn failed(mut self, reason: &str) {
        if let Err(error) = self.report(format!("-{reason}").as_bytes()) {
            log::error!("{reason} (not reported to the command: {error})");
        }
    }

    fn report(&mut self, report: &[u8]) -> io::Result<()> {
        match self.pipe.write_all(report) {
            Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => Ok(()),
            other => other,
        }
    }
}
