//! A cgroup's `stats` beside the files of cgroupfs that say the same.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::{MountedCgview, value};

/// The key of a value, cgroupfs' file with the same and, if it is not alone there, the key in it.
const SAME_AS: [(&str, &str, Option<&str>); 15] = [
    ("nr_descendants", "cgroup.stat", Some("nr_descendants")),
    (
        "nr_dying_descendants",
        "cgroup.stat",
        Some("nr_dying_descendants"),
    ),
    ("usage_usec", "cpu.stat", Some("usage_usec")),
    ("user_usec", "cpu.stat", Some("user_usec")),
    ("system_usec", "cpu.stat", Some("system_usec")),
    ("nr_periods", "cpu.stat", Some("nr_periods")),
    ("nr_throttled", "cpu.stat", Some("nr_throttled")),
    ("throttled_usec", "cpu.stat", Some("throttled_usec")),
    ("pids_current", "pids.current", None),
    ("pids_peak", "pids.peak", None),
    ("memory_current_bytes", "memory.current", None),
    ("memory_peak_bytes", "memory.peak", None),
    ("swap_current_bytes", "memory.swap.current", None),
    ("memory_events_high", "memory.events", Some("high")),
    ("memory_events_max", "memory.events", Some("max")),
];

pub const EVENTS: [(&str, &str, Option<&str>); 2] = [
    ("memory_events_oom", "memory.events", Some("oom")),
    ("memory_events_oom_kill", "memory.events", Some("oom_kill")),
];

pub fn same_as() -> impl Iterator<Item = (&'static str, &'static str, Option<&'static str>)> {
    SAME_AS.into_iter().chain(EVENTS)
}

/// A cgroup and its `stats`.
pub struct Watched {
    pub cgroup: PathBuf,
    pub stats: PathBuf,
}

impl Watched {
    pub fn new(mount: &MountedCgview, cgroup: &Path) -> Watched {
        Watched {
            cgroup: cgroup.to_owned(),
            stats: mount.dir_of(cgroup).join("stats"),
        }
    }

    pub fn text(&self) -> String {
        fs::read_to_string(&self.stats).expect("read stats")
    }

    pub fn value(&self, key: &str) -> Option<u64> {
        value(&self.text(), key)
    }

    /// What cgroupfs says, if anything.
    pub fn native(&self, file: &str, key: Option<&str>) -> Option<u64> {
        let text = fs::read_to_string(self.cgroup.join(file)).ok()?;
        match key {
            Some(key) => value(&text, key),
            None => Some(text.trim_end().parse().expect("a number")),
        }
    }

    /// The value, and what cgroupfs says just before and just after.
    pub fn bracketed(&self, key: &str, file: &str, of: &str) -> (u64, RangeInclusive<u64>) {
        let before = self.native(file, Some(of)).expect("cgroupfs has it");
        let shown = self.value(key).expect("the view has it");
        let after = self.native(file, Some(of)).expect("cgroupfs has it");
        (shown, before..=after)
    }

    pub fn assert_same_as_cgroupfs(&self) {
        let text = self.text();
        for (key, file, of) in same_as() {
            assert_eq!(
                value(&text, key),
                self.native(file, of),
                "{key} and {file}:\n{text}"
            );
        }
    }
}
