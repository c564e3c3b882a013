//! Everything that touches BPF: loading view objects, links and their pins, reads and sweeps, and
//! turning records into text. It is given ids and directories of cgroups and knows no tree.

mod attach;
mod describe;
mod error;
mod instance;
mod inventory;
mod layout;
mod libbpf_log;
mod links;
pub mod loader;
pub mod manifest;
mod maps;
pub mod object;
pub mod render;
mod rodata;
mod sweep;
mod totals;
mod view;

pub use error::Error;
pub use instance::Instance;
pub use inventory::{Inventory, Item, Origin, Places, Shelf, Watch};
pub use links::{LinkCounts, Links};
pub use sweep::{Row, Rows};
pub use view::{Engine, Object, Runs, Settings, View, check};

/// A view object that comes with the program: its name and its contents.
pub type Builtin = (&'static str, &'static [u8]);

/// All of them.
pub const BUILTIN: &[Builtin] = include!(concat!(env!("OUT_DIR"), "/builtin.rs"));
