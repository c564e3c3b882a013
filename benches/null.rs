//! A FUSE file of constant bytes, read by direct I/O as those of cgview are: the cost of FUSE alone.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, Request,
    Session, SessionACL,
};
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

const FILE: INodeNo = INodeNo(2);
const BYTES: &[u8; 600] = &[b'0'; 600];
const LONG: Duration = Duration::from_secs(3600);

struct Null;

fn attr(ino: INodeNo) -> FileAttr {
    let now = SystemTime::now();
    let (kind, perm) = match ino {
        FILE => (FileType::RegularFile, 0o444),
        _ => (FileType::Directory, 0o555),
    };
    FileAttr {
        ino,
        size: 4096,
        blocks: 0,
        atime: now,
        mtime: now,
        ctime: now,
        crtime: now,
        kind,
        perm,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Null {
    fn lookup(&self, _: &Request, _: INodeNo, _: &std::ffi::OsStr, reply: ReplyEntry) {
        reply.entry(&LONG, &attr(FILE), Generation(0));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&LONG, &attr(ino));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        _: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        reply.data(if offset == 0 { BYTES } else { &[] });
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }
}

/// The mount of the constant file; unmounted on drop.
pub struct NullMount {
    dir: PathBuf,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl NullMount {
    /// Mounts on an empty directory.
    pub fn new(dir: &Path) -> io::Result<NullMount> {
        let device = open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        );
        let options = std::ffi::CString::new(options)?;
        mount(
            "null",
            dir,
            "fuse.null",
            MountFlags::RDONLY,
            options.as_c_str(),
        )?;
        let mut config = Config::default();
        config.n_threads = Some(2);
        let session = Session::from_fd(Null, device, SessionACL::All, config)?;
        let thread = std::thread::spawn(move || session.run());
        let dir = dir.to_owned();
        let thread = Some(thread);
        Ok(NullMount { dir, thread })
    }

    /// The file.
    pub fn file(&self) -> PathBuf {
        self.dir.join("null")
    }
}

impl Drop for NullMount {
    fn drop(&mut self) {
        let unmounted = unmount(&self.dir, UnmountFlags::DETACH);
        if let (Ok(()), Some(thread)) = (unmounted, self.thread.take()) {
            let _ = thread.join();
        }
        let _ = fs::remove_dir(&self.dir);
    }
}
