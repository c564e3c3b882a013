//! Everything that touches BPF: loading view objects, running their programs, and showing records.
//! It is given ids and directories of cgroups and knows neither the mirror nor the file system.
//!
//! ```text
//! catalog -> run -> record        which views there are -> programs at work -> bytes to text
//! catalog -> compile              source files to ELF, by clang as nobody
//! load -> record                  the loader process: ELF and BTF to a manifest, attached and pinned
//! ```
//!
//! [`run`] starts [`load`] as a process for each object and takes a [`Manifest`] from it; the two
//! share nothing else but the names of pins.

pub mod catalog;
mod child;
pub mod compile;
mod error;
mod fdinfo;
pub mod headers;
pub mod load;
pub mod manifest;
mod pins;
pub mod record;
pub mod run;
pub mod skeleton;

pub use error::Error;
pub use manifest::Manifest;

/// A view object that comes with the program: its name and its contents.
pub type Builtin = (&'static str, &'static [u8]);

/// All built-in view objects.
pub const BUILTIN: &[Builtin] = include!(concat!(env!("OUT_DIR"), "/builtin.rs"));
