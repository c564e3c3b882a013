//! The mount: made by the daemon itself with mount(2), because the type `fuse.cgview`, the flags
//! and the one unmount at the end are its own business, then served by fuser.

use std::ffi::CString;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use fuser::{Config, Session, SessionACL};
use rustix::fs::{FlockOperation, Mode, OFlags, StatVfsMountFlags, flock, open, statvfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

mod abort;

use crate::mounts;

use super::CgviewFs;
use super::adapter::Adapter;
use super::invalidate::{Changes, Invalidator};

use abort::abort;

const DEVICE: &str = "/dev/fuse";
const SOURCE: &str = "cgview";
const TYPE: &str = "fuse.cgview";

/// Two threads answer fastest: with one, daemon and reader often end up on different CPUs, and
/// with more nearly always.
const THREADS: usize = 2;

/// How long the session may take to notice that it is unmounted; it takes a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(200);

/// Why there is no mount.
#[derive(Debug)]
pub enum MountError {
    /// The mountpoint cannot be used.
    Mountpoint(PathBuf, io::Error),
    /// The mountpoint is no directory.
    NotADirectory(PathBuf),
    /// A cgview is mounted there and works.
    AlreadyMounted(PathBuf),
    /// No cgview is mounted there.
    NotMounted(PathBuf),
    /// What a remount asks for is not to be had.
    Remount(PathBuf, String),
    /// What a crashed daemon has left cannot be removed.
    DeadMount(PathBuf, io::Error),
    /// FUSE's device cannot be opened.
    Device(io::Error),
    /// mount(2) failed.
    Mount(PathBuf, io::Error),
    /// The kernel and fuser did not come to terms.
    Session(io::Error),
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountError::Mountpoint(path, source) => {
                write!(f, "mountpoint {}: {source}", path.display())
            }
            MountError::NotADirectory(path) => {
                write!(f, "mountpoint {} is not a directory", path.display())
            }
            MountError::AlreadyMounted(path) => write!(
                f,
                "a cgview is mounted at {} already; unmount it first",
                path.display()
            ),
            MountError::NotMounted(path) => {
                write!(f, "no cgview is mounted at {}", path.display())
            }
            MountError::Remount(path, why) => write!(f, "remount {}: {why}", path.display()),
            MountError::DeadMount(path, source) => write!(
                f,
                "detach the dead mount of an earlier cgview at {}: {source}",
                path.display()
            ),
            MountError::Device(source) => {
                write!(
                    f,
                    "open {DEVICE}: {source} (is the fuse module loaded, and are you root?)"
                )
            }
            MountError::Mount(path, source) => {
                write!(f, "mount {TYPE} at {}: {source}", path.display())
            }
            MountError::Session(source) => write!(f, "start the FUSE session: {source}"),
        }
    }
}

impl std::error::Error for MountError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MountError::Mountpoint(_, source)
            | MountError::DeadMount(_, source)
            | MountError::Device(source)
            | MountError::Mount(_, source)
            | MountError::Session(source) => Some(source),
            MountError::NotADirectory(_)
            | MountError::AlreadyMounted(_)
            | MountError::NotMounted(_)
            | MountError::Remount(..) => None,
        }
    }
}

/// A directory that is ready to be mounted on.
#[derive(Debug)]
pub struct Mountpoint {
    path: PathBuf,
}

impl Mountpoint {
    /// Checks the directory; a dead mount of an earlier daemon is detached.
    ///
    /// # Errors
    /// Everything that mount(8) does not check: see [`MountError`].
    pub fn prepare(path: &Path) -> Result<Mountpoint, MountError> {
        let bad = |source| MountError::Mountpoint(path.to_owned(), source);
        while is_dead(path) {
            unmount(path, UnmountFlags::DETACH)
                .map_err(|error| MountError::DeadMount(path.to_owned(), error.into()))?;
        }
        if !fs::metadata(path).map_err(bad)?.is_dir() {
            return Err(MountError::NotADirectory(path.to_owned()));
        }
        let path = fs::canonicalize(path).map_err(bad)?;
        if is_cgview(&path)? {
            return Err(MountError::AlreadyMounted(path));
        }
        Ok(Mountpoint { path })
    }

    /// Its canonical path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Mounts the file system and serves it.
    ///
    /// # Errors
    /// [`MountError::Device`], [`MountError::Mount`] or [`MountError::Session`]; nothing stays
    /// behind then.
    pub fn mount(self, filesystem: CgviewFs, changes: &Changes) -> Result<Mounted, MountError> {
        let device = open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| MountError::Device(error.into()))?;
        let mut flags = flags();
        // Removing a view's file is the one change there is.
        flags.set(MountFlags::RDONLY, !filesystem.manage);
        let point = MountedPoint::mount(self.path, &device, flags)?;
        let config = {
            let mut config = Config::default();
            config.acl = SessionACL::All;
            config.n_threads = Some(THREADS);
            config
        };
        let (mirror, links, catalog) = filesystem.shared();
        let adapter = Adapter { fs: filesystem };
        let session = Session::from_fd(adapter, device, SessionACL::All, config)
            .map_err(MountError::Session)?;
        let invalidator = Invalidator::start(changes, mirror, links, catalog, session.notifier())
            .map_err(MountError::Session)?;
        let (end, ended) = bounded(1);
        let thread = thread::Builder::new()
            .name("cgview-session".to_owned())
            .spawn(move || {
                if let Err(error) = session.run() {
                    log::error!("the FUSE session ended: {error}");
                }
                let _ = end.send(());
            })
            .map_err(MountError::Session)?;
        Ok(Mounted {
            point: Some(point),
            invalidator: Some(invalidator),
            thread: Some(thread),
            ended,
        })
    }
}

/// A mount that is served; unmounted on drop.
pub struct Mounted {
    point: Option<MountedPoint>,
    invalidator: Option<Invalidator>,
    thread: Option<JoinHandle<()>>,
    ended: Receiver<()>,
}

impl Mounted {
    /// Gets a message when the kernel has ended the session: somebody has unmounted.
    pub fn ended(&self) -> &Receiver<()> {
        &self.ended
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Unmount first: that wakes the session's threads, unless a file is open.
        let device = self.point.as_ref().and_then(|point| point.device.clone());
        drop(self.point.take());
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(PATIENCE)
            && let Some(device) = device
            && let Err(error) = abort(&device)
        {
            log::error!("end the FUSE connection {device}: {error}");
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the session's thread panicked");
        }
        drop(self.invalidator.take());
    }
}

/// The mount itself.
struct MountedPoint {
    path: PathBuf,
    device: Option<String>,
}

impl MountedPoint {
    fn mount(path: PathBuf, fuse: &OwnedFd, flags: MountFlags) -> Result<MountedPoint, MountError> {
        let failed = |source| MountError::Mount(path.clone(), source);
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
            fuse.as_raw_fd()
        );
        let options = CString::new(options).map_err(|error| failed(error.into()))?;
        let _turn = turn(&path)?;
        mount(SOURCE, &path, TYPE, flags, options.as_c_str())
            .map_err(|error| failed(error.into()))?;
        let device = mounts::at(&path).map_err(failed)?.map(|mount| mount.device);
        Ok(MountedPoint { path, device })
    }
}

impl Drop for MountedPoint {
    fn drop(&mut self) {
        // Somebody may have unmounted it and mounted another in its place.
        let ours = mounts::at(&self.path)
            .is_ok_and(|mount| mount.map(|mount| mount.device) == self.device);
        if !ours {
            return;
        }
        if let Err(error) = unmount(&self.path, UnmountFlags::DETACH) {
            log::error!("unmount {}: {error}", self.path.display());
        }
    }
}

/// Of two that want to mount there at once, one gets its turn: the kernel would stack them.
fn turn(path: &Path) -> Result<Option<OwnedFd>, MountError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let under = open(path, flags, Mode::empty())
        .map_err(|error| MountError::Mountpoint(path.to_owned(), error.into()))?;
    let turn = match flock(&under, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Some(under),
        Err(Errno::WOULDBLOCK) => return Err(MountError::AlreadyMounted(path.to_owned())),
        // A file system without locks.
        Err(_) => None,
    };
    if is_cgview(path)? {
        return Err(MountError::AlreadyMounted(path.to_owned()));
    }
    Ok(turn)
}

fn flags() -> MountFlags {
    MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC
}

const ACCESS_TIMES: MountFlags = MountFlags::NOATIME
    .union(MountFlags::RELATIME)
    .union(MountFlags::STRICTATIME);

/// Changes the flags of a mount that is there. `options` are those of the command line; the flags
/// about access times can be changed, and a writable mount be made read-only; the rest is fixed
/// for the life of the mount.
///
/// # Errors
/// [`MountError::NotMounted`], or [`MountError::Remount`] for an option that cannot be changed.
pub fn remount(path: &Path, options: &[String]) -> Result<(), MountError> {
    let path =
        fs::canonicalize(path).map_err(|error| MountError::Mountpoint(path.to_owned(), error))?;
    if !is_cgview(&path)? {
        return Err(MountError::NotMounted(path));
    }
    let failed =
        |error: Errno| MountError::Remount(path.clone(), io::Error::from(error).to_string());
    let read_only = statvfs(&path)
        .map_err(failed)?
        .f_flag
        .contains(StatVfsMountFlags::RDONLY);
    let mut flags = flags();
    flags.set(MountFlags::RDONLY, read_only);
    // mount(8) passes the flags that are, then those that are asked for.
    for option in options {
        match option.as_str() {
            "noatime" => flags = (flags - ACCESS_TIMES) | MountFlags::NOATIME,
            "relatime" => flags = (flags - ACCESS_TIMES) | MountFlags::RELATIME,
            "strictatime" => flags = (flags - ACCESS_TIMES) | MountFlags::STRICTATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "ro" => flags |= MountFlags::RDONLY,
            "rw" if read_only => {
                let why = "it is mounted read-only".to_owned();
                return Err(MountError::Remount(path, why));
            }
            _ => {}
        }
    }
    mount_remount(&path, flags, c"").map_err(failed)
}

fn is_cgview(path: &Path) -> Result<bool, MountError> {
    let mount = mounts::at(path).map_err(|error| MountError::Mountpoint(path.to_owned(), error))?;
    Ok(mount.is_some_and(|mount| mount.kind == TYPE))
}

/// Whether a FUSE daemon has gone without unmounting. Asks for what the kernel does not cache.
fn is_dead(path: &Path) -> bool {
    matches!(statvfs(path), Err(Errno::NOTCONN | Errno::CONNABORTED))
}
