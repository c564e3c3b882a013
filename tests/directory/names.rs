//! Names of any bytes, paths of any length, and directories as the tools expect them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use crate::common::deep::Deep;
use crate::common::objects::{Placed, eventually_says, promptly, say, says};
use crate::common::{FixtureCgroup, MountedCgview, eventually, id, read, run, value};
use rustix::fs::{Mode, OFlags, open, openat};

/// Names that are hard for shells, JSON, tables, terminals or UTF-8.
fn awkward() -> Vec<OsString> {
    let mut names: Vec<OsString> = [
        &b"quotes \" and '"[..],
        b"back\\slash",
        b" spaces  at both ends ",
        b"tab\tand\rreturn",
        b"escape \x1b[31m",
        "\u{fc}ml\u{e4}ut \u{65e5}\u{672c} \u{1f600}".as_bytes(),
        b"not utf-8 \xff\xfe\x80",
        b"-rf",
        b"*?[a]",
        b"$(reboot)`;&|",
        b"...",
        b"a\\x2db@c:d.service",
        b"stats",
        b"stats.json",
        b"stats.tree",
        b".cgview",
    ]
    .map(|name| OsStr::from_bytes(name).to_owned())
    .into();
    names.push("n".repeat(255).into());
    names.push(OsStr::from_bytes(&[0xff; 255]).to_owned());
    names
}

fn entries(dir: &Path) -> BTreeMap<OsString, fs::DirEntry> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("list {}: {e}", dir.display()));
    let entries: Vec<_> = entries.map(|entry| entry.expect("an entry")).collect();
    let count = entries.len();
    let by_name: BTreeMap<_, _> = entries
        .into_iter()
        .map(|entry| (entry.file_name(), entry))
        .collect();
    assert_eq!(by_name.len(), count, "a name is there twice");
    by_name
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_cgroup_of_any_name_is_found_and_listed_and_goes() {
    let cgroup = FixtureCgroup::new("names");
    let mount = MountedCgview::of(&cgroup);
    for name in awkward() {
        let child = cgroup.mkdir(&name);
        let dir = mount.join(&name);
        let text = read(&dir.join("stats")).unwrap_or_else(|e| panic!("{name:?}: {e}"));
        assert_eq!(value(&text, "id"), Some(id(&child)));
        let entries = entries(mount.path());
        let entry = entries
            .get(&name)
            .unwrap_or_else(|| panic!("{name:?} is not listed"));
        assert!(entry.file_type().expect("type").is_dir());
        assert_eq!(entry.ino(), id(&child));
        fs::remove_dir(&child).expect("rmdir");
        let error = read(&dir.join("stats")).expect_err("gone");
        let expected = [libc::ENOENT, libc::ENOTDIR].map(Some);
        assert!(
            expected.contains(&error.raw_os_error()),
            "{name:?}: {error}"
        );
    }
    let error = fs::create_dir(cgroup.path().join("new\nline")).expect_err("the kernel takes none");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_cgroup_named_like_a_view_hides_it_and_no_longer() {
    let cgroup = FixtureCgroup::new("hides");
    let child = cgroup.mkdir("greet");
    let placed = Placed::with(",builtin=stats");
    let dir = placed.mount.dir_of(cgroup.path());
    // A cgroup that is there before the view.
    let object = placed.put("x", &say("greet", "hello"));
    eventually_says(&dir.join("greet/greet"), "hello ");
    assert_eq!(id(&dir.join("greet")), id(&child));
    assert_is_once_a_directory(&dir, "greet");
    let hidden = || placed.status_of(&object)["views"][0]["hidden_by_cgroups"].clone();
    assert_eq!(hidden()[0], format!("/{}/greet", cgroup.name().display()));
    fs::remove_dir(&child).expect("rmdir");
    eventually_says(&dir.join("greet"), "hello ");
    promptly("no collision any more", || hidden().is_null());
    // Views that are there before the cgroup.
    for (name, begin) in [("greet", "hello "), ("stats", "id "), ("stats.json", "{")] {
        let file = dir.join(name);
        assert!(fs::metadata(&file).expect("stat").is_file());
        let child = cgroup.mkdir(name);
        // The name may be in the kernel's cache until the daemon has heard.
        let is = |what: &str, so: &dyn Fn(&fs::Metadata) -> bool| {
            eventually(Duration::from_secs(2), what, || {
                fs::metadata(&file).is_ok_and(|file| so(&file))
            });
        };
        is("the cgroup is there", &fs::Metadata::is_dir);
        assert_eq!(id(&file), id(&child));
        assert_is_once_a_directory(&dir, name);
        let text = read(&file.join("stats")).expect("read");
        assert_eq!(value(&text, "id"), Some(id(&child)));
        fs::remove_dir(&child).expect("rmdir");
        is("the view is there", &fs::Metadata::is_file);
        assert!(says(&file, begin), "{name}");
    }
}

fn assert_is_once_a_directory(dir: &Path, name: &str) {
    let entries = entries(dir);
    let entry = entries.get(OsStr::new(name));
    let kind = entry
        .unwrap_or_else(|| panic!("{name} is not listed"))
        .file_type();
    assert!(kind.expect("type").is_dir());
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn every_form_shows_any_name() {
    let cgroup = FixtureCgroup::new("forms");
    let names = awkward();
    names.iter().for_each(|name| drop(cgroup.mkdir(name)));
    let mount = MountedCgview::of_with(&cgroup, &[]);
    let inner = FixtureCgroup::at(cgroup.path().join("inner"));
    names.iter().for_each(|name| drop(inner.mkdir(name)));
    let dir = mount.dir_of(inner.path());
    // The names of views are children's here.
    let table = fs::read(mount.join("vmscan.tree")).expect("read");
    let lines = table
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .count();
    assert_eq!(lines, 1 + 1 + 2 * names.len() + 1);
    let json = fs::read(mount.join("vmscan.tree.json")).expect("read");
    let rows: Vec<serde_json::Value> = json
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    let has = |name: &str| {
        rows.iter()
            .any(|row| row["cgroup"] == *format!("inner/{name}"))
    };
    for name in names.iter().filter_map(|name| name.to_str()) {
        assert!(has(name), "{name:?}");
    }
    assert!(dir.join("-rf/stats").exists());
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_cgroup_deeper_than_any_path_is_read_by_steps() {
    let names: Vec<_> = (0..24)
        .map(|level| format!("{level}-{}", "x".repeat(240)))
        .collect();
    let deep = Deep::new(&names);
    let mount = MountedCgview::of(&deep.0);
    let directory = |path: &Path| open(path, OFlags::RDONLY, Mode::empty()).expect("open");
    let (mut native, mut shown) = (directory(deep.0.path()), directory(mount.path()));
    for (level, name) in names.iter().enumerate() {
        native = openat(native, &**name, OFlags::RDONLY, Mode::empty()).expect("openat");
        shown = openat(shown, &**name, OFlags::RDONLY, Mode::empty())
            .unwrap_or_else(|e| panic!("level {level}: {e}"));
        let stats = openat(&shown, "stats", OFlags::RDONLY, Mode::empty()).expect("openat");
        let text = io::read_to_string(File::from(stats)).expect("read");
        let expected = rustix::fs::fstat(&native).expect("fstat").st_ino;
        assert_eq!(value(&text, "id"), Some(expected));
    }
    let tree = read(&mount.join("stats.tree")).expect("read");
    assert_eq!(tree.lines().count(), 1 + 1 + names.len());
    // A path of more than 4,096 bytes is shown as the id.
    assert!(tree.contains(&names[..16].join("/")));
    let last = tree.lines().last().expect("a line");
    let id = rustix::fs::fstat(&native).expect("fstat").st_ino;
    assert!(last.starts_with(&format!("/id:{id} ")), "{last}");
    let found = run("find", [mount.path()]);
    assert_eq!(String::from_utf8_lossy(&found.stderr), "");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn tools_that_walk_directories_report_no_error() {
    let cgroup = FixtureCgroup::new("walk");
    for name in awkward() {
        cgroup.mkdir(Path::new(&name).join("below"));
    }
    let mount = MountedCgview::of(&cgroup);
    let path = mount.path().display();
    for command in [
        "find",
        "find -L",
        "find -size +0",
        "ls -l",
        "ls -la",
        "ls -R",
        "ls -laR",
        "ls -lZ",
        "grep -r id",
        "du",
        "du -a",
        "du -b",
        "busybox find",
        "busybox ls -laR",
        "busybox du",
        "stat",
        "stat -f",
        "wc -c",
    ] {
        let (command, arguments) = match command {
            "wc -c" => ("find", "-type f -print0 | xargs -0 wc -c >/dev/null"),
            "find -size +0" => ("find", "-size +0 -printf '%p %s %n %i\\n'"),
            other => (other, ""),
        };
        let output = run(
            "bash",
            [
                "-c".to_owned(),
                format!("set -o pipefail; {command} {path} {arguments}"),
            ],
        );
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {complaint}");
        assert_eq!(complaint, "", "{command}");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn link_counts_types_and_inode_numbers_agree() {
    let cgroup = FixtureCgroup::new("nlink");
    for name in ["a/b/c", "a/d", "e"] {
        cgroup.mkdir(name);
    }
    let mount = MountedCgview::of(&cgroup);
    for below in ["", "a", "a/b", "a/b/c", "e", ".cgview", ".cgview/views"] {
        let dir = mount.join(below);
        let entries = entries(&dir);
        let mut directories = 0;
        for (name, entry) in &entries {
            let stat = fs::symlink_metadata(dir.join(name)).expect("stat");
            assert_eq!(
                entry.file_type().expect("type"),
                stat.file_type(),
                "{name:?}"
            );
            assert_eq!(entry.ino(), stat.ino(), "{name:?}");
            directories += u64::from(stat.is_dir());
        }
        assert_eq!(
            fs::metadata(&dir).expect("stat").nlink(),
            2 + directories,
            "{below:?}"
        );
        let native = cgroup.path().join(below);
        if !below.is_empty() && native.is_dir() {
            let (shown, native) = (
                fs::metadata(&dir).expect("stat"),
                fs::metadata(&native).expect("stat"),
            );
            assert_eq!((shown.nlink(), shown.ino()), (native.nlink(), native.ino()));
            assert_eq!(
                (shown.mtime(), shown.mtime_nsec()),
                (native.mtime(), native.mtime_nsec())
            );
        }
    }
}
