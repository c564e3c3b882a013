//! The inotify watches, one per cgroup directory, and the directory that an event belongs to. The
//! follower decides when to add and to remove them.
//!
//! notify identifies a watch by its path, so each watched path must be used for one directory only:
//! - While notify has a watch of a path, watching that path again does nothing, even if another
//!   cgroup has the path now. So the old watch is removed first.
//! - When a watched directory reports that an entry was deleted, notify drops its watch of the
//!   entry's path. That watch may already belong to a new cgroup of the same name. To prevent this,
//!   no watched path is the path of an entry of another watched directory: two descriptors of the
//!   source exist, E and O. A cgroup at even depth has the path `/proc/self/fd/E/a/b`, a cgroup at
//!   odd depth `/proc/self/fd/O/a/b/c`. The watch of `.../E/a/b` reports `.../E/a/b/c`, which is
//!   the path of no watch.

mod instance;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use notify::{ErrorKind, PathOp, UpdatePathsError};

use super::{CgroupId, queue};
use instance::InotifyInstance;

/// Watches per inotify instance before another one is opened. notify compares its whole map of
/// paths at each removal, which takes 0.2 us per watch.
const WATCHES_PER_INSTANCE: usize = 1024;

/// Limit on inotify instances: fs.inotify.max_user_instances is often 128, for all of root's
/// programs together.
const MAX_INSTANCES: usize = 8;

/// Time between two tries to watch the cgroups that have no watch, and between the rescans that
/// stand in for their events.
pub(super) const RESCAN_INTERVAL: Duration =
    Duration::from_millis(if cfg!(test) { 300 } else { 30_000 });

/// The watches of one mirror.
pub(super) struct Watches {
    sender: queue::Sender,
    even_base: PathBuf,
    odd_base: PathBuf,
    /// Keeps the descriptor in `odd_base` open.
    _odd_source: OwnedFd,
    instances: BTreeMap<InstanceNumber, InotifyInstance>,
    next_instance: InstanceNumber,
    by_id: HashMap<CgroupId, Watch>,
    by_path: HashMap<Arc<Path>, CgroupId>,
    unwatched: HashSet<CgroupId>,
    /// A limit was reached: adds nothing until [`Watches::retry`].
    limited: bool,
    warned: bool,
}

type InstanceNumber = u64;

struct Watch {
    path: Arc<Path>,
    instance: InstanceNumber,
}

impl Watches {
    /// No watches yet, for the cgroups below the open directory `source`. The caller keeps it open.
    pub(super) fn new(source: BorrowedFd<'_>, sender: queue::Sender) -> io::Result<Watches> {
        let odd_source = source.try_clone_to_owned()?;
        Ok(Watches {
            sender,
            even_base: path_of(source),
            odd_base: path_of(odd_source.as_fd()),
            _odd_source: odd_source,
            instances: BTreeMap::new(),
            next_instance: 0,
            by_id: HashMap::new(),
            by_path: HashMap::new(),
            unwatched: HashSet::new(),
            limited: false,
            warned: false,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The number of cgroups that should be watched and are not.
    pub(super) fn unwatched(&self) -> usize {
        self.unwatched.len()
    }

    pub(super) fn contains(&self, id: CgroupId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The directory whose watch reported `path`.
    pub(super) fn dir_of(&self, path: &Path) -> Option<CgroupId> {
        self.by_path.get(path.parent()?).copied()
    }

    /// The directory that is watched at `path`.
    pub(super) fn at(&self, path: &Path) -> Option<CgroupId> {
        self.by_path.get(path).copied()
    }

    /// Makes [`Watches::add`] try again after a limit was reached.
    pub(super) fn retry(&mut self) {
        self.limited = false;
    }

    /// Watches these cgroups, each given with its path below the source. Counts those that cannot
    /// be watched.
    pub(super) fn add(&mut self, cgroups: Vec<(CgroupId, PathBuf)>) {
        let with_base = |(id, path): (CgroupId, PathBuf)| (id, self.watched_path(&path));
        let cgroups = cgroups.into_iter().map(with_base).collect();
        self.add_paths(cgroups);
    }

    /// Counts cgroups that cannot be watched.
    pub(super) fn note_unwatched(&mut self, cgroups: Vec<CgroupId>) {
        self.unwatched.extend(cgroups);
    }

    /// Watches one cgroup that is not below the source. The caller keeps `directory` open.
    pub(super) fn add_directory(&mut self, id: CgroupId, directory: BorrowedFd<'_>) {
        self.add_paths(vec![(id, path_of(directory).into())]);
    }

    fn add_paths(&mut self, cgroups: Vec<(CgroupId, Arc<Path>)>) {
        self.unwatched.extend(cgroups.iter().map(|&(id, _)| id));
        if cgroups.is_empty() || self.limited {
            return;
        }
        let Some(instance) = self.instance_with_room() else {
            return;
        };
        let mut operations = Vec::with_capacity(cgroups.len());
        for (id, path) in cgroups {
            operations.push(PathOp::watch_non_recursive(path.to_path_buf()));
            self.insert(id, Watch { path, instance });
        }
        while let Err(error) = self.update(instance, operations) {
            let UpdatePathsError {
                source,
                origin,
                remaining,
            } = error;
            self.warn(&source);
            let Some(origin) = origin else {
                // notify's thread has ended: the instance reports nothing any more.
                self.close(instance);
                self.limited = true;
                return;
            };
            self.forget_path(&origin);
            if matches!(source.kind, ErrorKind::MaxFilesWatch) {
                remaining.iter().for_each(|watch| self.forget_path(watch));
                self.limited = true;
                return;
            }
            operations = remaining;
        }
    }

    /// Removes the watch of a cgroup that is gone or has another path now. Before Linux 7 the
    /// kernel keeps the watch of a removed cgroup directory.
    pub(super) fn remove(&mut self, id: CgroupId) {
        self.unwatched.remove(&id);
        if let Some(watch) = self.forget(id)
            && let Some(instance) = self.instances.get_mut(&watch.instance)
        {
            instance.unwatch(&watch.path);
        }
    }

    /// Closes the inotify instances whose thread has ended, and counts their cgroups as unwatched.
    pub(super) fn close_failed_instances(&mut self) {
        let failed = self.instances.iter().filter(|(_, i)| !i.is_running());
        let failed: Vec<InstanceNumber> = failed.map(|(&number, _)| number).collect();
        for number in failed {
            self.warn(&notify::Error::generic("notify's thread has ended"));
            self.close(number);
        }
    }

    fn close(&mut self, number: InstanceNumber) {
        self.instances.remove(&number);
        let watches = self.by_id.iter().filter(|(_, w)| w.instance == number);
        let ids: Vec<CgroupId> = watches.map(|(&id, _)| id).collect();
        for id in ids {
            self.forget(id);
            self.unwatched.insert(id);
        }
    }

    fn insert(&mut self, id: CgroupId, watch: Watch) {
        if let Some(&other) = self.by_path.get(&watch.path) {
            self.remove(other);
        }
        self.unwatched.remove(&id);
        if let Some(instance) = self.instances.get_mut(&watch.instance) {
            instance.watches += 1;
        }
        self.by_path.insert(Arc::clone(&watch.path), id);
        self.by_id.insert(id, watch);
    }

    fn forget(&mut self, id: CgroupId) -> Option<Watch> {
        let watch = self.by_id.remove(&id)?;
        self.by_path.remove(&watch.path);
        if let Some(instance) = self.instances.get_mut(&watch.instance) {
            instance.watches -= 1;
        }
        Some(watch)
    }

    fn forget_path(&mut self, operation: &PathOp) {
        if let Some(&id) = self.by_path.get(operation.as_path()) {
            self.forget(id);
            self.unwatched.insert(id);
        }
    }

    fn update(
        &mut self,
        number: InstanceNumber,
        operations: Vec<PathOp>,
    ) -> Result<(), UpdatePathsError> {
        match self.instances.get_mut(&number) {
            Some(instance) => instance.update(operations),
            None => Ok(()),
        }
    }

    fn watched_path(&self, below_source: &Path) -> Arc<Path> {
        let is_even = below_source.components().count().is_multiple_of(2);
        let base = if is_even {
            &self.even_base
        } else {
            &self.odd_base
        };
        base.join(below_source).into()
    }

    /// The inotify instance with the fewest watches. Opens another one if all are well filled.
    fn instance_with_room(&mut self) -> Option<InstanceNumber> {
        let least_filled = self.instances.iter().min_by_key(|(_, i)| i.watches);
        let least_filled = least_filled.map(|(&number, instance)| (number, instance.watches));
        if let Some((number, watches)) = least_filled
            && (watches < WATCHES_PER_INSTANCE || self.instances.len() >= MAX_INSTANCES)
        {
            return Some(number);
        }
        match InotifyInstance::open(self.sender.clone()) {
            Ok(instance) => {
                let number = self.next_instance;
                self.next_instance += 1;
                self.instances.insert(number, instance);
                Some(number)
            }
            Err(error) => {
                if least_filled.is_none() {
                    self.limited = true;
                    self.warn(&error);
                }
                least_filled.map(|(number, _)| number)
            }
        }
    }

    fn warn(&mut self, error: &notify::Error) {
        // A cgroup was removed before it was watched, which its parent's watch reports.
        if matches!(error.kind, ErrorKind::PathNotFound) {
            return;
        }
        if !std::mem::replace(&mut self.warned, true) {
            log::warn!("{}", CannotWatch(error));
        }
    }
}

/// A path of an open directory that stays valid as long as the descriptor is open.
fn path_of(directory: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// The message about cgroups that cannot be watched, which is logged once.
struct CannotWatch<'a>(&'a notify::Error);

impl fmt::Display for CannotWatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the paths of the error, which can be many and long.
        let reason = match &self.0.kind {
            ErrorKind::Io(error) => error.to_string(),
            ErrorKind::Generic(reason) => reason.clone(),
            kind => format!("{kind:?}"),
        };
        let advice = match self.0.kind {
            ErrorKind::MaxFilesWatch => "raise fs.inotify.max_user_watches",
            ErrorKind::Generic(_) => "check the limit on threads (pids.max, ulimit -u)",
            _ => "check fs.inotify.max_user_instances and the length of the paths",
        };
        let seconds = RESCAN_INTERVAL.as_secs();
        write!(
            f,
            "cannot watch every cgroup ({reason}): reads stay correct, but resources of removed \
             cgroups are released only every {seconds} s; {advice}"
        )
    }
}
