//! What cannot be mounted is refused in one line, and help is not a failure.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::common::point::{Installed, Mountpoint, succeeds};
use crate::common::{CGVIEW, FixtureDir, run};

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn impossible_arguments_are_refused_in_one_line() {
    let point = Mountpoint::new();
    let at = point.str();
    let file = FixtureDir::new("file");
    let file = file.path().join("file");
    fs::write(&file, "").expect("write");
    let file = file.to_str().expect("UTF-8");
    for (arguments, why) in [
        (
            &["/no/such/source", at] as &[&str],
            "/no/such/source: No such file",
        ),
        (&["/proc", at], "/proc is not a cgroup directory"),
        (&[file, at], file),
        (
            &["/no/such/mountpoint"],
            "/no/such/mountpoint: No such file",
        ),
        (&[file], "is not a directory"),
        (&[at, "-o", "rw,bogus"], "bogus"),
        (&[at, "-o", "max_links=none"], "max_links"),
        (&[at, "-o", "max_links"], "max_links"),
        (
            &[at, "-o", "views=/no/such/directory"],
            "/no/such/directory",
        ),
        (&[at, "--bogus"], "--bogus"),
        (&["a", "b", at], "more than"),
        (&[], "no mountpoint"),
    ] {
        point.check_refused(CGVIEW, arguments, why);
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn mount_passes_on_why_it_is_refused() {
    let _installed = Installed::new();
    let point = Mountpoint::new();
    let arguments = ["-t", "fuse", "cgview#/no/such/source", point.str()];
    point.check_refused("mount", &arguments, "/no/such/source: No such file");
    point.check_refused("mount", &["-t", "fuse", "cgview", "/no/such"], "/no/such");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn without_rights_or_device_a_mount_is_refused_in_one_line() {
    let point = Mountpoint::new();
    // Where anyone may run it, wherever this was built.
    let copy = FixtureDir::new("program");
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let program = copy.path().join("cgview");
    fs::copy(CGVIEW, &program).expect("copy");
    let program = program.to_str().expect("UTF-8");
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", program];
    let weak = ["--bounding-set=-sys_admin", "--inh-caps=-all", program];
    for (setpriv, why) in [(&nobody as &[&str], "only root"), (&weak, "not permitted")] {
        let arguments = [setpriv, &[point.str()]].concat();
        point.check_refused("setpriv", &arguments, why);
    }
    for (script, why) in [
        (
            "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3",
            "open /dev/fuse: No such file",
        ),
        ("mount --bind /dev/null /dev/fuse", "mount fuse.cgview at"),
        ("mount --bind -o ro /run /run", "/run/cgview"),
    ] {
        let script = format!("{script} && exec {program} -o builtin= {}", point.str());
        point.check_refused("unshare", &["-m", "bash", "-c", &script], why);
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn help_and_version_are_no_failure() {
    for (argument, shown) in [
        ("--help", "cgview [SOURCE] MOUNTPOINT [-f] [-o OPTION"),
        ("--version", env!("CARGO_PKG_VERSION")),
    ] {
        let output = run(CGVIEW, [argument]);
        succeeds(&output);
        assert!(output.stderr.is_empty());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(shown), "{text}");
    }
}
