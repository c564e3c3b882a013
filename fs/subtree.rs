//! The bytes of a view's file about a subtree: from one sweep where the view has one, else from a
//! walk that runs the view for each cgroup.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;

use crate::bpf::record::{self, CgroupRecords, Plan};
use crate::bpf::run::View;
use crate::mirror::{self, Access, CgroupId, Mirror};

use super::CgviewFs;
use super::caller::Reader;
use super::content::not_a_record;
use super::errno::Error;
use super::open::{Allowance, Content};
use super::paths;

/// Appends the records of a subtree to an output, as long as it gets room.
type Rendering = for<'a> fn(
    &Plan,
    &[CgroupRecords<'a>],
    &mut Vec<u8>,
    &mut record::Room<'_>,
) -> Result<(), record::Error>;

/// A cgroup and those below it that a reader may see.
#[derive(Clone, Copy)]
pub(super) struct Subtree {
    /// The reader has entered its directory, which the kernel has checked.
    pub(super) root: CgroupId,
    pub(super) reader: Reader,
}

impl CgviewFs {
    /// Makes the Prometheus text of the whole tree below the mount's root.
    pub(super) fn prometheus_of_all(
        &self,
        view: &View,
        reader: Reader,
        allowance: &mut Allowance<'_>,
    ) -> Result<Content, Error> {
        let plan = view.plan().ok_or(Error::Gone)?;
        let root = self.mirror.root();
        let all = Subtree { root, reader };
        self.subtree(view, all, plan, record::prometheus, allowance)
    }

    /// Renders the records of a subtree of a record view.
    pub(super) fn subtree(
        &self,
        view: &View,
        of: Subtree,
        plan: &Plan,
        rendering: Rendering,
        allowance: &mut Allowance<'_>,
    ) -> Result<Content, Error> {
        let root = of.root;
        let mut out = self.handles.memory.take_spare(allowance);
        let mut restricted = false;
        let rendered = if view.can_sweep() {
            let directory = self.mirror.open(root)?;
            let expected = self.expected_cgroups(root);
            // One that is swept and then removed is known only before.
            let mut closed = self.mirror.closed();
            view.sweep(root.0, directory.as_fd(), expected, |swept| {
                closed.extend(self.mirror.closed());
                let left_out;
                (left_out, restricted) = of.left_out(swept.lineage(), &closed);
                let paths = self.last_paths.name(&self.mirror, root, swept);
                let records: Vec<_> = paths.records(swept, &left_out).collect();
                rendering(plan, &records, &mut out, &mut |bytes| allowance.hold(bytes))
            })?
        } else {
            let records;
            (records, restricted) = self.records_of_subtree(view, of, allowance)?;
            let held_bytes = records.bytes.capacity();
            let records: Vec<_> = records.iter().collect();
            let mut room = |bytes: usize| allowance.hold(held_bytes.saturating_add(bytes));
            rendering(plan, &records, &mut out, &mut room)
        };
        rendered.map_err(|source| not_a_record(view, source))?;
        self.check_alive(root)?;
        let bytes = self.handles.memory.shrink(out);
        Ok(Content { bytes, restricted })
    }

    /// About how many cgroups a sweep will find: a small number where nothing is known, which
    /// costs a second sweep at most.
    fn expected_cgroups(&self, root: CgroupId) -> usize {
        if root == self.mirror.root() {
            return self.mirror.health().cgroups;
        }
        self.last_paths.count(root).unwrap_or(1)
    }

    /// Makes the `.tree` of a text view: each cgroup's text below a line with its path.
    pub(super) fn texts_of_subtree(
        &self,
        view: &View,
        of: Subtree,
        allowance: &mut Allowance<'_>,
    ) -> Result<Content, Error> {
        let mut bytes = Vec::new();
        let restricted = self.run_in_subtree(view, of, |path, text| {
            allowance.check_time()?;
            let line_bytes = 4 * path.len() + "# \n".len();
            make_room(&mut bytes, line_bytes + text.len() + 1, allowance)?;
            bytes.extend_from_slice(b"# ");
            record::word(path, &mut bytes);
            bytes.push(b'\n');
            bytes.extend_from_slice(text);
            if !text.ends_with(b"\n") && !text.is_empty() {
                bytes.push(b'\n');
            }
            Ok(())
        })?;
        self.check_alive(of.root)?;
        Ok(Content { bytes, restricted })
    }

    /// Collects the records of a subtree for a view that cannot sweep, and says whether they are
    /// restricted.
    fn records_of_subtree(
        &self,
        view: &View,
        of: Subtree,
        allowance: &mut Allowance<'_>,
    ) -> Result<(Records, bool), Error> {
        let mut records = Records::default();
        let restricted = self.run_in_subtree(view, of, |path, record| {
            allowance.check_time()?;
            make_room(&mut records.bytes, path.len() + record.len(), allowance)?;
            records.push(path, record);
            Ok(())
        })?;
        Ok((records, restricted))
    }

    /// Runs the view for each cgroup of a subtree, parents first, and passes path and output to
    /// `visit`. A cgroup that is removed meanwhile is left out. Says whether the outputs are
    /// restricted.
    fn run_in_subtree(
        &self,
        view: &View,
        of: Subtree,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut restricted = false;
        let mut walk = Walk::new(&self.mirror);
        visit(b".", &self.run(view, of.root)?)?;
        if self.may_enter(of.root, of.reader, &mut restricted)? {
            walk.descend(of.root)?;
        }
        while let Some(cgroup) = walk.next() {
            if !self.may_enter(cgroup, of.reader, &mut restricted)? {
                continue;
            }
            match self.run(view, cgroup) {
                Ok(output) => visit(&paths::shown(&walk.path, cgroup), &output)?,
                Err(Error::Gone) => continue,
                Err(error) => return Err(error),
            }
            walk.descend(cgroup)?;
        }
        Ok(restricted)
    }

    /// Whether the reader may see this cgroup and those below; sets `restricted` if another may not.
    fn may_enter(
        &self,
        cgroup: CgroupId,
        reader: Reader,
        restricted: &mut bool,
    ) -> Result<bool, Error> {
        let access = match self.mirror.access(cgroup) {
            Err(mirror::Error::Gone(_)) => return Ok(false),
            access => access?,
        };
        let may_enter = reader.may_enter(access);
        *restricted |= may_enter && access != Access::Everyone;
        Ok(may_enter)
    }
}

impl Subtree {
    /// The cgroups that the reader may not see, and whether those that are left are restricted.
    /// `lineage` is that of a sweep, and `closed` has the cgroups that are closed to some user.
    fn left_out(
        self,
        lineage: impl Iterator<Item = (u64, u64)>,
        closed: &BTreeMap<CgroupId, Access>,
    ) -> (HashSet<u64>, bool) {
        let (mut left_out, mut restricted) = (HashSet::new(), false);
        if closed.is_empty() {
            return (left_out, restricted);
        }
        for (id, parent) in lineage {
            let access = closed.get(&CgroupId(id));
            let may_enter = access.is_none_or(|access| self.reader.may_enter(*access));
            if !may_enter || left_out.contains(&parent) {
                left_out.insert(id);
            } else {
                restricted |= access.is_some();
            }
        }
        // Its own file is the one that is read.
        left_out.remove(&self.root.0);
        (left_out, restricted)
    }
}

/// Makes room for more bytes in a buffer.
fn make_room(
    buffer: &mut Vec<u8>,
    more_bytes: usize,
    allowance: &mut Allowance<'_>,
) -> Result<(), Error> {
    let made = record::make_room(buffer, more_bytes, &mut |bytes| allowance.hold(bytes));
    made.map_err(|_| Error::TooMuchOpen)
}

/// A walk through a subtree, siblings in the order of their names. It holds one path and the
/// siblings that remain at each level, so that its memory does not grow with depth times length.
struct Walk<'a> {
    mirror: &'a Mirror,
    /// The path of the current cgroup below the root of the walk.
    path: Vec<u8>,
    levels: Vec<Level>,
}

struct Level {
    /// How much of the path belongs to the parent.
    parent_bytes: usize,
    /// The last comes first.
    siblings: Vec<(OsString, CgroupId)>,
}

impl Walk<'_> {
    fn new(mirror: &Mirror) -> Walk<'_> {
        Walk {
            mirror,
            path: Vec::new(),
            levels: Vec::new(),
        }
    }

    /// Goes to the next cgroup.
    fn next(&mut self) -> Option<CgroupId> {
        loop {
            let level = self.levels.last_mut()?;
            let Some((name, cgroup)) = level.siblings.pop() else {
                self.levels.pop();
                continue;
            };
            self.path.truncate(level.parent_bytes);
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.as_bytes());
            return Some(cgroup);
        }
    }

    /// Makes the children of the current cgroup come next; a cgroup that was removed has none.
    fn descend(&mut self, current: CgroupId) -> Result<(), Error> {
        let mut siblings = match self.mirror.list(current) {
            Ok(children) => children,
            Err(mirror::Error::Gone(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        siblings.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        self.levels.push(Level {
            parent_bytes: self.path.len(),
            siblings,
        });
        Ok(())
    }
}

/// Paths and records of many cgroups in one buffer.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    parts: Vec<(Range<usize>, Range<usize>)>,
}

impl Records {
    /// Adds a cgroup, unless the view has no record for it.
    fn push(&mut self, path: &[u8], record: &[u8]) {
        if record.is_empty() {
            return;
        }
        let path = self.append(path);
        let record = self.append(record);
        self.parts.push((path, record));
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn iter(&self) -> impl Iterator<Item = CgroupRecords<'_>> {
        self.parts.iter().map(|(path, record)| CgroupRecords {
            path: self.bytes.get(path.clone()).unwrap_or_default(),
            record: self.bytes.get(record.clone()).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_below_a_closed_cgroup_is_left_out_unless_the_reader_may_enter() {
        // 1 has 2, which has 3, which has 4; and 5.
        let lineage = [(1, 0), (2, 1), (3, 2), (4, 3), (5, 1)];
        let left_out = |reader, closed: &[(u64, Access)]| {
            let closed = closed.iter().map(|&(id, access)| (CgroupId(id), access));
            let root = CgroupId(1);
            let (left_out, restricted) =
                Subtree { root, reader }.left_out(lineage.into_iter(), &closed.collect());
            let mut left_out: Vec<_> = left_out.into_iter().collect();
            left_out.sort_unstable();
            (left_out, restricted)
        };
        let user = Reader::User(7);
        assert_eq!(left_out(user, &[]), (vec![], false));
        let nobodys = [(2, Access::Nobody)];
        assert_eq!(left_out(user, &nobodys), (vec![2, 3, 4], false));
        assert_eq!(left_out(Reader::Privileged, &nobodys), (vec![], true));
        let owned = [(2, Access::Owner(7)), (4, Access::Owner(8))];
        assert_eq!(left_out(user, &owned), (vec![4], true));
        assert_eq!(left_out(Reader::User(9), &owned), (vec![2, 3, 4], false));
        let root = [(1, Access::Owner(8))];
        assert_eq!(left_out(user, &root), (vec![2, 3, 4, 5], false));
    }

    #[test]
    fn records_keep_their_paths_and_empty_ones_are_left_out() {
        let mut records = Records::default();
        for (path, record) in [(&b"."[..], &b"one"[..]), (b"a", b""), (b"a/b", b"two")] {
            records.push(path, record);
        }
        let kept: Vec<_> = records.iter().map(|at| (at.path, at.record)).collect();
        assert_eq!(kept, [(&b"."[..], &b"one"[..]), (b"a/b", b"two")]);
    }
}
