//! `.cgview/status` and `status.json`: every object and view, used or why not, and the daemon's
//! own health. The text is made of the same values as the JSON.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::bpf::catalog::{CatalogEntry, Origin};
use crate::bpf::manifest::{Manifest, ProgramInfo};
use crate::bpf::run::View;

use crate::fs::CgviewFs;
use crate::fs::errno::Error;

/// Of how many cgroups it is told that they hide a view of their name.
const MOST_COLLISIONS: usize = 16;

/// All that the status files tell.
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
    /// Maps that keep their contents over a replacement, and what became of them.
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
    /// Only while `kernel.bpf_stats_enabled` is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_run_nsec: Option<u64>,
    parts: Vec<ProgramStatus>,
    /// Cgroups of the view's name, in whose parents it has no file; not all if there are many.
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
    /// What there is to tell now.
    pub(super) fn status(&self) -> Status {
        let mirror = self.mirror.health();
        let links = self.links.counts();
        let (open_files, snapshot_bytes) = self.handles.counts();
        let items = self.catalog.entries();
        let collisions = self.collisions(&items);
        let objects = items.iter();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            mounted_since: seconds(self.started),
            health: Health {
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
            },
            objects: objects
                .map(|item| self.object_status(item, &collisions))
                .collect(),
        }
    }

    /// The cgroups that are called like a view.
    fn collisions(&self, items: &[CatalogEntry]) -> Vec<PathBuf> {
        let views = items.iter().flat_map(|item| &item.object);
        let views = views.flat_map(|object| &object.views);
        let names: HashSet<&str> = views.map(|view| view.info().name.as_str()).collect();
        let mut found = self
            .mirror
            .find(|name| name.to_str().is_some_and(|name| names.contains(name)));
        found.sort();
        found
    }

    /// Those cgroups that hide this item's view of their name.
    fn hidden_by_cgroups(
        &self,
        name: &str,
        item: &CatalogEntry,
        collisions: &[PathBuf],
    ) -> Vec<String> {
        let Some(id) = self.catalog.id(name) else {
            return Vec::new();
        };
        let hides = |cgroup: &&PathBuf| {
            let parent = cgroup.parent().map(PathBuf::from).unwrap_or_default();
            let found = self.catalog.find(id, || Ok::<_, Error>(parent));
            cgroup.ends_with(name)
                && matches!(found, Ok(Some(place)) if place.origin == item.origin)
        };
        let hiding = collisions.iter().filter(hides).take(MOST_COLLISIONS);
        hiding
            .map(|cgroup| format!("/{}", cgroup.display()))
            .collect()
    }

    fn object_status(&self, item: &CatalogEntry, collisions: &[PathBuf]) -> ObjectStatus {
        let manifest = item.object.as_ref().map(|object| &object.manifest);
        let nothing = Manifest::default();
        let manifest = manifest.or(item.manifest.as_ref()).unwrap_or(&nothing);
        let loaded: HashMap<&str, &View> = item
            .object
            .iter()
            .flat_map(|object| &object.views)
            .map(|view| (view.info().name.as_str(), &**view))
            .collect();
        let reason = match (&item.unavailable, &item.object) {
            (Some(why), Some(_)) => Some(format!("the one before stays in use: {why}")),
            (why, _) => why.clone(),
        };
        let views = manifest.views.iter().map(|info| {
            let view = loaded.get(info.name.as_str());
            let hidden = self
                .catalog
                .hidden_by(&info.name, &item.placement, &item.origin);
            let runs = view.and_then(|view| view.runs());
            let reason = match (view, &hidden) {
                (None, _) => info.program.unavailable.clone().or_else(|| reason.clone()),
                (Some(_), Some(by)) => Some(hidden_by(by)),
                (Some(_), None) => None,
            };
            ViewStatus {
                name: info.name.clone(),
                kind: if info.record.is_some() {
                    "record"
                } else {
                    "text"
                },
                live: view.is_some() && hidden.is_none(),
                reason,
                verified_insns: info.program.verified_insns,
                runs: runs.map(|runs| runs.count),
                mean_run_nsec: runs.map(|runs| runs.time_nsec / runs.count.max(1)),
                parts: info.sweep.iter().chain(&info.walk).map(program).collect(),
                hidden_by_cgroups: self.hidden_by_cgroups(&info.name, item, collisions),
            }
        });
        ObjectStatus {
            origin: item.origin.to_string(),
            placement: format!("/{}", item.placement.display()),
            since: seconds(item.since),
            live: item.object.is_some(),
            map_bytes: manifest.maps.iter().map(|map| map.size_bytes).sum(),
            views: views.collect(),
            collectors: manifest.collectors.iter().map(program).collect(),
            kept_maps: manifest
                .maps
                .iter()
                .filter_map(|map| {
                    Some(KeptMap {
                        name: map.name.clone(),
                        contents: map.keep.as_ref()?.to_string(),
                    })
                })
                .collect(),
            reason,
        }
    }
}

fn hidden_by(origin: &Origin) -> String {
    format!("the view of the same name from {origin} comes first")
}

fn program(info: &ProgramInfo) -> ProgramStatus {
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
    /// The JSON file.
    pub(super) fn json(&self) -> Vec<u8> {
        // Plain values under string keys always have a JSON form.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// The text file: the health as flat keys, then a line for each object, view and program,
    /// and under it the reason where it is not live.
    pub(super) fn text(&self) -> Vec<u8> {
        let health = &self.health;
        let mut out = format!(
            "version {}\nmounted_since {}\ncgroups {}\nwatches {}\nunwatched {}\nevents {}\n\
             overflows {}\nrescans {}\nlinks {}\nevictions {}\nopen_files {}\nsnapshot_bytes {}\n",
            self.version,
            self.mounted_since,
            health.cgroups,
            health.watches,
            health.unwatched,
            health.events,
            health.overflows,
            health.rescans,
            health.links,
            health.evictions,
            health.open_files,
            health.snapshot_bytes,
        );
        for object in &self.objects {
            object.write(&mut out);
        }
        out.into_bytes()
    }
}

impl ObjectStatus {
    fn write(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "\nobject {} placement {} {} since {} map_bytes {}",
            self.origin,
            self.placement,
            live(self.live),
            self.since,
            self.map_bytes,
        );
        explain(out, "  ", self.reason.as_deref());
        for view in &self.views {
            let state = live(view.live);
            let _ = write!(out, "  view {} {} {state}", view.name, view.kind);
            let _ = write!(out, " verified_insns {}", view.verified_insns);
            if let (Some(runs), Some(mean)) = (view.runs, view.mean_run_nsec) {
                let _ = write!(out, " runs {runs} mean_run_nsec {mean}");
            }
            out.push('\n');
            explain(out, "    ", view.reason.as_deref());
            for cgroup in &view.hidden_by_cgroups {
                let _ = writeln!(out, "    hidden by the cgroup {cgroup}");
            }
            for part in &view.parts {
                part.write(out, "    program");
            }
        }
        for collector in &self.collectors {
            collector.write(out, "  collector");
        }
        for map in &self.kept_maps {
            let _ = writeln!(out, "  map {} contents {}", map.name, map.contents);
        }
    }
}

impl ProgramStatus {
    fn write(&self, out: &mut String, what: &str) {
        let _ = writeln!(
            out,
            "{what} {} {} {} verified_insns {}",
            self.name,
            self.section,
            live(self.live),
            self.verified_insns,
        );
        explain(out, "      ", self.reason.as_deref());
    }
}

fn live(is: bool) -> &'static str {
    if is { "live" } else { "unavailable" }
}

fn explain(out: &mut String, indent: &str, reason: Option<&str>) {
    for line in reason.into_iter().flat_map(str::lines) {
        let _ = writeln!(out, "{indent}because {line}");
    }
}
