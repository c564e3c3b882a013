//! What is in the directories of a mount: names, numbers, modes.

mod cgroups;
#[path = "../common/mod.rs"]
mod common;
mod inode_numbers;
mod listing;
mod names;
mod permissions;
mod read_only;
