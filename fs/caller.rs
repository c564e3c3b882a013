//! Who sends a request, and which cgroups that reader may see below a directory.
//!
//! A thread waits for the answer to its request, so no other thread has its id meanwhile.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::Pid;
use rustix::thread::{CapabilitySet, capabilities};

use crate::mirror::Access;

/// Either lets a thread list and enter every directory.
const ENTERS_ALL: CapabilitySet = CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::DAC_OVERRIDE);

/// A thread that sends a request, by its id in the daemon's PID namespace; 0 is a thread that has
/// none there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller(pub(super) u32);

impl Caller {
    pub(super) const UNKNOWN: Caller = Caller(0);
}

/// What a reader may see of the cgroups below a directory that it has entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// All of them.
    Privileged,
    /// Those to which every directory on the way may be listed and entered by this user.
    User(u32),
}

impl Reader {
    pub(super) fn may_enter(self, access: Access) -> bool {
        match self {
            Reader::Privileged => true,
            Reader::User(user) => access.includes(user),
        }
    }
}

/// The threads that may send requests.
pub(super) struct Threads {
    proc: OwnedFd,
}

impl Threads {
    /// Mounts a procfs of the daemon's PID namespace where no path leads to it: the one at /proc
    /// may be covered, or hide the processes of others.
    ///
    /// # Errors
    /// Those of fsopen(2), fsconfig(2) and fsmount(2).
    pub(super) fn new() -> io::Result<Threads> {
        let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(context.as_fd())?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let proc = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        Ok(Threads { proc })
    }

    /// What the caller, with the user id `user`, may see.
    pub(super) fn reader(&self, caller: Caller, user: u32) -> Reader {
        if self.has_capability(caller) && self.has_all_ids(caller) {
            Reader::Privileged
        } else {
            Reader::User(user)
        }
    }

    fn has_capability(&self, caller: Caller) -> bool {
        let pid = i32::try_from(caller.0).ok().and_then(Pid::from_raw);
        let sets = pid.and_then(|pid| capabilities(Some(pid)).ok());
        sets.is_some_and(|sets| sets.effective.intersects(ENTERS_ALL))
    }

    /// Whether the caller's user namespace has all users and groups under their own ids, as the
    /// first one: in any other, capabilities do not reach the directories of the rest.
    fn has_all_ids(&self, caller: Caller) -> bool {
        ["uid_map", "gid_map"].iter().all(|file| {
            let map = self.read(caller, file).unwrap_or_default();
            map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
        })
    }

    fn read(&self, caller: Caller, file: &str) -> io::Result<String> {
        let path = format!("{}/{file}", caller.0);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut text = String::new();
        File::from(openat(&self.proc, path, flags, Mode::empty())?).read_to_string(&mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_sees_what_is_open_and_its_own() {
        let sees = |reader: Reader| {
            [Access::Everyone, Access::Owner(7), Access::Nobody]
                .map(|access| reader.may_enter(access))
        };
        assert_eq!(sees(Reader::Privileged), [true, true, true]);
        assert_eq!(sees(Reader::User(7)), [true, true, false]);
        assert_eq!(sees(Reader::User(8)), [true, false, false]);
    }

    #[test]
    #[ignore = "needs root"]
    fn root_is_privileged_and_an_unknown_thread_is_not() {
        let threads = Threads::new().expect("a procfs");
        let this = Caller(std::process::id());
        assert_eq!(threads.reader(this, 0), Reader::Privileged);
        for unknown in [Caller::UNKNOWN, Caller(u32::MAX)] {
            assert_eq!(threads.reader(unknown, 0), Reader::User(0));
        }
    }
}
