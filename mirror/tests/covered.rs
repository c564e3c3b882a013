//! Cgroups whose directory is covered: another file system is mounted over it.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::mpsc;

use rustix::fs::{AtFlags, Mode, mkdirat, unlinkat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::*;

/// A FUSE mount whose daemon answers no request, not even the first one. A thread that reaches it
/// sleeps until it is unmounted, which happens on drop.
struct SilentMount {
    mountpoint: PathBuf,
    _device: fs::File,
}

impl SilentMount {
    fn over(mountpoint: PathBuf) -> SilentMount {
        let mut options = fs::File::options();
        let device = options.read(true).write(true).open("/dev/fuse").unwrap();
        let fd = device.as_fd().as_raw_fd();
        let options = format!("fd={fd},rootmode=40000,user_id=0,group_id=0");
        let options = std::ffi::CString::new(options).unwrap();
        let flags = MountFlags::empty();
        mount("cgview-silent", &mountpoint, "fuse", flags, &*options).unwrap();
        SilentMount {
            mountpoint,
            _device: device,
        }
    }
}

impl Drop for SilentMount {
    fn drop(&mut self) {
        unmount(&self.mountpoint, UnmountFlags::DETACH).unwrap();
    }
}

/// The answer of `ask`, which must not wait for a mount.
#[track_caller]
fn answer<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let _ = send.send(ask());
    });
    let answer = receive.recv_timeout(Duration::from_secs(10));
    answer.expect("an answer without the daemon of the mount")
}

#[test]
#[ignore = "needs root, cgroup2 and /dev/fuse"]
fn covered_cgroup_is_found_by_name_and_by_id() {
    let fixture = FixtureCgroup::new();
    let below = fixture.make("child/below");
    let child = fixture.make("child");
    let (mirror, _) = start(fixture.path());
    let mirror = Arc::new(mirror);
    let _silent = SilentMount::over(fixture.path().join("child"));

    let asked = Arc::clone(&mirror);
    let found = answer(move || asked.lookup(asked.root(), OsStr::new("child")));
    assert_eq!(found.unwrap(), child);
    let asked = Arc::clone(&mirror);
    let found = answer(move || asked.lookup(child, OsStr::new("below")));
    assert_eq!(found.unwrap(), below);
    let asked = Arc::clone(&mirror);
    let found = answer(move || asked.known.cgroupfs.parent_and_name(below));
    assert_eq!(found.unwrap(), (child, "below".into()));
}

#[test]
#[ignore = "needs root, cgroup2 and /dev/fuse"]
fn cgroups_below_a_covered_one_are_followed() {
    let fixture = FixtureCgroup::new();
    let old = fixture.make("child/old");
    let child = open_source(&fixture.path().join("child")).unwrap().fd;
    let _silent = SilentMount::over(fixture.path().join("child"));

    let path = fixture.path().to_owned();
    let (mirror, changes) = answer(move || start(&path));
    assert_eq!(mirror.health().cgroups, 3);
    assert_eq!(mirror.health().unwatched, 0);
    mkdirat(&child, "new", Mode::RWXU).unwrap();
    eventually("the new one appears", || appeared_ids(&changes).len() == 1);
    let new = appeared_ids(&changes)[0];
    assert_eq!(mirror.path(new).unwrap(), Path::new("child/new"));
    for name in ["new", "old"] {
        unlinkat(&child, name, AtFlags::REMOVEDIR).unwrap();
    }
    eventually("both are gone", || gone_ids(&changes) == [new, old]);
}

#[test]
#[ignore = "needs root, cgroup2 and /dev/fuse"]
fn source_below_a_covered_cgroup_is_mirrored() {
    let fixture = FixtureCgroup::new();
    let leaf = fixture.make("parent/source/leaf");
    let source = open_source(&fixture.path().join("parent/source")).unwrap();
    let _silent = SilentMount::over(fixture.path().join("parent"));

    let mirror = answer(move || Mirror::start(source.fd, |_| {}).unwrap());
    assert_eq!(mirror.path(leaf).unwrap(), Path::new("leaf"));
}

#[test]
#[ignore = "needs root, cgroup2 and /dev/fuse"]
fn covered_mount_of_cgroup2_is_not_chosen() {
    let mountpoint = std::env::temp_dir().join(format!("cgview-covered-{}", std::process::id()));
    fs::create_dir(&mountpoint).unwrap();
    let lower = Cgroup2Mount::at(mountpoint);
    assert!(is_found(&lower.mountpoint));
    let _silent = SilentMount::over(lower.mountpoint.clone());
    let asked = lower.mountpoint.clone();
    assert!(!answer(move || is_found(&asked)));
}

fn is_found(mountpoint: &Path) -> bool {
    source::visible_cgroup2()
        .unwrap()
        .contains(&mountpoint.to_owned())
}

/// Another mount of cgroup2, unmounted on drop.
struct Cgroup2Mount {
    mountpoint: PathBuf,
}

impl Cgroup2Mount {
    fn at(mountpoint: PathBuf) -> Cgroup2Mount {
        let flags = MountFlags::empty();
        mount("cgview-covered", &mountpoint, "cgroup2", flags, c"").unwrap();
        Cgroup2Mount { mountpoint }
    }
}

impl Drop for Cgroup2Mount {
    fn drop(&mut self) {
        unmount(&self.mountpoint, UnmountFlags::DETACH).unwrap();
        fs::remove_dir(&self.mountpoint).unwrap();
    }
}
