//! The constants of the authoring header, set in an open object's `.rodata`: `cgview_nr_cpus`,
//! `cgview_page_bytes`, and `cgview_has_X` for an optional program or map X.

use std::ffi::OsStr;

use libbpf_rs::OpenObject;
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{DataSec, Var};

use super::LeftOut;

const NR_CPUS: &str = "cgview_nr_cpus";
const PAGE_BYTES: &str = "cgview_page_bytes";
const HAS: &str = "cgview_has_";

/// Writes the values into the object's `.rodata`. `left_out` names the optional programs and maps
/// that are not there.
pub(super) fn set(
    open: &mut OpenObject,
    btf: Option<&Btf<'_>>,
    left_out: &LeftOut,
) -> Result<(), String> {
    let Some(btf) = btf else {
        return Ok(());
    };
    let Some(section) = btf.type_by_name::<DataSec<'_>>(".rodata") else {
        return Ok(());
    };
    let mut rodata = open.maps_mut().find(|map| is_rodata(map.name()));
    let Some(bytes) = rodata.as_mut().and_then(|map| map.initial_value_mut()) else {
        return Ok(());
    };
    for variable in section.iter() {
        let Some(ty) = btf.type_by_id::<Var<'_>>(variable.ty) else {
            continue;
        };
        let name = ty.name().unwrap_or_default().to_string_lossy();
        let offset = variable.offset as usize;
        let Some(slot) = bytes.get_mut(offset..offset.saturating_add(variable.size)) else {
            return Err(format!("variable {name} lies outside of .rodata"));
        };
        if name == NR_CPUS && slot.len() == 4 {
            let nr_cpus = libbpf_rs::num_possible_cpus().map_err(|error| error.to_string())?;
            let nr_cpus = u32::try_from(nr_cpus).unwrap_or(u32::MAX);
            slot.copy_from_slice(&nr_cpus.to_ne_bytes());
        } else if name == PAGE_BYTES && slot.len() == 4 {
            let page_bytes = u32::try_from(rustix::param::page_size()).unwrap_or(u32::MAX);
            slot.copy_from_slice(&page_bytes.to_ne_bytes());
        } else if let (Some(of), [flag]) = (name.strip_prefix(HAS), &mut *slot) {
            *flag = u8::from(!left_out.contains_key(of));
        }
    }
    Ok(())
}

/// libbpf calls the map `<object>.rodata`.
fn is_rodata(name: &OsStr) -> bool {
    name.to_string_lossy().ends_with(".rodata")
}
