//! The process that becomes the compiler: nobody's, with neither network nor privileges, in mounts
//! of its own, and with little memory and time. A source is root's, but a compiler is large.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::Mode;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::bpf::headers;

/// Where the compiler finds the headers. Only it sees them there: it needs nothing else of `/sys`.
pub(super) const INCLUDE: &str = "/sys/include";

/// The user and group that own nothing, by custom.
const NOBODY: u32 = 65_534;

/// clang 14 to 21 map up to half a gibibyte, most of it their own text.
const LIMITS: [(Resource, u64); 5] = [
    (Resource::As, 2 << 30),
    (Resource::Cpu, 60),
    (Resource::Fsize, 16 << 20),
    (Resource::Core, 0),
    (Resource::Nofile, 256),
];

/// Puts this process into the sandbox and runs `command`, an absolute path with arguments. Standard
/// error becomes standard output. The process must have one thread.
///
/// # Errors
/// What could not be set up, or that the program cannot be run.
pub fn serve(command: &[OsString]) -> io::Result<Infallible> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::other("there is no program to run"));
    };
    // Whoever reads the compiler's errors reads those of this function too.
    rustix::stdio::dup2_stderr(rustix::stdio::stdout())?;
    crate::sys::close_inherited()?;
    give_own_mounts().map_err(|error| in_step("give the compiler mounts of its own", &error))?;
    set_limits().map_err(|error| in_step("limit the compiler", &error))?;
    // std clears the groups when it changes the user.
    let error = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .exec();
    let step = format!("run {} as nobody", program.to_string_lossy());
    Err(in_step(&step, &error))
}

fn in_step(step: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{step}: {error}"))
}

fn give_own_mounts() -> io::Result<()> {
    crate::sys::unshare_mounts_and_network()?;
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("cgview", "/sys", "tmpfs", flags, c"size=16m,mode=755")?;
    // Nobody has to read the headers, whatever the umask of whoever mounts.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    headers::write(Path::new(INCLUDE))
}

fn set_limits() -> io::Result<()> {
    for (resource, limit) in LIMITS {
        let limit = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        setrlimit(resource, limit)?;
    }
    Ok(rustix::thread::set_no_new_privs(true)?)
}
