//! The text of `.cgview/status`, made of the same values as the JSON.

use std::fmt::Write as _;

use crate::printable::one_line;

use super::{Health, ObjectStatus, ProgramStatus, Status, ViewStatus};

impl Status {
    /// The bytes of `status`: the health as flat keys, then a line for each object, view and
    /// program, each followed by the reason if it is unavailable.
    pub(in crate::fs::control) fn text(&self) -> Vec<u8> {
        let mut out = format!(
            "version {}\nmounted_since {}\n",
            self.version, self.mounted_since
        );
        self.health.write(&mut out);
        for object in &self.objects {
            object.write(&mut out);
        }
        out.into_bytes()
    }
}

impl Health {
    fn write(&self, out: &mut String) {
        let numbers = [
            ("cgroups", self.cgroups as u64),
            ("watches", self.watches as u64),
            ("unwatched", self.unwatched as u64),
            ("events", self.events),
            ("overflows", self.overflows),
            ("rescans", self.rescans),
            ("links", self.links as u64),
            ("evictions", self.evictions),
            ("open_files", self.open_files as u64),
            ("snapshot_bytes", self.snapshot_bytes as u64),
            ("max_snapshot_bytes", self.max_snapshot_bytes as u64),
        ];
        for (key, number) in numbers {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{key} {number}");
        }
    }
}

impl ObjectStatus {
    fn write(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "\nobject {} placement {} {} since {} map_bytes {}",
            one_line(&self.origin),
            one_line(&self.placement),
            state(self.live),
            self.since,
            self.map_bytes,
        );
        explain(out, "  ", self.reason.as_deref());
        for view in &self.views {
            view.write(out);
        }
        for collector in &self.collectors {
            collector.write(out, "  collector");
        }
        for map in &self.kept_maps {
            let _ = writeln!(out, "  map {} contents {}", map.name, map.contents);
        }
    }
}

impl ViewStatus {
    fn write(&self, out: &mut String) {
        let _ = write!(
            out,
            "  view {} {} {} verified_insns {}",
            self.name,
            self.kind,
            state(self.live),
            self.verified_insns,
        );
        if let (Some(runs), Some(mean)) = (self.runs, self.mean_run_nsec) {
            let _ = write!(out, " runs {runs} mean_run_nsec {mean}");
        }
        out.push('\n');
        explain(out, "    ", self.reason.as_deref());
        for cgroup in &self.hidden_by_cgroups {
            let _ = writeln!(out, "    hidden by the cgroup {}", one_line(cgroup));
        }
        for part in &self.parts {
            part.write(out, "    program");
        }
    }
}

impl ProgramStatus {
    /// `what` is the indented word that begins the line.
    fn write(&self, out: &mut String, what: &str) {
        let _ = writeln!(
            out,
            "{what} {} {} {} verified_insns {}",
            self.name,
            self.section,
            state(self.live),
            self.verified_insns,
        );
        explain(out, "      ", self.reason.as_deref());
    }
}

fn state(live: bool) -> &'static str {
    if live { "live" } else { "unavailable" }
}

fn explain(out: &mut String, indent: &str, reason: Option<&str>) {
    for line in reason.into_iter().flat_map(str::lines) {
        let _ = writeln!(out, "{indent}because {}", one_line(line));
    }
}
