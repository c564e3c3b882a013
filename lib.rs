//! A FUSE file system that puts files defined by BPF programs into the directory of each cgroup.
//!
//! ```text
//! cgroupfs --inotify--> mirror --changes--> fs <--cgroup id, fd--> bpf --bytes--> fs --reply--> reader
//! ```
//!
//! [`fs`] knows [`mirror`] and [`bpf`], which know neither each other nor `fs`; changes travel
//! through a callback that `main` passes. System calls without a safe wrapper are in `sys`.

// Product code must not panic or exit. Tests may, so these lints are not in Cargo.toml.
#![deny(
    clippy::exit,
    clippy::expect_used,
    clippy::panic,
    clippy::todo,
    clippy::unreachable,
    clippy::unwrap_used
)]

pub mod args;
pub mod bpf;
pub mod daemon;
pub mod fs;
pub mod mirror;
pub mod mounts;
#[allow(
    unsafe_code,
    reason = "the one place for system calls that no safe crate wraps"
)]
mod sys;
