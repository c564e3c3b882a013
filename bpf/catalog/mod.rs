//! Which view objects there are: built in, as files in the directories that are watched, and
//! pinned by others. Loads what is new, replaces what has changed, drops what is gone, and keeps
//! for each the reason why it is not used.

mod files;
mod follow;
mod pins;
mod placement;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::manifest::Manifest;
use super::run::{Engine, Object};
use super::{Builtin, Error};

pub use follow::Watch;
pub use placement::{Catalog, MOST_NAMES, NameId, Placement};

/// Where an object comes from. The order is that of precedence: where two objects at the same
/// placement have a view of the same name, the lesser one wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// An object file.
    File(PathBuf),
    /// A program that somebody has pinned.
    Pin(PathBuf),
    /// Part of this program.
    Builtin(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) | Origin::Pin(path) => path.display().fmt(f),
            Origin::Builtin(name) => write!(f, "builtin:{name}"),
        }
    }
}

/// An object that there is, used or not.
#[derive(Clone)]
pub struct Item {
    /// Where it comes from.
    pub origin: Origin,
    /// The cgroup path of its placement, below the mount's root.
    pub at: PathBuf,
    /// What is loaded of it.
    pub object: Option<Arc<Object>>,
    /// What the kernel or libbpf found out about an object that cannot be used.
    pub manifest: Option<Manifest>,
    /// Why what is there now is not used. With an object that is loaded: the one before it stays.
    pub refused: Option<String>,
    /// When it came to this.
    pub since: SystemTime,
}

/// Who shows the views.
pub trait Shelf: Send + Sync {
    /// Shows an object's views at a placement, in the place of what the origin had before.
    ///
    /// # Errors
    /// Why they cannot be shown, to be reported.
    fn put(&self, origin: &Origin, at: &Path, object: &Arc<Object>) -> Result<(), String>;

    /// Shows the views of this origin no more.
    fn take(&self, origin: &Origin);
}

/// Where to look for objects besides those built in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Directories with object files.
    pub files: Vec<PathBuf>,
    /// Directories in bpffs with programs that others pin.
    pub pins: Vec<PathBuf>,
}

/// All objects.
pub struct Inventory {
    /// Held for a look-up or a change only; never while an object is loaded.
    items: Mutex<BTreeMap<Origin, Item>>,
    shelf: Arc<dyn Shelf>,
    /// Last: objects are unpinned before their file system is unmounted.
    engine: Engine,
}

impl Inventory {
    /// An empty inventory.
    pub fn new(engine: Engine, shelf: Arc<dyn Shelf>) -> Inventory {
        Inventory {
            items: Mutex::default(),
            shelf,
            engine,
        }
    }

    /// Loads objects that come with the program.
    ///
    /// # Errors
    /// When no object can be loaded at all here; one that this kernel does not take is reported
    /// as refused.
    pub fn load_builtin(&self, builtin: &[Builtin]) -> Result<(), Error> {
        let loaded: Vec<_> = thread::scope(|scope| {
            // Each is a process of its own, so they may as well run side by side.
            let load = |elf| move || self.engine.load("built in", elf, None);
            let loaders: Vec<_> = builtin
                .iter()
                .map(|(_, elf)| scope.spawn(load(elf)))
                .collect();
            loaders
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect()
        });
        for ((name, _), object) in builtin.iter().zip(loaded) {
            let object = object.map_err(|_| Error::Loader {
                object: (*name).to_owned(),
                source: io::Error::other("its thread panicked"),
            })??;
            self.admit(Origin::Builtin(name), Path::new(""), Ok(object));
        }
        Ok(())
    }

    /// All objects, in the order of precedence.
    pub fn items(&self) -> Vec<Item> {
        self.items.lock().values().cloned().collect()
    }

    /// What is loaded of an origin.
    fn object(&self, origin: &Origin) -> Option<Arc<Object>> {
        self.items.lock().get(origin)?.object.clone()
    }

    /// Tells of an object that is about to be loaded, where there is none yet.
    fn announce(&self, origin: &Origin, at: &Path) {
        let mut items = self.items.lock();
        let item = items.entry(origin.clone());
        item.or_insert_with(|| Item {
            origin: origin.clone(),
            at: at.to_owned(),
            object: None,
            manifest: None,
            refused: Some("it is being loaded".to_owned()),
            since: SystemTime::now(),
        });
    }

    /// Puts an object in the place of what its origin had before; one that cannot be used is
    /// reported and changes nothing else.
    fn admit(&self, origin: Origin, at: &Path, loaded: Result<Object, String>) {
        let mut manifest = None;
        let loaded = loaded.and_then(|object| match object.manifest.error.clone() {
            Some(reason) => {
                manifest = Some(object.manifest);
                Err(reason)
            }
            None if object.views.is_empty() => {
                let reason = object.manifest.unusable().unwrap_or_default().to_owned();
                manifest = Some(object.manifest);
                Err(reason)
            }
            None => Ok(Arc::new(object)),
        });
        let shown = loaded.and_then(|object| {
            self.shelf.put(&origin, at, &object)?;
            Ok(object)
        });
        let mut items = self.items.lock();
        let before = items.remove(&origin);
        let (object, refused) = match shown {
            Ok(object) => (Some(object), None),
            Err(reason) => {
                log::warn!("view object {origin} is not used: {reason}");
                (
                    before.as_ref().and_then(|item| item.object.clone()),
                    Some(reason),
                )
            }
        };
        let item = Item {
            origin: origin.clone(),
            at: at.to_owned(),
            object,
            manifest,
            refused,
            since: SystemTime::now(),
        };
        items.insert(origin, item);
        drop(items);
        // Unpins, once nothing else uses it.
        drop(before);
    }

    fn dismiss(&self, origin: &Origin) {
        self.shelf.take(origin);
        let gone = self.items.lock().remove(origin);
        drop(gone);
    }

    /// Removes the object's file or pin, and so its views from every cgroup.
    ///
    /// # Errors
    /// When there is none to remove (`EPERM`), or the system's own.
    pub fn remove(&self, origin: &Origin) -> io::Result<()> {
        match origin {
            Origin::File(path) | Origin::Pin(path) => std::fs::remove_file(path)?,
            Origin::Builtin(_) => return Err(io::Error::from_raw_os_error(libc::EPERM)),
        }
        self.dismiss(origin);
        Ok(())
    }
}
