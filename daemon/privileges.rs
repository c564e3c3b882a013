//! The capabilities of the daemon: those of root that cgview uses.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

/// `SYS_ADMIN` mounts; `BPF`, `PERFMON` and `NET_ADMIN` load programs, the last those that see
/// packets; `DAC_READ_SEARCH` opens cgroups by id; `DAC_OVERRIDE` uses mountpoints and object
/// directories of other owners; `SYSLOG` reads the addresses in /proc/kallsyms for libbpf; `SETUID`
/// and `SETGID` run the compiler as nobody.
const NEEDED: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::SYSLOG)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID);

/// Whether the effective user is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Drops the capabilities that cgview does not use, for this process and those that it starts.
///
/// Call it before a second thread starts: a thread has capabilities, and passes them to those that
/// it starts. See capabilities(7).
///
/// # Errors
/// Those of prctl(2) and capset(2).
pub fn drop_unneeded_capabilities() -> rustix::io::Result<()> {
    // An exec by uid 0 regains every capability that stays in the bounding set.
    let has = capabilities(None)?;
    for capability in CapabilitySet::all().difference(NEEDED).iter() {
        match remove_capability_from_bounding_set(capability) {
            // EINVAL: this kernel does not have the capability.
            Ok(()) | Err(Errno::INVAL) => {}
            // Who starts a daemon without CAP_SETPCAP has limited it already.
            Err(Errno::PERM) if !has.effective.contains(CapabilitySet::SETPCAP) => break,
            Err(error) => return Err(error),
        }
    }
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
