//! The inotify watches, one a cgroup directory, and which directory an event is about. When to
//! place and remove them, and what an event means, is the follower's.
//!
//! notify keeps watches in a map by path, with three traps for directories that come and go. To
//! watch a path that it holds does nothing, even if the directory is another one now. On DELETE it
//! drops the watch of that path, which may be the new directory's by then. And each removal walks
//! the whole map, 0.2 us an entry.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use notify::event::{Event, EventKindMask};
use notify::{Config, ErrorKind, INotifyWatcher, PathOp, UpdatePathsError, Watcher};

use super::CgroupId;
use super::queue::Inbox;

/// Watches in one inotify instance before the next is opened: bounds what a removal costs.
const INSTANCE_WATCHES: usize = 1024;

/// Instances at most: `max_user_instances` is often 128 for all of root's programs together.
const INSTANCES_MAX: usize = 8;

/// The watches of one mirror.
pub(super) struct Watches {
    inbox: Inbox,
    /// Directories of odd depth are named through a second descriptor of the source, so that no
    /// watched path is another's child and notify drops no watch on its own account.
    bases: [PathBuf; 2],
    /// Keeps the number in the second base ours.
    _second_source: OwnedFd,
    instances: Vec<Instance>,
    by_id: HashMap<CgroupId, (Arc<Path>, usize)>,
    by_path: HashMap<Arc<Path>, CgroupId>,
    unwatched: HashSet<CgroupId>,
    /// A limit was met: no further try until [`Watches::retry`].
    full: bool,
    warned: bool,
}

struct Instance {
    watcher: INotifyWatcher,
    watches: usize,
}

impl Watches {
    /// No watches yet, on the cgroups below the open directory `source`, which must stay open.
    pub(super) fn new(source: BorrowedFd<'_>, inbox: Inbox) -> io::Result<Watches> {
        let second_source = source.try_clone_to_owned()?;
        let fds = [source.as_raw_fd(), second_source.as_raw_fd()];
        Ok(Watches {
            inbox,
            bases: fds.map(|fd| PathBuf::from(format!("/proc/self/fd/{fd}"))),
            _second_source: second_source,
            instances: Vec::new(),
            by_id: HashMap::new(),
            by_path: HashMap::new(),
            unwatched: HashSet::new(),
            full: false,
            warned: false,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many cgroups should be watched and are not.
    pub(super) fn unwatched(&self) -> usize {
        self.unwatched.len()
    }

    pub(super) fn contains(&self, id: CgroupId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The directory whose watch reported `touched`, a path below it.
    pub(super) fn dir_of(&self, touched: &Path) -> Option<CgroupId> {
        self.by_path.get(touched.parent()?).copied()
    }

    /// After a limit was met, lets the next [`Watches::add`] try again.
    pub(super) fn retry(&mut self) {
        self.full = false;
    }

    /// Watches these cgroups, each given with its path below the source. Those that cannot be
    /// watched are counted.
    pub(super) fn add(&mut self, cgroups: Vec<(CgroupId, PathBuf)>) {
        self.unwatched.extend(cgroups.iter().map(|&(id, _)| id));
        let Some(at) = self.instance_with_room().filter(|_| !cgroups.is_empty()) else {
            return;
        };
        let mut ops = Vec::with_capacity(cgroups.len());
        for (id, path) in cgroups {
            let path = self.watched_path(&path);
            ops.push(PathOp::watch_non_recursive(path.to_path_buf()));
            self.enter(id, path, at);
        }
        while let Err(UpdatePathsError {
            source,
            origin,
            remaining,
        }) = self.update(at, ops)
        {
            self.leave_path(origin);
            self.full = matches!(source.kind, ErrorKind::MaxFilesWatch);
            self.warn(&source);
            if self.full {
                remaining
                    .into_iter()
                    .for_each(|op| self.leave_path(Some(op)));
                break;
            }
            ops = remaining;
        }
    }

    /// Removes the watch of a cgroup that is gone or has another path now. Before Linux 7 the
    /// kernel keeps the watch of a removed cgroup directory.
    pub(super) fn remove(&mut self, id: CgroupId) {
        self.unwatched.remove(&id);
        let Some((path, at)) = self.leave(id) else {
            return;
        };
        if let Some(instance) = self.instances.get_mut(at)
            && let Err(error) = instance.watcher.unwatch(&path)
        {
            // Where the kernel removes the watch, notify may have heard of that first.
            log::debug!("unwatch cgroup {id}: {error}");
        }
    }

    fn enter(&mut self, id: CgroupId, path: Arc<Path>, at: usize) {
        if let Some(&other) = self.by_path.get(&path) {
            self.remove(other);
        }
        self.unwatched.remove(&id);
        self.by_path.insert(Arc::clone(&path), id);
        self.by_id.insert(id, (path, at));
        if let Some(instance) = self.instances.get_mut(at) {
            instance.watches += 1;
        }
    }

    fn leave(&mut self, id: CgroupId) -> Option<(Arc<Path>, usize)> {
        let (path, at) = self.by_id.remove(&id)?;
        self.by_path.remove(&path);
        if let Some(instance) = self.instances.get_mut(at) {
            instance.watches -= 1;
        }
        Some((path, at))
    }

    fn leave_path(&mut self, op: Option<PathOp>) {
        let id = op.and_then(|op| self.by_path.get(op.as_path()).copied());
        if let Some(id) = id {
            self.leave(id);
            self.unwatched.insert(id);
        }
    }

    fn update(&mut self, at: usize, ops: Vec<PathOp>) -> Result<(), UpdatePathsError> {
        match self.instances.get_mut(at) {
            Some(instance) => instance.watcher.update_paths(ops),
            None => Ok(()),
        }
    }

    fn watched_path(&self, path: &Path) -> Arc<Path> {
        let [even, odd] = &self.bases;
        let is_even = path.components().count().is_multiple_of(2);
        let base = if is_even { even } else { odd };
        base.join(path).into()
    }

    /// The index of the emptiest instance, opening one when all are well filled.
    fn instance_with_room(&mut self) -> Option<usize> {
        if self.full {
            return None;
        }
        let emptiest = (0..self.instances.len()).min_by_key(|&at| self.instances[at].watches);
        let crowded = emptiest.is_none_or(|at| self.instances[at].watches >= INSTANCE_WATCHES);
        if !crowded || self.instances.len() >= INSTANCES_MAX {
            return emptiest;
        }
        match open_instance(self.inbox.clone()) {
            Ok(watcher) => {
                self.instances.push(Instance {
                    watcher,
                    watches: 0,
                });
                Some(self.instances.len() - 1)
            }
            Err(error) => {
                if emptiest.is_none() {
                    self.full = true;
                    self.warn(&error);
                }
                emptiest
            }
        }
    }

    fn warn(&mut self, error: &notify::Error) {
        // A cgroup removed before it was watched: its parent's watch tells.
        if matches!(error.kind, ErrorKind::PathNotFound) {
            return;
        }
        if !std::mem::replace(&mut self.warned, true) {
            log::warn!("{}", Unwatched(error));
        }
    }
}

/// The one message about watches that cannot be placed.
struct Unwatched<'a>(&'a notify::Error);

impl fmt::Display for Unwatched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without its paths, which may be many and long.
        let reason = match &self.0.kind {
            ErrorKind::Io(error) => error.to_string(),
            ErrorKind::Generic(reason) => reason.clone(),
            kind => format!("{kind:?}"),
        };
        let advice = match self.0.kind {
            ErrorKind::MaxFilesWatch => "raise fs.inotify.max_user_watches",
            _ => "see fs.inotify.max_user_instances and the length of the path",
        };
        let seconds = super::follow::RESCAN_INTERVAL.as_secs();
        write!(
            f,
            "cannot watch every cgroup ({reason}): reads stay right, but what a removed cgroup held \
             is released only every {seconds} s; {advice}"
        )
    }
}

/// An inotify instance that reports names created, removed and renamed, and nothing else: opens
/// and reads of cgroup files, which are frequent, do not wake us.
fn open_instance(inbox: Inbox) -> notify::Result<INotifyWatcher> {
    let kinds = EventKindMask::CREATE | EventKindMask::REMOVE | EventKindMask::MODIFY_NAME;
    INotifyWatcher::new(
        move |event| report(&inbox, event),
        Config::default().with_event_kinds(kinds),
    )
}

/// Runs on notify's thread, which places the watches too: it must never wait for the follower.
fn report(inbox: &Inbox, event: notify::Result<Event>) {
    match event {
        Ok(event) if event.need_rescan() => inbox.lost(),
        Ok(event) => event.paths.into_iter().for_each(|path| inbox.touched(path)),
        Err(error) => {
            log::debug!("inotify: {error}");
            inbox.lost();
        }
    }
}
