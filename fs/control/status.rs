//! `.cgview/status` and `status.json`: each object and view, live or why it is unavailable, and the
//! health of the daemon. Gathers the values once for both files; the text is [text]'s.

mod text;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::bpf::catalog::{CatalogEntry, Origin};
use crate::bpf::manifest::{Manifest, ProgramInfo, ViewInfo};
use crate::bpf::run::View;

use crate::fs::CgviewFs;
use crate::fs::errno::Error;
use crate::printable::is_printable;

/// How many cgroups are listed as hiding one view.
const MAX_COLLISIONS: usize = 16;

/// A longer path of a cgroup is not shown.
const MAX_PATH_BYTES: usize = 4096;

/// The values of the status files.
#[derive(Serialize)]
pub(super) struct Status {
    version: &'static str,
    mounted_since: u64,
    health: Health,
    objects: Vec<ObjectStatus>,
}

#[derive(Serialize)]
struct Health {
    cgroups: usize,
    watches: usize,
    unwatched: usize,
    events: u64,
    overflows: u64,
    rescans: u64,
    links: usize,
    evictions: u64,
    open_files: usize,
    snapshot_bytes: usize,
    max_snapshot_bytes: usize,
}

#[derive(Serialize)]
struct ObjectStatus {
    origin: String,
    placement: String,
    /// Seconds since the epoch.
    since: u64,
    live: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    map_bytes: u64,
    views: Vec<ViewStatus>,
    collectors: Vec<ProgramStatus>,
    /// Maps that keep their contents when the object is replaced, and whether they did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept_maps: Vec<KeptMap>,
}

#[derive(Serialize)]
struct KeptMap {
    name: String,
    contents: String,
}

#[derive(Serialize)]
struct ViewStatus {
    name: String,
    kind: &'static str,
    live: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    verified_insns: u32,
    /// The kernel counts only while `kernel.bpf_stats_enabled` is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_run_nsec: Option<u64>,
    parts: Vec<ProgramStatus>,
    /// Cgroups that hide the view's file by their name; only some if there are many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hidden_by_cgroups: Vec<String>,
}

#[derive(Serialize)]
struct ProgramStatus {
    name: String,
    section: String,
    live: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    verified_insns: u32,
}

impl CgviewFs {
    pub(super) fn status(&self) -> Status {
        let entries = self.catalog.entries();
        let collisions = self.collisions(&entries);
        let object = |entry| self.object_status(entry, &collisions);
        Status {
            version: env!("CARGO_PKG_VERSION"),
            mounted_since: seconds(self.started),
            health: self.health(),
            objects: entries.iter().map(object).collect(),
        }
    }

    fn health(&self) -> Health {
        let mirror = self.mirror.health();
        let links = self.links.counts();
        let (open_files, snapshot_bytes) = self.handles.counts();
        let max_snapshot_bytes = self.handles.memory.max_bytes();
        Health {
            cgroups: mirror.cgroups,
            watches: mirror.watches,
            unwatched: mirror.unwatched,
            events: mirror.events,
            overflows: mirror.overflows,
            rescans: mirror.rescans,
            links: links.live,
            evictions: links.evictions,
            open_files,
            snapshot_bytes,
            max_snapshot_bytes,
        }
    }

    /// The paths of the cgroups that have the name of a view.
    fn collisions(&self, entries: &[CatalogEntry]) -> Vec<PathBuf> {
        let views = entries.iter().flat_map(|entry| &entry.object);
        let views = views.flat_map(|object| &object.views);
        let names: HashSet<&str> = views.map(|view| view.info().name.as_str()).collect();
        let mut found = self
            .mirror
            .find(|name| name.to_str().is_some_and(|name| names.contains(name)));
        found.sort();
        found
    }

    /// The cgroups that hide the view `name` of this object.
    fn hidden_by_cgroups(
        &self,
        name: &str,
        entry: &CatalogEntry,
        collisions: &[PathBuf],
    ) -> Vec<String> {
        let Some(id) = self.catalog.id(name) else {
            return Vec::new();
        };
        let hides = |cgroup: &&PathBuf| {
            let parent = cgroup.parent().map(PathBuf::from).unwrap_or_default();
            let found = self.catalog.find(id, || Ok::<_, Error>(parent));
            cgroup.ends_with(name)
                && matches!(found, Ok(Some(placed)) if placed.origin == entry.origin)
        };
        let hiding = collisions.iter().filter(hides).take(MAX_COLLISIONS);
        hiding.map(|cgroup| shown_path(cgroup)).collect()
    }

    fn object_status(&self, entry: &CatalogEntry, collisions: &[PathBuf]) -> ObjectStatus {
        let manifest = entry.object.as_ref().map(|object| &object.manifest);
        let nothing = Manifest::default();
        let manifest = manifest.or(entry.manifest.as_ref()).unwrap_or(&nothing);
        let loaded: HashMap<&str, &View> = entry
            .object
            .iter()
            .flat_map(|object| &object.views)
            .map(|view| (view.info().name.as_str(), &**view))
            .collect();
        let reason = match (&entry.unavailable, &entry.object) {
            (Some(why), Some(_)) => Some(format!("the one before stays in use: {why}")),
            (why, _) => why.clone(),
        };
        let views = manifest.views.iter().map(|info| {
            let view = loaded.get(info.name.as_str()).copied();
            ViewStatus {
                hidden_by_cgroups: self.hidden_by_cgroups(&info.name, entry, collisions),
                ..self.view_status(info, view, entry, reason.as_deref())
            }
        });
        ObjectStatus {
            origin: entry.origin.to_string(),
            placement: format!("/{}", entry.placement.display()),
            since: seconds(entry.since),
            live: entry.object.is_some(),
            map_bytes: manifest.maps.iter().map(|map| map.size_bytes).sum(),
            views: views.collect(),
            collectors: manifest.collectors.iter().map(program_status).collect(),
            kept_maps: kept_maps(manifest),
            reason,
        }
    }

    /// The status of one view of an object, without the cgroups that hide it. `view` is the loaded
    /// view; `object_reason` is why the object is unavailable.
    fn view_status(
        &self,
        info: &ViewInfo,
        view: Option<&View>,
        entry: &CatalogEntry,
        object_reason: Option<&str>,
    ) -> ViewStatus {
        let hidden = self
            .catalog
            .hidden_by(&info.name, &entry.placement, &entry.origin);
        let reason = match (view, &hidden) {
            (None, _) => info
                .program
                .unavailable
                .as_deref()
                .or(object_reason)
                .map(str::to_owned),
            (Some(_), Some(by)) => Some(hidden_by(by)),
            (Some(_), None) => None,
        };
        let runs = view.and_then(View::runs);
        let is_record = info.record.is_some();
        let parts = info.sweep.iter().chain(&info.walk);
        ViewStatus {
            name: info.name.clone(),
            kind: if is_record { "record" } else { "text" },
            live: view.is_some() && hidden.is_none(),
            reason,
            verified_insns: info.program.verified_insns,
            runs: runs.map(|runs| runs.count),
            mean_run_nsec: runs.map(|runs| runs.time_nsec / runs.count.max(1)),
            parts: parts.map(program_status).collect(),
            hidden_by_cgroups: Vec::new(),
        }
    }
}

/// The path of a cgroup from the root of the mount, unless it is too long for a status.
fn shown_path(cgroup: &Path) -> String {
    let length_bytes = cgroup.as_os_str().len();
    if length_bytes > MAX_PATH_BYTES {
        return format!("(a path of {length_bytes} bytes)");
    }
    format!("/{}", cgroup.display())
}

fn kept_maps(manifest: &Manifest) -> Vec<KeptMap> {
    let maps = manifest.maps.iter().filter_map(|map| {
        Some(KeptMap {
            name: map.name.clone(),
            contents: map.keep.as_ref()?.to_string(),
        })
    });
    maps.collect()
}

fn hidden_by(origin: &Origin) -> String {
    format!("the view of the same name from {origin} comes first")
}

fn program_status(info: &ProgramInfo) -> ProgramStatus {
    ProgramStatus {
        name: info.name.clone(),
        section: info.section.clone(),
        live: info.unavailable.is_none(),
        reason: info.unavailable.clone(),
        verified_insns: info.verified_insns,
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_secs())
}

impl Status {
    /// The bytes of `status.json`.
    pub(super) fn json(&self) -> Vec<u8> {
        // Cannot fail: all keys are strings.
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        let mut printable = String::with_capacity(json.len() + 1);
        for char in json.chars() {
            // Only strings have other characters, and serde_json has escaped those of ASCII.
            if char == '\n' || is_printable(char) {
                printable.push(char);
            } else {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    printable.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        printable.push('\n');
        printable.into_bytes()
    }
}
