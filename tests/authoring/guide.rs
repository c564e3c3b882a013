//! The code in the pages for authors is compiled, loaded, and as short as promised.

use std::fs;
use std::path::Path;

use crate::common::shown::{SOURCE, code_lines, compile_by_guide, sources};
use crate::common::{CGVIEW, FixtureDir, run};

/// The pieces of C in a page that are whole objects.
fn pieces_of(page: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(SOURCE).join(page)).expect("read the page");
    let pieces = text.split("```c\n").skip(1);
    let pieces = pieces.filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()));
    pieces.filter(|code| code.contains("LICENSE")).collect()
}

#[test]
fn views_have_as_few_lines_as_promised() {
    let first_record_view = &pieces_of("docs/authoring.md")[1];
    assert!(first_record_view.contains("#define CGVIEW_VIEW work"));
    assert!(code_lines(first_record_view) <= 15);
    let examples = sources("examples");
    for (name, most) in [("wait", 40), ("runqlat", 45), ("net", 25)] {
        let lines = code_lines(&fs::read_to_string(&examples[name]).expect("read the example"));
        assert!(lines <= most, "{name} has {lines} lines");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_code_of_the_guide_compiles_and_loads() {
    let dir = FixtureDir::new("guide");
    for (page, least) in [("docs/authoring.md", 4), ("docs/migrating.md", 3)] {
        let pieces = pieces_of(page);
        assert!(pieces.len() >= least, "{page} has {} views", pieces.len());
        for (number, code) in pieces.iter().enumerate() {
            let source = dir.path().join(format!("{number}.bpf.c"));
            let object = source.with_extension("o");
            fs::write(&source, code).expect("write");
            compile_by_guide(&source, &object);
            let checked = run(CGVIEW, ["--check".as_ref(), object.as_os_str()]);
            let complaints = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success(), "{page}: {code}\n{complaints}");
        }
    }
}
