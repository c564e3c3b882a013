//! Which known cgroups some user may not list or enter, by the modes of their directories. It does
//! no I/O and does not know the tree.

use std::collections::{BTreeSet, VecDeque};

use super::CgroupId;

/// A directory with these bits is open to every user.
const LIST_AND_ENTER: u32 = 0o555;

/// How many closed cgroups stay known after they are gone: a sweep can have seen one just before.
const MAX_GONE: usize = 1024;

/// Whether every user may list and enter a directory of this mode.
pub(super) fn is_open(mode: u32) -> bool {
    mode & LIST_AND_ENTER == LIST_AND_ENTER
}

/// The cgroups that are closed, and those that have not been checked.
#[derive(Default)]
pub(super) struct Access {
    closed: BTreeSet<CgroupId>,
    unchecked: BTreeSet<CgroupId>,
    /// The oldest comes first.
    gone: VecDeque<CgroupId>,
}

impl Access {
    /// Adds a cgroup whose mode is not known yet.
    pub(super) fn add(&mut self, id: CgroupId) {
        self.unchecked.insert(id);
    }

    /// Notes what a check of the cgroup has found.
    pub(super) fn put(&mut self, id: CgroupId, open: bool) {
        self.unchecked.remove(&id);
        if open {
            self.closed.remove(&id);
        } else {
            self.closed.insert(id);
        }
    }

    /// Removes a cgroup. One that may have been closed counts as closed for a while.
    pub(super) fn remove(&mut self, id: CgroupId) {
        if self.unchecked.remove(&id) | self.closed.remove(&id) {
            self.gone.truncate(MAX_GONE - 1);
            self.gone.push_front(id);
        }
    }

    /// The closed cgroups, and some that are gone.
    pub(super) fn closed(&self) -> BTreeSet<CgroupId> {
        self.closed.iter().chain(&self.gone).copied().collect()
    }

    /// The cgroups that have to be checked.
    pub(super) fn unchecked(&self) -> Vec<CgroupId> {
        self.unchecked.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: CgroupId = CgroupId(7);

    #[test]
    fn a_cgroup_is_open_if_no_class_of_users_lacks_a_right() {
        assert!(is_open(0o40755) && is_open(0o40555) && is_open(0o41777));
        for mode in [0o40700, 0o40750, 0o40711, 0o40705, 0o40655, 0o40754] {
            assert!(!is_open(mode), "{mode:o}");
        }
    }

    #[test]
    fn a_closed_cgroup_stays_closed_until_it_is_found_open() {
        let mut access = Access::default();
        access.add(ID);
        assert_eq!(access.unchecked(), [ID]);
        access.put(ID, false);
        assert!(access.unchecked().is_empty() && access.closed().contains(&ID));
        access.put(ID, true);
        assert!(access.closed().is_empty());
    }

    #[test]
    fn of_those_gone_a_limited_number_counts_as_closed() {
        let mut access = Access::default();
        for id in 0..2 * MAX_GONE as u64 {
            access.add(CgroupId(id));
            access.put(CgroupId(id), id % 2 == 0);
        }
        for id in 0..2 * MAX_GONE as u64 {
            access.remove(CgroupId(id));
        }
        assert_eq!(access.closed().len(), MAX_GONE);
        assert!(access.closed().iter().all(|id| id.0 % 2 == 1));
        access.add(ID);
        access.remove(ID);
        assert!(access.closed().contains(&ID));
        assert_eq!(access.closed().len(), MAX_GONE);
    }
}
