//! Talks to a child process: writes its input, reads its answer, and waits no longer than allowed.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the end of the mount is checked for while the child works.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// What a child may take.
pub(super) struct Allowed {
    pub(super) time: Duration,
    /// Of the answer; the rest is cut off.
    pub(super) answer_bytes: u64,
}

/// Passes `input` to the child's standard input, and returns all that it writes to its standard
/// output, with its exit status. A child that takes too long, or still works when `ending` says that
/// the mount ends, is killed.
///
/// # Errors
/// When the child was killed, or its answer cannot be read.
pub(super) fn converse(
    mut child: Child,
    input: &[u8],
    allowed: &Allowed,
    ending: &dyn Fn() -> bool,
) -> io::Result<(Vec<u8>, ExitStatus)> {
    let answer = exchange(&mut child, input, allowed, ending);
    if answer.is_err() {
        // It may hang, and its answer is too late.
        let _ = child.kill();
    }
    let status = child.wait()?;
    Ok((answer?, status))
}

fn exchange(
    child: &mut Child,
    input: &[u8],
    allowed: &Allowed,
    ending: &dyn Fn() -> bool,
) -> io::Result<Vec<u8>> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the process has no pipes"));
    };
    let (input, answer_bytes) = (input.to_vec(), allowed.answer_bytes);
    let (send, receive) = mpsc::channel();
    thread::Builder::new()
        .name("cgview-child".to_owned())
        .spawn(move || {
            // A child that dies meanwhile shows it by its exit status.
            let _ = stdin.write_all(&input);
            drop(stdin);
            let mut answer = Vec::new();
            let read = stdout.take(answer_bytes).read_to_end(&mut answer);
            // After the deadline nobody receives.
            let _ = send.send(read.map(|_| answer));
        })?;
    let deadline = Instant::now() + allowed.time;
    loop {
        match receive.recv_timeout(CHECK_INTERVAL) {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("its answer was lost"));
            }
            Err(RecvTimeoutError::Timeout) if ending() => {
                return Err(io::Error::other("cgview ends"));
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() > deadline => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("it did not answer for {} s", allowed.time.as_secs()),
                ));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
