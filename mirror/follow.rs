//! The thread that follows cgroupfs: watches a directory first and lists it then, takes each event
//! for "look again at this name", compares by id and tells the changes. Lost events, a limit on
//! watches or a failed look end in a look at everything.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::known::Hierarchy;
use super::queue::{Batch, Inbox, Outbox};
use super::watch::Watches;
use super::{CgroupId, Change, Error};

/// How often everything is looked at while some cgroup has no watch.
pub(super) const RESCAN_INTERVAL: Duration =
    Duration::from_millis(if cfg!(test) { 300 } else { 30_000 });

/// The least time from one look at everything to the next: events are lost when there is much to
/// do already.
const RESCAN_PAUSE: Duration = Duration::from_secs(1);

/// Directories watched at a time before they are listed: each order to notify costs two thread
/// switches, and its queue of events must not overflow meanwhile.
const WATCH_BATCH: usize = 256;

/// Watches removed before the inbox is seen to again: with many watches each takes a millisecond,
/// and to tell of an end is more urgent.
const UNWATCH_BATCH: usize = 16;

/// The follower's figures, for others to read.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) watches: AtomicUsize,
    pub(super) unwatched: AtomicUsize,
    pub(super) rescans: AtomicU64,
}

/// The state of the mirror's thread.
pub(super) struct Follower<F> {
    hierarchy: Arc<Hierarchy>,
    figures: Arc<Figures>,
    outbox: Outbox,
    watches: Watches,
    on_change: F,
    /// Directories to be watched, where they are not, and to be listed.
    todo: Vec<CgroupId>,
    /// Cgroups that are gone and may have a watch yet.
    ended: Vec<CgroupId>,
    /// Events were lost since the last look at everything.
    lost: bool,
    /// A look failed for want of memory or descriptors: look at everything, later.
    failed: bool,
    /// False during the first scan, which finds what is there and tells of no change.
    telling: bool,
    last_rescan: Instant,
}

impl<F: Fn(Change)> Follower<F> {
    /// Watches and lists everything below the source, on the caller's thread.
    pub(super) fn start(
        hierarchy: Arc<Hierarchy>,
        figures: Arc<Figures>,
        (inbox, outbox): (Inbox, Outbox),
        on_change: F,
    ) -> Result<Follower<F>, Error> {
        let root = hierarchy.cgroupfs.root();
        let watches = Watches::new(hierarchy.cgroupfs.source(), inbox)
            .map_err(|e| Error::io("watch", root, e))?;
        let mut follower = Follower {
            hierarchy,
            figures,
            outbox,
            watches,
            on_change,
            todo: vec![root],
            ended: Vec::new(),
            lost: false,
            failed: false,
            telling: false,
            last_rescan: Instant::now(),
        };
        follower.watch_above_root();
        follower.settle();
        follower.publish();
        follower.telling = true;
        Ok(follower)
    }

    /// Follows until the inbox says stop.
    pub(super) fn run(mut self) {
        loop {
            let batch = self.outbox.next_batch(self.patience());
            if batch.stop {
                return;
            }
            self.lost |= batch.lost;
            if self.rescan_due() == Some(Duration::ZERO) {
                self.rescan();
            }
            self.look_at_names(batch);
            self.settle();
            self.unwatch_ended();
            self.publish();
        }
    }

    fn patience(&self) -> Option<Duration> {
        if !self.ended.is_empty() {
            return Some(Duration::ZERO);
        }
        self.rescan_due()
    }

    /// The time until everything is to be looked at, if it is.
    fn rescan_due(&self) -> Option<Duration> {
        let pause = match (self.lost, self.failed || self.watches.unwatched() > 0) {
            (true, _) => RESCAN_PAUSE,
            (false, true) => RESCAN_INTERVAL,
            (false, false) => return None,
        };
        Some(pause.saturating_sub(self.last_rescan.elapsed()))
    }

    fn unwatch_ended(&mut self) {
        let rest = self.ended.len().saturating_sub(UNWATCH_BATCH);
        for id in self.ended.drain(rest..) {
            self.watches.remove(id);
        }
    }

    fn publish(&self) {
        let figures = &*self.figures;
        figures.watches.store(self.watches.len(), Ordering::Relaxed);
        figures
            .unwatched
            .store(self.watches.unwatched(), Ordering::Relaxed);
    }

    /// The source may be a cgroup that can be removed, which only its parent's watch tells.
    fn watch_above_root(&mut self) {
        if let Ok((above, _)) = self
            .hierarchy
            .cgroupfs
            .place(self.hierarchy.cgroupfs.root())
        {
            self.watches.add(vec![(above, PathBuf::from(".."))]);
        }
    }

    fn rescan(&mut self) {
        self.figures.rescans.fetch_add(1, Ordering::Relaxed);
        self.lost = false;
        self.failed = false;
        self.watches.retry();
        self.todo = self.hierarchy.tree.read().ids();
        self.settle();
        self.last_rescan = Instant::now();
    }

    /// Works off `todo`, and what appears while doing so.
    fn settle(&mut self) {
        while !self.todo.is_empty() {
            let rest = self.todo.len().saturating_sub(WATCH_BATCH);
            let dirs = self.todo.split_off(rest);
            self.watch(&dirs);
            for dir in dirs {
                self.look_at_dir(dir);
            }
        }
    }

    fn watch(&mut self, dirs: &[CgroupId]) {
        let bare = dirs.iter().filter(|&&id| !self.watches.contains(id));
        let tree = self.hierarchy.tree.read();
        let paths = bare.filter_map(|&id| Some((id, tree.path(id)?))).collect();
        drop(tree);
        self.watches.add(paths);
    }

    fn look_at_names(&mut self, batch: Batch) {
        let mut names = batch.looks;
        for path in batch.touched {
            // A watch that is no more had a directory that is no more, and its end was seen.
            if let (Some(dir), Some(name)) = (self.watches.dir_of(&path), path.file_name()) {
                names.push((dir, name.to_owned()));
            }
        }
        names.sort_unstable();
        names.dedup();
        for (dir, name) in names {
            if self.hierarchy.tree.read().contains(dir) {
                self.look_at_name(dir, name);
            } else {
                self.look_at_root();
            }
        }
    }

    fn look_at_name(&mut self, dir: CgroupId, name: OsString) {
        match self.hierarchy.cgroupfs.child(dir, &name) {
            Ok(present) => {
                let displaced = self.hierarchy.tree.read().displaced(dir, &name, present);
                let present: Vec<_> = present.map(|id| (name, id)).into_iter().collect();
                self.reconcile(dir, &present, displaced);
            }
            Err(error) => self.look_failed(dir, &error),
        }
    }

    fn look_at_dir(&mut self, dir: CgroupId) {
        match self.hierarchy.cgroupfs.children(dir) {
            Ok(listing) => {
                let absent = self.hierarchy.tree.read().absent(dir, &listing);
                self.reconcile(dir, &listing, absent);
            }
            Err(error) => self.look_failed(dir, &error),
        }
    }

    fn look_at_root(&mut self) {
        let root = self.hierarchy.cgroupfs.root();
        self.reconcile(root, &[], vec![root]);
    }

    fn look_failed(&mut self, dir: CgroupId, error: &Error) {
        if let Error::Gone(_) = error {
            // Vanishing is normal.
            return self.reconcile(dir, &[], vec![dir]);
        }
        if !std::mem::replace(&mut self.failed, true) {
            log::warn!("{error}: will look again");
        }
    }

    /// Brings tree, watches and listener up to what was just seen in `dir`. `missing` was not
    /// seen, which may be a rename or a lookup's news: only cgroupfs can say that it is dead.
    fn reconcile(
        &mut self,
        dir: CgroupId,
        present: &[(OsString, CgroupId)],
        mut missing: Vec<CgroupId>,
    ) {
        missing.retain(|&id| match self.hierarchy.cgroupfs.is_alive(id) {
            Ok(alive) => !alive,
            Err(error) => {
                self.look_failed(id, &error);
                false
            }
        });
        let changes = self
            .hierarchy
            .tree
            .write()
            .reconcile(dir, present, &missing);
        for change in changes {
            self.apply(&change);
            if self.telling {
                (self.on_change)(change);
            }
        }
    }

    fn apply(&mut self, change: &Change) {
        match *change {
            Change::Appeared { id, .. } => self.todo.push(id),
            Change::Gone { id, .. } => self.ended.push(id),
            Change::Renamed { id, .. } => {
                let moved = self.hierarchy.tree.read().subtree(id);
                moved.iter().for_each(|&id| self.watches.remove(id));
                self.todo.extend(moved);
            }
        }
    }
}
