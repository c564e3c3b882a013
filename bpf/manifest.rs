//! The contract between the loader process and the daemon: what an object holds and what can be
//! used of it here. Plain values; the loader finds them out, the daemon never parses an object.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::record::Record;

/// The outcome of loading, or of checking, one view object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Views, in the object's order.
    pub views: Vec<ViewInfo>,
    /// Programs that are attached by themselves and fill the views' maps.
    pub collectors: Vec<ProgramInfo>,
    /// Maps, with the kernel memory that they take.
    pub maps: Vec<MapInfo>,
    /// Why the object as a whole cannot be used here.
    pub unavailable: Option<String>,
}

/// One view: an `iter/cgroup` program and what it writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewInfo {
    /// The name of the view's file.
    pub name: String,
    /// One sentence from the object that says what the view shows; may be empty.
    pub help: String,
    /// The program that a read of one cgroup runs.
    pub program: ProgramInfo,
    /// The cgroups that one read visits.
    pub order: Order,
    /// The layout of the record; a text view has none.
    pub record: Option<Record>,
    /// A `syscall` program that collects a subtree with the css iterator, under RCU alone.
    pub sweep: Option<ProgramInfo>,
    /// A pre-order cgroup iterator that collects a subtree, under cgroup_mutex.
    pub walk: Option<ProgramInfo>,
    /// The program does work that a css sweep cannot do by itself, such as an rstat flush: one
    /// read of the subtree's root has to come before each sweep.
    pub prepares: bool,
}

/// Longest name of a view, so that the suffix of each form still fits into a file's name.
const MAX_NAME_BYTES: usize = 200;

/// Checks that `name` can be the name of a view's file.
///
/// # Errors
/// What is wrong with it.
pub fn check_view_name(name: &str) -> Result<(), String> {
    let usable = !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name.starts_with('.')
        && !name.contains(|c: char| c == '/' || c.is_control());
    if usable {
        Ok(())
    } else {
        Err(format!("{name:?} cannot be the name of a view's file"))
    }
}

impl Manifest {
    /// The manifest of an object that cannot be used, and nothing is known of.
    pub fn unavailable(reason: String) -> Manifest {
        Manifest {
            unavailable: Some(reason),
            ..Manifest::default()
        }
    }

    /// Why the object, or one of its views, does not work here; `None` when all do.
    pub fn first_reason(&self) -> Option<&str> {
        if let Some(reason) = &self.unavailable {
            return Some(reason);
        }
        if self.views.is_empty() {
            return Some("it has no iter/cgroup program");
        }
        self.views
            .iter()
            .find_map(|view| view.program.unavailable.as_deref())
    }

    /// Every program of the object.
    pub fn programs_mut(&mut self) -> impl Iterator<Item = &mut ProgramInfo> {
        let of_views = self.views.iter_mut().flat_map(|view| {
            std::iter::once(&mut view.program)
                .chain(&mut view.sweep)
                .chain(&mut view.walk)
        });
        of_views.chain(&mut self.collectors)
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for view in &self.views {
            writeln!(f, "view {} ({}) {}", view.name, view.kind(), view.program)?;
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
        match &self.unavailable {
            None => Ok(()),
            Some(reason) => write!(f, " unavailable: {}", reason.replace('\n', " | ")),
        }
    }
}

impl ViewInfo {
    /// `record` or `text`.
    pub fn kind(&self) -> &'static str {
        match self.record {
            Some(_) => "record",
            None => "text",
        }
    }

    /// A text view of which only the name is known.
    pub fn text(name: &str) -> ViewInfo {
        ViewInfo {
            name: name.to_owned(),
            help: String::new(),
            program: ProgramInfo {
                name: name.to_owned(),
                section: "iter/cgroup".to_owned(),
                verified_insns: 0,
                unavailable: None,
            },
            order: Order::Itself,
            record: None,
            sweep: None,
            walk: None,
            prepares: false,
        }
    }
}

/// The cgroups that a read visits and their order (`enum bpf_cgroup_iter_order`, linux/bpf.h).
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

impl Order {
    /// The kernel's number.
    pub fn number(self) -> u32 {
        match self {
            Order::Itself => libbpf_sys::BPF_CGROUP_ITER_SELF_ONLY,
            Order::Pre => libbpf_sys::BPF_CGROUP_ITER_DESCENDANTS_PRE,
            Order::Post => libbpf_sys::BPF_CGROUP_ITER_DESCENDANTS_POST,
            Order::Up => libbpf_sys::BPF_CGROUP_ITER_ANCESTORS_UP,
            // BPF_CGROUP_ITER_CHILDREN, which libbpf 1.7.0 does not know.
            Order::Children => 5,
        }
    }
}

/// One BPF program of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramInfo {
    /// Its name in the object.
    pub name: String,
    /// Its ELF section, `iter/cgroup` for instance.
    pub section: String,
    /// Instructions that the verifier processed; 0 for a program that was not loaded.
    pub verified_insns: u32,
    /// Why the program is not live here, if it is not.
    pub unavailable: Option<String>,
}

/// One map of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapInfo {
    /// Its name in the object.
    pub name: String,
    /// Kernel memory that the map takes (`memlock` in its fdinfo).
    pub size_bytes: u64,
    /// What became of the contents of a map that is to keep them over a replacement.
    pub keep: Option<Keep>,
}

/// What became of the contents of a kept map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// There was no map before.
    New,
    /// The object uses the map of the object before.
    Carried,
    /// The map of the object before cannot be used, and why.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_views_name_is_one_that_a_file_can_have_with_every_suffix() {
        for name in ["stats", "a.b-c", &"n".repeat(200)] {
            assert_eq!(check_view_name(name), Ok(()));
        }
        for name in ["", ".stats", "a/b", "a\nb", "a\x1b[1m", &"n".repeat(201)] {
            assert!(check_view_name(name).is_err(), "{name:?}");
        }
    }
}
