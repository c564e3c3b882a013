//! The forms of a view, read by the tools for which they are made.

#[path = "../common/mod.rs"]
mod common;
mod renderings;
mod tools;
