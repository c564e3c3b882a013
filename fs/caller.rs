//! Who sends a request: whether the reader may enter every cgroup.
//!
//! FUSE names a thread by its id in the daemon's PID namespace, and sends no user id that could be
//! used where mounts are idmapped. The thread waits for the answer, so nothing else can get its id
//! meanwhile.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags, open, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::Pid;
use rustix::thread::{CapabilitySet, capabilities};

use super::open::Caller;

/// One of them lets a thread list and enter every directory.
const ENTERS_ALL: CapabilitySet = CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::DAC_OVERRIDE);

/// What a reader may see of the cgroups below the directory that it has entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// All of them.
    All,
    /// Those to which every directory on the way is open to every user.
    Open,
}

/// The threads that may send requests.
pub(super) struct Threads {
    /// A procfs of the daemon's PID namespace.
    proc: OwnedFd,
}

impl Threads {
    /// Mounts a procfs where nobody else sees it: the one at /proc may be covered, or hide the
    /// processes of others.
    ///
    /// # Errors
    /// Those of opening /proc, where the kernel refuses another procfs.
    pub(super) fn new() -> io::Result<Threads> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = match mount_proc() {
            Ok(proc) => proc,
            Err(_) => open("/proc", flags, Mode::empty())?,
        };
        Ok(Threads { proc })
    }

    /// What the caller may see: everything with `CAP_DAC_READ_SEARCH` or `CAP_DAC_OVERRIDE` in the
    /// first user namespace.
    pub(super) fn sight(&self, caller: Caller) -> Sight {
        let has_capability = pid(caller)
            .and_then(|pid| capabilities(Some(pid)).ok())
            .is_some_and(|sets| sets.effective.intersects(ENTERS_ALL));
        if has_capability && self.maps_all_users(caller) {
            Sight::All
        } else {
            Sight::Open
        }
    }

    /// Whether the caller's user namespace has all users, under their own numbers. Only the first
    /// one has, and one that root gives as much.
    fn maps_all_users(&self, caller: Caller) -> bool {
        let map = self.read(caller, "uid_map").unwrap_or_default();
        map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
    }

    fn read(&self, caller: Caller, file: &str) -> io::Result<String> {
        let path = format!("{}/{file}", caller.0);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut text = String::new();
        File::from(openat(&self.proc, path, flags, Mode::empty())?).read_to_string(&mut text)?;
        Ok(text)
    }
}

fn pid(caller: Caller) -> Option<Pid> {
    // 0 is a thread of another PID namespace.
    Pid::from_raw(i32::try_from(caller.0).ok()?)
}

fn mount_proc() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs root"]
    fn root_sees_all_and_an_unknown_thread_what_is_open() {
        let threads = Threads::new().expect("a procfs");
        let this = Caller(std::process::id());
        assert_eq!(threads.sight(this), Sight::All);
        assert_eq!(threads.sight(Caller(0)), Sight::Open);
        assert_eq!(threads.sight(Caller(u32::MAX)), Sight::Open);
    }
}
