//! The code in docs/authoring.md is compiled and loaded.

use std::fs;
use std::path::Path;

use crate::common::shown::{SOURCE, compile_by_guide};
use crate::common::{CGVIEW, FixtureDir, run};

/// The pieces of C in the authoring guide that are whole objects.
fn pieces_of_the_guide() -> Vec<String> {
    let guide = fs::read_to_string(Path::new(SOURCE).join("docs/authoring.md")).expect("read");
    let pieces = guide.split("```c\n").skip(1);
    let pieces = pieces.filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()));
    pieces.filter(|code| code.contains("LICENSE")).collect()
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_code_of_the_guide_compiles_and_loads() {
    let dir = FixtureDir::new("guide");
    let pieces = pieces_of_the_guide();
    assert!(pieces.len() >= 3);
    // Two fields, a collector, and no more than a screen of code.
    let lines = pieces[1].lines().count();
    assert!(lines < 50, "{lines} lines");
    for (number, code) in pieces.iter().enumerate() {
        let source = dir.path().join(format!("{number}.bpf.c"));
        let object = source.with_extension("o");
        fs::write(&source, code).expect("write");
        compile_by_guide(&source, &object);
        let checked = run(CGVIEW, ["--check".as_ref(), object.as_os_str()]);
        let complaints = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{code}\n{complaints}");
    }
}
