//! Opening a file and reading it: when its content is made anew, and which run a read belongs to.

mod handles;
mod page_cache;
mod spare;

use fuser::{FileHandle, INodeNo};

use crate::mirror;

use super::errno::Error;
use super::inode::Node;
use super::{CgviewFs, attr};

use handles::OpenFile;
use page_cache::Open;

pub(super) use handles::{Entry, Handle, Handles, Lengths};
pub(super) use page_cache::{Caller, PageCache};

/// An output that was at most this long is not measured again at each open: it has to grow to
/// more than twice that before it is longer than the size shown.
const SURELY_SMALL_BYTES: usize = 2048;

impl CgviewFs {
    pub(in crate::fs) fn open(&self, number: INodeNo, by: Caller) -> Result<FileHandle, Error> {
        let node = self.node(number)?;
        match node {
            Node::Cgroup(_) => return Err(Error::WrongKind),
            Node::Control(control) if control.is_directory() => return Err(Error::WrongKind),
            Node::Control(_) | Node::File(_) => {}
        }
        let mut length = self.lengths.get(number);
        let mut snapshot = None;
        if length.is_none_or(|length_bytes| length_bytes > SURELY_SMALL_BYTES) {
            let bytes = self.bytes(node).map_err(stale_at_open)?;
            length = Some(bytes.len());
            self.lengths.put(number, bytes.len());
            if attr::shown_size(bytes.len()) > attr::shown_size(0) {
                snapshot = Some(self.handles.snapshot(bytes, true)?);
            }
        } else if let Node::File(file) = node {
            let alive = self.mirror.is_alive(file.cgroup)?;
            if !alive {
                return Err(Error::Stale);
            }
            self.view_of(file)?;
        }
        if !self.page_cache.open(number, length.unwrap_or(0), by) {
            return Err(Error::Stale);
        }
        Ok(self.handles.open_file(node, snapshot))
    }

    fn bytes(&self, node: Node) -> Result<Vec<u8>, Error> {
        match node {
            Node::File(file) => self.content(file),
            Node::Control(control) => self.control_content(control),
            Node::Cgroup(_) => Err(Error::WrongKind),
        }
    }

    pub(in crate::fs) fn read<T>(
        &self,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        show: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Error> {
        let open = self.handles.get(handle)?;
        let Handle::File(file) = &*open else {
            return Err(Error::WrongKind);
        };
        let first = file.is_first_read();
        if offset == 0 && !file.opened_just_now() {
            self.run_again(number, file)?;
        } else if first
            && offset != 0
            && let Some(snapshot) = self.page_cache.filled_by_another(Open {
                file: number,
                handle,
                since: file.opened,
            })
        {
            // It has read the bytes before from the page cache: these belong to them.
            file.put(snapshot);
        }
        let mut show = Some(show);
        let mut shown = |bytes: &[u8]| show.take().map(|show| show(bytes));
        if let Some(shown) = file.slice(offset, size, &mut shown) {
            return shown.ok_or(Error::BadHandle);
        }
        self.run_again(number, file)?;
        let shown = file.slice(offset, size, &mut shown).flatten();
        shown.ok_or(Error::BadHandle)
    }

    /// A read that fills the kernel's page cache.
    pub(in crate::fs) fn read_page<T>(
        &self,
        number: INodeNo,
        handle: FileHandle,
        (offset, size): (u64, u32),
        by: Caller,
        show: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Error> {
        let file = self.handles.get(handle)?;
        let Handle::File(file) = &*file else {
            return Err(Error::WrongKind);
        };
        let open = Open {
            file: number,
            handle,
            since: file.opened,
        };
        if let Some(snapshot) = self.page_cache.filled_by(open) {
            return Ok(show(snapshot.slice(offset, size)));
        }
        // What read(2) has begun goes on.
        if !file.was_read() && !file.opened_just_now() {
            self.run_again(number, file)?;
        }
        let snapshot = file.snapshot().ok_or(Error::BadHandle)?;
        let filling = self.page_cache.fill(open, &snapshot, by);
        let snapshot = filling.ok_or(Error::NotByPageCache)?;
        Ok(show(snapshot.slice(offset, size)))
    }

    fn run_again(&self, number: INodeNo, file: &OpenFile) -> Result<(), Error> {
        let bytes = self.bytes(file.node).map_err(gone_when_open)?;
        self.lengths.put(number, bytes.len());
        file.put(self.handles.snapshot(bytes, false)?);
        Ok(())
    }
}

/// What is gone at open is a name that the kernel has to look up again.
fn stale_at_open(error: Error) -> Error {
    match error {
        Error::Gone | Error::Mirror(mirror::Error::Gone(_)) => Error::Stale,
        other => other,
    }
}

/// What is gone at a read of an open file stays gone: looking up again cannot help.
fn gone_when_open(error: Error) -> Error {
    match error {
        Error::Stale | Error::NoSuchName | Error::Mirror(mirror::Error::Gone(_)) => Error::Gone,
        other => other,
    }
}
