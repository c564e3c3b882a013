//! The mount: made with mount(2), served by fuser, and unmounted at the end.
//!
//! fuser's own mount is not used: it would lose the type `fuse.cgview`, and unmounts twice.

mod abort;
mod error;
mod mountpoint;
mod probe;
mod remount;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use fuser::{Config, Session, SessionACL};
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::bpf::run::lock_all;
use crate::mounts::{self, Mount};

use super::CgviewFs;
use super::adapter::Adapter;
use super::invalidate::{Changes, Invalidator};

pub use error::MountError;
pub use mountpoint::Mountpoint;
pub use probe::probe;
pub use remount::remount;

use abort::abort;

const DEVICE: &str = "/dev/fuse";
const SOURCE: &str = "cgview";
const TYPE: &str = "fuse.cgview";

const FLAGS: MountFlags = MountFlags::RDONLY
    .union(MountFlags::NOSUID)
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

/// Two threads have the lowest latency: with one, the kernel often runs daemon and reader on
/// different CPUs, and with four nearly always.
const SESSION_THREADS: usize = 2;

/// How long the session may take to end after the unmount. It takes a few milliseconds, unless a
/// file is open or another mount namespace has a copy of the mount.
const SESSION_END_TIMEOUT: Duration = Duration::from_millis(200);

impl Mountpoint {
    /// Mounts the file system, and starts the threads that serve it.
    ///
    /// # Errors
    /// [`MountError::AlreadyMounted`], [`MountError::Mountpoint`], [`MountError::Device`],
    /// [`MountError::Mount`] or [`MountError::Session`]. Nothing is mounted then.
    pub fn mount(self, filesystem: CgviewFs, changes: &Changes) -> Result<Mounted, MountError> {
        let device = open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| MountError::Device(error.into()))?;
        let mut flags = FLAGS;
        // Removing the file of a view is the only change that the file system has.
        flags.set(MountFlags::RDONLY, !filesystem.manage);
        let kernel_mount = KernelMount::new(&self.path, &device, flags)?;
        let config = {
            let mut config = Config::default();
            config.acl = SessionACL::All;
            config.n_threads = Some(SESSION_THREADS);
            config
        };
        let (mirror, links, catalog) = filesystem.shared();
        let adapter = Adapter::new(filesystem).map_err(MountError::Session)?;
        let session = Session::from_fd(adapter, device, SessionACL::All, config)
            .map_err(MountError::Session)?;
        let invalidator = Invalidator::start(changes, mirror, links, catalog, session.notifier())
            .map_err(MountError::Session)?;
        let (end, ended) = bounded(1);
        let thread = thread::Builder::new()
            .name("cgview-session".to_owned())
            .spawn(move || {
                if let Err(error) = session.run() {
                    log::error!("serve the FUSE session: {error}");
                }
                let _ = end.send(());
            })
            .map_err(MountError::Session)?;
        Ok(Mounted {
            kernel_mount: Some(kernel_mount),
            invalidator: Some(invalidator),
            thread: Some(thread),
            ended,
        })
    }
}

/// A mount and the threads that serve it. Dropping it unmounts, and ends the threads.
pub struct Mounted {
    kernel_mount: Option<KernelMount>,
    invalidator: Option<Invalidator>,
    thread: Option<JoinHandle<()>>,
    ended: Receiver<()>,
}

impl Mounted {
    /// Receives a message when the session has ended because the mount was unmounted or aborted.
    pub fn ended(&self) -> &Receiver<()> {
        &self.ended
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The unmount ends the session's threads, unless something still uses the file system.
        let device = self.kernel_mount.take().map(|mount| mount.device.clone());
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(SESSION_END_TIMEOUT)
            && let Some(device) = device
            && let Err(error) = abort(&device)
        {
            log::error!("abort the FUSE connection of device {device}: {error}");
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread of the FUSE session panicked");
        }
        drop(self.invalidator.take());
    }
}

/// The file system in the kernel. Dropping it unmounts it wherever it is mounted then, since a
/// mount can be moved, and bound to other directories.
struct KernelMount {
    /// The device number, `major:minor`.
    device: String,
}

impl KernelMount {
    fn new(path: &Path, fuse: &OwnedFd, flags: MountFlags) -> Result<KernelMount, MountError> {
        let failed = |source| MountError::Mount(path.to_owned(), source);
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
            fuse.as_raw_fd()
        );
        let options = CString::new(options).map_err(|error| failed(error.into()))?;
        // The kernel would stack the mounts of two commands that run at once.
        let _lock = lock_all().map_err(failed)?;
        if cgview_at(path)?.is_some() {
            return Err(MountError::AlreadyMounted(path.to_owned()));
        }
        mount(SOURCE, path, TYPE, flags, options.as_c_str())
            .map_err(|error| failed(error.into()))?;
        match mounts::at(path).map_err(failed)? {
            Some(mount) if mount.kind == TYPE => Ok(KernelMount {
                device: mount.device,
            }),
            _ => Err(failed(io::Error::other(
                "another mount hides it already; unmount both",
            ))),
        }
    }

    /// The mounts of it in this mount namespace, the last one first.
    fn mounts(&self) -> Vec<Mount> {
        let mut mounts = mounts::read().unwrap_or_else(|error| {
            log::error!("read {}: {error}", mounts::TABLE);
            Vec::new()
        });
        mounts.retain(|mount| mount.device == self.device);
        mounts.reverse();
        mounts
    }
}

impl Drop for KernelMount {
    fn drop(&mut self) {
        for Mount { id, point, .. } in self.mounts() {
            // umount2(2) takes the topmost mount at a path, which may be of another file system.
            let is_topmost =
                mounts::at(&point).is_ok_and(|topmost| topmost.is_some_and(|top| top.id == id));
            if is_topmost
                && let Err(error) = unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            {
                log::error!("unmount {}: {error}", point.display());
            }
        }
        for mount in self.mounts() {
            let point = mount.point.display();
            log::error!("{point} stays mounted under another mount; unmount both");
        }
    }
}

fn cgview_at(path: &Path) -> Result<Option<Mount>, MountError> {
    let mount = mounts::at(path).map_err(MountError::mountpoint(path))?;
    Ok(mount.filter(|mount| mount.kind == TYPE))
}
