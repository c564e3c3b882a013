//! The command and mount(8)'s helper: every way to mount and to end. Nothing is left after the end.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::objects::PATIENCE;
use crate::common::point::{Installed, Mountpoint, OPTIONS, mount, signal, succeeds, umount};
use crate::common::{
    CGVIEW, FixtureCgroup, FixtureDir, STATS, cgroup_root, eventually, id, less_if_emulated, run,
    unique, value,
};
use rustix::fs::{FlockOperation, flock, statvfs};
use rustix::io::Errno;

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn mount_t_fuse_cgview() {
    let _installed = Installed::new();
    let point = Mountpoint::new();
    // The substitution ends when no process has its pipe open, under any number.
    let script = format!("x=$(mount -t fuse cgview {} 3>&1 9>&2)", point.str());
    succeeds(&run("timeout", ["60", "bash", "-c", &script]));
    assert_eq!(point.mounts(), [OPTIONS]);
    assert_eq!(id(point.path()), id(&cgroup_root()));
    point.check_serves();
    let found = run(
        "findmnt",
        ["-n", "-o", "TARGET", "-t", "fuse.cgview", point.str()],
    );
    assert_eq!(String::from_utf8_lossy(&found.stdout).trim(), point.str());
    umount(point.str());
    point.check_nothing_left();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_daemon_keeps_nothing_of_its_caller() {
    let point = Mountpoint::new();
    let daemon = point.mounted(&[]);
    for stream in 0..3 {
        let target = fs::read_link(format!("/proc/{daemon}/fd/{stream}")).expect("a stream");
        assert_eq!(target, Path::new("/dev/null"));
    }
    let directory = fs::read_link(format!("/proc/{daemon}/cwd")).expect("a directory");
    assert_eq!(directory, Path::new("/"));
    let sessions = fs::read_to_string(format!("/proc/{daemon}/stat")).expect("stat");
    let session = sessions
        .rsplit(") ")
        .next()
        .expect("fields")
        .split(' ')
        .nth(3);
    assert_eq!(session, Some(daemon.to_string().as_str()));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_subtree_is_a_source() {
    let _installed = Installed::new();
    let cgroup = FixtureCgroup::new("source");
    let child = cgroup.mkdir("child");
    let source = cgroup.path().to_str().expect("UTF-8");
    let point = Mountpoint::new();
    let hash = format!("cgview#{source}");
    for arguments in [
        [
            "-t",
            "fuse.cgview",
            source,
            point.str(),
            "-o",
            "ro,builtin=stats",
        ],
        [
            "-t",
            "fuse",
            &hash,
            point.str(),
            "-o",
            "noatime,builtin=stats",
        ],
    ] {
        succeeds(&mount(&arguments));
        assert_eq!(id(point.path()), cgroup.id());
        assert_eq!(id(&point.path().join("child")), id(&child));
        point.check_serves();
        umount(point.str());
    }
    point.check_nothing_left();
}

/// A hierarchy of version 1 without controllers, unmounted on drop.
struct V1(FixtureDir);

impl V1 {
    fn new() -> V1 {
        let hierarchy = V1(FixtureDir::new("v1"));
        let options = format!("none,name={}", unique("v1"));
        let path = hierarchy.0.path().as_os_str();
        let arguments: [&OsStr; 6] =
            ["-t", "cgroup", "-o", &options, "cgview-test", ""].map(OsStr::new);
        succeeds(&run("mount", arguments[..5].iter().copied().chain([path])));
        hierarchy
    }
}

impl Drop for V1 {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.0.path().join("child"));
        let _ = run("umount", [self.0.path()]);
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_hierarchy_of_version_1_is_a_source() {
    let _installed = Installed::new();
    let hierarchy = V1::new();
    let child = hierarchy.0.path().join("child");
    let point = Mountpoint::new();
    let source = hierarchy.0.path().to_str().expect("UTF-8");
    succeeds(&mount(&["-t", "fuse.cgview", source, point.str()]));
    point.check_serves();
    fs::create_dir(&child).expect("mkdir");
    let text = fs::read_to_string(point.path().join("child/stats")).expect("read");
    assert_eq!(value(&text, "id"), Some(id(&child)));
    assert_eq!(value(&text, "level"), Some(1));
    let text = fs::read_to_string(point.path().join("stats")).expect("read");
    assert_eq!(value(&text, "nr_descendants"), Some(1));
    umount(point.str());
    point.check_nothing_left();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn lines_of_fstab_are_mounted_and_unmounted() {
    let _installed = Installed::new();
    let cgroup = FixtureCgroup::new("fstab");
    let (whole, part) = (Mountpoint::new(), Mountpoint::new());
    let table = whole.path().with_extension("fstab");
    let lines = format!(
        "cgview {} fuse ro,nofail,x-systemd.requires=foo,_netdev,allow_other,builtin=,max_links=9 0 0\n\
         cgview#{} {} fuse defaults 0 0\n",
        whole.str(),
        cgroup.path().display(),
        part.str()
    );
    fs::write(&table, lines).expect("write the table");
    let table = table.to_str().expect("UTF-8").to_owned();
    succeeds(&mount(&["-a", "-T", &table]));
    assert_eq!(id(whole.path()), id(&cgroup_root()));
    assert_eq!(id(part.path()), cgroup.id());
    // mount(8) knows the first line by its source; the second is refused.
    let _ = mount(&["-a", "-T", &table]);
    assert_eq!((whole.mounts().len(), part.mounts().len()), (1, 1));
    umount(whole.str());
    umount(part.str());
    fs::remove_file(table).expect("remove the table");
    whole.check_nothing_left();
    part.check_nothing_left();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_remount_changes_what_can_be_changed() {
    let _installed = Installed::new();
    let point = Mountpoint::new();
    point.mounted(&[]);
    for (options, shown) in [
        ("remount", "relatime"),
        ("remount,noatime", "noatime"),
        ("remount,ro", "noatime"),
        ("remount,relatime", "relatime"),
    ] {
        succeeds(&mount(&["-o", options, point.str()]));
        assert_eq!(point.mounts(), [OPTIONS.replace("relatime", shown)]);
    }
    for (options, why) in [
        ("remount,rw", "read-only"),
        ("remount,max_links=3", "max_links=3"),
        ("remount,bogus", "bogus"),
    ] {
        let output = mount(&["-o", options, point.str()]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && complaint.contains(why),
            "{complaint}"
        );
        assert_eq!(point.mounts(), [OPTIONS]);
    }
    point.check_serves();
    let elsewhere = Mountpoint::new();
    elsewhere.check_refused(
        CGVIEW,
        &[elsewhere.str(), "-o", "remount"],
        "no cgview is mounted at",
    );
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_second_mount_at_the_same_place_is_refused() {
    let point = Mountpoint::new();
    let daemon = point.mounted(&[]);
    let output = point.cgview(&[]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("is mounted at"), "{complaint}");
    assert_eq!(point.daemons(), [daemon]);
    assert_eq!(point.mounts().len(), 1);
    point.check_serves();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn of_two_mounts_at_once_one_is_refused() {
    let point = Mountpoint::new();
    let start = || -> Child {
        Command::new(CGVIEW)
            .args(STATS)
            .arg(point.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start cgview")
    };
    let both = [start(), start()];
    let succeeded = both.map(|mut one| one.wait().expect("wait").success());
    assert_eq!(succeeded.iter().filter(|one| **one).count(), 1);
    eventually(PATIENCE, "one daemon is left", || {
        point.daemons().len() == 1
    });
    assert_eq!(point.mounts().len(), 1);
    point.check_serves();
    umount(point.str());
    point.check_nothing_left();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn signals_and_umount_leave_nothing() {
    for end in ["-TERM", "-INT", "umount"] {
        let point = Mountpoint::new();
        let daemon = point.mounted(&[]);
        if end == "umount" {
            umount(point.str());
        } else {
            signal(daemon, end);
        }
        point.check_nothing_left();
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_signal_ends_the_daemon_also_while_a_file_is_open() {
    let point = Mountpoint::new();
    let daemon = point.mounted(&[]);
    let mut file = fs::File::open(point.path().join("stats")).expect("open");
    signal(daemon, "-TERM");
    point.check_nothing_left();
    let error = file.read(&mut [0; 100]).expect_err("nobody answers");
    assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_mount_follows_its_unmount_at_once() {
    let point = Mountpoint::new();
    for _ in 0..less_if_emulated(5, 2) {
        point.mounted_again();
        umount(point.str());
    }
    point.check_nothing_left();
}

impl Mountpoint {
    /// Mounts where an earlier daemon may still be ending.
    fn mounted_again(&self) {
        succeeds(&self.cgview(&[]));
        assert_eq!(self.mounts().len(), 1);
        self.check_serves();
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_lazily_unmounted_daemon_serves_its_open_files() {
    let point = Mountpoint::new();
    let first = point.mounted(&[]);
    let mut file = fs::File::open(point.path().join("stats")).expect("open");
    succeeds(&run("umount", ["-l", point.str()]));
    point.mounted_again();
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    assert_eq!(value(&text, "level"), Some(0));
    drop(file);
    eventually(PATIENCE, "the first has ended", || {
        !point.daemons().contains(&first)
    });
    point.check_serves();
    umount(point.str());
    point.check_nothing_left();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_killed_daemon_is_cleaned_up_by_its_successor() {
    let point = Mountpoint::new();
    let daemon = point.mounted(&[]);
    signal(daemon, "-KILL");
    eventually(PATIENCE, "the mount is dead", || {
        statvfs(point.path()).is_err_and(|error| error == Errno::NOTCONN)
    });
    let lock = PathBuf::from("/run/cgview").join(&point.instances()[0]);
    let lock = lock.with_extension("lock");
    eventually(PATIENCE, "all of it is dead", || {
        let lock = fs::File::open(&lock).expect("open the lock");
        flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
    });
    // What the kernel may have in its cache does not hide that.
    let _ = fs::metadata(point.path());
    assert!(
        !point.instances().is_empty(),
        "pins stay when nobody removes them"
    );
    point.mounted(&[]);
    assert_eq!(point.mounts().len(), 1);
    umount(point.str());
    point.check_nothing_left();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn two_mounts_exist_side_by_side() {
    let cgroup = FixtureCgroup::new("side");
    let (whole, part) = (Mountpoint::new(), Mountpoint::new());
    whole.mounted(&[]);
    part.mounted(&[cgroup.path().to_str().expect("UTF-8")]);
    assert_eq!(id(part.path()), cgroup.id());
    umount(whole.str());
    whole.check_nothing_left();
    part.check_serves();
    umount(part.str());
    part.check_nothing_left();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn in_the_foreground_the_daemon_logs_to_standard_error_and_ends_with_success() {
    let point = Mountpoint::new();
    let log = point.path().with_extension("log");
    let mut daemon = Command::new(CGVIEW)
        .args(["-f", point.str()])
        .stderr(fs::File::create(&log).expect("create the log"))
        .spawn()
        .expect("start cgview");
    let expected = format!("cgview: mounted at {}\n", point.str());
    eventually(PATIENCE, "it says so", || {
        fs::read_to_string(&log).expect("read").ends_with(&expected)
    });
    point.check_serves();
    signal(daemon.id(), "-INT");
    assert!(daemon.wait().expect("wait").success());
    fs::remove_file(log).expect("remove the log");
    point.check_nothing_left();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_mountpoint_may_be_named_by_anything() {
    let parent = FixtureDir::new("names");
    let names = ["a b", "dash-x2d", "quote\"'$(x)", "dot.1", &"l".repeat(200)];
    for name in names.into_iter().step_by(less_if_emulated(1, 2)) {
        let path = parent.path().join(name);
        fs::create_dir(&path).expect("mkdir");
        let [option, value] = STATS.map(OsStr::new);
        succeeds(&run(CGVIEW, [option, value, path.as_os_str()]));
        assert_eq!(id(&path), id(&cgroup_root()));
        succeeds(&run("umount", [path.as_os_str()]));
        let ended = || fs::read_dir(&path).is_ok_and(|mut list| list.next().is_none());
        eventually(PATIENCE, "it is an empty directory", ended);
    }
    thread::sleep(Duration::from_millis(100));
}
