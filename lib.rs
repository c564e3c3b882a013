//! A FUSE file system that puts files defined by BPF programs into the directory of each cgroup.
//!
//! ```text
//! cgroupfs --inotify--> mirror --changes--> fs <--cgroup id, fd--> bpf --bytes--> fs --reply--> reader
//! ```
//!
//! [`fs`] knows [`mirror`] and [`bpf`], which know neither each other nor `fs`; changes travel
//! through a callback that `main` passes. System calls without a safe wrapper are in `sys`.

pub mod args;
pub mod bpf;
pub mod daemon;
pub mod fs;
pub mod logging;
pub mod mirror;
pub mod mounts;
pub mod privileges;
mod sys;
