//! What a read of a whole subtree gives.

#[path = "../common/mod.rs"]
mod common;
mod consistency;
mod limits;
mod permissions;
mod scale;
