//! The FUSE protocol: calls the file system and replies. Each failure is logged here, once.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, PollEvents, PollFlags,
    PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyXattr, Request, TimeOrNow,
};

use super::CgviewFs;
use super::attr::{Attributes, ENTRY_TTL};
use super::caller::Caller;
use super::errno::{Error, Subject};
use super::open::{Asker, User};
use super::workers::Workers;

/// The same for all: cgroup ids, and so inode numbers, are never used again.
const GENERATION: Generation = Generation(0);

/// The requests that the kernel sends to a [`CgviewFs`].
pub(super) struct Adapter {
    fs: Arc<CgviewFs>,
    workers: Workers,
}

/// The errno of a failed request, which is logged if it is news.
fn failed(call: &str, subject: Subject, error: &Error) -> Errno {
    if !error.is_ordinary() {
        log::warn!("{call}: {error}");
    }
    error.errno(subject)
}

fn read_only() -> Errno {
    Error::ReadOnly.errno(Subject::Name)
}

fn asker(request: &Request) -> Asker {
    Asker {
        caller: Caller(request.pid()),
        user: User(request.uid()),
        asked: Instant::now(),
    }
}

impl Adapter {
    pub(super) fn new(fs: CgviewFs) -> io::Result<Adapter> {
        Ok(Adapter {
            fs: Arc::new(fs),
            workers: Workers::start()?,
        })
    }

    /// Answers a request for a file now, or in its user's turn if that may take long.
    fn answer(
        &self,
        slow: bool,
        file: INodeNo,
        by: Asker,
        answer: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        if !slow {
            return answer(Ok(()));
        }
        let waiting = self.fs.same_runs.wait(file);
        let job = move |admitted| {
            answer(admitted);
            drop(waiting);
        };
        self.workers.submit(by.user, Box::new(job));
    }

    /// Puts the size in that the kernel may get now.
    fn announce_size(&self, attributes: &mut Attributes, request: &Request) {
        let attr = &mut attributes.attr;
        if attr.kind == FileType::RegularFile {
            let to = Caller(request.pid());
            attr.size = self.fs.page_cache.announce_size(attr.ino, attr.size, to);
        }
    }

    /// Adds entries to the reply until it is full. The offset of an entry counts those before it.
    fn list(&self, fh: FileHandle, offset: u64, reply: &mut ReplyDirectory) -> Result<(), Error> {
        let handle = self.fs.handles.get(fh)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        for (entry, next) in handle.entries()?.iter().zip(1u64..).skip(start) {
            if reply.add(entry.number, next, entry.kind, &entry.name) {
                break;
            }
        }
        Ok(())
    }
}

impl Drop for Adapter {
    /// Dropping the workers waits for the runs.
    fn drop(&mut self) {
        self.fs.ending.store(true, Ordering::Relaxed);
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = InitFlags::FUSE_PARALLEL_DIROPS | InitFlags::FUSE_NO_EXPORT_SUPPORT;
        // Without one of them the kernel is slower, no more.
        let _ = config.add_capabilities(wanted & config.capabilities());
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.fs.lookup(parent, name) {
            Ok(mut found) => {
                self.announce_size(&mut found, request);
                reply.entry_with_ttls(&found.ttl, &ENTRY_TTL, &found.attr, GENERATION);
            }
            Err(error) => reply.error(failed("lookup", Subject::Name, &error)),
        }
    }

    fn getattr(&self, request: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.fs.getattr(ino, fh) {
            Ok(mut attributes) => {
                self.announce_size(&mut attributes, request);
                reply.attr(&attributes.ttl, &attributes.attr);
            }
            Err(error) => reply.error(failed("getattr", Subject::Name, &error)),
        }
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return reply.error(read_only());
        }
        let (fs, by) = (Arc::clone(&self.fs), asker(request));
        let answer =
            move |admitted: Result<(), Error>| match admitted.and_then(|()| fs.open(ino, by)) {
                Ok(handle) => reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO),
                Err(error) => reply.error(failed("open", Subject::Name, &error)),
            };
        self.answer(self.fs.opens_slowly(ino), ino, by, answer);
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
        let (fs, by) = (Arc::clone(&self.fs), asker(request));
        let answer = move |admitted: Result<(), Error>| {
            // Of reads of a direct I/O file, only read(2) names a lock owner.
            let part = admitted.and_then(|()| {
                if lock_owner.is_some() {
                    fs.page_cache.note_read(ino, by.caller);
                    fs.read(ino, fh, (offset, size), by)
                } else {
                    fs.read_page(ino, fh, (offset, size), by)
                }
            });
            match part {
                Ok(part) => reply.data(&part),
                Err(error) => reply.error(failed("read", Subject::Open, &error)),
            }
        };
        self.answer(self.fs.reads_slowly(ino, fh, offset), ino, by, answer);
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

    fn opendir(&self, request: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.fs.opendir(ino, User(request.uid())) {
            Ok(handle) => reply.opened(handle, FopenFlags::empty()),
            Err(error) => reply.error(failed("opendir", Subject::Name, &error)),
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
        match self.list(fh, offset, &mut reply) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(failed("readdir", Subject::Open, &error)),
        }
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        reply.ok();
        self.fs.handles.close(fh);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    /// Always readable, as files of cgroupfs and procfs without events.
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

    /// The kernel remembers `ENOSYS` and never sends this request again.
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
        reply.error(read_only());
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(read_only());
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(read_only());
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match self.fs.unlink(parent, name) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(failed("unlink", Subject::Name, &error)),
        }
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(read_only());
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(read_only());
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(read_only());
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
        reply.error(read_only());
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
        reply.error(read_only());
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
        reply.error(read_only());
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(read_only());
    }
}
