//! Names of the pins in the directory of a loaded object. The loader pins, the daemon opens.
//! bpffs refuses names with dots.

use std::path::{Path, PathBuf};

/// The program that a read of one cgroup runs.
pub(super) const VIEW: &str = "view";
/// A view's css sweep.
pub(super) const SWEEP: &str = "sweep";
/// A view's walk.
pub(super) const WALK: &str = "walk";
/// The map of maps with the array that sweep and walk fill.
pub(super) const SWEPT: &str = "swept";
/// The link of a collector.
pub(super) const LINK: &str = "link";

/// The pin of part `what` of the object's view or collector number `index`.
pub(super) fn of(dir: &Path, what: &str, index: usize) -> PathBuf {
    dir.join(format!("{what}{index}"))
}

/// The pin of a map that keeps its contents over a replacement of its object.
pub(super) fn of_kept_map(dir: &Path, map: &str) -> PathBuf {
    dir.join(format!("keep_{map}"))
}

/// The name of the pinned link of a cgroup.
pub(super) fn of_cgroup(cgroup: u64, serial: u32) -> String {
    format!("c{serial}-{cgroup}")
}
