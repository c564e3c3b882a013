//! View objects: where they are placed, replaced, removed, checked and reported.

mod bad;
mod check;
#[path = "../common/mod.rs"]
mod common;
mod drop_in;
mod kept_maps;
mod manage;
mod pins;
mod placement;
mod sources;
mod status;
mod surroundings;
