//! The bytes of a view's file about a subtree: from one sweep where the view has one, else from a
//! walk that runs the view for each cgroup.

use std::collections::HashSet;
use std::ffi::OsString;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;

use crate::bpf::record::{self, CgroupRecords, Plan};
use crate::bpf::run::{Swept, View};
use crate::mirror::{self, CgroupId, Mirror};

use super::CgviewFs;
use super::caller::Sight;
use super::content::not_a_record;
use super::errno::Error;
use super::open::Content;

impl CgviewFs {
    /// Makes the Prometheus text of the whole tree below the mount's root.
    pub(super) fn prometheus_of_all(&self, view: &View, sight: Sight) -> Result<Content, Error> {
        let plan = view.plan().ok_or(Error::Gone)?;
        let top = (self.mirror.root(), sight);
        self.subtree(view, top, plan, record::prometheus)
    }

    /// Renders the records of a subtree of a record view, as far as the reader may see them.
    pub(super) fn subtree(
        &self,
        view: &View,
        (root, sight): (CgroupId, Sight),
        plan: &Plan,
        rendering: impl FnOnce(&Plan, &[CgroupRecords<'_>], &mut Vec<u8>) -> Result<(), record::Error>,
    ) -> Result<Content, Error> {
        let mut out = self.handles.memory.take_spare();
        let mut restricted = false;
        let rendered = if view.can_sweep() {
            let directory = self.mirror.open(root)?;
            let expected = self.expected_cgroups(root);
            view.sweep(root.0, directory.as_fd(), expected, |swept| {
                let paths = self.last_paths.name(&self.mirror, root, swept);
                let closed = self.closed_among(root, swept);
                restricted = sight == Sight::All && !closed.is_empty();
                let left_out = if restricted { &HashSet::new() } else { &closed };
                let records: Vec<_> = paths.records(swept, left_out).collect();
                rendering(plan, &records, &mut out)
            })?
        } else {
            let records;
            (records, restricted) = self.records_of_subtree(view, (root, sight))?;
            let records: Vec<_> = records.iter().collect();
            rendering(plan, &records, &mut out)
        };
        rendered.map_err(|source| not_a_record(view, source))?;
        self.check_alive(root)?;
        let bytes = self.handles.memory.shrink(out);
        Ok(Content { bytes, restricted })
    }

    /// The swept cgroups that are closed to some user, and all below them. The reader has entered
    /// the directory of `root` itself.
    fn closed_among(&self, root: CgroupId, swept: Swept<'_>) -> HashSet<u64> {
        let closed = self.mirror.closed();
        let mut found = HashSet::new();
        if !closed.is_empty() {
            // A parent comes before its children.
            for cgroup in swept.iter().filter(|cgroup| cgroup.id != root.0) {
                if closed.contains(&CgroupId(cgroup.id)) || found.contains(&cgroup.parent) {
                    found.insert(cgroup.id);
                }
            }
        }
        found
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
        top: (CgroupId, Sight),
    ) -> Result<Content, Error> {
        let mut out = Vec::new();
        let restricted = self.run_in_subtree(view, top, |path, text| {
            out.extend_from_slice(b"# ");
            record::word(path, &mut out);
            out.push(b'\n');
            out.extend_from_slice(text);
            if !text.ends_with(b"\n") && !text.is_empty() {
                out.push(b'\n');
            }
            self.handles.memory.check_size(out.len())
        })?;
        self.check_alive(top.0)?;
        let bytes = out;
        Ok(Content { bytes, restricted })
    }

    /// Collects the records of a subtree for a view that cannot sweep, and says whether not every
    /// user may see them.
    fn records_of_subtree(
        &self,
        view: &View,
        top: (CgroupId, Sight),
    ) -> Result<(Records, bool), Error> {
        let mut records = Records::default();
        let restricted = self.run_in_subtree(view, top, |path, record| {
            records.push(path, record);
            self.handles.memory.check_size(records.bytes.len())
        })?;
        Ok((records, restricted))
    }

    /// Runs the view for each cgroup of a subtree that the reader may see, parents first, and passes
    /// path and output to `visit`. A cgroup that is removed meanwhile is left out. True if not every
    /// user may see all of them.
    fn run_in_subtree(
        &self,
        view: &View,
        (root, sight): (CgroupId, Sight),
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut restricted = false;
        let mut walk = Walk::new(&self.mirror);
        visit(b".", &self.run(view, root)?)?;
        walk.descend(root)?;
        while let Some(cgroup) = walk.next() {
            match self.mirror.is_open(cgroup) {
                Ok(true) => {}
                Ok(false) if sight == Sight::All => restricted = true,
                Ok(false) | Err(mirror::Error::Gone(_)) => continue,
                Err(error) => return Err(error.into()),
            }
            match self.run(view, cgroup) {
                Ok(output) => visit(&walk.path, &output)?,
                Err(Error::Gone) => continue,
                Err(error) => return Err(error),
            }
            walk.descend(cgroup)?;
        }
        Ok(restricted)
    }
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
    fn records_keep_their_paths_and_empty_ones_are_left_out() {
        let mut records = Records::default();
        for (path, record) in [(&b"."[..], &b"one"[..]), (b"a", b""), (b"a/b", b"two")] {
            records.push(path, record);
        }
        let kept: Vec<_> = records.iter().map(|at| (at.path, at.record)).collect();
        assert_eq!(kept, [(&b"."[..], &b"one"[..]), (b"a/b", b"two")]);
    }
}
