//! Which optional programs and maps this kernel can have: facts asked of the kernel, then a
//! decision. What only an attempt can show is left to the attempt.

use std::cell::LazyCell;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd as _;

use libbpf_rs::{MapType, Object, OpenObject};
use memchr::memmem;

use super::LeftOut;
use super::tags::Tags;
use crate::bpf::manifest::{Manifest, Order};
use crate::sys;

/// The kernel's own types, whose strings hold the name of each kfunc.
const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Sets what is loaded; gives the names of the optional programs that the load tries.
pub(super) fn choose(
    open: &mut OpenObject,
    tags: &Tags,
    left_out: &mut LeftOut,
) -> Result<Vec<String>, String> {
    leave_out_maps(open, left_out)?;
    let kernel_btf = LazyCell::new(|| fs::read(KERNEL_BTF).unwrap_or_default());
    let mut tried = Vec::new();
    for mut program in open.progs_mut() {
        if program.autoload() {
            continue;
        }
        let name = program.name().to_string_lossy().into_owned();
        // A failed attempt loads the whole object again: skip what cannot load.
        let kfunc = tags.function(&name, "kfunc");
        let missing = kfunc.filter(|kfunc| !may_have(&kernel_btf, kfunc));
        if let Some(kfunc) = missing {
            left_out.insert(name, format!("this kernel has no kfunc {kfunc}"));
        } else if !left_out.contains_key(&name) {
            program.set_autoload(true);
            tried.push(name);
        }
    }
    Ok(tried)
}

/// One map of a type that the kernel lacks would fail the whole object.
fn leave_out_maps(open: &mut OpenObject, left_out: &mut LeftOut) -> Result<(), String> {
    for mut map in open.maps_mut() {
        let kind = map.map_type();
        // libbpf-rs does not know every type, and cannot probe for those.
        if kind == MapType::Unknown || kind.is_supported().unwrap_or(true) {
            continue;
        }
        let name = map.name().to_string_lossy().into_owned();
        map.set_autocreate(false)
            .map_err(|error| format!("map {name}: {error}"))?;
        left_out.insert(name, format!("this kernel has no maps of type {kind:?}"));
    }
    Ok(())
}

/// Whether the kernel may have a function of that name. A search of the BTF's strings is enough,
/// and much faster than parsing it. True when the BTF cannot be read.
fn may_have(kernel_btf: &[u8], function: &str) -> bool {
    let string = format!("\0{function}\0");
    kernel_btf.is_empty() || memmem::find(kernel_btf, string.as_bytes()).is_some()
}

/// Finds out whether the kernel has the order of each view. It shows at a link only, so one is
/// made and closed.
pub(super) fn probe_orders(object: &Object, manifest: &mut Manifest) {
    let views = manifest.views.iter_mut();
    for view in views.filter(|view| view.order == Order::Children) {
        let program = object
            .progs()
            .find(|p| p.name() == OsStr::new(&view.program.name));
        let Some(program) = program.filter(|_| view.program.unavailable.is_none()) else {
            continue;
        };
        let link = sys::cgroup_iter_link(program.as_fd(), None, view.order.number());
        if let Err(error) = link {
            let reason =
                format!("this kernel's cgroup iterator has no order \"children\" ({error})");
            view.program.unavailable = Some(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_missing_if_no_string_of_the_btf_is_its_name() {
        let btf = b"\0bpf_iter_css_next\0bpf_iter_css\0";
        assert!(may_have(btf, "bpf_iter_css") && may_have(btf, "bpf_iter_css_next"));
        assert!(!may_have(btf, "bpf_iter_css_new") && !may_have(btf, "iter_css"));
    }

    #[test]
    fn an_unreadable_btf_rules_nothing_out() {
        assert!(may_have(b"", "bpf_iter_css_new"));
    }
}
