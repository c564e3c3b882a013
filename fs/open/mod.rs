//! Opening and reading files: when a view runs, and which run a read belongs to.
//!
//! A run's output is read from its start once; a further read at offset 0 runs the view again, and
//! reads at other offsets continue the current output. When `open` has to run the view to learn the
//! size, the first read at offset 0 gets that output.

mod allowance;
mod handles;
mod memory;
mod page_cache;
mod retries;
mod same_runs;
mod snapshot;
mod spare;

use std::sync::Arc;
use std::time::Instant;

use fuser::{FileHandle, INodeNo};

use super::CgviewFs;
use super::caller::Reader;
use super::errno::Error;
use super::inode::Node;

use handles::{Handle, OpenFile};
use page_cache::Open;
use snapshot::{Part, Snapshot};

pub(super) use allowance::{Allowance, Asker, max_run_time};
pub(super) use handles::{Entry, Handles, Lengths};
pub(super) use memory::User;
pub(super) use page_cache::PageCache;
pub(super) use retries::Retries;
pub(super) use same_runs::SameRuns;
pub(super) use snapshot::Content;

/// `open` runs the view only where the last output was longer. A shorter one has to grow to more
/// than twice its length before it is longer than the size that is shown.
const MAX_SMALL_BYTES: usize = 2048;

impl CgviewFs {
    pub(in crate::fs) fn open(&self, number: INodeNo, by: Asker) -> Result<FileHandle, Error> {
        let node = self.node(number)?;
        match node {
            Node::Cgroup(_) => return Err(Error::WrongKind),
            Node::Control(control) if control.is_directory() => return Err(Error::WrongKind),
            Node::Control(_) | Node::File(_) => {}
        }
        let reader = self.reader(node, by);
        let snapshot = match self.retries.take(number, (by.caller, reader)) {
            Some(snapshot) => Some(snapshot),
            None => self.measure(number, node, reader, by)?,
        };
        let length_bytes = match &snapshot {
            Some(snapshot) => snapshot.len(),
            None => self.lengths.get(number).unwrap_or(0),
        };
        if !self.page_cache.open(number, length_bytes, by.caller) {
            if let Some(snapshot) = snapshot {
                self.retries.put(number, (by.caller, reader), snapshot);
            }
            return Err(Error::Grown);
        }
        Ok(self.handles.open_file(node, reader, snapshot))
    }

    /// Who reads the file. To ask for capabilities takes time, and matters only where the file
    /// shows several cgroups.
    fn reader(&self, node: Node, by: Asker) -> Reader {
        if node.shows_subtree() {
            self.threads.reader(by.caller, by.user.0)
        } else {
            Reader::User(by.user.0)
        }
    }

    /// Runs the view if the length of its output is not known well enough.
    fn measure(
        &self,
        number: INodeNo,
        node: Node,
        reader: Reader,
        by: Asker,
    ) -> Result<Option<Arc<Snapshot>>, Error> {
        let length_bytes = self.lengths.get(number);
        if length_bytes.is_none_or(|length_bytes| length_bytes > MAX_SMALL_BYTES) {
            return self.take_snapshot(number, node, reader, by).map(Some);
        }
        self.check_node(node)?;
        Ok(None)
    }

    /// A read(2).
    pub(in crate::fs) fn read(
        &self,
        number: INodeNo,
        handle: FileHandle,
        (offset, size): (u64, u32),
        by: Asker,
    ) -> Result<Part, Error> {
        let entry = self.handles.get(handle)?;
        let file = entry.file()?;
        let is_first = file.note_read();
        let open = Open {
            file: number,
            handle,
            since: file.opened,
        };
        let snapshot = if offset == 0 {
            self.start(number, file, by)?
        } else if is_first && let Some(snapshot) = self.page_cache.filled_by_another(open) {
            // The caller has read the bytes before these from the page cache.
            file.put_read(Arc::clone(&snapshot));
            snapshot
        } else {
            self.resume(number, file, by)?
        };
        Ok(snapshot.part(offset, size))
    }

    /// A read that fills the kernel's page cache.
    pub(in crate::fs) fn read_page(
        &self,
        number: INodeNo,
        handle: FileHandle,
        (offset, size): (u64, u32),
        by: Asker,
    ) -> Result<Part, Error> {
        let entry = self.handles.get(handle)?;
        let file = entry.file()?;
        let open = Open {
            file: number,
            handle,
            since: file.opened,
        };
        if let Some(snapshot) = self.page_cache.filled_by(open) {
            return Ok(snapshot.part(offset, size));
        }
        let snapshot = if file.was_read() || file.is_unread() {
            self.resume(number, file, by)?
        } else {
            self.take_unread_snapshot(number, file, by)?
        };
        // A refused caller goes on by read(2) and finds the snapshot unread.
        let filling = self.page_cache.fill(open, &snapshot, by.caller);
        let snapshot = filling.ok_or(Error::NotByPageCache)?;
        file.note_taken(&snapshot);
        Ok(snapshot.part(offset, size))
    }

    /// The snapshot for a read at offset 0.
    fn start(&self, number: INodeNo, file: &OpenFile, by: Asker) -> Result<Arc<Snapshot>, Error> {
        if file.is_unread() {
            self.check_node(file.node)?;
            if let Some(snapshot) = file.take_unread() {
                return Ok(snapshot);
            }
        }
        let snapshot = match self.take_snapshot(number, file.node, file.reader, by) {
            // There may be room without the output that this one replaces.
            Err(Error::TooMuchOpen) if file.current().is_some() => {
                file.put_unread(None);
                self.take_snapshot(number, file.node, file.reader, by)
            }
            taken => taken,
        }?;
        file.put_read(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// The snapshot for a read that continues.
    fn resume(&self, number: INodeNo, file: &OpenFile, by: Asker) -> Result<Arc<Snapshot>, Error> {
        let Some((snapshot, unread)) = file.current() else {
            return self.take_unread_snapshot(number, file, by);
        };
        if unread {
            self.check_node(file.node)?;
        }
        Ok(snapshot)
    }

    /// Runs the view for a reader that does not begin at offset 0, or may not get the output.
    fn take_unread_snapshot(
        &self,
        number: INodeNo,
        file: &OpenFile,
        by: Asker,
    ) -> Result<Arc<Snapshot>, Error> {
        let snapshot = self.take_snapshot(number, file.node, file.reader, by)?;
        file.put_unread(Some(Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// Makes the content of the file anew, unless a run that began after the request has made it.
    fn take_snapshot(
        &self,
        number: INodeNo,
        node: Node,
        reader: Reader,
        by: Asker,
    ) -> Result<Arc<Snapshot>, Error> {
        if let Some(snapshot) = self.same_runs.since(number, reader, by.asked) {
            return Ok(snapshot);
        }
        let began = Instant::now();
        let mut allowance = self.allowance(by);
        allowance.check_time()?;
        let content = match node {
            Node::File(file) => self.content(file, reader, &mut allowance),
            Node::Control(control) => self.control_content(control, reader, &mut allowance),
            Node::Cgroup(_) => Err(Error::WrongKind),
        }?;
        self.lengths.put(number, content.bytes.len());
        let reserved = allowance.into_reserved();
        let snapshot = self.handles.memory.snapshot(content, reserved)?;
        self.same_runs.put(number, reader, began, &snapshot);
        Ok(snapshot)
    }

    /// Whether an open of the file may take long.
    pub(in crate::fs) fn opens_slowly(&self, number: INodeNo) -> bool {
        self.node(number).is_ok_and(Node::is_slow)
    }

    /// Whether a read may take long: it makes the content of such a file anew.
    pub(in crate::fs) fn reads_slowly(
        &self,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
    ) -> bool {
        let has_snapshot = |handle: &Handle| {
            let current = handle.file().ok().and_then(OpenFile::current);
            current.is_some_and(|(_, unread)| unread || offset > 0)
        };
        self.opens_slowly(number)
            && !self
                .handles
                .get(handle)
                .is_ok_and(|open| has_snapshot(&open))
    }

    /// Fails with [`Error::Gone`] when a new run would.
    fn check_node(&self, node: Node) -> Result<(), Error> {
        match node {
            Node::File(file) => self.check_exists(file),
            Node::Control(_) | Node::Cgroup(_) => Ok(()),
        }
    }
}
