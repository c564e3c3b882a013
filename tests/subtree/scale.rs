//! A tree of tens of thousands of cgroups, read whole, and the memory that such reads may take.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use crate::common::{FixtureCgroup, MountedCgview, eventually, id, less_if_emulated};
use serde_json::Value;

/// Cgroups in one directory.
const SIBLINGS: usize = 100;

/// What all open files may hold together.
const LIMIT_MIB: usize = 1;

/// Makes `count` cgroups below `parent`, and gives the id of each by its path.
fn populate(parent: &FixtureCgroup, count: usize) -> HashMap<String, u64> {
    // Some names that a rendering has to escape.
    let name = |number: usize| match number % 10 {
        7 => format!("unit \"{number}\""),
        8 => format!("unit\\{number}"),
        9 => format!("unit\u{e9}\t{number}"),
        _ => format!("unit-{number}.service"),
    };
    let mut made = HashMap::new();
    for number in 0..count {
        let slice = format!("all/{}.slice", number / SIBLINGS);
        let path = match number % SIBLINGS {
            0 => slice,
            _ => format!("{slice}/{}", name(number)),
        };
        let id = id(&parent.mkdir(&path));
        made.insert(path.trim_start_matches("all/").to_owned(), id);
    }
    made
}

/// Path and id of each line of a `.tree.json`.
fn ids(file: &Path) -> HashMap<String, u64> {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut ids = HashMap::new();
    for line in text.lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        let path = object["cgroup"].as_str().expect("a path").to_owned();
        let id = object["id"].as_u64().expect("an id");
        let twice = ids.insert(path, id);
        assert_eq!(twice, None, "{line}");
    }
    ids
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn fifty_thousand_cgroups_are_read_whole() {
    let count = less_if_emulated(50_000, 1_000);
    let cgroup = FixtureCgroup::new("scale");
    // Its children have no controllers: there are fewer of a machine's memory cgroups than that.
    let all = cgroup.mkdir("all");
    let mount = MountedCgview::of(&cgroup);
    let dir = mount.dir_of(&all);
    let mut expected = populate(&cgroup, count);
    expected.insert(".".to_owned(), id(&all));
    let file = dir.join("stats.tree.json");
    let shown = ids(&file);
    assert_eq!(shown.len(), expected.len());
    assert!(shown == expected, "another path or id");

    let table = fs::read(dir.join("stats.tree")).expect("read");
    let lines: Vec<_> = table
        .strip_suffix(b"\n")
        .expect("whole lines")
        .split(|b| *b == b'\n')
        .collect();
    assert_eq!(lines.len(), expected.len() + 1);
    let prom = fs::read_to_string(mount.join(".cgview/prom/stats.prom")).expect("read");
    let samples = prom
        .lines()
        .filter(|line| line.starts_with("cgview_stats_level{"));
    assert_eq!(samples.count(), expected.len() + 1);

    // Half of them go, and none of these is in the next read.
    let gone = |path: &str| {
        path.split('.')
            .next()
            .is_some_and(|n| n.parse().is_ok_and(|n: usize| n % 2 == 1))
    };
    for slice in fs::read_dir(&all).expect("list").flatten() {
        if gone(&slice.file_name().to_string_lossy()) {
            crate::common::remove_cgroup(&slice.path());
        }
    }
    expected.retain(|path, _| !gone(path));
    let shown = ids(&file);
    assert_eq!(shown.len(), expected.len());
    assert!(shown == expected, "another path or id");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_memory_of_open_files_is_limited() {
    let cgroup = FixtureCgroup::new("bounded");
    cgroup.mkdir("all");
    populate(&cgroup, 1_000);
    let option = format!("builtin=stats,max_snapshot_mib={LIMIT_MIB}");
    let mount = MountedCgview::with(&["-o", &option]);
    let dir = mount.dir_of(cgroup.path());
    let open = || -> io::Result<(File, usize)> {
        let mut file = File::open(dir.join("all/stats.tree"))?;
        let mut text = Vec::new();
        let length_bytes = file.read_to_end(&mut text)?;
        Ok((file, length_bytes))
    };
    let mut held = Vec::new();
    let refused = loop {
        match open() {
            Ok(file) => held.push(file),
            Err(error) => break error,
        }
        assert!(held.len() < 100, "more than a hundred large files are open");
    };
    assert_eq!(refused.raw_os_error(), Some(libc::ENOMEM));
    let held_bytes: usize = held.iter().map(|(_, length_bytes)| length_bytes).sum();
    assert!(
        held_bytes > 0 && held_bytes <= LIMIT_MIB << 20,
        "{held_bytes}"
    );
    assert!(
        crate::common::read(&dir.join("stats")).is_ok(),
        "a small one has room"
    );
    drop(held);
    // The daemon gets the release after close(2) has returned.
    eventually(Duration::from_secs(5), "there is room again", || {
        open().is_ok()
    });
}
