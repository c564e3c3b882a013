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
    let seconds = KERNEL_LIMITS.iter().filter_map(|path| {
        let text = std::fs::read_to_string(path).ok()?;
        text.trim().parse().ok().filter(|seconds| *seconds > 0)
    });
    let limits = seconds.map(|seconds| Duration::from_secs(seconds) / 2);
    limits.min().map_or(MAX_TIME, |limit| limit.min(MAX_TIME))
}
