//! Who may list and enter the directories of the known cgroups. It does no I/O and does not know the
//! tree.

use std::collections::{BTreeMap, BTreeSet};

use rustix::fs::Stat;

use super::CgroupId;

/// The users that may list and enter a cgroup's directory. Root's capabilities do not count, and
/// neither does a group: its members count as all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every user.
    Everyone,
    /// The user with this id.
    Owner(u32),
    /// No user.
    Nobody,
}

impl Access {
    pub(super) fn of(stat: &Stat) -> Access {
        let allows = |bits| stat.st_mode & bits == bits;
        if allows(0o555) {
            Access::Everyone
        } else if allows(0o500) {
            Access::Owner(stat.st_uid)
        } else {
            Access::Nobody
        }
    }

    /// Whether the user with this id is among them.
    pub fn includes(self, user: u32) -> bool {
        match self {
            Access::Everyone => true,
            Access::Owner(owner) => user == owner,
            Access::Nobody => false,
        }
    }
}

/// The cgroups that are closed to some user, and those that have to be asked for.
#[derive(Default)]
pub(super) struct AccessTable {
    closed: BTreeMap<CgroupId, Access>,
    unknown: BTreeSet<CgroupId>,
}

impl AccessTable {
    /// Notes what cgroupfs says; `None` where a later change would not be noticed.
    pub(super) fn put(&mut self, id: CgroupId, access: Option<Access>) {
        self.remove(id);
        match access {
            Some(Access::Everyone) => {}
            Some(access) => drop(self.closed.insert(id, access)),
            None => drop(self.unknown.insert(id)),
        }
    }

    pub(super) fn remove(&mut self, id: CgroupId) {
        self.unknown.remove(&id);
        self.closed.remove(&id);
    }

    /// The cgroups that are known to be closed to some user.
    pub(super) fn closed(&self) -> BTreeMap<CgroupId, Access> {
        self.closed.clone()
    }

    /// The cgroups that have to be asked for.
    pub(super) fn unknown(&self) -> Vec<CgroupId> {
        self.unknown.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(mode: u32) -> Access {
        let mut stat = rustix::fs::stat("/").expect("stat");
        (stat.st_mode, stat.st_uid) = (mode, 7);
        Access::of(&stat)
    }

    #[test]
    fn a_cgroup_is_closed_if_a_class_of_users_lacks_a_right() {
        for mode in [0o40755, 0o40555, 0o41777] {
            assert_eq!(access(mode), Access::Everyone, "{mode:o}");
        }
        for mode in [0o40700, 0o40750, 0o40711, 0o40705, 0o40754] {
            assert_eq!(access(mode), Access::Owner(7), "{mode:o}");
            assert!(access(mode).includes(7) && !access(mode).includes(8));
        }
        for mode in [0o40655, 0o40355, 0o40055] {
            assert_eq!(access(mode), Access::Nobody, "{mode:o}");
            assert!(!access(mode).includes(7));
        }
    }

    #[test]
    fn a_closed_cgroup_stays_closed_until_it_is_open_or_removed() {
        let id = CgroupId(7);
        let mut table = AccessTable::default();
        for end in [Some(Access::Everyone), None] {
            table.put(id, Some(Access::Nobody));
            assert_eq!(table.closed(), BTreeMap::from([(id, Access::Nobody)]));
            table.put(id, end);
            assert!(table.closed().is_empty());
            assert_eq!(table.unknown().len(), usize::from(end.is_none()));
            table.remove(id);
            assert!(table.unknown().is_empty());
        }
    }
}
