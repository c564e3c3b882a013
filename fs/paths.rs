//! The path of each swept cgroup, relative to the sweep's root. The paths of the last sweep are
//! kept and used again, because most of a large tree stays as it was: looking up 50,000 names in
//! the mirror takes half as long as the sweep itself.

use std::borrow::Cow;
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::bpf::record::CgroupRecords;
use crate::bpf::run::{Swept, SweptCgroup};
use crate::mirror::{CgroupId, Mirror, Names};

/// How many cgroups of the last sweep may be skipped, as removed ones, to find the next.
const MAX_SKIPPED: usize = 64;

/// A longer path is shown as the cgroup's id: each of a thousand nested cgroups with long names
/// would show the names of all above it.
const MAX_SHOWN_BYTES: usize = 4096;

/// The path as it is shown. `/id:N` is in the place of a path that is too long; no other relative
/// path begins with `/`.
pub(super) fn shown(path: &[u8], cgroup: CgroupId) -> Cow<'_, [u8]> {
    if path.len() > MAX_SHOWN_BYTES {
        return Cow::Owned(format!("/id:{}", cgroup.0).into_bytes());
    }
    Cow::Borrowed(path)
}

/// The paths of the last sweep of any root.
#[derive(Default)]
pub(super) struct LastPaths {
    /// Locked to take or put them, never while paths are made.
    paths: Mutex<Option<Arc<Paths>>>,
}

impl LastPaths {
    /// Makes the paths for a sweep of `root`, and keeps them for the next sweep.
    pub(super) fn name(&self, mirror: &Mirror, root: CgroupId, swept: Swept<'_>) -> Arc<Paths> {
        let last = self.paths.lock().clone();
        if let Some(last) = &last
            && last.are_of(mirror, root, swept)
        {
            return Arc::clone(last);
        }
        let paths = Arc::new(Paths::of(mirror, root, swept, last.as_deref()));
        let old = self.paths.lock().replace(Arc::clone(&paths));
        drop(old);
        paths
    }

    /// How many cgroups the last sweep found, if it was one of `root`.
    pub(super) fn count(&self, root: CgroupId) -> Option<usize> {
        let paths = self.paths.lock();
        let last = paths.as_ref().filter(|last| last.root == root);
        last.map(|last| last.of_cgroups.len())
    }
}

/// The paths of all cgroups of one sweep.
pub(super) struct Paths {
    root: CgroupId,
    /// The mirror's count of renames at that time. Only cgroups of v1 can be renamed.
    renames: u64,
    bytes: Vec<u8>,
    of_cgroups: Vec<PathOfCgroup>,
}

/// The place of a path in the bytes; empty when the cgroup was removed before it was named.
#[derive(Clone, Copy)]
struct PathOfCgroup {
    id: u64,
    start: usize,
    end: usize,
}

impl Paths {
    /// Names the cgroups of a sweep of `root`; `last` are the paths of the sweep before.
    fn of(mirror: &Mirror, root: CgroupId, swept: Swept<'_>, last: Option<&Paths>) -> Paths {
        let mut paths = Paths {
            root,
            renames: 0,
            bytes: Vec::with_capacity(last.map_or(0, |last| last.bytes.len())),
            of_cgroups: Vec::with_capacity(swept.visited()),
        };
        mirror.with_names(|names| {
            paths.renames = names.renames();
            let last = last.filter(|last| last.root == root && last.renames == paths.renames);
            paths.build(names, swept, Cursor { last, next: 0 });
        });
        paths.name_the_rest(mirror);
        paths
    }

    /// Whether these are still the paths of the same cgroups, now swept again from `root`.
    fn are_of(&self, mirror: &Mirror, root: CgroupId, swept: Swept<'_>) -> bool {
        self.root == root
            && mirror.with_names(|names| names.renames() == self.renames)
            && self.are_all_of(swept.iter().map(|cgroup| cgroup.id))
    }

    fn are_all_of(&self, mut ids: impl Iterator<Item = u64>) -> bool {
        let mut known = self.of_cgroups.iter();
        let named = |path: &PathOfCgroup| path.start != path.end;
        known.all(|path| ids.next() == Some(path.id) && named(path)) && ids.next().is_none()
    }

    /// The records of each cgroup that has a path and is not `left_out`.
    pub(super) fn records<'a>(
        &'a self,
        swept: Swept<'a>,
        left_out: &'a HashSet<u64>,
    ) -> impl Iterator<Item = CgroupRecords<'a>> {
        let named = self.of_cgroups.iter().zip(swept.iter());
        named
            .filter(|(at, _)| at.start != at.end && !left_out.contains(&at.id))
            .map(|(at, cgroup)| CgroupRecords {
                path: self.path(*at),
                record: cgroup.record,
            })
    }

    fn build(&mut self, names: &Names<'_>, swept: Swept<'_>, mut last: Cursor<'_>) {
        // The ancestors of the next cgroup, below the root.
        let mut line: Vec<PathOfCgroup> = Vec::new();
        for cgroup in swept.iter() {
            while line.last().is_some_and(|above| above.id != cgroup.parent) {
                line.pop();
            }
            let start = self.bytes.len();
            match last.path(cgroup.id) {
                Some(path) => self.bytes.extend_from_slice(path),
                None => self.push_new(names, cgroup, line.last().copied()),
            }
            let path = PathOfCgroup {
                id: cgroup.id,
                start,
                end: self.bytes.len(),
            };
            self.of_cgroups.push(path);
            if path.start != path.end && path.id != self.root.0 {
                line.push(path);
            }
        }
    }

    /// Appends the path of a cgroup below `above`, or nothing when the mirror does not know its
    /// name yet: cgroupfs is asked for it later, without the mirror's lock.
    fn push_new(
        &mut self,
        names: &Names<'_>,
        cgroup: SweptCgroup<'_>,
        above: Option<PathOfCgroup>,
    ) {
        if cgroup.id == self.root.0 {
            self.bytes.push(b'.');
            return;
        }
        let Some(name) = names.get(CgroupId(cgroup.id)) else {
            return;
        };
        let above = match above {
            Some(above) => above.start..above.end,
            None if cgroup.parent == self.root.0 => 0..0,
            None => return,
        };
        let is_id = !above.is_empty() && self.bytes.get(above.start) == Some(&b'/');
        if is_id || above.len() + 1 + name.len() > MAX_SHOWN_BYTES {
            let id = format!("/id:{}", cgroup.id);
            return self.bytes.extend_from_slice(id.as_bytes());
        }
        if !above.is_empty() {
            self.bytes.extend_from_within(above);
            self.bytes.push(b'/');
        }
        self.bytes.extend_from_slice(name.as_bytes());
    }

    fn name_the_rest(&mut self, mirror: &Mirror) {
        let above = mirror.path(self.root).unwrap_or_default();
        for at in self.of_cgroups.iter_mut().filter(|at| at.start == at.end) {
            let path = mirror.path(CgroupId(at.id)).unwrap_or_default();
            let below = path.strip_prefix(&above).unwrap_or(Path::new(""));
            at.start = self.bytes.len();
            let path = shown(below.as_os_str().as_bytes(), CgroupId(at.id));
            self.bytes.extend_from_slice(&path);
            at.end = self.bytes.len();
        }
    }

    fn path(&self, at: PathOfCgroup) -> &[u8] {
        self.bytes.get(at.start..at.end).unwrap_or_default()
    }
}

/// A position in the paths of the last sweep, which come in the same order.
struct Cursor<'a> {
    last: Option<&'a Paths>,
    next: usize,
}

impl<'a> Cursor<'a> {
    fn path(&mut self, id: u64) -> Option<&'a [u8]> {
        let last = self.last?;
        let rest = last.of_cgroups.get(self.next..).unwrap_or_default();
        let mut ahead = rest.iter().take(MAX_SKIPPED);
        let skipped = ahead.position(|at| at.id == id)?;
        self.next += skipped + 1;
        let at = rest.get(skipped)?;
        Some(last.path(*at)).filter(|path| !path.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(ids: impl IntoIterator<Item = u64>) -> Paths {
        let mut paths = Paths {
            root: CgroupId(1),
            renames: 0,
            bytes: Vec::new(),
            of_cgroups: Vec::new(),
        };
        for id in ids {
            let start = paths.bytes.len();
            paths.bytes.extend_from_slice(id.to_string().as_bytes());
            let end = paths.bytes.len();
            paths.of_cgroups.push(PathOfCgroup { id, start, end });
        }
        paths
    }

    fn found(last: &Paths, ids: &[u64]) -> Vec<Option<String>> {
        let mut last = Cursor {
            last: Some(last),
            next: 0,
        };
        let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        ids.iter().map(|id| last.path(*id).map(text)).collect()
    }

    #[test]
    fn old_paths_are_found_between_new_and_removed_cgroups() {
        let last = paths([1, 2, 3, 4]);
        let expected = ["1", "", "3", "4", ""].map(|path| (!path.is_empty()).then(|| path.into()));
        assert_eq!(found(&last, &[1, 9, 3, 4, 8]), expected);
    }

    #[test]
    fn a_path_that_lies_too_far_ahead_counts_as_new() {
        let last = paths(1..100);
        assert_eq!(found(&last, &[99]), [None]);
        assert_eq!(
            found(&last, &[64, 99]),
            [Some("64".into()), Some("99".into())]
        );
    }

    #[test]
    fn paths_are_used_again_for_the_same_cgroups_only() {
        let mut last = paths([1, 2, 3]);
        assert!(last.are_all_of([1, 2, 3].into_iter()));
        assert!(!last.are_all_of([1, 4, 3].into_iter()));
        assert!(!last.are_all_of([1, 2].into_iter()));
        assert!(!last.are_all_of([1, 2, 3, 4].into_iter()));
        last.of_cgroups[1].start = last.of_cgroups[1].end;
        assert!(!last.are_all_of([1, 2, 3].into_iter()));
    }

    #[test]
    fn an_empty_path_is_not_used_again() {
        let mut last = paths([1]);
        last.of_cgroups.push(PathOfCgroup {
            id: 2,
            start: 1,
            end: 1,
        });
        assert_eq!(found(&last, &[1, 2]), [Some("1".into()), None]);
    }
}
