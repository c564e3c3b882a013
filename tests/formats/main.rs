//! The forms of a view as the tools read them that they are made for.

#[path = "../common/mod.rs"]
mod common;
mod renderings;
mod tools;
