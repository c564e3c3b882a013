//! The authoring guide, the examples, and what else authors can use.

#[path = "../common/mod.rs"]
mod common;
mod examples;
mod guide;
mod iterators;
mod maps;
mod orders;
mod percentiles;
mod rows;
