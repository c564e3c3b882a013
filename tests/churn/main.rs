//! Cgroups, views and daemons that go, and faults: nothing is left, and all else works on.

mod cgroups;
#[path = "../common/mod.rs"]
mod common;
mod mutants;
mod removal;
