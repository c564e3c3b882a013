//! Giving up what root can do and cgview never does.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

/// Mounting and BPF's file system; loading programs (`BPF`, `PERFMON`, and `NET_ADMIN` for those
/// that see packets); opening cgroups by id; addresses in /proc/kallsyms for libbpf; and writing
/// where only root may, for mountpoints and object directories of other owners.
const NEEDED: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::SYSLOG);

/// Keeps only what is needed, for this process and the loaders that it starts. To be called before
/// any thread is started: capabilities belong to threads.
///
/// # Errors
/// The kernel's, which a process that has the rights to mount does not get.
pub fn drop_unneeded() -> rustix::io::Result<()> {
    // A new program of uid 0 would get all capabilities in this set back.
    for capability in CapabilitySet::all().difference(NEEDED).iter() {
        match remove_capability_from_bounding_set(capability) {
            // One that this kernel does not know yet.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    let has = capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: has.effective.intersection(NEEDED),
            permitted: has.permitted.intersection(NEEDED),
            inheritable: CapabilitySet::empty(),
        },
    )?;
    set_no_new_privs(true)
}
