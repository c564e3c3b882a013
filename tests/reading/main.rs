//! What a read of a file gives, to each kind of reader.

#[path = "../common/mod.rs"]
mod common;
mod concurrency;
mod hostile;
mod limits;
mod one_run;
mod readers;
mod requests;
mod splice;
