//! Removing views by `rm`, with -o manage.

use std::fs;
use std::path::Path;

use crate::common::objects::{Placed, eventually_says, is_absent, say, says};
use crate::common::{FixtureCgroup, as_nobody, errno};

/// What `rm` by another user says.
fn rm_by_nobody(path: &Path) -> String {
    let output = as_nobody("rm \"$1\"", &[path.as_os_str()]);
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
