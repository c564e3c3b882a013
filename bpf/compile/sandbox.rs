//! The process that becomes the compiler: nobody's, with neither network nor privileges, in mounts
//! of its own, and with little memory and time. A source is root's, but a compiler is large.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

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
    crate::sys::close_inherited()?;
    crate::sys::unshare_mounts_and_network()?;
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("cgview", "/sys", "tmpfs", flags, c"size=16m,mode=755")?;
    headers::write(Path::new(INCLUDE))?;
    for (resource, limit) in LIMITS {
        let limit = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        setrlimit(resource, limit)?;
    }
    rustix::thread::set_no_new_privs(true)?;
    rustix::stdio::dup2_stderr(rustix::stdio::stdout())?;
    // std clears the groups when it changes the user.
    let error = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .exec();
    Err(error)
}
