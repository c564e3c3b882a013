//! What an object holds, as plain values: the loader process finds it out (from ELF, BTF and the
//! kernel's answers) and hands it to the daemon, which never parses an object itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::record::Record;

/// The outcome of loading, or merely checking, one view object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Views, in the object's order.
    pub views: Vec<ViewInfo>,
    /// Programs attached by themselves, which feed the views' maps.
    pub collectors: Vec<ProgramInfo>,
    /// Maps, with the kernel memory that they take.
    pub maps: Vec<MapInfo>,
    /// Why the object as a whole cannot be used here; its views are absent then.
    pub error: Option<String>,
}

/// One view: an `iter/cgroup` program and what it writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewInfo {
    /// The file's name.
    pub name: String,
    /// One sentence for people, from the object; may be empty.
    pub help: String,
    /// The program that one cgroup's read runs.
    pub program: ProgramInfo,
    /// The order in which a read walks the hierarchy.
    pub order: Order,
    /// The layout of the record, where the view is a record view; a text view has none.
    pub record: Option<Record>,
    /// A `syscall` program that collects a subtree with the css iterator, under RCU alone.
    pub sweep: Option<ProgramInfo>,
    /// A pre-order cgroup iterator that does the same, under cgroup_mutex.
    pub walk: Option<ProgramInfo>,
}

impl Manifest {
    /// Why the object, or one of its views, would not work here; `None` when all would.
    pub fn unusable(&self) -> Option<&str> {
        if let Some(error) = &self.error {
            return Some(error);
        }
        if self.views.is_empty() {
            return Some("it has no iter/cgroup program");
        }
        self.views
            .iter()
            .find_map(|view| view.program.missing.as_deref())
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for view in &self.views {
            let kind = if view.record.is_some() {
                "record"
            } else {
                "text"
            };
            writeln!(f, "view {} ({kind}) {}", view.name, view.program)?;
            for part in view.sweep.iter().chain(&view.walk) {
                writeln!(f, "  program {} {part}", part.name)?;
            }
        }
        for collector in &self.collectors {
            writeln!(f, "collector {} {collector}", collector.name)?;
        }
        for map in &self.maps {
            write!(f, "map {} size_bytes {}", map.name, map.size_bytes)?;
            writeln!(f, "{}", if map.keep.is_some() { " keep" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for ProgramInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} verified_insns {}", self.section, self.verified_insns)?;
        match &self.missing {
            None => Ok(()),
            Some(reason) => write!(f, " unavailable: {}", reason.replace('\n', " | ")),
        }
    }
}

impl ViewInfo {
    /// A text view of which no more than its name is known.
    pub fn text(name: &str) -> ViewInfo {
        ViewInfo {
            name: name.to_owned(),
            help: String::new(),
            program: ProgramInfo {
                name: name.to_owned(),
                section: "iter/cgroup".to_owned(),
                verified_insns: 0,
                missing: None,
            },
            order: Order::Itself,
            record: None,
            sweep: None,
            walk: None,
        }
    }
}

/// The order of a cgroup iterator (`enum bpf_cgroup_iter_order` of the kernel).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The cgroup itself.
    Itself,
    /// Descendants, parents first.
    Pre,
    /// Descendants, children first.
    Post,
    /// The cgroup and its ancestors.
    Up,
    /// Direct children (Linux 7.0).
    Children,
}

/// One BPF program of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramInfo {
    /// Its name in the object.
    pub name: String,
    /// Its ELF section, `iter/cgroup` for instance.
    pub section: String,
    /// Instructions that the verifier processed, 0 when it was not loaded.
    pub verified_insns: u32,
    /// Why it is not live here, if it is not.
    pub missing: Option<String>,
}

/// One map of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapInfo {
    /// Its name in the object.
    pub name: String,
    /// Kernel memory that it takes, as the kernel accounts it (`memlock` in fdinfo).
    pub size_bytes: u64,
    /// What became of its contents, for a map that is to keep them over a replacement.
    pub keep: Option<Keep>,
}

/// What became of the contents of a map that is to keep them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// There were none.
    New,
    /// They were taken over from the object before.
    Carried,
    /// They could not be taken over, and why.
    Lost(String),
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::New => f.write_str("new"),
            Keep::Carried => f.write_str("carried over"),
            Keep::Lost(why) => write!(f, "not carried over: {why}"),
        }
    }
}
