//! Values that the kernel shows of a BPF object in /proc/self/fdinfo.

use std::fs;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::str::FromStr;

/// The value of a key, where the object has it (kernel/bpf/syscall.c `bpf_prog_show_fdinfo`,
/// `bpf_map_show_fdinfo`, `bpf_link_show_fdinfo`).
pub(super) fn value<T: FromStr>(fd: BorrowedFd<'_>, key: &str) -> Option<T> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(':')?
            .trim()
            .parse()
            .ok()
    })
}
