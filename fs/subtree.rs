//! The bytes of a view's file about a subtree: from one sweep where the view has one, else from a
//! walk that runs the view for each cgroup.

use std::ffi::OsString;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;

use crate::bpf::record::{self, CgroupRecords, Plan};
use crate::bpf::run::View;
use crate::mirror::{self, CgroupId, Mirror};

use super::CgviewFs;
use super::content::not_a_record;
use super::errno::Error;

impl CgviewFs {
    /// Makes the Prometheus text of the whole tree below the mount's root.
    pub(super) fn prometheus_of_all(&self, view: &View) -> Result<Vec<u8>, Error> {
        let plan = view.plan().ok_or(Error::Gone)?;
        self.subtree(view, self.mirror.root(), plan, record::prometheus)
    }

    /// Renders the records of a subtree of a record view.
    pub(super) fn subtree(
        &self,
        view: &View,
        root: CgroupId,
        plan: &Plan,
        rendering: impl FnOnce(&Plan, &[CgroupRecords<'_>], &mut Vec<u8>) -> Result<(), record::Error>,
    ) -> Result<Vec<u8>, Error> {
        let mut out = self.handles.memory.take_spare();
        let rendered = if view.can_sweep() {
            let directory = self.mirror.open(root)?;
            let expected = self.expected_cgroups(root);
            view.sweep(root.0, directory.as_fd(), expected, |swept| {
                let paths = self.last_paths.name(&self.mirror, root, swept);
                let records: Vec<_> = paths.records(swept).collect();
                rendering(plan, &records, &mut out)
            })?
        } else {
            let records = self.records_of_subtree(view, root)?;
            let records: Vec<_> = records.iter().collect();
            rendering(plan, &records, &mut out)
        };
        rendered.map_err(|source| not_a_record(view, source))?;
        self.check_alive(root)?;
        Ok(self.handles.memory.shrink(out))
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
    pub(super) fn texts_of_subtree(&self, view: &View, root: CgroupId) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        self.run_in_subtree(view, root, |path, text| {
            out.extend_from_slice(b"# ");
            record::word(path, &mut out);
            out.push(b'\n');
            out.extend_from_slice(text);
            if !text.ends_with(b"\n") && !text.is_empty() {
                out.push(b'\n');
            }
            self.handles.memory.check_size(out.len())
        })?;
        self.check_alive(root)?;
        Ok(out)
    }

    /// Collects the records of a subtree for a view that cannot sweep.
    fn records_of_subtree(&self, view: &View, root: CgroupId) -> Result<Records, Error> {
        let mut records = Records::default();
        self.run_in_subtree(view, root, |path, record| {
            records.push(path, record);
            self.handles.memory.check_size(records.bytes.len())
        })?;
        Ok(records)
    }

    /// Runs the view for each cgroup of a subtree, parents first, and passes path and output to
    /// `visit`. A cgroup that is removed meanwhile is left out.
    fn run_in_subtree(
        &self,
        view: &View,
        root: CgroupId,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut walk = Walk::new(&self.mirror);
        visit(b".", &self.run(view, root)?)?;
        walk.descend(root)?;
        while let Some(cgroup) = walk.next() {
            match self.run(view, cgroup) {
                Ok(output) => visit(&walk.path, &output)?,
                Err(Error::Gone) => continue,
                Err(error) => return Err(error),
            }
            walk.descend(cgroup)?;
        }
        Ok(())
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
