//! Removing views by `rm`, with -o manage; and that nothing else can be written.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use rustix::fs::{XattrFlags, setxattr};

use crate::common::objects::{Placed, eventually_says, is_absent, promptly, say, says};
use crate::common::{FixtureCgroup, run};

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// What `rm` by another user says.
fn rm_by_nobody(path: &Path) -> String {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "rm"];
    let words = nobody.map(AsRef::as_ref).into_iter();
    let output = run("setpriv", words.chain([path.as_os_str()]));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn rm_where_a_view_is_placed_removes_its_object() {
    let cgroup = FixtureCgroup::new("manage");
    let child = cgroup.mkdir("a/b");
    let placed = Placed::with(",manage,builtin=stats");
    let top = placed.put("greet", &say("greet", "far"));
    let near = placed.put(
        Path::new(cgroup.name()).join("a/greet"),
        &say("greet", "near"),
    );
    let view = |cgroup: &Path| placed.mount.dir_of(cgroup).join("greet");
    eventually_says(&view(&child), "near ");
    eventually_says(&view(cgroup.path()), "far ");
    let inherited = [view(&child), view(cgroup.path())];
    for view in &inherited {
        assert_eq!(errno(fs::remove_file(view)), Some(libc::EPERM));
        let refusal = rm_by_nobody(view);
        assert!(refusal.contains("Permission denied"), "{refusal}");
    }
    let here = view(&cgroup.path().join("a"));
    let refusal = rm_by_nobody(&here);
    assert!(refusal.contains("Permission denied"), "{refusal}");
    assert!(near.exists() && top.exists());

    fs::remove_file(&here).expect("rm where it is placed");
    assert!(!near.exists());
    assert!(says(&here, "far "), "the farther one comes back at once");
    assert!(says(&view(&child), "far "));
    fs::remove_file(placed.mount.join("greet")).expect("rm at the root");
    assert!(!top.exists());
    assert!(is_absent(&here) && is_absent(&view(&child)));
    // The file may come back.
    placed.put("greet", &say("greet", "far"));
    eventually_says(&here, "far ");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn rm_of_anything_else_is_refused() {
    let cgroup = FixtureCgroup::new("refuse");
    let placed = Placed::with(",manage,builtin=stats");
    placed.put("greet", &say("greet", "hello"));
    let dir = placed.mount.dir_of(cgroup.path());
    eventually_says(&dir.join("greet"), "hello ");
    for (path, expected) in [
        (placed.mount.join("stats"), libc::EPERM),
        (dir.join("stats"), libc::EPERM),
        (placed.mount.join("stats.json"), libc::EPERM),
        (placed.mount.join(".cgview/status"), libc::EPERM),
        (placed.mount.join("no-such-view"), libc::ENOENT),
    ] {
        let result = errno(fs::remove_file(&path));
        assert_eq!(result, Some(expected), "{}", path.display());
    }
    assert!(says(&placed.mount.join("stats"), "id "));
    assert!(cgroup.path().exists());
}

/// Every way to write, and what it gives.
fn attempts(dir: &Path) -> Vec<(&'static str, Option<i32>)> {
    let file = dir.join("greet");
    let mode = Permissions::from_mode(0o644);
    let attribute = setxattr(&file, "user.x", b"v", XattrFlags::empty());
    vec![
        ("write", errno(fs::File::options().write(true).open(&file))),
        ("truncate", errno(fs::File::create(&file))),
        ("create", errno(fs::File::create(dir.join("new")))),
        ("mkdir", errno(fs::create_dir(dir.join("new")))),
        ("rmdir", errno(fs::remove_dir(dir.join("child")))),
        ("rename", errno(fs::rename(&file, dir.join("new")))),
        ("symlink", errno(symlink("x", dir.join("new")))),
        ("link", errno(fs::hard_link(&file, dir.join("new")))),
        ("chmod", errno(fs::set_permissions(&file, mode))),
        (
            "chown",
            errno(std::os::unix::fs::chown(&file, Some(1), None)),
        ),
        ("setxattr", errno(attribute.map_err(Into::into))),
    ]
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn nothing_can_be_written_with_or_without_manage() {
    let cgroup = FixtureCgroup::new("write");
    cgroup.mkdir("child");
    for options in [",builtin=", ",builtin=,manage"] {
        let placed = Placed::with(options);
        let path = placed.put("greet", &say("greet", "hello"));
        let dir = placed.mount.dir_of(cgroup.path());
        eventually_says(&dir.join("greet"), "hello ");
        for (what, result) in attempts(&dir) {
            assert_eq!(result, Some(libc::EROFS), "{what} with {options:?}");
        }
        if !options.contains("manage") {
            let result = errno(fs::remove_file(placed.mount.join("greet")));
            assert_eq!(result, Some(libc::EROFS));
        }
        assert!(path.exists() && cgroup.path().join("child").exists());
        promptly("still there", || says(&dir.join("greet"), "hello "));
    }
}
