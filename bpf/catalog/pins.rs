//! Programs that others pin: any `iter/cgroup` program is a text view called after its pin.

use std::path::Path;

use crate::bpf::run::{Engine, Object};

/// Any name: bpffs itself refuses those with dots.
pub(super) fn is_pin(_: &str) -> bool {
    true
}

/// Takes a pinned program as a view, or says why it is none.
pub(super) fn adopt(engine: &Engine, path: &Path) -> Result<Object, String> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    engine.adopt(&name.unwrap_or_default(), path)
}
