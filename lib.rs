//! A FUSE file system that puts files defined by BPF programs into the directory of each cgroup.
//!
//! ```text
//! cgroupfs --inotify--> mirror --changes--> fs <--cgroup id, fd--> bpf --bytes--> fs --reply--> reader
//! ```
//!
//! [`fs`] knows [`mirror`] and [`bpf`], which know neither each other nor `fs`; changes travel
//! through a callback that [`command`] passes. System calls without a safe wrapper are in `sys`.

// Product code must not panic or exit, and all of it is in this crate. In Cargo.toml these lints
// would apply to the helpers of integration tests and to benches too.
#![deny(
    clippy::exit,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::todo,
    clippy::unimplemented,
    clippy::unreachable,
    clippy::unwrap_used
)]

pub mod args;
pub mod bpf;
pub mod command;
pub mod daemon;
pub mod fs;
pub mod mirror;
pub mod mounts;
mod printable;
#[allow(
    unsafe_code,
    reason = "the one place for system calls that no safe crate wraps"
)]
mod sys;
