//! Follows the directories of object files and of pins. An event only means "look again": what is
//! there is compared with what was there, and what differs is loaded, by threads of their own:
//! an object that keeps its loader busy holds up no other.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use notify::{Config, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::files::{self, Found, Stamp};
use super::{Inventory, Origin, Places, pins};

/// How soon a file that is still being written is looked at again.
const UNSETTLED: Duration = Duration::from_millis(100);

/// How often everything is looked at without an event: a directory may appear late, and events
/// may be lost.
const ANYWAY: Duration = Duration::from_secs(5);

/// Loading is verifying, which keeps a CPU busy; one that hangs leaves the others.
const LOADERS: usize = 3;

/// For how long the start waits for files that are still being written.
const FIRST_LOOK: Duration = Duration::from_millis(500);

/// For how long the start waits for the objects that are there.
const START: Duration = Duration::from_secs(20);

/// Follows the places; stopped and joined on drop.
pub struct Watch {
    stop: Option<Sender<()>>,
    inventory: Arc<Inventory>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Loads what there is, then follows. An object that takes long is not waited for.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(inventory: Arc<Inventory>, places: Places) -> io::Result<Watch> {
        let (stop, stopped) = bounded(0);
        let mut watch = Watch {
            stop: Some(stop),
            inventory: Arc::clone(&inventory),
            threads: Vec::new(),
        };
        let (todo, jobs) = unbounded();
        let (loaded, done) = unbounded();
        for _ in 0..LOADERS {
            let (inventory, jobs, loaded) = (Arc::clone(&inventory), jobs.clone(), loaded.clone());
            watch.spawn("cgview-load", move || {
                for (origin, file) in jobs {
                    load(&inventory, &origin, &file);
                    // Nobody wants to know any more at the end.
                    let _ = loaded.send(origin);
                }
            })?;
        }
        let (wake, events) = bounded(1);
        let mut follower = Follower {
            inventory,
            places,
            known: HashMap::new(),
            loading: HashSet::new(),
            todo,
            done,
            events,
            watcher: watcher(wake.clone()),
            _wake: wake,
            watched: HashSet::new(),
        };
        follower.watch();
        follower.first_look();
        follower.wait_for_loaders();
        watch.spawn("cgview-views", move || follower.run(&stopped))?;
        Ok(watch)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.inventory.engine.end();
        // The follower ends first, which leaves the loaders nothing to do.
        for thread in self.threads.drain(..).rev() {
            if thread.join().is_err() {
                log::error!("a thread that follows view objects panicked");
            }
        }
    }
}

struct Follower {
    inventory: Arc<Inventory>,
    places: Places,
    known: HashMap<Origin, (PathBuf, Stamp)>,
    /// What the loaders have not given back yet: nothing else may happen to it meanwhile.
    loading: HashSet<Origin>,
    todo: Sender<(Origin, Found)>,
    done: Receiver<Origin>,
    events: Receiver<()>,
    /// A channel without a sender would be ready all the time.
    _wake: Sender<()>,
    /// Without one, changes are seen a little later.
    watcher: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
}

/// Sends a message when anything has happened; one that waits already is enough.
fn watcher(wake: Sender<()>) -> Option<RecommendedWatcher> {
    let kinds = EventKindMask::CREATE
        | EventKindMask::REMOVE
        | EventKindMask::MODIFY_NAME
        | EventKindMask::MODIFY_META
        | EventKindMask::ACCESS_CLOSE;
    let config = Config::default().with_event_kinds(kinds);
    let handler = move |_| {
        let _ = wake.try_send(());
    };
    RecommendedWatcher::new(handler, config)
        .inspect_err(|error| log::warn!("view objects are looked for every 5 s only: {error}"))
        .ok()
}

impl Follower {
    fn run(&mut self, stopped: &Receiver<()>) {
        let mut again = true;
        loop {
            let wait = if again { UNSETTLED } else { ANYWAY };
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
                default(wait) => {}
            }
            self.watch();
            again = self.look();
        }
    }

    /// A file that was copied just before the start is as good as any other.
    fn first_look(&mut self) {
        let deadline = Instant::now() + FIRST_LOOK;
        while self.look() && Instant::now() < deadline {
            thread::sleep(UNSETTLED);
        }
    }

    fn wait_for_loaders(&mut self) {
        let deadline = Instant::now() + START;
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
        for dir in self.places.files.iter().chain(&self.places.pins) {
            if !dir.is_dir() {
                self.watched.remove(dir);
            } else if !self.watched.contains(dir)
                && watcher.watch(dir, RecursiveMode::Recursive).is_ok()
            {
                self.watched.insert(dir.clone());
            }
        }
    }

    /// Has the inventory made what is there; true when it has to be looked at again soon.
    fn look(&mut self) -> bool {
        let mut found = HashMap::new();
        for dir in &self.places.files {
            found.extend(named(dir, files::is_object, Origin::File));
        }
        for dir in &self.places.pins {
            found.extend(named(dir, pins::is_pin, Origin::Pin));
        }
        let mut again = false;
        self.known.retain(|origin, _| {
            let busy = self.loading.contains(origin);
            let there = found.contains_key(origin);
            again |= busy && !there;
            if !there && !busy {
                self.inventory.dismiss(origin);
            }
            there || busy
        });
        let mut changed: Vec<_> = found.into_iter().collect();
        changed.retain(|(origin, file)| {
            let is_new = self
                .known
                .get(origin)
                .is_none_or(|(at, stamp)| *at != file.at || *stamp != file.stamp);
            let written = matches!(origin, Origin::File(_)) && !file.settled;
            let wait = is_new && (written || self.loading.contains(origin));
            again |= wait;
            is_new && !wait
        });
        changed.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (origin, file) in changed {
            self.known
                .insert(origin.clone(), (file.at.clone(), file.stamp));
            self.loading.insert(origin.clone());
            self.inventory.announce(&origin, &file.at);
            // The loaders are there for as long as this thread.
            let _ = self.todo.send((origin, file));
        }
        again
    }
}

fn load(inventory: &Inventory, origin: &Origin, file: &Found) {
    let loaded = match origin {
        Origin::File(path) => files::read(path).and_then(|elf| {
            let previous = inventory.object(origin);
            let loaded = inventory
                .engine
                .load(&origin.to_string(), &elf, previous.as_deref());
            loaded.map_err(|error| error.to_string())
        }),
        Origin::Pin(path) => pins::adopt(&inventory.engine, path),
        Origin::Builtin(_) => return,
    };
    inventory.admit(origin.clone(), &file.at, loaded);
}

fn named(
    dir: &Path,
    is_one: fn(&str) -> bool,
    origin: fn(PathBuf) -> Origin,
) -> Vec<(Origin, Found)> {
    let found = files::list(dir, is_one).into_iter();
    found
        .map(|file| (origin(file.path.clone()), file))
        .collect()
}
