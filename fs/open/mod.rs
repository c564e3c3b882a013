//! Opening and reading files: when a view runs, and which run a read belongs to.
//!
//! A run's output is read from its start once; a further read at offset 0 runs the view again, and
//! reads at other offsets continue the current output. When `open` has to run the view to learn the
//! size, the first read at offset 0 gets that output.

mod handles;
mod page_cache;
mod retries;
mod snapshot;
mod spare;

use std::sync::Arc;

use fuser::{FileHandle, INodeNo};

use super::CgviewFs;
use super::caller::{Caller, Reader};
use super::errno::Error;
use super::inode::{ControlNode, Node};

use handles::OpenFile;
use page_cache::Open;
use snapshot::{Part, Snapshot};

pub(super) use handles::{Entry, Handles, Lengths};
pub(super) use page_cache::PageCache;
pub(super) use retries::Retries;
pub(super) use snapshot::Content;

/// `open` runs the view only where the last output was longer. A shorter one has to grow to more
/// than twice its length before it is longer than the size that is shown.
const MAX_SMALL_BYTES: usize = 2048;

impl CgviewFs {
    pub(in crate::fs) fn open(
        &self,
        number: INodeNo,
        by: Caller,
        user: u32,
    ) -> Result<FileHandle, Error> {
        let node = self.node(number)?;
        match node {
            Node::Cgroup(_) => return Err(Error::WrongKind),
            Node::Control(control) if control.is_directory() => return Err(Error::WrongKind),
            Node::Control(_) | Node::File(_) => {}
        }
        let reader = self.reader(node, by, user);
        let snapshot = match self.retries.take(number, (by, reader)) {
            Some(snapshot) => Some(snapshot),
            None => self.measure(number, node, reader)?,
        };
        let length_bytes = match &snapshot {
            Some(snapshot) => snapshot.len(),
            None => self.lengths.get(number).unwrap_or(0),
        };
        if !self.page_cache.open(number, length_bytes, by) {
            if let Some(snapshot) = snapshot {
                self.retries.put(number, (by, reader), snapshot);
            }
            return Err(Error::Grown);
        }
        Ok(self.handles.open_file(node, reader, snapshot))
    }

    /// Who reads the file. To ask for capabilities takes time, and matters only where the file
    /// shows several cgroups.
    fn reader(&self, node: Node, by: Caller, user: u32) -> Reader {
        let shows_several = match node {
            Node::File(file) => file.form.is_subtree(),
            Node::Control(control) => matches!(control, ControlNode::PromFile(_)),
            Node::Cgroup(_) => false,
        };
        if shows_several {
            self.threads.reader(by, user)
        } else {
            Reader::User(user)
        }
    }

    /// Runs the view if the length of its output is not known well enough.
    fn measure(
        &self,
        number: INodeNo,
        node: Node,
        reader: Reader,
    ) -> Result<Option<Arc<Snapshot>>, Error> {
        let length_bytes = self.lengths.get(number);
        if length_bytes.is_none_or(|length_bytes| length_bytes > MAX_SMALL_BYTES) {
            return self.take_snapshot(number, node, reader).map(Some);
        }
        self.check_node(node)?;
        Ok(None)
    }

    /// A read(2).
    pub(in crate::fs) fn read(
        &self,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
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
            self.start(number, file)?
        } else if is_first && let Some(snapshot) = self.page_cache.filled_by_another(open) {
            // The caller has read the bytes before these from the page cache.
            file.put_read(Arc::clone(&snapshot));
            snapshot
        } else {
            self.resume(number, file)?
        };
        Ok(snapshot.part(offset, size))
    }

    /// A read that fills the kernel's page cache.
    pub(in crate::fs) fn read_page(
        &self,
        number: INodeNo,
        handle: FileHandle,
        (offset, size): (u64, u32),
        by: Caller,
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
            self.resume(number, file)?
        } else {
            self.take_unread_snapshot(number, file)?
        };
        // A refused caller goes on by read(2) and finds the snapshot unread.
        let filling = self.page_cache.fill(open, &snapshot, by);
        let snapshot = filling.ok_or(Error::NotByPageCache)?;
        file.note_taken(&snapshot);
        Ok(snapshot.part(offset, size))
    }

    /// The snapshot for a read at offset 0.
    fn start(&self, number: INodeNo, file: &OpenFile) -> Result<Arc<Snapshot>, Error> {
        if file.is_unread() {
            self.check_node(file.node)?;
            if let Some(snapshot) = file.take_unread() {
                return Ok(snapshot);
            }
        }
        let snapshot = self.take_snapshot(number, file.node, file.reader)?;
        file.put_read(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// The snapshot for a read that continues.
    fn resume(&self, number: INodeNo, file: &OpenFile) -> Result<Arc<Snapshot>, Error> {
        let Some((snapshot, unread)) = file.current() else {
            return self.take_unread_snapshot(number, file);
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
    ) -> Result<Arc<Snapshot>, Error> {
        let snapshot = self.take_snapshot(number, file.node, file.reader)?;
        file.put_unread(Some(Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// Makes the content of the file anew.
    fn take_snapshot(
        &self,
        number: INodeNo,
        node: Node,
        reader: Reader,
    ) -> Result<Arc<Snapshot>, Error> {
        let content = match node {
            Node::File(file) => self.content(file, reader),
            Node::Control(control) => self.control_content(control, reader),
            Node::Cgroup(_) => Err(Error::WrongKind),
        }?;
        self.lengths.put(number, content.bytes.len());
        self.handles.memory.snapshot(content)
    }

    /// Fails with [`Error::Gone`] when a new run would.
    fn check_node(&self, node: Node) -> Result<(), Error> {
        match node {
            Node::File(file) => self.check_exists(file),
            Node::Control(_) | Node::Cgroup(_) => Ok(()),
        }
    }
}
