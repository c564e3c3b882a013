//! The mirror's thread: keeps the tree and the watches equal to cgroupfs and reports the changes.
//!
//! It watches a directory before it lists it, so that no cgroup is missed in between. An event only
//! says which name to check; the comparison with cgroupfs, by id, says what has changed. After lost
//! events, missing watches or failed checks it rescans.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::access::Access;
use super::known::KnownCgroups;
use super::queue::{self, Batch, Receiver};
use super::watch::{RESCAN_INTERVAL, Watches};
use super::{CgroupId, Change, Error};

/// Minimum time between two rescans. Events are lost under load, and a rescan adds to it.
const MIN_RESCAN_INTERVAL: Duration = Duration::from_secs(1);

/// Number of directories that are watched before they are listed. Each call of notify costs two
/// thread switches; a larger batch can overflow the kernel's event queue.
const WATCH_BATCH: usize = 256;

/// A longer path cannot be watched: inotify takes paths of less than `PATH_MAX` bytes, and notify
/// puts the path of an entry behind it.
const MAX_WATCHED_BYTES: usize = 4096 - 256;

/// Number of watches that are removed between two batches of events. Each removal can take a
/// millisecond, and reporting a removed cgroup is more urgent.
const UNWATCH_BATCH: usize = 16;

/// Figures of the mirror's thread, for other threads to read.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) watches: AtomicUsize,
    pub(super) unwatched: AtomicUsize,
    pub(super) rescans: AtomicU64,
}

/// The state of the mirror's thread.
pub(super) struct Follower<F> {
    known: Arc<KnownCgroups>,
    figures: Arc<Figures>,
    receiver: Receiver,
    watches: Watches,
    on_change: F,
    /// Directories to watch, if they are not watched yet, and to list.
    to_scan: Vec<CgroupId>,
    /// Cgroups that are gone and may still have a watch.
    to_unwatch: Vec<CgroupId>,
    /// Events were lost since the last rescan.
    events_lost: bool,
    /// A check failed since the last rescan, for lack of memory or descriptors.
    check_failed: bool,
    /// False during the first scan, whose cgroups are no changes.
    reports_changes: bool,
    last_rescan: Instant,
}

impl<F: Fn(Change)> Follower<F> {
    /// Watches and lists everything from the source down, on the caller's thread.
    pub(super) fn start(
        known: Arc<KnownCgroups>,
        figures: Arc<Figures>,
        (sender, receiver): (queue::Sender, Receiver),
        on_change: F,
    ) -> Result<Follower<F>, Error> {
        let root = known.cgroupfs.root();
        let watches = Watches::new(known.cgroupfs.source(), sender)
            .map_err(|e| Error::io("watch", root, e))?;
        let mut follower = Follower {
            known,
            figures,
            receiver,
            watches,
            on_change,
            to_scan: vec![root],
            to_unwatch: Vec::new(),
            events_lost: false,
            check_failed: false,
            reports_changes: false,
            last_rescan: Instant::now(),
        };
        // Only its parent reports that the source itself was removed.
        if let Some((id, directory)) = follower.known.cgroupfs.parent_of_root() {
            follower.watches.add_directory(id, directory);
        }
        follower.scan_pending();
        follower.publish_figures();
        follower.reports_changes = true;
        Ok(follower)
    }

    /// Handles events until the queue says stop.
    pub(super) fn run(mut self) {
        loop {
            let batch = self.receiver.next_batch(self.timeout());
            if batch.stop {
                return;
            }
            self.events_lost |= batch.lost;
            self.watches.close_failed_instances();
            if self.time_to_rescan() == Some(Duration::ZERO) {
                self.rescan();
            }
            self.check_attributes(&batch.attributes);
            self.check_names(batch);
            self.scan_pending();
            self.unwatch_gone();
            self.publish_figures();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.to_unwatch.is_empty() {
            return Some(Duration::ZERO);
        }
        self.time_to_rescan()
    }

    /// The time until the next rescan, if one is necessary.
    fn time_to_rescan(&self) -> Option<Duration> {
        let interval = if self.events_lost {
            MIN_RESCAN_INTERVAL
        } else if self.check_failed || self.watches.unwatched() > 0 {
            RESCAN_INTERVAL
        } else {
            return None;
        };
        Some(interval.saturating_sub(self.last_rescan.elapsed()))
    }

    fn unwatch_gone(&mut self) {
        let rest = self.to_unwatch.len().saturating_sub(UNWATCH_BATCH);
        for id in self.to_unwatch.drain(rest..) {
            self.watches.remove(id);
        }
    }

    fn publish_figures(&self) {
        let Figures {
            watches, unwatched, ..
        } = &*self.figures;
        watches.store(self.watches.len(), Ordering::Relaxed);
        unwatched.store(self.watches.unwatched(), Ordering::Relaxed);
    }

    fn rescan(&mut self) {
        self.figures.rescans.fetch_add(1, Ordering::Relaxed);
        self.events_lost = false;
        self.check_failed = false;
        self.watches.retry();
        self.to_scan = self.known.tree.read().ids();
        self.scan_pending();
        self.last_rescan = Instant::now();
    }

    /// Scans the pending directories, and those that appear meanwhile.
    fn scan_pending(&mut self) {
        while !self.to_scan.is_empty() {
            let rest = self.to_scan.len().saturating_sub(WATCH_BATCH);
            let dirs = self.to_scan.split_off(rest);
            self.watch(&dirs);
            for dir in dirs {
                self.scan(dir);
            }
        }
    }

    fn watch(&mut self, dirs: &[CgroupId]) {
        let new = dirs.iter().filter(|&&id| !self.watches.contains(id));
        let tree = self.known.tree.read();
        let (mut paths, mut too_deep) = (Vec::new(), Vec::new());
        for &id in new {
            match tree.short_path(id, MAX_WATCHED_BYTES) {
                Some(path) => paths.push((id, path)),
                None if tree.contains(id) => too_deep.push(id),
                None => {}
            }
        }
        drop(tree);
        self.watches.note_unwatched(too_deep);
        self.watches.add(paths);
    }

    /// Each change of a directory is reported by its own watch, and by its parent's under a path
    /// that no watch has.
    fn check_attributes(&mut self, paths: &[PathBuf]) {
        let mut changed: Vec<_> = paths.iter().filter_map(|p| self.watches.at(p)).collect();
        changed.sort_unstable();
        changed.dedup();
        for id in changed {
            match self.known.cgroupfs.stat(id) {
                Ok(stat) => {
                    self.put_access(id, Access::of(&stat));
                    (self.on_change)(Change::Attributes { id });
                }
                Err(error) => self.failed(id, &error),
            }
        }
    }

    /// Without a watch, a later change would be missed.
    fn put_access(&self, id: CgroupId, access: Access) {
        let access = self.watches.contains(id).then_some(access);
        self.known.tree.write().put_access(id, access);
    }

    fn check_names(&mut self, batch: Batch) {
        let mut names = batch.names;
        for path in batch.events {
            // An event without a watch belongs to a cgroup that is known to be gone.
            if let (Some(dir), Some(name)) = (self.watches.dir_of(&path), path.file_name()) {
                names.push((dir, name.to_owned()));
            }
        }
        names.sort_unstable();
        names.dedup();
        for (dir, name) in names {
            if self.known.tree.read().contains(dir) {
                self.check_name(dir, name);
            } else {
                // The only watched directory that the tree does not hold is the source's parent.
                self.check_root();
            }
        }
    }

    fn check_name(&mut self, dir: CgroupId, name: OsString) {
        match self.known.cgroupfs.child(dir, &name) {
            Ok(present) => {
                let displaced = self.known.tree.read().displaced(dir, &name, present);
                let present: Vec<_> = present.map(|id| (name, id)).into_iter().collect();
                self.reconcile(dir, &present, displaced);
            }
            Err(error) => self.failed(dir, &error),
        }
    }

    fn check_root(&mut self) {
        let root = self.known.cgroupfs.root();
        self.reconcile(root, &[], vec![root]);
    }

    fn scan(&mut self, dir: CgroupId) {
        match self.known.cgroupfs.scan(dir) {
            Ok((access, listing)) => {
                self.put_access(dir, access);
                let absent = self.known.tree.read().absent(dir, &listing);
                self.reconcile(dir, &listing, absent);
            }
            Err(error) => self.failed(dir, &error),
        }
    }

    fn failed(&mut self, dir: CgroupId, error: &Error) {
        if let Error::Gone(_) = error {
            return self.reconcile(dir, &[], vec![dir]);
        }
        if !std::mem::replace(&mut self.check_failed, true) {
            let seconds = RESCAN_INTERVAL.as_secs();
            log::warn!("{error}; rescan within {seconds} s");
        }
    }

    /// Applies to the tree what cgroupfs shows in `dir`, and reports the changes.
    ///
    /// A missing cgroup may have been renamed, or a lookup added it later than `dir` was read: so
    /// cgroupfs is asked whether it is gone.
    fn reconcile(
        &mut self,
        dir: CgroupId,
        present: &[(OsString, CgroupId)],
        missing: Vec<CgroupId>,
    ) {
        let mut gone = missing;
        gone.retain(|&id| match self.known.cgroupfs.is_alive(id) {
            Ok(alive) => !alive,
            Err(error) => {
                self.failed(id, &error);
                false
            }
        });
        let changes = self.known.tree.write().reconcile(dir, present, &gone);
        for change in changes {
            self.follow(&change);
            if self.reports_changes {
                (self.on_change)(change);
            }
        }
    }

    fn follow(&mut self, change: &Change) {
        match *change {
            Change::Appeared { id, .. } => self.to_scan.push(id),
            Change::Gone { id, .. } => self.to_unwatch.push(id),
            Change::Attributes { .. } => {}
            Change::Renamed { id, .. } => {
                // The paths of all these watches have changed.
                let moved = self.known.tree.read().subtree(id);
                moved.iter().for_each(|&id| self.watches.remove(id));
                self.to_scan.extend(moved);
            }
        }
    }
}
