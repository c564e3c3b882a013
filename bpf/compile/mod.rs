//! Compiles a view object from its source file, `X.bpf.c`: clang runs as an unprivileged user, see
//! [`sandbox`], and what it made of a source is kept, see `cache`.

mod cache;
mod clang;
pub mod sandbox;

use std::ffi::OsString;
use std::path::{self, Path};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::child::{self, Allowed};
use cache::Cache;
use clang::Clang;

/// The hidden argument that makes a process of this program run a compiler.
pub const ARGUMENT: &str = "--compile";

/// A view takes a fraction of a second, on an emulated CPU a few; and its object a fraction of a megabyte.
const ALLOWED: Allowed = Allowed {
    time: Duration::from_secs(60),
    answer_bytes: 16 << 20,
};

/// Whether a file is the source of a view object, by its name.
pub(super) fn is_source(name: &str) -> bool {
    name.strip_suffix(".bpf.c")
        .is_some_and(|stem| !stem.is_empty())
}

/// The object in a file at `path` that holds `bytes`: the bytes, or what clang makes of them if they
/// are a source, going by the file's name. Gives up when `ending` says so.
///
/// # Errors
/// The first error of the compiler, with file and line, or why it could not be run.
pub fn to_object(
    path: &Path,
    bytes: Vec<u8>,
    ending: &dyn Fn() -> bool,
) -> Result<Vec<u8>, String> {
    if !is_source(&path.to_string_lossy()) {
        return Ok(bytes);
    }
    // The compiler has another working directory.
    let path = path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?;
    compile(&path, &bytes, ending)
}

fn compile(path: &Path, source: &[u8], ending: &dyn Fn() -> bool) -> Result<Vec<u8>, String> {
    let clang = Clang::find()?;
    let text = run(
        &clang.preprocess(path),
        &clang::with_name(path, source),
        ending,
    )?;
    // Included files may change while the source does not, so an object belongs to what the
    // preprocessor made of them.
    let key = cache::key(&[clang.identity().as_bytes(), &text]);
    let cache = Cache::open()
        .inspect_err(|error| log::warn!("{error}; compiled views are not kept"))
        .ok();
    if let Some(object) = cache.as_ref().and_then(|cache| cache.get(&key)) {
        return Ok(object);
    }
    let object = run(&clang.compile(), &text, ending)?;
    if let Some(Err(error)) = cache.map(|cache| cache.put(&key, &object)) {
        log::warn!("keep the object of {}: {error}", path.display());
    }
    Ok(object)
}

/// Runs the compiler in the sandbox and returns what it writes. Warnings are off, so what it writes
/// is either its output or its errors.
fn run(command: &[OsString], input: &[u8], ending: &dyn Fn() -> bool) -> Result<Vec<u8>, String> {
    let child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .args(command)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    match child.and_then(|child| child::converse(child, input, &ALLOWED, ending)) {
        Ok((output, status)) if status.success() => Ok(output),
        Ok((output, status)) => Err(clang::first_error(&String::from_utf8_lossy(&output))
            .unwrap_or_else(|| format!("the compiler ended with {status} and no word"))),
        Err(error) => Err(format!("run the compiler: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_known_by_its_name() {
        assert!(is_source("wait.bpf.c"));
        assert!(!is_source(".bpf.c"));
        assert!(!is_source("wait.c"));
        assert!(!is_source("wait.bpf.c~"));
    }
}
