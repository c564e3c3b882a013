//! The one registry of view objects: which there are, where they come from, at which cgroup they are
//! placed, which view a name means where, and why an object is not used.

mod files;
mod follow;
mod names;
mod trust;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use parking_lot::RwLock;

use super::Builtin;
use super::compile;
use super::manifest::Manifest;
use super::run::{Engine, LoadedObject, View};

pub use follow::{Follow, ViewDirs};
pub use names::{MAX_NAMES, NameId, Placed};

use names::NameIndex;

/// Where an object comes from. The order is that of precedence: where two objects at one placement
/// have a view of the same name, the lesser origin wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// An object file, or a directory of object files that cannot be listed.
    File(PathBuf),
    /// A program that somebody has pinned, or a directory of pins that cannot be listed.
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

/// What the catalog holds for one origin.
#[derive(Clone)]
pub struct CatalogEntry {
    /// Where the object comes from.
    pub origin: Origin,
    /// The cgroup path of its placement, below the mount's root.
    pub placement: PathBuf,
    /// The object in use.
    pub object: Option<Arc<LoadedObject>>,
    /// What is known of an object that cannot be used.
    pub manifest: Option<Manifest>,
    /// Why the origin's present content is not used. An object in use beside that is the one before.
    pub unavailable: Option<String>,
    /// Since when this entry is as it is.
    pub since: SystemTime,
}

/// All view objects of a mount.
pub struct Catalog {
    /// Held for a look-up or a change only, never over a system call or a load.
    state: RwLock<State>,
    /// Dropped last: objects unpin before their file system is unmounted.
    engine: Engine,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Origin, CatalogEntry>,
    names: NameIndex<Arc<View>>,
}

impl Catalog {
    /// An empty catalog whose objects are loaded by `engine`.
    pub fn new(engine: Engine) -> Catalog {
        Catalog {
            state: RwLock::default(),
            engine,
        }
    }

    /// Loads objects that come with the program, side by side. One that cannot be loaded is listed
    /// with the reason, as any other object.
    pub fn load_builtin(&self, builtin: &[Builtin]) {
        let loaded: Vec<_> = thread::scope(|scope| {
            let load = |name, elf| move || self.engine.load(name, elf, None);
            let loaders: Vec<_> = builtin
                .iter()
                .map(|(name, elf)| scope.spawn(load(name, elf)))
                .collect();
            loaders
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect()
        });
        for ((name, _), object) in builtin.iter().zip(loaded) {
            let object = match object {
                Ok(loaded) => loaded.map_err(|error| error.to_string()),
                Err(_) => Err("the thread that loaded it panicked".to_owned()),
            };
            self.admit(Origin::Builtin(name), Path::new(""), object);
        }
    }

    /// Every entry, in the order of precedence.
    pub fn entries(&self) -> Vec<CatalogEntry> {
        self.state.read().entries.values().cloned().collect()
    }

    /// The id of a view's name, if a view has ever had that name.
    pub fn id(&self, name: &str) -> Option<NameId> {
        self.state.read().names.id(name)
    }

    /// The view that a name means in a directory. `path` gives the directory's path; it is called
    /// only when the answer depends on it.
    ///
    /// # Errors
    /// Those of `path`.
    pub fn find<E>(
        &self,
        id: NameId,
        path: impl FnOnce() -> Result<PathBuf, E>,
    ) -> Result<Option<Placed<Arc<View>>>, E> {
        let placed = match self.state.read().names.placed(id) {
            [] => return Ok(None),
            [only] if only.placement.as_os_str().is_empty() => return Ok(Some(only.clone())),
            several => several.to_vec(),
        };
        let path = path()?;
        Ok(names::nearest(&placed, &path).cloned())
    }

    /// The views of the directory with this path.
    pub fn views(&self, path: &Path) -> Vec<(NameId, Arc<View>)> {
        self.state.read().names.nearest_of_each(path)
    }

    /// The view of each name that is in use; of several, the one that is placed nearest to the root.
    pub fn all(&self) -> Vec<(NameId, Arc<View>)> {
        self.state.read().names.topmost_of_each()
    }

    /// The origin whose view of that name comes before the one of `origin` at the same placement.
    pub fn hidden_by(&self, name: &str, placement: &Path, origin: &Origin) -> Option<Origin> {
        self.state.read().names.hidden_by(name, placement, origin)
    }

    /// Removes the object's file or pin, and so its views from every cgroup.
    ///
    /// # Errors
    /// `EPERM` for a built-in object; else the system's error.
    pub fn remove(&self, origin: &Origin) -> io::Result<()> {
        match origin {
            Origin::File(path) | Origin::Pin(path) => std::fs::remove_file(path)?,
            Origin::Builtin(_) => return Err(io::Error::from_raw_os_error(libc::EPERM)),
        }
        self.dismiss(origin);
        Ok(())
    }

    fn object(&self, origin: &Origin) -> Option<Arc<LoadedObject>> {
        self.state.read().entries.get(origin)?.object.clone()
    }

    /// Loads what a file or a pin holds now, in the place of what it held before.
    fn load(&self, origin: &Origin, placement: &Path) {
        let loaded = match origin {
            Origin::File(path) => files::read(path).and_then(|bytes| {
                let elf = compile::to_object(path, bytes, &|| self.engine.ends())?;
                let previous = self.object(origin);
                let loaded = self
                    .engine
                    .load(&origin.to_string(), &elf, previous.as_deref());
                loaded.map_err(|error| error.to_string())
            }),
            Origin::Pin(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                self.engine.adopt(&name, path)
            }
            Origin::Builtin(_) => return,
        };
        self.admit(origin.clone(), placement, loaded);
    }

    /// Lists an object that is about to be loaded, where there is none yet.
    fn announce(&self, origin: &Origin, placement: &Path) {
        let mut state = self.state.write();
        let entry = state.entries.entry(origin.clone());
        let reason = "it is being loaded".to_owned();
        entry.or_insert_with(|| CatalogEntry::unavailable(origin, placement, reason));
    }

    /// Lists a directory that cannot be listed itself.
    fn announce_unreadable(&self, origin: &Origin, placement: &Path, reason: String) {
        log::warn!("list view objects in {origin}: {reason}; what was there before stays in use");
        let entry = CatalogEntry::unavailable(origin, placement, reason);
        self.state.write().entries.insert(origin.clone(), entry);
    }

    /// Puts an object in the place of what its origin had before. An object that cannot be used is
    /// listed with the reason, and the one before stays in use.
    fn admit(&self, origin: Origin, placement: &Path, loaded: Result<LoadedObject, String>) {
        let (object, manifest, mut unavailable) = match loaded {
            Ok(object) => match object.unusable() {
                None => (Some(Arc::new(object)), None, None),
                Some(reason) => (None, Some(object.manifest), Some(reason)),
            },
            Err(reason) => (None, None, Some(reason)),
        };
        let mut state = self.state.write();
        let before = state.entries.remove(&origin);
        let mut in_use = before.as_ref().and_then(|entry| entry.object.clone());
        let mut replaced = Vec::new();
        if let Some(object) = object {
            match state.names.put(&origin, placement, &object.views) {
                Ok(views) => {
                    replaced = views;
                    in_use = Some(object);
                }
                Err(reason) => unavailable = Some(reason),
            }
        }
        let entry = CatalogEntry {
            origin: origin.clone(),
            placement: placement.to_owned(),
            object: in_use,
            manifest,
            unavailable: unavailable.clone(),
            since: SystemTime::now(),
        };
        state.entries.insert(origin.clone(), entry);
        drop(state);
        if let Some(reason) = unavailable {
            log::warn!("view object {origin} is not used: {reason}");
        }
        // The last user of an object unpins it, which must not happen under the lock.
        drop((before, replaced));
    }

    /// Takes an origin and its views out.
    fn dismiss(&self, origin: &Origin) {
        let mut state = self.state.write();
        let views = state.names.take(origin);
        let entry = state.entries.remove(origin);
        drop(state);
        // Unpins, as above.
        drop((views, entry));
    }
}

impl CatalogEntry {
    fn unavailable(origin: &Origin, placement: &Path, reason: String) -> CatalogEntry {
        CatalogEntry {
            origin: origin.clone(),
            placement: placement.to_owned(),
            object: None,
            manifest: None,
            unavailable: Some(reason),
            since: SystemTime::now(),
        }
    }
}

impl LoadedObject {
    /// Why no view of the object can be read.
    fn unusable(&self) -> Option<String> {
        if !self.views.is_empty() {
            return None;
        }
        Some(self.manifest.first_reason().unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::bpf::run::{Links, OwnBpffs, Settings};

    #[test]
    #[ignore = "needs root and bpffs"]
    fn a_built_in_object_without_a_loader_is_listed_and_the_others_are_loaded() {
        let mountpoint =
            std::env::temp_dir().join(format!("cgview-catalog-{}", std::process::id()));
        let bpffs = OwnBpffs::mount(&mountpoint).expect("mount bpffs");
        let links = Arc::new(Links::new(NonZeroUsize::MIN));
        let source = std::fs::File::open("/").expect("open").into();
        let settings = Settings {
            ids_name_cgroups: true,
            max_sweep_bytes: 1 << 20,
        };
        let engine = Engine::new(bpffs, links, source, settings).expect("make an engine");
        // From here on no loader is started.
        engine.end();
        let catalog = Catalog::new(engine);
        catalog.load_builtin(&[("one", b""), ("two", b"")]);
        let entries = catalog.entries();
        let names: Vec<_> = entries.iter().map(|it| it.origin.to_string()).collect();
        assert_eq!(names, ["builtin:one", "builtin:two"]);
        for entry in entries {
            let reason = entry.unavailable.expect("a reason");
            assert!(reason.contains("run the loader for"), "{reason}");
        }
    }
}
