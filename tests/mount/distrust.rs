//! What others can do to a daemon that starts or runs: signals, locks, directories of theirs.

use std::fs;
use std::process::Command;

use crate::common::objects::{eventually_says, promptly, say};
use crate::common::point::{Mountpoint, signal, succeeds};
use crate::common::{CGVIEW, FixtureCgroup, FixtureDir, STATS};

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_signal_ends_the_mount_or_has_no_effect() {
    let point = Mountpoint::new();
    let daemon = point.mounted(&[]);
    for name in ["-USR1", "-USR2"] {
        signal(daemon, name);
        point.check_serves();
    }
    signal(daemon, "-HUP");
    point.check_nothing_left();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_users_lock_on_the_mountpoint_hinders_no_mount() {
    let point = Mountpoint::new();
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut holder = Command::new("setpriv")
        .args(as_nobody)
        .args([
            "flock",
            "--exclusive",
            "--no-fork",
            point.str(),
            "sleep",
            "999",
        ])
        .spawn()
        .expect("run setpriv");
    promptly("the lock is held", || {
        let locks = fs::read_to_string("/proc/locks").expect("locks");
        locks.contains(&format!(" {} ", holder.id()))
    });
    point.mounted(&[]);
    holder.kill().expect("kill");
    holder.wait().expect("wait");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn relative_paths_are_those_of_the_command() {
    let point = Mountpoint::new();
    let cgroup = FixtureCgroup::new("relative");
    let dir = FixtureDir::new("relative");
    let views = dir.path().join("views");
    fs::create_dir(&views).expect("mkdir");
    // The cgroup by a link, so that both are below one directory.
    std::os::unix::fs::symlink(cgroup.path(), dir.path().join("source")).expect("symlink");
    let mounted = Command::new(CGVIEW)
        .current_dir(dir.path())
        .args(["source", point.str(), "-o", "builtin=,views=views"])
        .output();
    succeeds(&mounted.expect("run cgview"));
    fs::copy(say("late", "late"), views.join("late.bpf.o")).expect("copy");
    eventually_says(&point.path().join("late"), "late");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_run_directory_that_others_can_change_is_refused() {
    let point = Mountpoint::new();
    let script = format!(
        "mount -t tmpfs -o mode=755 run /run && mkdir /run/cgview && chmod 777 /run/cgview && \
         exec {CGVIEW} -f {} {}",
        STATS.join(" "),
        point.str()
    );
    let arguments = ["--mount", "bash", "-c", &script];
    point.check_refused("unshare", &arguments, "only root can change");
}
