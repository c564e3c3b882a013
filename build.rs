//! Compiles each `bpf/views/*.bpf.c` and writes the table of built-in objects, and that of the
//! headers for authors. To add a built-in view, add its source file there.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use libbpf_cargo::SkeletonBuilder;

const VIEWS: &str = "bpf/views";
const INCLUDE: &str = "bpf/include";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=bpf");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut sources: Vec<PathBuf> = fs::read_dir(VIEWS)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    sources.retain(|path| path.to_string_lossy().ends_with(".bpf.c"));
    sources.sort();

    let mut table = String::from("&[\n");
    for source in &sources {
        let name = source
            .file_name()
            .and_then(OsStr::to_str)
            .and_then(|name| name.strip_suffix(".bpf.c"))
            .ok_or("a view's file name is not UTF-8")?;
        let object = compile(source, &out_dir.join(format!("{name}.bpf.o")))?;
        table.push_str(&format!("({name:?}, include_bytes!({object:?})),\n"));
    }
    table.push(']');
    fs::write(out_dir.join("builtin.rs"), table)?;
    fs::write(out_dir.join("headers.rs"), headers()?)?;
    Ok(())
}

/// An expression of Rust: the names and texts of the headers for authors.
fn headers() -> Result<String, Box<dyn Error>> {
    let mut paths = fs::read_dir(Path::new(INCLUDE).join("cgview"))?
        .map(|entry| entry?.path().canonicalize())
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    let mut table = String::from("&[\n");
    for path in paths {
        let name = path.file_name().ok_or("a header has no name")?;
        table.push_str(&format!("({name:?}, include_str!({path:?})),\n"));
    }
    table.push(']');
    Ok(table)
}

fn compile(source: &Path, object: &Path) -> Result<PathBuf, Box<dyn Error>> {
    SkeletonBuilder::new()
        .source(source)
        .obj(object)
        .clang_args([
            OsStr::new("-I"),
            OsStr::new(INCLUDE),
            OsStr::new("-mcpu=v3"),
            OsStr::new("-Wall"),
            OsStr::new("-Werror"),
        ])
        .build()?;
    Ok(object.to_owned())
}
