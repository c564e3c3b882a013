//! Runs for an open that the kernel repeats. An open that finds its file grown is refused with
//! `ESTALE`; the kernel looks the file up, gets its new size and opens it again at once. The output
//! of the refused open waits here for the second, because each run may be one of a kind: a program
//! may clear what it shows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::INodeNo;
use parking_lot::Mutex;

use super::snapshot::Snapshot;
use crate::fs::caller::{Caller, Reader};

/// The kernel comes back within a millisecond. A caller that was killed never does, and its
/// output is dropped after this time.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The oldest output is dropped when more wait.
const MAX_WAITING: usize = 64;

/// The outputs that wait.
#[derive(Default)]
pub(in crate::fs) struct Retries {
    /// Locked for a look-up or a change only.
    waiting: Mutex<VecDeque<Waiting>>,
}

struct Waiting {
    file: INodeNo,
    by: (Caller, Reader),
    since: Instant,
    snapshot: Arc<Snapshot>,
}

impl Retries {
    /// Keeps the output of an open that was refused.
    pub(super) fn put(&self, file: INodeNo, by: (Caller, Reader), snapshot: Arc<Snapshot>) {
        let mut waiting = self.waiting.lock();
        let full = waiting.len() >= MAX_WAITING;
        let oldest = if full { waiting.pop_front() } else { None };
        waiting.push_back(Waiting {
            file,
            by,
            since: Instant::now(),
            snapshot,
        });
        drop(waiting);
        drop(oldest);
    }

    /// The output of the open that this one repeats.
    pub(super) fn take(&self, file: INodeNo, by: (Caller, Reader)) -> Option<Arc<Snapshot>> {
        let mut waiting = self.waiting.lock();
        let fresh = waiting.partition_point(|one| one.since.elapsed() > MAX_AGE);
        let expired: Vec<_> = waiting.drain(..fresh).collect();
        let at = waiting
            .iter()
            .position(|one| one.file == file && one.by == by);
        let found = at.and_then(|at| waiting.remove(at));
        drop(waiting);
        drop(expired);
        found.map(|one| one.snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{Memory, User};
    use super::*;

    const FILE: INodeNo = INodeNo(7);
    fn caller(thread: u32) -> (Caller, Reader) {
        (Caller(thread), Reader::User(1))
    }

    fn snapshot(memory: &Memory) -> Arc<Snapshot> {
        let reserved = memory.reserve_for(User::ROOT);
        memory.snapshot(vec![1], reserved).expect("room")
    }

    #[test]
    fn only_the_same_caller_gets_the_output_of_its_open_and_only_once() {
        let memory = Memory::new(100);
        let retries = Retries::default();
        retries.put(FILE, caller(10), snapshot(&memory));
        assert!(retries.take(FILE, caller(11)).is_none());
        let same_thread = (Caller(10), Reader::Privileged);
        assert!(retries.take(FILE, same_thread).is_none());
        assert!(retries.take(INodeNo(8), caller(10)).is_none());
        assert!(retries.take(FILE, caller(10)).is_some());
        assert!(retries.take(FILE, caller(10)).is_none());
    }

    #[test]
    fn outputs_that_nobody_takes_are_few_and_expire() {
        let memory = Memory::new(1 << 10);
        let retries = Retries::default();
        for thread in 0..=MAX_WAITING as u32 {
            retries.put(FILE, caller(thread), snapshot(&memory));
        }
        assert_eq!(retries.waiting.lock().len(), MAX_WAITING);
        assert!(retries.take(FILE, caller(0)).is_none());
        for one in retries.waiting.lock().iter_mut() {
            one.since -= MAX_AGE + Duration::from_secs(1);
        }
        assert!(retries.take(FILE, caller(1)).is_none());
        assert_eq!(memory.used_bytes(), 0);
    }
}
