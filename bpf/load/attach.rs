//! The links of collectors, and the pins of a loaded object: links, programs and the map that
//! sweeps fill. They are in the object's directory and outlive the loader.

use std::ffi::OsStr;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use libbpf_rs::{ErrorKind, Link, MapCore as _, Object, ProgramImpl, ProgramType};

use super::{Failure, Target, keep};
use crate::bpf::manifest::{Manifest, ProgramInfo};
use crate::bpf::pins;

/// Attaches each collector and pins its link; without a target the links end with the loader.
pub(super) fn attach(
    object: &Object,
    target: Option<&Target<'_>>,
    optional: &[String],
    manifest: &mut Manifest,
) -> Result<(), Failure> {
    for (index, info) in manifest.collectors.iter_mut().enumerate() {
        let Some(program) = find(object, info) else {
            continue;
        };
        let fail = |reason: String| {
            if optional.contains(&info.name) {
                let program = info.name.clone();
                Failure::Optional { program, reason }
            } else {
                Failure::Object(format!("collector {}: {reason}", info.name))
            }
        };
        let attached = match (target, needs_cgroup(program.prog_type())) {
            (Some(target), true) => program.attach_cgroup(target.cgroup.as_raw_fd()),
            (None, true) => continue,
            (_, false) => program.attach(),
        };
        match attached {
            Ok(link) => keep_attached(link, target, index).map_err(fail)?,
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                let reason = format!("libbpf cannot attach {} by itself", info.section);
                info.unavailable = Some(reason);
            }
            Err(error) => return Err(fail(format!("attach: {error}"))),
        }
    }
    Ok(())
}

fn keep_attached(mut link: Link, target: Option<&Target<'_>>, index: usize) -> Result<(), String> {
    let Some(target) = target else {
        return Ok(());
    };
    link.pin(pins::of(target.dir, pins::LINK, index))
        .map_err(|error| format!("its link cannot be pinned: {error}"))?;
    // Destroying a perf event's link would disable the event even while it is pinned.
    link.disconnect();
    Ok(())
}

/// The loaded program of that name, if it can be used.
fn find<'a>(object: &'a Object, info: &ProgramInfo) -> Option<ProgramImpl<'a, libbpf_rs::Mut>> {
    let mut programs = object.progs_mut();
    let program = programs.find(|p| p.name() == OsStr::new(&info.name))?;
    info.unavailable.is_none().then_some(program)
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

/// Pins the programs of each view and the map that its sweep fills.
pub(super) fn pin_views(object: &Object, dir: &Path, manifest: &Manifest) -> Result<(), String> {
    for (index, view) in manifest.views.iter().enumerate() {
        let parts = [
            (Some(&view.program), pins::VIEW),
            (view.sweep.as_ref(), pins::SWEEP),
            (view.walk.as_ref(), pins::WALK),
        ];
        for (part, pin) in parts {
            let Some(info) = part else { continue };
            if let Some(mut program) = find(object, info) {
                program
                    .pin(pins::of(dir, pin, index))
                    .map_err(|error| format!("pin program {}: {error}", info.name))?;
            }
        }
        let swept = format!("cgview_{}_swept", view.program.name);
        for map in object.maps().filter(|map| map.name() == OsStr::new(&swept)) {
            keep::pin_map(&map, &pins::of(dir, pins::SWEPT, index))
                .map_err(|error| format!("pin map {swept}: {error}"))?;
        }
    }
    Ok(())
}
