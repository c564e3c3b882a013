//! Loading one view object: open, decide which optional parts this kernel takes, load, attach,
//! pin. Runs in a process of its own ([`super::loader`] starts it), so that an object which
//! crashes libbpf takes nobody along; what outlives the process are the pins.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::Path;
use std::str::FromStr;

use libbpf_rs::btf::Btf;
use libbpf_rs::{MapCore as _, MapType, Object, ObjectBuilder, OpenObject, ProgramType};
use parking_lot::Mutex;

use super::layout::{self, Tags};
use super::manifest::{Keep, Manifest, MapInfo, Meaning, Order, ProgramInfo, Record, ViewInfo};
use super::{maps, rodata, sweep};
use crate::sys;

/// Names of the pins in an object's directory; bpffs refuses names with dots.
pub(super) mod pin {
    /// The view's own program.
    pub(in crate::bpf) const VIEW: &str = "view";
    /// Its sweep.
    pub(in crate::bpf) const SWEEP: &str = "sweep";
    /// Its walk.
    pub(in crate::bpf) const WALK: &str = "walk";
    /// The map of maps into which sweep and walk write.
    pub(in crate::bpf) const ROWS: &str = "rows";
    /// A collector's link.
    pub(in crate::bpf) const LINK: &str = "link";
}

/// Where a loaded object goes.
pub struct Target<'a> {
    /// An empty directory in bpffs, for the pins.
    pub dir: &'a Path,
    /// The cgroup that collectors of cgroup types are attached to.
    pub cgroup: BorrowedFd<'a>,
    /// The pins of the object that this one replaces, whose maps' contents may be taken over.
    pub previous: Option<&'a Path>,
}

/// Optional programs and maps that are left out, with the reason.
type LeftOut = BTreeMap<String, String>;

/// Loads the object in `elf`; without a target it is only checked and leaves nothing behind.
/// A failure is part of the answer: [`Manifest::error`].
pub fn load(elf: &[u8], target: Option<&Target<'_>>) -> Manifest {
    sys::on_libbpf_warning(keep_message);
    let mut left_out = LeftOut::new();
    loop {
        match attempt(elf, target, &mut left_out) {
            Ok(manifest) => return manifest,
            Err(Failure::Optional { program, reason }) => {
                left_out.insert(program, reason);
                if let Some(target) = target {
                    unpin_all(target.dir);
                }
            }
            Err(Failure::Object(reason)) => {
                return Manifest {
                    error: Some(reason),
                    ..describe(elf, &left_out).unwrap_or_default()
                };
            }
        }
    }
}

enum Failure {
    /// An optional program that this kernel does not take: try again without it.
    Optional { program: String, reason: String },
    /// The object cannot be used.
    Object(String),
}

fn attempt(
    elf: &[u8],
    target: Option<&Target<'_>>,
    left_out: &mut LeftOut,
) -> Result<Manifest, Failure> {
    LOG.lock().clear();
    let mut open = open(elf).map_err(Failure::Object)?;
    let optional = plan(&mut open, left_out)?;
    maps::limit(&open).map_err(Failure::Object)?;
    rodata::set(&mut open, elf, left_out).map_err(Failure::Object)?;
    let mut manifest = describe(elf, left_out).map_err(Failure::Object)?;
    if let Some(target) = target {
        carry_over(&mut open, target.previous, &mut manifest);
    }
    let blame = |stage: &str, error: &dyn std::fmt::Display| {
        let log = std::mem::take(&mut *LOG.lock());
        let reason = condense(&log).unwrap_or_else(|| format!("{stage}: {error}"));
        match failed_program(&log).filter(|name| optional.contains(name)) {
            Some(program) => Failure::Optional { program, reason },
            None => Failure::Object(reason),
        }
    };
    let object = open.load().map_err(|error| blame("load", &error))?;
    measure(&object, &mut manifest);
    probe_orders(&object, &mut manifest);
    attach(&object, target, &optional, &mut manifest)?;
    if let Some(target) = target {
        pin_views(&object, target.dir, &manifest).map_err(Failure::Object)?;
        pin_kept(&object, target.dir, &manifest).map_err(Failure::Object)?;
    }
    Ok(manifest)
}

/// Empties the directory for another try.
fn unpin_all(dir: &Path) {
    for pin in fs::read_dir(dir).into_iter().flatten().flatten() {
        // What stays is found when its name is taken.
        let _ = fs::remove_file(pin.path());
    }
}

fn carry_over(open: &mut OpenObject, previous: Option<&Path>, manifest: &mut Manifest) {
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let info = manifest.maps.iter_mut().find(|info| info.name == name);
        if let Some(keep) = info.and_then(|info| info.keep.as_mut()) {
            *keep = maps::carry_over(&mut map, previous);
        }
    }
}

fn open(elf: &[u8]) -> Result<OpenObject, String> {
    if elf.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let opened = ObjectBuilder::default()
        .name("object")
        .and_then(|builder| builder.open_memory(elf));
    opened.map_err(|error| {
        let log = std::mem::take(&mut *LOG.lock());
        condense(&log).unwrap_or_else(|| error.to_string())
    })
}

/// Decides what to load; returns the names of the optional programs that are tried.
fn plan(open: &mut OpenObject, left_out: &mut LeftOut) -> Result<Vec<String>, Failure> {
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let supported =
            map.map_type() == MapType::Unknown || map.map_type().is_supported().unwrap_or(true);
        if !supported {
            let reason = format!("this kernel has no maps of type {:?}", map.map_type());
            map.set_autocreate(false)
                .map_err(|error| Failure::Object(format!("map {name}: {error}")))?;
            left_out.insert(name, reason);
        }
    }
    let mut optional = Vec::new();
    for mut program in open.progs_mut() {
        if program.autoload() {
            continue;
        }
        let name = program.name().to_string_lossy().into_owned();
        if !left_out.contains_key(&name) {
            program.set_autoload(true);
            optional.push(name);
        }
    }
    Ok(optional)
}

/// What the object says of itself, before the kernel is asked.
fn describe(elf: &[u8], left_out: &LeftOut) -> Result<Manifest, String> {
    let open = open(elf)?;
    let btf = Btf::from_raw("view", elf).map_err(|error| error.to_string())?;
    let tags = btf.as_ref().map(Tags::collect);
    let tag = |program: &str, key: &str| tags.as_ref()?.function(program, key).map(str::to_owned);
    let mut manifest = Manifest::default();
    let mut parts = Vec::new();
    for program in open.progs() {
        let info = program_info(program.name(), program.section(), left_out);
        let sweep_of = tag(&info.name, "sweep");
        let walk_of = tag(&info.name, "walk");
        if let Some(of) = sweep_of.or(walk_of.clone()) {
            parts.push((of, walk_of.is_some(), info));
        } else if is_view(&info.section) {
            let record = match (tag(&info.name, "record"), &btf, &tags) {
                (Some(of), Some(btf), Some(tags)) => Some(
                    layout::record(btf, tags, &of)
                        .map_err(|why| format!("record view {}: {why}", info.name))?,
                ),
                _ => None,
            };
            let order = order(tag(&info.name, "order").as_deref())?;
            let is_one = |record: &Record| record.fields.iter().all(|f| f.meaning != Meaning::Key);
            if order != Order::Itself && record.as_ref().is_some_and(is_one) {
                return Err(format!(
                    "record view {}: a walk gives one record for each cgroup, so it needs a member \
                     that is their key",
                    info.name
                ));
            }
            let name = tag(&info.name, "name").unwrap_or_else(|| info.name.clone());
            if manifest.views.iter().any(|view| view.name == name) {
                return Err(format!("two of its views are called {name}"));
            }
            manifest.views.push(ViewInfo {
                name,
                help: tag(&info.name, "help").unwrap_or_default(),
                order,
                record,
                sweep: None,
                walk: None,
                program: info,
            });
        } else {
            manifest.collectors.push(info);
        }
    }
    for (of, walk, info) in parts {
        let Some(view) = manifest.views.iter_mut().find(|v| v.program.name == of) else {
            return Err(format!(
                "program {} belongs to view {of}, which is not there",
                info.name
            ));
        };
        let part = if walk {
            &mut view.walk
        } else {
            &mut view.sweep
        };
        *part = Some(info);
    }
    for map in open.maps() {
        manifest.maps.push(MapInfo {
            name: map.name().to_string_lossy().into_owned(),
            size_bytes: 0,
            keep: tags
                .as_ref()
                .is_some_and(|tags| tags.is_variable(&map.name().to_string_lossy(), "keep"))
                .then_some(Keep::New),
        });
    }
    Ok(manifest)
}

fn is_view(section: &str) -> bool {
    matches!(section, "iter/cgroup" | "iter.s/cgroup")
}

fn order(word: Option<&str>) -> Result<Order, String> {
    match word {
        None | Some("self") => Ok(Order::Itself),
        Some("pre") => Ok(Order::Pre),
        Some("post") => Ok(Order::Post),
        Some("up") => Ok(Order::Up),
        Some("children") => Ok(Order::Children),
        Some(other) => Err(format!(
            "unknown order {other:?} (self, pre, post, up or children)"
        )),
    }
}

fn program_info(name: &OsStr, section: &OsStr, left_out: &LeftOut) -> ProgramInfo {
    let name = name.to_string_lossy().into_owned();
    ProgramInfo {
        section: section.to_string_lossy().trim_start_matches('?').to_owned(),
        verified_insns: 0,
        missing: left_out.get(&name).cloned(),
        name,
    }
}

/// Fills in what the kernel made of programs and maps.
fn measure(object: &Object, manifest: &mut Manifest) {
    for program in object.progs() {
        let insns: u64 = fdinfo(program.as_fd(), "verified_insns").unwrap_or(0);
        let name = program.name().to_string_lossy();
        if let Some(info) = programs_mut(manifest).find(|info| info.name == name) {
            info.verified_insns = u32::try_from(insns).unwrap_or(u32::MAX);
        }
    }
    for map in object.maps().filter(libbpf_rs::MapImpl::autocreate) {
        let name = map.name().to_string_lossy();
        if let Some(info) = manifest.maps.iter_mut().find(|info| info.name == name) {
            info.size_bytes = fdinfo(map.as_fd(), "memlock").unwrap_or(0);
        }
    }
}

/// An order that the kernel does not have shows at the first link only, so one is made.
fn probe_orders(object: &Object, manifest: &mut Manifest) {
    let views = manifest.views.iter_mut();
    for view in views.filter(|view| view.order == Order::Children) {
        let program = object
            .progs()
            .find(|p| p.name() == OsStr::new(&view.program.name));
        let Some(program) = program.filter(|_| view.program.missing.is_none()) else {
            continue;
        };
        let probe = sys::cgroup_iter_link(program.as_fd(), None, sweep::order(view.order));
        if let Err(error) = probe {
            let reason =
                format!("this kernel's cgroup iterator has no order \"children\" ({error})");
            view.program.missing = Some(reason);
        }
    }
}

fn programs_mut(manifest: &mut Manifest) -> impl Iterator<Item = &mut ProgramInfo> {
    let of_views = manifest.views.iter_mut().flat_map(|view| {
        std::iter::once(&mut view.program)
            .chain(&mut view.sweep)
            .chain(&mut view.walk)
    });
    of_views.chain(&mut manifest.collectors)
}

/// One value out of /proc/self/fdinfo (kernel/bpf/syscall.c `bpf_prog_show_fdinfo`).
pub(super) fn fdinfo<T: FromStr>(fd: BorrowedFd<'_>, key: &str) -> Option<T> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(':')?
            .trim()
            .parse()
            .ok()
    })
}

fn attach(
    object: &Object,
    target: Option<&Target<'_>>,
    optional: &[String],
    manifest: &mut Manifest,
) -> Result<(), Failure> {
    for (index, info) in manifest.collectors.iter_mut().enumerate() {
        let Some(program) = object
            .progs_mut()
            .find(|p| p.name() == OsStr::new(&info.name))
        else {
            continue;
        };
        if info.missing.is_some() {
            continue;
        }
        let attached = match (target, needs_cgroup(program.prog_type())) {
            (Some(target), true) => program.attach_cgroup(target.cgroup.as_raw_fd()),
            (None, true) => continue,
            (_, false) => program.attach(),
        };
        let fail = |reason: String| {
            if optional.contains(&info.name) {
                let program = info.name.clone();
                Failure::Optional { program, reason }
            } else {
                Failure::Object(format!("collector {}: {reason}", info.name))
            }
        };
        let mut link = match attached {
            Ok(link) => link,
            Err(error)
                if error.kind() == libbpf_rs::ErrorKind::Unsupported || is_unsupported(&error) =>
            {
                info.missing = Some(format!("libbpf cannot attach {} by itself", info.section));
                continue;
            }
            Err(error) => return Err(fail(format!("attach: {error}"))),
        };
        if let Some(target) = target {
            let path = target.dir.join(format!("{}{index}", pin::LINK));
            link.pin(&path)
                .map_err(|error| fail(format!("its link cannot be pinned: {error}")))?;
            // Destroying a perf event's link would disable the event even while it is pinned.
            link.disconnect();
        }
    }
    Ok(())
}

fn is_unsupported(error: &libbpf_rs::Error) -> bool {
    let text = error.to_string();
    text.contains("Operation not supported") || text.contains("not supported")
}

fn needs_cgroup(program: ProgramType) -> bool {
    matches!(
        program,
        ProgramType::CgroupSkb
            | ProgramType::CgroupSock
            | ProgramType::CgroupSockAddr
            | ProgramType::CgroupSockopt
            | ProgramType::CgroupSysctl
            | ProgramType::CgroupDevice
            | ProgramType::SockOps
    )
}

fn pin_views(object: &Object, dir: &Path, manifest: &Manifest) -> Result<(), String> {
    let pin_program = |info: &ProgramInfo, pin: &str, index: usize| {
        let program = object
            .progs_mut()
            .find(|p| p.name() == OsStr::new(&info.name));
        let Some(mut program) = program.filter(|_| info.missing.is_none()) else {
            return Ok(());
        };
        program
            .pin(dir.join(format!("{pin}{index}")))
            .map_err(|error| format!("pin program {}: {error}", info.name))
    };
    for (index, view) in manifest.views.iter().enumerate() {
        pin_program(&view.program, pin::VIEW, index)?;
        for (part, pin) in [(&view.sweep, pin::SWEEP), (&view.walk, pin::WALK)] {
            if let Some(info) = part {
                pin_program(info, pin, index)?;
            }
        }
        let rows = format!("{}_rows", view.program.name);
        // Pinned by a handle of its own: an object forgets to unpin what it has pinned itself.
        for map in object.maps().filter(|map| map.name() == OsStr::new(&rows)) {
            libbpf_rs::MapHandle::try_from(&map)
                .and_then(|mut handle| handle.pin(dir.join(format!("{}{index}", pin::ROWS))))
                .map_err(|error| format!("pin map {rows}: {error}"))?;
        }
    }
    Ok(())
}

/// By handles of their own, like the rows above.
fn pin_kept(object: &Object, dir: &Path, manifest: &Manifest) -> Result<(), String> {
    for map in object.maps().filter(libbpf_rs::MapImpl::autocreate) {
        let name = map.name().to_string_lossy();
        let mut infos = manifest.maps.iter();
        if infos.any(|info| info.name == name && info.keep.is_some()) {
            libbpf_rs::MapHandle::try_from(&map)
                .and_then(|mut handle| handle.pin(maps::keep_pin(dir, &name)))
                .map_err(|error| format!("pin map {name}: {error}"))?;
        }
    }
    Ok(())
}

static LOG: Mutex<String> = Mutex::new(String::new());

fn keep_message(message: &[u8]) {
    let text = String::from_utf8_lossy(message);
    // What it quotes of the object may be anything, and ends up on terminals.
    let shown = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '?'
        } else {
            c
        }
    };
    LOG.lock().extend(text.chars().map(shown));
}

/// The program that libbpf's last complaint names.
fn failed_program(log: &str) -> Option<String> {
    let (_, rest) = log.rsplit_once("prog '")?;
    rest.split_once('\'').map(|(name, _)| name.to_owned())
}

/// How much of a verifier log an answer carries.
const LOG_LINES: usize = 8;

/// The end of a log: of a verifier's the lines before its statistics, else the last line.
fn condense(log: &str) -> Option<String> {
    let verifier = log
        .split_once("-- BEGIN PROG LOAD LOG --")
        .and_then(|(_, rest)| rest.split_once("-- END PROG LOAD LOG --"))
        .map(|(lines, _)| lines);
    let lines: Vec<&str> = match verifier {
        Some(lines) => lines
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("processed "))
            .collect(),
        None => log
            .lines()
            .filter(|line| line.starts_with("libbpf: "))
            .collect(),
    };
    let keep = if verifier.is_some() { LOG_LINES } else { 1 };
    let first = match verifier {
        Some(_) => lines.len().saturating_sub(keep),
        None => 0,
    };
    let tail: Vec<&str> = lines.into_iter().skip(first).take(keep).collect();
    let text = tail.join("\n");
    let text = text.trim_start_matches("libbpf: ").trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complaint_names_the_program() {
        let log = "libbpf: prog 'a': x\nlibbpf: prog 'b_walk': failed to load: -22\n";
        assert_eq!(failed_program(log).as_deref(), Some("b_walk"));
        assert_eq!(failed_program("libbpf: map 'm': failed to create"), None);
    }

    #[test]
    fn a_verifier_log_is_condensed_to_its_end() {
        let log = "libbpf: prog 'p': BPF program load failed: Invalid argument\n\
                   libbpf: prog 'p': -- BEGIN PROG LOAD LOG --\n\
                   0: (85) call foo\nR1 is bad\n\
                   processed 1 insns (limit 1000000)\n-- END PROG LOAD LOG --\n\
                   libbpf: prog 'p': failed to load: -22\n";
        assert_eq!(
            condense(log).as_deref(),
            Some("0: (85) call foo\nR1 is bad")
        );
    }

    #[test]
    fn an_empty_file_is_refused_with_a_reason() {
        assert_eq!(load(b"", None).error.as_deref(), Some("the file is empty"));
    }

    #[test]
    fn what_is_not_elf_is_refused_with_a_reason() {
        let error = load(b"#!/bin/sh\nexit 0\n", None).error.unwrap_or_default();
        assert!(!error.is_empty());
    }
}
