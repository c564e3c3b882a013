//! Follows the directories of object files and of pins. An event only means "look again": what is
//! there is compared with what was there, and what differs is loaded. Loads have threads apart, so
//! that an object which keeps its loader busy holds up no other.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use notify::{Config, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::files::{self, Found, Listing, Stamp};
use super::{Catalog, Origin};

/// How soon a file that is being written is looked at again.
const UNSETTLED_INTERVAL: Duration = Duration::from_millis(100);

/// How often everything is looked at without an event: a directory may appear late, and events may
/// be lost.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Threads that load. Verifying keeps a CPU busy; a load that hangs leaves the other threads.
const LOADERS: usize = 3;

/// How long the start waits for files that are being written.
const START_SETTLE: Duration = Duration::from_millis(500);

/// How long the start waits for the objects that are there.
const START_LOAD: Duration = Duration::from_secs(20);

/// Where view objects come from besides the built-in ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewDirs {
    /// Directories with object files.
    pub files: Vec<PathBuf>,
    /// Directories in bpffs with programs that others pin.
    pub pins: Vec<PathBuf>,
}

/// Follows the directories; its threads end when it is dropped.
pub struct Follow {
    stop: Option<Sender<()>>,
    catalog: Arc<Catalog>,
    threads: Vec<JoinHandle<()>>,
}

impl Follow {
    /// Loads what is there, then follows. An object that takes long is not waited for.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(catalog: Arc<Catalog>, dirs: ViewDirs) -> io::Result<Follow> {
        let (stop, stopped) = bounded(0);
        let mut follow = Follow {
            stop: Some(stop),
            catalog: Arc::clone(&catalog),
            threads: Vec::new(),
        };
        let (todo, jobs) = unbounded::<(Origin, PathBuf)>();
        let (loaded, done) = unbounded();
        for _ in 0..LOADERS {
            let (catalog, jobs, loaded) = (Arc::clone(&catalog), jobs.clone(), loaded.clone());
            follow.spawn("cgview-load", move || {
                for (origin, placement) in jobs {
                    catalog.load(&origin, &placement);
                    // At the end nobody receives.
                    let _ = loaded.send(origin);
                }
            })?;
        }
        let mut directories = Directories::new(catalog, dirs, todo, done);
        directories.watch();
        directories.first_look();
        directories.wait_for_loads();
        follow.spawn("cgview-views", move || directories.run(&stopped))?;
        Ok(follow)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.catalog.engine.end();
        // The last thread is the one that gives the others work.
        for thread in self.threads.drain(..).rev() {
            if thread.join().is_err() {
                log::error!("a thread that follows view objects panicked");
            }
        }
    }
}

/// The state of the following thread.
struct Directories {
    catalog: Arc<Catalog>,
    dirs: ViewDirs,
    known: HashMap<Origin, (PathBuf, Stamp)>,
    /// Directories that could not be listed at the last look.
    unreadable: HashSet<Origin>,
    /// Objects that are with the loading threads; nothing else may happen to them meanwhile.
    loading: HashSet<Origin>,
    todo: Sender<(Origin, PathBuf)>,
    done: Receiver<Origin>,
    events: Receiver<()>,
    /// A channel without a sender would be ready all the time.
    _wake: Sender<()>,
    /// Without one, changes are seen at the next poll.
    watcher: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
}

/// Sends a message when anything has happened, unless one waits already.
fn watcher(wake: Sender<()>) -> Option<RecommendedWatcher> {
    let kinds = EventKindMask::CREATE
        | EventKindMask::REMOVE
        | EventKindMask::MODIFY_NAME
        | EventKindMask::MODIFY_META
        | EventKindMask::ACCESS_CLOSE;
    let config = Config::default()
        .with_event_kinds(kinds)
        .with_follow_symlinks(false);
    let handler = move |_| {
        let _ = wake.try_send(());
    };
    let seconds = POLL_INTERVAL.as_secs();
    RecommendedWatcher::new(handler, config)
        .inspect_err(|error| {
            log::warn!(
                "watch the directories of view objects: {error}; they are polled every {seconds} s"
            );
        })
        .ok()
}

impl Directories {
    fn new(
        catalog: Arc<Catalog>,
        dirs: ViewDirs,
        todo: Sender<(Origin, PathBuf)>,
        done: Receiver<Origin>,
    ) -> Directories {
        let (wake, events) = bounded(1);
        Directories {
            catalog,
            dirs,
            known: HashMap::new(),
            unreadable: HashSet::new(),
            loading: HashSet::new(),
            todo,
            done,
            events,
            watcher: watcher(wake.clone()),
            _wake: wake,
            watched: HashSet::new(),
        }
    }

    fn run(&mut self, stopped: &Receiver<()>) {
        let mut again = true;
        loop {
            let interval = if again {
                UNSETTLED_INTERVAL
            } else {
                POLL_INTERVAL
            };
            select! {
                recv(stopped) -> _ => return,
                recv(self.events) -> _ => {}
                recv(self.done) -> loaded => {
                    if let Ok(origin) = loaded {
                        self.loading.remove(&origin);
                    }
                    if !again {
                        continue;
                    }
                }
                default(interval) => {}
            }
            self.watch();
            again = self.look();
        }
    }

    /// Waits for files that were copied just before the start.
    fn first_look(&mut self) {
        let deadline = Instant::now() + START_SETTLE;
        while self.look() && Instant::now() < deadline {
            thread::sleep(UNSETTLED_INTERVAL);
        }
    }

    fn wait_for_loads(&mut self) {
        let deadline = Instant::now() + START_LOAD;
        while !self.loading.is_empty() {
            let Ok(loaded) = self.done.recv_deadline(deadline) else {
                log::warn!("{} view objects are still being loaded", self.loading.len());
                return;
            };
            self.loading.remove(&loaded);
        }
    }

    /// Watches the directories that are there by now.
    fn watch(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for dir in self.dirs.files.iter().chain(&self.dirs.pins) {
            if !dir.is_dir() {
                self.watched.remove(dir);
            } else if !self.watched.contains(dir)
                && watcher.watch(dir, RecursiveMode::Recursive).is_ok()
            {
                self.watched.insert(dir.clone());
            }
        }
    }

    /// Brings the catalog up to what is there. True when something has to be looked at again soon.
    fn look(&mut self) -> bool {
        let mut found = HashMap::new();
        let mut unreadable = HashMap::new();
        for (dirs, is_one, origin) in [
            (
                &self.dirs.files,
                files::is_object as fn(&str) -> bool,
                Origin::File as fn(_) -> _,
            ),
            (&self.dirs.pins, files::is_pin, Origin::Pin),
        ] {
            for dir in dirs {
                let listing = files::list(dir, is_one);
                let Listing {
                    found: files,
                    unreadable: failed,
                } = listing;
                found.extend(files.into_iter().map(|one| (origin(one.path.clone()), one)));
                let failed = failed.into_iter();
                unreadable.extend(failed.map(|one| (origin(one.path.clone()), one)));
            }
        }
        for (origin, dir) in &unreadable {
            if !self.unreadable.contains(origin) {
                let reason = format!("the directory cannot be listed: {}", dir.error);
                self.catalog
                    .announce_unreadable(origin, &dir.placement, reason);
            }
        }
        for origin in &self.unreadable {
            if !unreadable.contains_key(origin) {
                self.catalog.dismiss(origin);
            }
        }
        self.unreadable = unreadable.into_keys().collect();
        let gone_again = self.dismiss_gone(&found);
        let load_again = self.load_changed(found);
        gone_again || load_again
    }

    /// What is in a directory that cannot be listed is not known to be gone.
    fn dismiss_gone(&mut self, found: &HashMap<Origin, Found>) -> bool {
        let mut again = false;
        let Directories {
            known,
            unreadable,
            loading,
            catalog,
            ..
        } = self;
        known.retain(|origin, _| {
            let there =
                found.contains_key(origin) || unreadable.iter().any(|dir| dir.holds(origin));
            let busy = loading.contains(origin);
            again |= busy && !there;
            if !there && !busy {
                catalog.dismiss(origin);
            }
            there || busy
        });
        again
    }

    fn load_changed(&mut self, found: HashMap<Origin, Found>) -> bool {
        let mut again = false;
        let mut changed: Vec<_> = found.into_iter().collect();
        changed.retain(|(origin, file)| {
            let is_new = self.known.get(origin).is_none_or(|(placement, stamp)| {
                *placement != file.placement || *stamp != file.stamp
            });
            let being_written = matches!(origin, Origin::File(_)) && !file.settled;
            let wait = is_new && (being_written || self.loading.contains(origin));
            again |= wait;
            is_new && !wait
        });
        changed.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (origin, file) in changed {
            self.known
                .insert(origin.clone(), (file.placement.clone(), file.stamp));
            self.loading.insert(origin.clone());
            self.catalog.announce(&origin, &file.placement);
            // The loading threads live as long as this one.
            let _ = self.todo.send((origin, file.placement));
        }
        again
    }
}

impl Origin {
    /// Whether `other` lies in this directory.
    fn holds(&self, other: &Origin) -> bool {
        match (self, other) {
            (Origin::File(dir), Origin::File(path)) | (Origin::Pin(dir), Origin::Pin(path)) => {
                path.starts_with(dir)
            }
            (Origin::File(_) | Origin::Pin(_) | Origin::Builtin(_), _) => false,
        }
    }
}
