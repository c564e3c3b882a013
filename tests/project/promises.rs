//! PROMISES.md is true to the sources: its tests exist, and no requirement is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The letters of the requirements, and the last number of each.
const IDS: [(char, u32); 10] = [
    ('A', 6),
    ('B', 11),
    ('C', 6),
    ('D', 4),
    ('E', 4),
    ('F', 3),
    ('G', 10),
    ('H', 5),
    ('I', 3),
    ('J', 4),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(below: &str) -> String {
    let path = root().join(below);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()))
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The names of the test functions in a source.
fn tests_in(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
            names.push(rest.split('(').next().unwrap().to_owned());
            is_test = false;
        }
    }
    names
}

/// The integration tests, as `area::module::test`.
fn integration_tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for directory in list(&root().join("tests")) {
        if !directory.join("main.rs").exists() {
            continue;
        }
        let area = directory.file_name().unwrap().to_str().unwrap();
        let main = text(&format!("tests/{area}/main.rs"));
        for file in list(&directory) {
            let module = file.file_stem().unwrap().to_str().unwrap();
            if module == "main" {
                continue;
            }
            let declared = main.lines().any(|line| line == format!("mod {module};"));
            assert!(declared, "tests/{area}/main.rs does not name {module}");
            for test in tests_in(&fs::read_to_string(&file).unwrap()) {
                tests.insert(format!("{area}::{module}::{test}"));
            }
        }
    }
    assert!(tests.len() > 100, "{} tests", tests.len());
    tests
}

/// The cells of each row of the tables after a heading.
fn rows<'a>(promises: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, section) = promises.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    // The first is the head.
    rows.skip(1)
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// The tests that a cell names.
fn named(cell: &str) -> Vec<&str> {
    cell.split(", ")
        .map(|name| name.trim_matches('`'))
        .collect()
}

/// Without the breaks of lines.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_promise_names_tests_that_exist() {
    let (promises, tests) = (text("tests/PROMISES.md"), integration_tests());
    let requirements = rows(&promises, "\n## Requirements\n");
    let claims = rows(&promises, "\n## Claims of the README\n");
    for row in requirements.iter().chain(&claims) {
        for name in named(row.last().unwrap()) {
            assert!(tests.contains(name), "{}: there is no test {name}", row[0]);
        }
    }
}

#[test]
fn each_requirement_has_tests_or_is_not_yet_met() {
    let promises = text("tests/PROMISES.md");
    let (_, not_yet) = promises.split_once("\n## Not yet\n").unwrap();
    let not_yet = not_yet.split([',', '.']).map(str::trim);
    let not_yet: Vec<_> = not_yet.filter_map(|item| item.split(' ').next()).collect();
    let rows = rows(&promises, "\n## Requirements\n");
    for (letter, last) in IDS {
        for number in 1..=last {
            let id = format!("{letter}{number}");
            let found = rows.iter().filter(|row| row[0] == id).count();
            assert!(found <= 1, "{id} has {found} rows");
            assert!(found == 1 || not_yet.contains(&&*id), "{id} is missing");
        }
    }
}

#[test]
fn each_claim_is_in_the_readme() {
    let readme = joined(&text("README.md"));
    for row in rows(&text("tests/PROMISES.md"), "\n## Claims of the README\n") {
        assert!(readme.contains(&joined(row[0])), "README.md: {}", row[0]);
    }
}

#[test]
fn no_test_name_stands_twice() {
    let mut places: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut directories = vec![root().to_owned()];
    while let Some(directory) = directories.pop() {
        for path in list(&directory) {
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                for test in tests_in(&fs::read_to_string(&path).unwrap()) {
                    if let Some(other) = places.insert(test.clone(), path.clone()) {
                        panic!("{test} is in {} and {}", other.display(), path.display());
                    }
                }
            }
        }
    }
}
