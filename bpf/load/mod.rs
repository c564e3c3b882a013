//! The loader process: the only reader of ELF and BTF. It opens one view object, decides which
//! optional programs this kernel can have, loads, attaches and pins. An object that crashes libbpf
//! costs this process only; the pins outlive it.

mod attach;
mod describe;
mod keep;
mod kernel;
mod layout;
mod limit;
mod log;
mod map_spec;
mod rodata;
mod tags;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use libbpf_rs::{MapCore as _, Object, ObjectBuilder, OpenObject};

use super::fdinfo;
use super::manifest::Manifest;

use describe::{Types, describe};

/// Where a loaded object goes.
pub struct Target<'a> {
    /// An empty directory in bpffs, for the pins.
    pub dir: &'a Path,
    /// The cgroup to which collectors of cgroup types are attached.
    pub cgroup: BorrowedFd<'a>,
    /// The pins of the object that this one replaces: kept maps come from there.
    pub previous: Option<&'a Path>,
}

/// Optional programs and maps that are not loaded, by name, with the reason.
type LeftOut = BTreeMap<String, String>;

/// Runs the loader: loads the object from standard input and writes its manifest to standard
/// output. `arguments` are the directory for the pins, the cgroup and, for a replacement, the pins
/// of the object before; with none of them the object is only checked.
///
/// # Errors
/// When the object cannot be read, the cgroup not opened or the manifest not written.
pub fn serve(arguments: &[PathBuf]) -> io::Result<()> {
    let mut elf = Vec::new();
    io::stdin().read_to_end(&mut elf)?;
    let manifest = match arguments {
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

/// Loads the object in `elf`; without a target, checks it and leaves nothing behind. A failure is
/// part of the answer: [`Manifest::unavailable`].
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
                    unavailable: Some(reason),
                    ..open(elf)
                        .and_then(|open| describe(&open, &Types::of(elf)?, &left_out))
                        .unwrap_or_default()
                };
            }
        }
    }
}

/// Why an attempt to load has failed.
enum Failure {
    /// This kernel does not take an optional program: the next attempt is without it.
    Optional { program: String, reason: String },
    /// The object cannot be used.
    Object(String),
}

/// Everything that needs no kernel is judged before anything is loaded, and so before a collector
/// runs: names, records, the memory of maps.
fn attempt(
    elf: &[u8],
    target: Option<&Target<'_>>,
    left_out: &mut LeftOut,
) -> Result<Manifest, Failure> {
    log::start();
    let mut open = open(elf).map_err(Failure::Object)?;
    let types = Types::of(elf).map_err(Failure::Object)?;
    let optional = kernel::choose(&mut open, &types.tags, left_out).map_err(Failure::Object)?;
    limit::check(&open).map_err(Failure::Object)?;
    rodata::set(&mut open, types.btf.as_ref(), left_out).map_err(Failure::Object)?;
    let mut manifest = describe(&open, &types, left_out).map_err(Failure::Object)?;
    if let Some(target) = target {
        keep::carry_over(&mut open, target.previous, &mut manifest);
    }
    let object = open
        .load()
        .map_err(|error| load_failure(&optional, &error))?;
    measure(&object, &mut manifest);
    kernel::probe_orders(&object, &mut manifest);
    attach::attach(&object, target, &optional, &mut manifest)?;
    if let Some(target) = target {
        attach::pin_views(&object, target.dir, &manifest).map_err(Failure::Object)?;
        keep::pin(&object, target.dir, &manifest).map_err(Failure::Object)?;
    }
    Ok(manifest)
}

fn open(elf: &[u8]) -> Result<OpenObject, String> {
    if elf.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let opened = ObjectBuilder::default()
        .name("object")
        .and_then(|builder| builder.open_memory(elf));
    opened.map_err(|error| log::take().reason().unwrap_or_else(|| error.to_string()))
}

/// libbpf names the program that the kernel has refused.
fn load_failure(optional: &[String], error: &dyn fmt::Display) -> Failure {
    let log = log::take();
    let reason = log.reason().unwrap_or_else(|| format!("load: {error}"));
    match log.failed_program().filter(|name| optional.contains(name)) {
        Some(program) => Failure::Optional { program, reason },
        None => Failure::Object(reason),
    }
}

/// Empties the directory for another attempt.
fn unpin_all(dir: &Path) {
    for pin in fs::read_dir(dir).into_iter().flatten().flatten() {
        // A pin that stays is found when its name is taken.
        let _ = fs::remove_file(pin.path());
    }
}

/// Notes what the kernel made of programs and maps.
fn measure(object: &Object, manifest: &mut Manifest) {
    for program in object.progs() {
        let insns: u64 = fdinfo::value(program.as_fd(), "verified_insns").unwrap_or(0);
        let name = program.name().to_string_lossy();
        if let Some(info) = manifest.programs_mut().find(|info| info.name == name) {
            info.verified_insns = u32::try_from(insns).unwrap_or(u32::MAX);
        }
    }
    for map in object.maps().filter(libbpf_rs::MapImpl::autocreate) {
        let name = map.name().to_string_lossy();
        if let Some(info) = manifest.maps.iter_mut().find(|info| info.name == name) {
            info.size_bytes = fdinfo::value(map.as_fd(), "memlock").unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_refused_with_a_reason() {
        let reason = load(b"", None).unavailable;
        assert_eq!(reason.as_deref(), Some("the file is empty"));
    }

    #[test]
    fn a_file_that_is_not_elf_is_refused_with_a_reason() {
        let reason = load(b"#!/bin/sh\nexit 0\n", None).unavailable;
        assert!(reason.is_some_and(|reason| !reason.is_empty()));
    }
}
