//! How cgview is mounted and unmounted, and what is refused.

mod command;
#[path = "../common/mod.rs"]
mod common;
mod defaults;
mod distrust;
mod machine;
mod refusals;
mod surroundings;
