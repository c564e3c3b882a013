//! Which part may use which other part and crate, and where `unsafe` may be, as lib.rs says.

use std::fs;
use std::path::{Path, PathBuf};

/// A word, and the only places that may use it.
const CONFINED: [(&str, &[&str]); 7] = [
    ("fuser", &["fs/"]),
    ("libbpf_rs", &["bpf/"]),
    ("libbpf_sys", &["bpf/", "sys.rs"]),
    ("notify::", &["mirror/", "bpf/catalog/"]),
    ("unsafe", &["sys.rs"]),
    // The loader is another process: nothing of the daemon calls it.
    ("bpf::load", &["command.rs"]),
    ("compile::sandbox", &["command.rs"]),
];

/// A part, and the parts that it may not use.
const APART: [(&str, &[&str]); 10] = [
    ("mirror/", &["crate::fs", "crate::bpf"]),
    ("bpf/", &["crate::fs", "crate::mirror"]),
    (
        "bpf/record/",
        &[
            "libbpf_rs",
            "libbpf_sys",
            "rustix",
            "std::fs",
            "std::io",
            "crate::sys",
            "bpf::manifest",
            "bpf::load",
            "bpf::run",
            "bpf::catalog",
            "bpf::pins",
        ],
    ),
    (
        "bpf/load/",
        &["bpf::run", "bpf::catalog", "super::run", "super::catalog"],
    ),
    (
        "bpf/run/",
        &["bpf::load", "bpf::catalog", "super::load", "super::catalog"],
    ),
    (
        "bpf/catalog/",
        &["libbpf_rs", "libbpf_sys", "bpf::load", "super::load"],
    ),
    (
        "bpf/compile/",
        &["bpf::run", "bpf::load", "bpf::catalog", "bpf::record"],
    ),
    ("daemon/", &["crate::fs", "crate::bpf", "crate::mirror"]),
    ("sys.rs", &["crate::"]),
    ("mounts.rs", &["crate::"]),
];

/// The crate's own sources and their text without comments, by path below the crate.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut directories = vec![root.to_owned()];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(root).unwrap();
            if path.is_dir()
                && ["bpf", "daemon", "fs", "mirror"]
                    .iter()
                    .any(|d| below.starts_with(d))
            {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !below.starts_with("build.rs")
            {
                files.push(path);
            }
        }
    }
    let text = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let code = text.lines().map(|line| line.split("//").next().unwrap());
        code.collect::<Vec<_>>().join("\n")
    };
    let name = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
    let sources: Vec<_> = files.iter().map(|path| (name(path), text(path))).collect();
    assert!(sources.len() > 30, "{} sources", sources.len());
    sources
}

/// Whether a path of Rust is named: the word, not followed or preceded by more of an identifier.
fn names(text: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(part_of_word)
            && (word.ends_with(':') || !after.is_some_and(part_of_word))
    })
}

#[test]
fn each_outside_crate_and_unsafe_stay_in_their_place() {
    for (word, places) in CONFINED {
        let mut used = false;
        for (file, text) in sources() {
            if names(&text, word) {
                used = true;
                let allowed = places.iter().any(|place| file.starts_with(place));
                assert!(allowed, "{file} uses {word}, which only {places:?} may");
            }
        }
        assert!(used, "nothing uses {word}: is the list above still true?");
    }
}

#[test]
fn no_part_uses_a_part_above_it() {
    for (part, strangers) in APART {
        for (file, text) in sources().iter().filter(|(file, _)| file.starts_with(part)) {
            for stranger in strangers {
                assert!(!names(text, stranger), "{file} uses {stranger}");
            }
        }
    }
}
