//! The built-in views and what they show.

#[path = "../common/mod.rs"]
mod common;
mod kernels;
mod stats;
mod stats_load;
mod vmscan;
