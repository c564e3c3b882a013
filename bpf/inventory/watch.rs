//! Follows the directories of object files and of pins. An event only means "look again": what is
//! there is compared with what was there, and what differs is loaded.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use notify::{Config, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;

use super::files::{self, Found, Stamp};
use super::{Inventory, Origin, Places, pins};

/// How soon a file that is still being written is looked at again.
const UNSETTLED: Duration = Duration::from_millis(100);

/// How often everything is looked at without an event: a directory may appear late, and events
/// may be lost.
const ANYWAY: Duration = Duration::from_secs(5);

/// Loading is verifying, which keeps a CPU busy.
const LOADERS: usize = 2;

/// Follows the places; stopped and joined on drop.
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Loads what there is, then follows.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(inventory: Arc<Inventory>, places: Places) -> io::Result<Watch> {
        let (stop, stopped) = bounded(0);
        let (wake, events) = bounded(1);
        let mut follower = Follower {
            inventory,
            places,
            known: HashMap::new(),
            events,
            watcher: watcher(wake),
            watched: HashSet::new(),
        };
        follower.watch();
        follower.look();
        let thread = thread::Builder::new()
            .name("cgview-views".to_owned())
            .spawn(move || follower.run(&stopped))?;
        Ok(Watch {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that follows view objects panicked");
        }
    }
}

struct Follower {
    inventory: Arc<Inventory>,
    places: Places,
    known: HashMap<Origin, (PathBuf, Stamp)>,
    events: Receiver<()>,
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
        let mut unsettled = false;
        loop {
            let wait = if unsettled { UNSETTLED } else { ANYWAY };
            select! {
                recv(stopped) -> _ => return,
                recv(self.events) -> _ => {}
                default(wait) => {}
            }
            self.watch();
            unsettled = self.look();
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

    /// Makes the inventory what is there; true when something is still being written.
    fn look(&mut self) -> bool {
        let mut found = Vec::new();
        for dir in &self.places.files {
            found.extend(named(dir, files::is_object, Origin::File));
        }
        for dir in &self.places.pins {
            found.extend(named(dir, pins::is_pin, Origin::Pin));
        }
        self.known.retain(|origin, _| {
            let there = found.iter().any(|(found, _)| found == origin);
            if !there {
                self.inventory.dismiss(origin);
            }
            there
        });
        let mut unsettled = false;
        let mut changed = Vec::new();
        for (origin, file) in found {
            let now = (file.at.clone(), file.stamp);
            if self.known.get(&origin) == Some(&now) {
                continue;
            }
            if matches!(origin, Origin::File(_)) && !file.settled {
                unsettled = true;
                continue;
            }
            self.known.insert(origin.clone(), now);
            changed.push((origin, file));
        }
        self.load(changed);
        unsettled
    }

    fn load(&self, changed: Vec<(Origin, Found)>) {
        let todo = Mutex::new(changed.into_iter());
        let inventory = &self.inventory;
        let work = || {
            loop {
                let Some((origin, file)) = todo.lock().next() else {
                    return;
                };
                let loaded = match &origin {
                    Origin::File(path) => files::read(path).and_then(|elf| {
                        let loaded = inventory.engine.load(&origin.to_string(), &elf);
                        loaded.map_err(|error| error.to_string())
                    }),
                    Origin::Pin(path) => pins::adopt(&inventory.engine, path),
                    Origin::Builtin(_) => continue,
                };
                inventory.admit(origin, &file.at, loaded);
            }
        };
        thread::scope(|scope| {
            for _ in 1..LOADERS {
                scope.spawn(work);
            }
            work();
        });
    }
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
