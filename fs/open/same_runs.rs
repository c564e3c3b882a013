//! Runs of one file that several readers wait for: a reader gets the output of a run that began
//! after its request, whoever that run was for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use fuser::INodeNo;
use parking_lot::Mutex;

use super::snapshot::Snapshot;
use crate::fs::caller::Reader;

/// The files that readers wait for.
#[derive(Default)]
pub(in crate::fs) struct SameRuns {
    /// Locked for a look-up or a change only.
    files: Mutex<HashMap<INodeNo, Awaited>>,
}

#[derive(Default)]
struct Awaited {
    readers: usize,
    last: Option<Last>,
}

/// The last run.
struct Last {
    began: Instant,
    reader: Reader,
    output: Arc<Snapshot>,
}

/// A reader that waits until this is dropped.
pub(in crate::fs) struct Waiting {
    runs: Arc<SameRuns>,
    file: INodeNo,
}

impl SameRuns {
    /// Notes that a reader waits for a run of the file.
    pub(in crate::fs) fn wait(self: &Arc<SameRuns>, file: INodeNo) -> Waiting {
        self.files.lock().entry(file).or_default().readers += 1;
        let runs = Arc::clone(self);
        Waiting { runs, file }
    }

    /// The output of the last run, if that began after `asked` and shows what the reader may see.
    pub(super) fn since(
        &self,
        file: INodeNo,
        reader: Reader,
        asked: Instant,
    ) -> Option<Arc<Snapshot>> {
        let files = self.files.lock();
        let last = files.get(&file)?.last.as_ref()?;
        (last.reader == reader && last.began > asked).then(|| Arc::clone(&last.output))
    }

    /// Keeps the output for the readers that wait.
    pub(super) fn put(
        &self,
        file: INodeNo,
        reader: Reader,
        began: Instant,
        output: &Arc<Snapshot>,
    ) {
        let last = Last {
            began,
            reader,
            output: Arc::clone(output),
        };
        let mut files = self.files.lock();
        let awaited = files.get_mut(&file).filter(|awaited| awaited.readers > 1);
        let before = awaited.map(|awaited| awaited.last.replace(last));
        drop(files);
        // Freeing a large snapshot takes long.
        drop(before);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut files = self.runs.files.lock();
        let Some(awaited) = files.get_mut(&self.file) else {
            return;
        };
        awaited.readers -= 1;
        let last = if awaited.readers == 0 {
            files.remove(&self.file)
        } else {
            None
        };
        drop(files);
        drop(last);
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{Memory, User};
    use super::*;

    const FILE: INodeNo = INodeNo(7);
    const READER: Reader = Reader::User(7);

    #[test]
    fn only_readers_that_asked_before_a_run_began_share_its_output() {
        let memory = Memory::new(100);
        let snapshot = memory.snapshot(vec![1], memory.reserve_for(User::ROOT));
        let snapshot = snapshot.expect("room");
        let runs = Arc::new(SameRuns::default());
        let before = Instant::now();
        let (first, second) = (runs.wait(FILE), runs.wait(FILE));
        let began = Instant::now();
        runs.put(FILE, READER, began, &snapshot);
        assert!(runs.since(FILE, READER, before).is_some());
        assert!(runs.since(FILE, READER, began).is_none());
        assert!(runs.since(FILE, Reader::User(8), before).is_none());
        assert!(runs.since(INodeNo(8), READER, before).is_none());
        drop((first, second));
        assert!(runs.since(FILE, READER, before).is_none());
        assert_eq!(Arc::strong_count(&snapshot), 1);
    }

    #[test]
    fn an_output_that_nobody_waits_for_is_not_kept() {
        let memory = Memory::new(100);
        let snapshot = memory.snapshot(vec![1], memory.reserve_for(User::ROOT));
        let snapshot = snapshot.expect("room");
        let runs = Arc::new(SameRuns::default());
        let _only = runs.wait(FILE);
        runs.put(FILE, READER, Instant::now(), &snapshot);
        assert_eq!(Arc::strong_count(&snapshot), 1);
    }
}
