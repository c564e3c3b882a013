//! FUSE's protocol: calls the file system and replies. Each failure is logged here, once.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, PollEvents, PollFlags,
    PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};

use super::errno::Error;
use super::open::{Caller, Handle};
use super::{CgviewFs, Found, attr};

/// Ids are never used twice, so one generation is enough.
const GENERATION: Generation = Generation(0);

/// `CgviewFs` as the kernel sees it.
pub(super) struct Adapter {
    pub(super) fs: CgviewFs,
}

fn failed(call: &str, error: &Error) -> Errno {
    if !error.is_ordinary() {
        log::warn!("{call}: {error}");
    }
    error.errno()
}

impl Adapter {
    /// What is found, with the size that may be told.
    fn tell(&self, mut found: Found, request: &Request) -> Found {
        if found.attr.kind == FileType::RegularFile {
            let by = Caller(request.pid());
            let size = self.fs.page_cache.tell(found.attr.ino, found.attr.size, by);
            found.attr.size = size;
        }
        found
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = InitFlags::FUSE_PARALLEL_DIROPS | InitFlags::FUSE_NO_EXPORT_SUPPORT;
        // What this kernel cannot do only makes it slower.
        let _ = config.add_capabilities(wanted & config.capabilities());
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.fs.lookup(parent, name) {
            Ok(found) => {
                let found = self.tell(found, request);
                reply.entry_with_ttls(&found.attr_ttl, &attr::ENTRY_TTL, &found.attr, GENERATION);
            }
            Err(error) => reply.error(failed("lookup", &error)),
        }
    }

    fn getattr(&self, request: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.fs.getattr(ino, fh) {
            Ok(found) => {
                let found = self.tell(found, request);
                reply.attr(&found.attr_ttl, &found.attr);
            }
            Err(error) => reply.error(failed("getattr", &error)),
        }
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return reply.error(Error::ReadOnly.errno());
        }
        match self.fs.open(ino, Caller(request.pid())) {
            Ok(handle) => reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(failed("open", &error)),
        }
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut reply = Some(reply);
        let show = |bytes: &[u8]| {
            if let Some(reply) = reply.take() {
                reply.data(bytes);
            }
        };
        // Only read(2) names one: fs/fuse/file.c fuse_send_read() for direct I/O.
        let by = Caller(request.pid());
        let read = if lock_owner.is_some() {
            self.fs.page_cache.heard_of(ino, by);
            self.fs.read(ino, fh, offset, size, show)
        } else {
            self.fs.read_page(ino, fh, (offset, size), by, show)
        };
        if let (Err(error), Some(reply)) = (read, reply) {
            reply.error(failed("read", &error));
        }
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.fs.page_cache.close(ino, fh);
        reply.ok();
        self.fs.handles.close(fh);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.fs.opendir(ino) {
            Ok(handle) => reply.opened(handle, FopenFlags::empty()),
            Err(error) => reply.error(failed("opendir", &error)),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let handle = match self.fs.handles.get(fh) {
            Ok(handle) => handle,
            Err(error) => return reply.error(failed("readdir", &error)),
        };
        let Handle::Directory(listing) = &*handle else {
            return reply.error(Error::WrongKind.errno());
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = listing.entries.iter().zip(1u64..).skip(start);
        for (entry, next) in rest {
            if reply.add(entry.number, next, entry.kind, &entry.name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        reply.ok();
        self.fs.handles.close(fh);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    /// Files of cgroupfs and procfs without events of their own answer the same.
    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: PollNotifier,
        _: PollEvents,
        _: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.poll(PollEvents::POLLIN | PollEvents::POLLRDNORM);
    }

    /// `ENOSYS` is remembered by the kernel, which then does not ask again.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn setattr(
        &self,
        _: &Request,
        _: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.error(Error::ReadOnly.errno());
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Error::ReadOnly.errno());
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Error::ReadOnly.errno());
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match self.fs.unlink(parent, name) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(failed("unlink", &error)),
        }
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Error::ReadOnly.errno());
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Error::ReadOnly.errno());
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Error::ReadOnly.errno());
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: INodeNo,
        _: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(Error::ReadOnly.errno());
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.error(Error::ReadOnly.errno());
    }

    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Error::ReadOnly.errno());
    }

    fn setxattr(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: &[u8],
        _: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(Error::ReadOnly.errno());
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Error::ReadOnly.errno());
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: i32,
        reply: ReplyEmpty,
    ) {
        reply.error(Error::ReadOnly.errno());
    }
}
