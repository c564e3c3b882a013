//! What a loaded object leaves behind: its collectors' links, its programs and the maps that are
//! asked for, all pinned in the directory of the object.

use std::ffi::OsStr;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use libbpf_rs::{MapCore as _, Object, ProgramType};

use super::{Failure, Target};
use crate::bpf::manifest::{Manifest, ProgramInfo};
use crate::bpf::pins;

pub(super) fn attach(
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
            let path = pins::of(target.dir, pins::LINK, index);
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

pub(super) fn pin_views(object: &Object, dir: &Path, manifest: &Manifest) -> Result<(), String> {
    let pin_program = |info: &ProgramInfo, pin: &str, index: usize| {
        let program = object
            .progs_mut()
            .find(|p| p.name() == OsStr::new(&info.name));
        let Some(mut program) = program.filter(|_| info.missing.is_none()) else {
            return Ok(());
        };
        program
            .pin(pins::of(dir, pin, index))
            .map_err(|error| format!("pin program {}: {error}", info.name))
    };
    for (index, view) in manifest.views.iter().enumerate() {
        pin_program(&view.program, pins::VIEW, index)?;
        for (part, pin) in [(&view.sweep, pins::SWEEP), (&view.walk, pins::WALK)] {
            if let Some(info) = part {
                pin_program(info, pin, index)?;
            }
        }
        let rows = format!("{}_rows", view.program.name);
        // Pinned by a handle of its own: an object forgets to unpin what it has pinned itself.
        for map in object.maps().filter(|map| map.name() == OsStr::new(&rows)) {
            libbpf_rs::MapHandle::try_from(&map)
                .and_then(|mut handle| handle.pin(pins::of(dir, pins::ROWS, index)))
                .map_err(|error| format!("pin map {rows}: {error}"))?;
        }
    }
    Ok(())
}

/// By handles of their own, like the rows above.
pub(super) fn pin_kept(object: &Object, dir: &Path, manifest: &Manifest) -> Result<(), String> {
    for map in object.maps().filter(libbpf_rs::MapImpl::autocreate) {
        let name = map.name().to_string_lossy();
        let mut infos = manifest.maps.iter();
        if infos.any(|info| info.name == name && info.keep.is_some()) {
            libbpf_rs::MapHandle::try_from(&map)
                .and_then(|mut handle| handle.pin(pins::of_kept_map(dir, &name)))
                .map_err(|error| format!("pin map {name}: {error}"))?;
        }
    }
    Ok(())
}
