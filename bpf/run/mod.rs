//! The daemon's side of BPF: loaded objects at work. Loading itself is the loader process's.

mod bpffs;
mod links;
mod loader;
mod sweep;
mod totals;
mod view;

use std::fs;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::str::FromStr;

pub use bpffs::Instance;
pub use links::{LinkCounts, Links};
pub use loader::ARGUMENT;
pub(super) use sweep::order;
pub use sweep::{Row, Rows};
pub use view::{Engine, Object, Runs, Settings, View, check};

/// One value out of /proc/self/fdinfo (kernel/bpf/syscall.c `bpf_prog_show_fdinfo`).
pub(super) fn fdinfo<T: FromStr>(fd: BorrowedFd<'_>, key: &str) -> Option<T> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(':')?
            .trim()
            .parse()
            .ok()
    })
}
