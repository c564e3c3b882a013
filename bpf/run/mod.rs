//! The daemon's side of BPF: starts loaders, holds what they have loaded, reads and sweeps. Never
//! parses an object.

mod bpffs;
mod engine;
mod links;
mod loader;
mod pin_dir;
mod sweep;
mod swept;
mod totals;
mod view;

pub use bpffs::{OwnBpffs, lock_all};
pub use engine::{Engine, Settings, check};
pub use links::{LinkCounts, Links};
pub use loader::ARGUMENT;
pub use swept::{Swept, SweptCgroup};
pub use view::{LoadedObject, Runs, View};
