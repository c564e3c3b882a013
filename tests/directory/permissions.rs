//! A directory is as open or closed as the directory of its cgroup.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::objects::{Placed, eventually_says, say};
use crate::common::{FixtureCgroup, MountedCgview, NOBODY, eventually, with_privileges};

/// A user that owns cgroups.
const OWNER: u32 = 4242;
const AS_OWNER: &[&str] = &["--reuid=4242", "--regid=4242", "--clear-groups"];
const WITHOUT_CAPABILITIES: &[&str] = &["--bounding-set=-all", "--inh-caps=-all"];

fn chmod(cgroup: &Path, mode: u32) {
    fs::set_permissions(cgroup, Permissions::from_mode(mode)).expect("chmod");
}

/// Which of the files can be read with these privileges.
fn readable(privileges: &[&str], files: &[PathBuf]) -> Vec<bool> {
    let script = "for file; do { read -r _ <\"$file\"; } 2>/dev/null; echo $?; done";
    let files: Vec<_> = files.iter().map(|file| file.as_os_str()).collect();
    let output = with_privileges(privileges, script, &files);
    let said = String::from_utf8(output.stdout).expect("text");
    said.lines().map(|status| status == "0").collect()
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_directory_is_closed_to_whom_its_cgroup_is() {
    let cgroup = FixtureCgroup::new("modes");
    let [shared, closed, owned] = ["shared", "closed", "owned"].map(|name| cgroup.mkdir(name));
    let below = ["shared", "closed", "owned"].map(|name| cgroup.mkdir(format!("{name}/below")));
    chown(&owned, Some(OWNER), Some(OWNER)).expect("chown");
    let mount = MountedCgview::of(&cgroup);
    let files = below.map(|below| mount.dir_of(&below).join("stats"));

    // All names are in the kernel's cache from here on.
    assert_eq!(readable(NOBODY, &files), [true, true, true]);
    let file = fs::metadata(&files[0]).expect("stat");
    assert_eq!(
        (file.mode() & 0o7777, file.uid(), file.nlink()),
        (0o444, 0, 1)
    );
    chmod(&shared, 0o1775);
    chmod(&closed, 0o700);
    chmod(&owned, 0o700);
    for dir in [&shared, &closed, &owned] {
        let expected = fs::metadata(dir).expect("stat");
        eventually(
            Duration::from_secs(10),
            "mode and owner are the same",
            || {
                let shown = fs::metadata(mount.dir_of(dir)).expect("stat");
                (shown.mode(), shown.uid(), shown.gid())
                    == (expected.mode(), expected.uid(), expected.gid())
            },
        );
    }
    for (privileges, expected) in [
        (NOBODY, [true, false, false]),
        (AS_OWNER, [true, false, true]),
        (WITHOUT_CAPABILITIES, [true, true, false]),
        (&[], [true, true, true]),
    ] {
        assert_eq!(readable(privileges, &files), expected, "{privileges:?}");
    }

    chown(&closed, Some(OWNER), None).expect("chown");
    chmod(&owned, 0o755);
    eventually(Duration::from_secs(10), "chown and chmod count", || {
        readable(AS_OWNER, &files) == [true, true, true]
            && readable(NOBODY, &files) == [true, false, true]
    });
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn with_manage_the_owner_of_a_cgroup_cannot_remove_a_view_that_is_placed_there() {
    let cgroup = FixtureCgroup::new("manage-owner");
    chown(cgroup.path(), Some(OWNER), Some(OWNER)).expect("chown");
    let placed = Placed::with(",builtin=,manage");
    let at = format!("{}/greet", cgroup.name().display());
    let object = placed.put(&at, &say("greet", "hello"));
    let dir = placed.mount.dir_of(cgroup.path());
    let view = dir.join("greet");
    eventually_says(&view, "hello ");
    let output = with_privileges(AS_OWNER, "rm -f \"$1\"", &[view.as_os_str()]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("Permission denied"), "{complaint}");
    assert!(object.exists());
    assert_eq!(fs::metadata(&dir).expect("stat").mode() & 0o7777, 0o555);
}
