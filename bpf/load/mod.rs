//! Loading one view object: open, decide which optional parts this kernel takes, load, attach,
//! pin. Runs in a process of its own ([`super::run`] starts it), so that an object which
//! crashes libbpf takes nobody along; what outlives the process are the pins.

mod attach;
mod describe;
mod log;
mod maps;
mod rodata;
mod tags;

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use libbpf_rs::{MapCore as _, MapType, Object, ObjectBuilder, OpenObject};
use memchr::memmem;

use self::describe::{Types, describe};
use super::manifest::{Manifest, Order, ProgramInfo};
use super::run;
use crate::sys;

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
pub(super) type LeftOut = BTreeMap<String, String>;

/// Loads the object in `elf`; without a target it is only checked and leaves nothing behind.
/// A failure is part of the answer: [`Manifest::error`].
pub fn load(elf: &[u8], target: Option<&Target<'_>>) -> Manifest {
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
                    ..open(elf)
                        .and_then(|open| describe(&open, &Types::of(elf)?, &left_out))
                        .unwrap_or_default()
                };
            }
        }
    }
}

/// Why an attempt has failed.
pub(super) enum Failure {
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
    log::start();
    let mut open = open(elf).map_err(Failure::Object)?;
    let types = Types::of(elf).map_err(Failure::Object)?;
    let optional = plan(&mut open, &types, left_out)?;
    maps::limit(&open).map_err(Failure::Object)?;
    rodata::set(&mut open, types.btf.as_ref(), left_out).map_err(Failure::Object)?;
    let mut manifest = describe(&open, &types, left_out).map_err(Failure::Object)?;
    if let Some(target) = target {
        carry_over(&mut open, target.previous, &mut manifest);
    }
    let blame = |stage: &str, error: &dyn std::fmt::Display| {
        let log = log::take();
        let reason = log::condense(&log).unwrap_or_else(|| format!("{stage}: {error}"));
        match log::failed_program(&log).filter(|name| optional.contains(name)) {
            Some(program) => Failure::Optional { program, reason },
            None => Failure::Object(reason),
        }
    };
    let object = open.load().map_err(|error| blame("load", &error))?;
    measure(&object, &mut manifest);
    probe_orders(&object, &mut manifest);
    attach::attach(&object, target, &optional, &mut manifest)?;
    if let Some(target) = target {
        attach::pin_views(&object, target.dir, &manifest).map_err(Failure::Object)?;
        attach::pin_kept(&object, target.dir, &manifest).map_err(Failure::Object)?;
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
        let log = log::take();
        log::condense(&log).unwrap_or_else(|| error.to_string())
    })
}

/// Decides what to load; returns the names of the optional programs that are tried.
fn plan(
    open: &mut OpenObject,
    types: &Types<'_>,
    left_out: &mut LeftOut,
) -> Result<Vec<String>, Failure> {
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
    let kernel_btf = LazyCell::new(|| fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default());
    let mut optional = Vec::new();
    for mut program in open.progs_mut() {
        if program.autoload() {
            continue;
        }
        let name = program.name().to_string_lossy().into_owned();
        // A load that is known to fail is spared, for it is everything once more.
        let kfunc = types.tags.function(&name, "kfunc");
        let missing = kfunc.filter(|kfunc| !may_have(&kernel_btf, kfunc));
        if let Some(kfunc) = missing {
            left_out.insert(name, format!("this kernel has no kfunc {kfunc}"));
        } else if !left_out.contains_key(&name) {
            program.set_autoload(true);
            optional.push(name);
        }
    }
    Ok(optional)
}

/// Whether the kernel's own BTF may have a function of that name, by a look at its strings: to
/// parse it takes longer. True when it cannot be told.
fn may_have(kernel_btf: &[u8], function: &str) -> bool {
    let string = format!("\0{function}\0");
    kernel_btf.is_empty() || memmem::find(kernel_btf, string.as_bytes()).is_some()
}

/// Fills in what the kernel made of programs and maps.
fn measure(object: &Object, manifest: &mut Manifest) {
    for program in object.progs() {
        let insns: u64 = run::fdinfo(program.as_fd(), "verified_insns").unwrap_or(0);
        let name = program.name().to_string_lossy();
        if let Some(info) = programs_mut(manifest).find(|info| info.name == name) {
            info.verified_insns = u32::try_from(insns).unwrap_or(u32::MAX);
        }
    }
    for map in object.maps().filter(libbpf_rs::MapImpl::autocreate) {
        let name = map.name().to_string_lossy();
        if let Some(info) = manifest.maps.iter_mut().find(|info| info.name == name) {
            info.size_bytes = run::fdinfo(map.as_fd(), "memlock").unwrap_or(0);
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
        let probe = sys::cgroup_iter_link(program.as_fd(), None, run::order(view.order));
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

/// Is the loader: loads the object on standard input and answers on standard output. The words
/// are those of a place, or none.
///
/// # Errors
/// When it cannot read, open the cgroup or answer.
pub fn serve(words: &[PathBuf]) -> io::Result<()> {
    let mut elf = Vec::new();
    io::stdin().read_to_end(&mut elf)?;
    let manifest = match words {
        [dir, cgroup, previous @ ..] => {
            let cgroup = File::open(cgroup)?;
            let target = Target {
                dir,
                cgroup: cgroup.as_fd(),
                previous: previous.first().map(PathBuf::as_path),
            };
            load(&elf, Some(&target))
        }
        _ => load(&elf, None),
    };
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, &manifest)?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_refused_with_a_reason() {
        assert_eq!(load(b"", None).error.as_deref(), Some("the file is empty"));
    }

    #[test]
    fn a_function_is_missing_if_no_string_of_the_btf_is_its_name() {
        let btf = b"\0bpf_iter_css_next\0bpf_iter_css\0";
        assert!(may_have(btf, "bpf_iter_css") && may_have(btf, "bpf_iter_css_next"));
        assert!(!may_have(btf, "bpf_iter_css_new") && !may_have(btf, "iter_css"));
        assert!(
            may_have(b"", "bpf_iter_css_new"),
            "an unreadable BTF tells nothing"
        );
    }

    #[test]
    fn what_is_not_elf_is_refused_with_a_reason() {
        let error = load(b"#!/bin/sh\nexit 0\n", None).error.unwrap_or_default();
        assert!(!error.is_empty());
    }
}
