//! The path of each row of a sweep, relative to the sweep's root. Most of a large tree is as it
//! was at the last sweep, whose paths are taken over as they are: to look up 50,000 names, each in
//! memory of its own, takes half as long as the sweep itself.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::bpf::record::CgroupRecords;
use crate::bpf::run::{Swept, SweptCgroup};
use crate::mirror::{CgroupId, Mirror, Names};

/// How many rows of the last sweep are passed over, as those of removed cgroups, to find one.
const MOST_PASSED_OVER: usize = 64;

/// The paths of all rows of one sweep.
pub(super) struct Paths {
    root: CgroupId,
    /// How many cgroups had been renamed, which only those of cgroup v1 can be.
    renames: u64,
    bytes: Vec<u8>,
    of_rows: Vec<PathOfRow>,
}

/// Where a path lies; empty for a cgroup that has gone before it was named.
#[derive(Clone, Copy)]
struct PathOfRow {
    id: u64,
    start: usize,
    end: usize,
}

impl Paths {
    /// Names the rows of a sweep of `root`, given the paths of the sweep before, of any root.
    pub(super) fn of(
        mirror: &Mirror,
        root: CgroupId,
        rows: Swept<'_>,
        last: Option<&Paths>,
    ) -> Paths {
        let mut paths = Paths {
            root,
            renames: 0,
            bytes: Vec::with_capacity(last.map_or(0, |last| last.bytes.len())),
            of_rows: Vec::with_capacity(rows.visited()),
        };
        mirror.with_names(|names| {
            paths.renames = names.renames();
            let last = last.filter(|last| last.root == root && last.renames == paths.renames);
            paths.build(names, rows, LastPaths { last, next: 0 });
        });
        paths.ask_for_the_rest(mirror);
        paths
    }

    /// Whether these are the paths of these rows, of a sweep of `root`.
    pub(super) fn are_of(&self, mirror: &Mirror, root: CgroupId, rows: Swept<'_>) -> bool {
        self.root == root
            && mirror.with_names(|names| names.renames() == self.renames)
            && self.are_all_of(rows.iter().map(|row| row.id))
    }

    fn are_all_of(&self, mut ids: impl Iterator<Item = u64>) -> bool {
        let mut known = self.of_rows.iter();
        let named = |path: &PathOfRow| path.start != path.end;
        known.all(|path| ids.next() == Some(path.id) && named(path)) && ids.next().is_none()
    }

    /// Each named row with its path.
    pub(super) fn rows<'a>(&'a self, rows: Swept<'a>) -> impl Iterator<Item = CgroupRecords<'a>> {
        let named = self.of_rows.iter().zip(rows.iter());
        named
            .filter(|(at, _)| at.start != at.end)
            .map(|(at, row)| CgroupRecords {
                path: self.path(*at),
                record: row.record,
            })
    }

    fn build(&mut self, names: &Names<'_>, rows: Swept<'_>, mut last: LastPaths<'_>) {
        // The row's ancestors below the root.
        let mut line: Vec<PathOfRow> = Vec::new();
        for row in rows.iter() {
            while line.last().is_some_and(|above| above.id != row.parent) {
                line.pop();
            }
            let start = self.bytes.len();
            match last.path(row.id) {
                Some(path) => self.bytes.extend_from_slice(path),
                None => self.push_new(names, row, line.last().copied()),
            }
            let path = PathOfRow {
                id: row.id,
                start,
                end: self.bytes.len(),
            };
            self.of_rows.push(path);
            if path.start != path.end && path.id != self.root.0 {
                line.push(path);
            }
        }
    }

    /// Appends the path of a row below `above`, or nothing where the tree does not know it: that
    /// one is asked for when the tree's lock is free again.
    fn push_new(&mut self, names: &Names<'_>, row: SweptCgroup<'_>, above: Option<PathOfRow>) {
        if row.id == self.root.0 {
            self.bytes.push(b'.');
            return;
        }
        let Some(name) = names.get(CgroupId(row.id)) else {
            return;
        };
        match above {
            Some(above) => {
                self.bytes.extend_from_within(above.start..above.end);
                self.bytes.push(b'/');
            }
            None if row.parent == self.root.0 => {}
            None => return,
        }
        self.bytes.extend_from_slice(name.as_bytes());
    }

    fn ask_for_the_rest(&mut self, mirror: &Mirror) {
        let above = mirror.path(self.root).unwrap_or_default();
        for at in self.of_rows.iter_mut().filter(|at| at.start == at.end) {
            let path = mirror.path(CgroupId(at.id)).unwrap_or_default();
            let below = path.strip_prefix(&above).unwrap_or(Path::new(""));
            at.start = self.bytes.len();
            self.bytes.extend_from_slice(below.as_os_str().as_bytes());
            at.end = self.bytes.len();
        }
    }

    fn path(&self, at: PathOfRow) -> &[u8] {
        self.bytes.get(at.start..at.end).unwrap_or_default()
    }
}

/// The paths of the last sweep, which came in the same order.
struct LastPaths<'a> {
    last: Option<&'a Paths>,
    next: usize,
}

impl<'a> LastPaths<'a> {
    fn path(&mut self, id: u64) -> Option<&'a [u8]> {
        let last = self.last?;
        let rest = last.of_rows.get(self.next..).unwrap_or_default();
        let mut ahead = rest.iter().take(MOST_PASSED_OVER);
        let passed_over = ahead.position(|at| at.id == id)?;
        self.next += passed_over + 1;
        let at = rest.get(passed_over)?;
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
            of_rows: Vec::new(),
        };
        for id in ids {
            let start = paths.bytes.len();
            paths.bytes.extend_from_slice(id.to_string().as_bytes());
            let end = paths.bytes.len();
            paths.of_rows.push(PathOfRow { id, start, end });
        }
        paths
    }

    fn found(last: &Paths, ids: &[u64]) -> Vec<Option<String>> {
        let mut last = LastPaths {
            last: Some(last),
            next: 0,
        };
        let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        ids.iter().map(|id| last.path(*id).map(text)).collect()
    }

    #[test]
    fn what_was_there_is_found_around_what_came_and_went() {
        let last = paths([1, 2, 3, 4]);
        let expected = ["1", "", "3", "4", ""].map(|path| (!path.is_empty()).then(|| path.into()));
        assert_eq!(found(&last, &[1, 9, 3, 4, 8]), expected);
    }

    #[test]
    fn what_lies_too_far_ahead_is_new() {
        let last = paths(1..100);
        assert_eq!(found(&last, &[99]), [None]);
        assert_eq!(
            found(&last, &[64, 99]),
            [Some("64".into()), Some("99".into())]
        );
    }

    #[test]
    fn paths_stay_as_long_as_the_rows_do() {
        let mut last = paths([1, 2, 3]);
        assert!(last.are_all_of([1, 2, 3].into_iter()));
        assert!(!last.are_all_of([1, 4, 3].into_iter()));
        assert!(!last.are_all_of([1, 2].into_iter()));
        assert!(!last.are_all_of([1, 2, 3, 4].into_iter()));
        last.of_rows[1].start = last.of_rows[1].end;
        assert!(!last.are_all_of([1, 2, 3].into_iter()));
    }

    #[test]
    fn a_row_that_had_no_path_has_none_to_hand_on() {
        let mut last = paths([1]);
        last.of_rows.push(PathOfRow {
            id: 2,
            start: 1,
            end: 1,
        });
        assert_eq!(found(&last, &[1, 2]), [Some("1".into()), None]);
    }
}
