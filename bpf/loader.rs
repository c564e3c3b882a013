//! Starts the loader process for an object and takes its answer. The daemon itself parses no
//! object: a file that crashes or hangs the loader costs that file, not the mount.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::manifest::Manifest;
use super::object::{self, Target};

/// Longest time that a loader may take: verifying a large program on a slow machine takes seconds.
const DEADLINE: Duration = Duration::from_secs(120);

/// Largest answer that is believed.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

/// The hidden argument that makes a process of this program the loader.
pub const ARGUMENT: &str = "--load";

/// Loads `elf`, pinning into the first of `target`, with cgroup programs attached to the cgroup at
/// the second; without a target it is only checked.
/// What is wrong with the object is in the manifest's `error`; an `Err` means that no loader
/// could be started or that it did not answer.
pub(super) fn load(elf: &[u8], target: Option<(&Path, &Path)>) -> io::Result<Manifest> {
    let target = target.into_iter().flat_map(|(dir, cgroup)| [dir, cgroup]);
    let mut child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .args(target)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let answer = converse(&mut child, elf);
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

/// Is the loader: loads the object on standard input and answers on standard output.
///
/// # Errors
/// When it cannot read, open the cgroup or answer.
pub fn serve(target: Option<&(PathBuf, PathBuf)>) -> io::Result<()> {
    let mut elf = Vec::new();
    io::stdin().read_to_end(&mut elf)?;
    let manifest = match target {
        None => object::load(&elf, None),
        Some((dir, cgroup)) => {
            let cgroup = File::open(cgroup)?;
            let cgroup = cgroup.as_fd();
            object::load(&elf, Some(&Target { dir, cgroup }))
        }
    };
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, &manifest)?;
    stdout.flush()
}

/// Feeds the object and reads the answer, which ends when the loader does.
fn converse(child: &mut Child, elf: &[u8]) -> io::Result<Option<Manifest>> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the loader has no pipes"));
    };
    let (send, receive) = mpsc::channel();
    thread::Builder::new()
        .name("loader".to_owned())
        .spawn(move || {
            let mut answer = Vec::new();
            let read = stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut answer);
            // Nobody listens any more after the deadline.
            let _ = send.send(read.map(|_| answer));
        })?;
    // A loader that dies while it is being fed says so by its exit status.
    let _ = stdin.write_all(elf);
    drop(stdin);
    let answer = receive
        .recv_timeout(DEADLINE)
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the loader did not answer"))??;
    Ok(serde_json::from_slice(&answer).ok())
}
