//! Maps that keep their contents when their object is replaced: the new object uses the pinned map
//! of the old one.

use std::os::fd::AsFd as _;
use std::path::Path;

use libbpf_rs::{MapCore as _, MapHandle, Object, OpenMapMut, OpenObject};

use super::map_spec::MapSpec;
use crate::bpf::manifest::{Keep, Manifest};
use crate::bpf::pins;

/// Makes the kept maps of an open object use those of the object before, whose pins are in
/// `previous`; notes in the manifest what became of each.
pub(super) fn carry_over(open: &mut OpenObject, previous: Option<&Path>, manifest: &mut Manifest) {
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let info = manifest.maps.iter_mut().find(|info| info.name == name);
        if let Some(keep) = info.and_then(|info| info.keep.as_mut()) {
            *keep = reuse(&mut map, &name, previous);
        }
    }
}

fn reuse(map: &mut OpenMapMut<'_>, name: &str, previous: Option<&Path>) -> Keep {
    let Some(pin) = previous.map(|dir| pins::of_kept_map(dir, name)) else {
        return Keep::New;
    };
    if !pin.exists() {
        return Keep::New;
    }
    let carried = MapHandle::from_pinned_path(&pin)
        .and_then(|before| Ok((MapSpec::of_loaded(&before)?, before)))
        .map_err(|error| error.to_string())
        .and_then(|(spec, before)| match MapSpec::of(map).difference(&spec) {
            None => map
                .reuse_fd(before.as_fd())
                .map_err(|error| error.to_string()),
            Some(difference) => Err(difference),
        });
    match carried {
        Ok(()) => Keep::Carried,
        Err(why) => Keep::Lost(why),
    }
}

/// Pins the kept maps, for the object that will replace this one.
pub(super) fn pin(object: &Object, dir: &Path, manifest: &Manifest) -> Result<(), String> {
    for map in object.maps().filter(libbpf_rs::MapImpl::autocreate) {
        let name = map.name().to_string_lossy();
        let mut infos = manifest.maps.iter();
        if infos.any(|info| info.name == name && info.keep.is_some()) {
            pin_map(&map, &pins::of_kept_map(dir, &name))
                .map_err(|error| format!("pin map {name}: {error}"))?;
        }
    }
    Ok(())
}

/// Pins by a handle apart from the object, which would forget to unpin.
pub(super) fn pin_map(map: &libbpf_rs::Map<'_>, path: &Path) -> libbpf_rs::Result<()> {
    MapHandle::try_from(map)?.pin(path)
}
