//! The headers for authors of views, which are part of the program: those of cgview and, of libbpf,
//! those for BPF programs.

use std::fs;
use std::io;
use std::path::Path;

/// The headers of cgview, by name.
const CGVIEW: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/headers.rs"));

/// Headers of libbpf that are for user space.
const USER_SPACE: [&str; 4] = ["bpf.h", "btf.h", "libbpf.h", "libbpf_common.h"];

/// All headers, each by the path that `#include` names.
fn all() -> impl Iterator<Item = (String, &'static str)> {
    let cgview = CGVIEW
        .iter()
        .map(|(name, text)| (format!("cgview/{name}"), *text));
    let libbpf = libbpf_sys::API_HEADERS.into_iter();
    let libbpf = libbpf.filter(|(name, _)| !USER_SPACE.contains(name));
    cgview.chain(libbpf.map(|(name, text)| (format!("bpf/{name}"), text)))
}

/// Writes the headers to `dir/cgview` and `dir/bpf`, so that `clang -I dir` finds them.
///
/// # Errors
/// Those of mkdir(2), open(2) and write(2), with the path.
pub fn write(dir: &Path) -> io::Result<()> {
    for (name, text) in all() {
        let path = dir.join(name);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&path, text))
            .map_err(|error| {
                io::Error::new(error.kind(), format!("write {}: {error}", path.display()))
            })?;
    }
    Ok(())
}
