//! What the run for one request may cost: memory from its user's share, and time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::memory::{Reserved, User};
use crate::fs::CgviewFs;
use crate::fs::caller::Caller;
use crate::fs::errno::Error;

/// A run ends by an error this long after its request.
const MAX_TIME: Duration = Duration::from_secs(30);

/// The kernel aborts the connection when a request takes longer than this number of seconds, if it
/// is not 0 (Linux 6.15 and later).
const KERNEL_LIMITS: [&str; 2] = [
    "/proc/sys/fs/fuse/default_request_timeout",
    "/proc/sys/fs/fuse/max_request_timeout",
];

/// Who sends a request, and when.
#[derive(Debug, Clone, Copy)]
pub(in crate::fs) struct Asker {
    pub(in crate::fs) caller: Caller,
    pub(in crate::fs) user: User,
    pub(in crate::fs) asked: Instant,
}

/// What is left of the memory and the time that a run may take.
pub(in crate::fs) struct Allowance<'a> {
    reserved: Reserved,
    until: Instant,
    /// The mount ends.
    ending: &'a AtomicBool,
}

impl CgviewFs {
    /// What the run for a request may cost.
    pub(super) fn allowance(&self, by: Asker) -> Allowance<'_> {
        Allowance {
            reserved: self.handles.memory.reserve_for(by.user),
            until: by.asked + self.max_run_time,
            ending: &self.ending,
        }
    }
}

impl Allowance<'_> {
    /// Whether the run may hold this many bytes; they are then reserved.
    pub(in crate::fs) fn hold(&mut self, size_bytes: usize) -> bool {
        self.reserved.resize(size_bytes).is_ok()
    }

    /// Fails with [`Error::TookTooLong`] when the time is over or the mount ends.
    pub(in crate::fs) fn check_time(&self) -> Result<(), Error> {
        if Instant::now() > self.until || self.ending.load(Ordering::Relaxed) {
            return Err(Error::TookTooLong);
        }
        Ok(())
    }

    /// The reservation, for the snapshot of the output.
    pub(super) fn into_reserved(self) -> Reserved {
        self.reserved
    }
}

/// How long a run may take: half of what the kernel allows, if it has a limit.
pub(in crate::fs) fn max_run_time() -> Duration {
    let limits = KERNEL_LIMITS.map(|path| std::fs::read_to_string(path).unwrap_or_default());
    max_run_time_of(&limits)
}

/// The same from the contents of the kernel's files; empty for one that it does not have.
fn max_run_time_of(limits: &[String]) -> Duration {
    let seconds = limits.iter().filter_map(|text| text.trim().parse().ok());
    let seconds = seconds.filter(|seconds| *seconds > 0);
    let limits = seconds.map(|seconds| Duration::from_secs(seconds) / 2);
    limits.min().map_or(MAX_TIME, |limit| limit.min(MAX_TIME))
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    #[test]
    fn a_run_ends_when_its_time_is_over_or_the_mount_ends() {
        let memory = Memory::new(100);
        let ending = AtomicBool::new(false);
        let allowance = |until| Allowance {
            reserved: memory.reserve_for(User::ROOT),
            until,
            ending: &ending,
        };
        let now = Instant::now();
        let over = allowance(now - Duration::from_secs(1));
        assert!(matches!(over.check_time(), Err(Error::TookTooLong)));
        let later = allowance(now + Duration::from_secs(60));
        assert!(later.check_time().is_ok());
        ending.store(true, Ordering::Relaxed);
        assert!(matches!(later.check_time(), Err(Error::TookTooLong)));
    }

    #[test]
    fn the_time_is_half_of_the_kernels_limit_if_that_is_shorter() {
        let of = |limits: [&str; 2]| max_run_time_of(&limits.map(str::to_owned));
        assert_eq!(of(["", ""]), MAX_TIME);
        assert_eq!(of(["0\n", "0\n"]), MAX_TIME);
        assert_eq!(of(["10\n", "0\n"]), Duration::from_secs(5));
        assert_eq!(of(["10\n", "4\n"]), Duration::from_secs(2));
        assert_eq!(of(["600\n", "0\n"]), MAX_TIME);
    }
}
