//! Mounting where something else is: dead and silent mounts, moved mounts, automount points.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::MountFlags;

use crate::common::objects::{PATIENCE, renamed, say, says};
use crate::common::point::{Mountpoint, OPTIONS, mount, signal, succeeds, umount};
use crate::common::{CGVIEW, FixtureCgroup, FixtureDir, STATS, eventually, less_if_emulated, run};

/// A FUSE file system of type `fuse.other`, and the device that its daemon would read. Nobody
/// reads it; once the device is closed, the mount is dead.
fn mount_other(point: &Mountpoint) -> OwnedFd {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let device = open("/dev/fuse", flags, Mode::empty()).expect("open /dev/fuse");
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        device.as_raw_fd()
    );
    let options = CString::new(options).expect("no NUL");
    let flags = MountFlags::empty();
    rustix::mount::mount(
        "other",
        point.path(),
        "fuse.other",
        flags,
        options.as_c_str(),
    )
    .expect("mount fuse.other");
    device
}

/// Runs cgview, which has to fail within 30 s with one line that contains all of `why`.
fn fails_saying(arguments: &[&str], why: &[&str]) {
    let output = run(
        "timeout",
        ["-k", "1", "30", CGVIEW, "-f"]
            .iter()
            .chain(arguments)
            .copied(),
    );
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    for part in why {
        assert!(complaint.contains(part), "{part}: {complaint}");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_dead_mount_of_another_program_is_left_alone() {
    let point = Mountpoint::new();
    drop(mount_other(&point));
    let umount = format!("umount {}", point.str());
    fails_saying(&[point.str()], &["fuse.other", &umount]);
    let mounts = point.mounts();
    assert!(
        mounts.len() == 1 && mounts[0].starts_with("other fuse.other "),
        "{mounts:?}"
    );
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_mountpoint_that_does_not_answer_is_an_error_and_no_hang() {
    let point = Mountpoint::new();
    let device = mount_other(&point);
    fails_saying(&[point.str()], &["fuse.other", "does not answer"]);
    // The same when the daemon has read the request: nothing can interrupt that one.
    answer_init(&device);
    let daemon = device.try_clone().expect("another descriptor");
    let reads = thread::spawn(move || rustix::io::read(&daemon, &mut vec![0; 1 << 20]).is_ok());
    fails_saying(&[point.str()], &["fuse.other", "does not answer"]);
    assert!(reads.is_finished() && reads.join().expect("no panic"));
    assert_eq!(point.mounts().len(), 1);
    drop(device);
}

/// Answers the first request of a FUSE file system (include/uapi/linux/fuse.h).
fn answer_init(device: &OwnedFd) {
    let mut request = vec![0; 1 << 20];
    let length = rustix::io::read(device, &mut request).expect("read FUSE_INIT");
    assert!(length > 16);
    let mut reply = vec![0; 16 + 64];
    reply[..4].copy_from_slice(&80u32.to_ne_bytes());
    reply[8..16].copy_from_slice(&request[8..16]);
    reply[16..20].copy_from_slice(&7u32.to_ne_bytes());
    reply[20..24].copy_from_slice(&31u32.to_ne_bytes());
    rustix::io::write(device, &reply).expect("answer FUSE_INIT");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_stopped_daemon_hinders_neither_a_second_mount_nor_a_remount() {
    let point = Mountpoint::new();
    let daemon = point.mounted(&[]);
    signal(daemon, "-STOP");
    fails_saying(&[point.str()], &["fuse.cgview", "does not answer"]);
    let remount = [CGVIEW, point.str(), "-o", "remount,noatime"];
    succeeds(&run("timeout", ["-k", "1", "30"].iter().chain(&remount)));
    signal(daemon, "-CONT");
    assert_eq!(point.mounts(), [OPTIONS.replace("relatime", "noatime")]);
    point.check_serves();
}

/// A directory of which mounts may be moved, since it is a private mount itself.
struct PrivateDir(FixtureDir);

impl PrivateDir {
    fn new(subdirs: &[&str]) -> PrivateDir {
        let dir = PrivateDir(FixtureDir::new("private"));
        let path = dir.path().to_str().expect("UTF-8");
        succeeds(&mount(&["-t", "tmpfs", "cgview-test", path]));
        succeeds(&mount(&["--make-private", path]));
        for subdir in subdirs {
            fs::create_dir(dir.path().join(subdir)).expect("mkdir");
        }
        dir
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A subdirectory.
    fn at(&self, subdir: &str) -> String {
        format!("{}/{subdir}", self.path().display())
    }

    /// The mounts in it, each as mountpoint and type.
    fn mounts(&self) -> Vec<String> {
        let table = fs::read_to_string("/proc/self/mounts").expect("mounts");
        let below = self.at("");
        let lines = table.lines().map(|line| line.split(' '));
        lines
            .filter_map(|mut words| {
                let point = words.nth(1)?.strip_prefix(&below)?.to_owned();
                Some(format!("{point} {}", words.next()?))
            })
            .collect()
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        // A lazy unmount of the directory takes all below along.
        let _ = run("umount", [OsStr::new("-l"), self.path().as_os_str()]);
    }
}

/// A daemon in the foreground, killed on drop.
struct Foreground(Child);

impl Foreground {
    fn mounted(at: &str) -> Foreground {
        let daemon = Command::new(CGVIEW)
            .arg("-f")
            .args(STATS)
            .arg(at)
            .stderr(Stdio::null())
            .spawn()
            .expect("start cgview");
        let daemon = Foreground(daemon);
        eventually(PATIENCE, "it is mounted", || {
            Path::new(at).join("stats").exists()
        });
        daemon
    }

    /// Ends it by a signal; it has to succeed.
    fn terminate(mut self) {
        signal(self.0.id(), "-TERM");
        let mut status = None;
        eventually(PATIENCE, "it ends", || {
            status = self.0.try_wait().expect("wait");
            status.is_some()
        });
        assert!(status.is_some_and(|status| status.success()));
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_signal_unmounts_it_also_where_it_was_moved_or_bound_to() {
    let cgroup = FixtureCgroup::new("moved");
    let private = PrivateDir::new(&["a", "b", "c"]);
    let daemon = Foreground::mounted(&private.at("a"));
    let part = format!("{}/{}", private.at("a"), cgroup.name().display());
    succeeds(&mount(&["--bind", &part, &private.at("c")]));
    succeeds(&mount(&["--move", &private.at("a"), &private.at("b")]));
    assert_eq!(private.mounts().len(), 2);
    daemon.terminate();
    assert_eq!(private.mounts(), [""; 0]);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_signal_does_not_unmount_what_others_mounted_over_it() {
    let private = PrivateDir::new(&["a"]);
    let daemon = Foreground::mounted(&private.at("a"));
    succeeds(&mount(&["-t", "tmpfs", "cgview-test", &private.at("a")]));
    daemon.terminate();
    let mounts = private.mounts();
    assert_eq!(mounts.last().map(String::as_str), Some("a tmpfs"));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_low_soft_limit_of_open_files_does_not_limit_the_views() {
    let (objects, soft_limit) = less_if_emulated((60, 64), (12, 40));
    let views = FixtureDir::new("views.d");
    let one = say("greet000", "hello");
    for n in 0..objects {
        let bytes = renamed(&one, "greet000", &format!("greet{n:03}"));
        fs::write(views.path().join(format!("{n}.bpf.o")), bytes).expect("write an object");
    }
    let point = Mountpoint::new();
    let options = format!("builtin=,views={}", views.path().display());
    let limit = format!("--nofile={soft_limit}:4096");
    let arguments = [&limit, CGVIEW, "-o", &options, point.str()];
    succeeds(&run("prlimit", arguments));
    let view = |n: usize| point.path().join(format!("greet{n:03}"));
    eventually(3 * PATIENCE, "all views are served", || {
        (0..objects).all(|n| says(&view(n), "hello "))
    });
    umount(point.str());
    point.check_nothing_left();
}

/// A mountpoint like those of x-systemd.automount: until something is mounted there, autofs blocks
/// everybody but this process group.
struct Automount {
    point: Mountpoint,
    _requests: [OwnedFd; 2],
}

impl Automount {
    fn new() -> Automount {
        // Where it is no module, the kernel has it.
        let _ = run("modprobe", ["-q", "fs-autofs"]);
        let point = Mountpoint::new();
        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        let options = format!(
            "fd={},pgrp={},minproto=5,maxproto=5,direct",
            write.as_raw_fd(),
            rustix::process::getpgrp().as_raw_nonzero()
        );
        let options = CString::new(options).expect("no NUL");
        let flags = MountFlags::empty();
        let mounted = rustix::mount::mount(
            "cgview-test",
            point.path(),
            "autofs",
            flags,
            options.as_c_str(),
        );
        mounted.expect("mount autofs");
        Automount {
            point,
            _requests: [read, write],
        }
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs, autofs and /dev/fuse"]
fn an_automount_point_is_mounted_on() {
    let automount = Automount::new();
    let point = &automount.point;
    let mut command = Command::new(CGVIEW)
        .args(STATS)
        .arg(point.path())
        .spawn()
        .expect("start cgview");
    let mut status = None;
    eventually(PATIENCE, "the command ends", || {
        status = command.try_wait().expect("wait");
        status.is_some()
    });
    assert!(status.is_some_and(|status| status.success()));
    point.check_serves();
    let mounts = point.mounts();
    assert_eq!(mounts.last().map(String::as_str), Some(OPTIONS));
}
