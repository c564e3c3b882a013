//! The daemon's own bpffs. Everything that the daemon has in the kernel is pinned there, so that
//! unmounting it frees all of it, also after a crash.
//!
//! It lies in /run/cgview under the escaped path of the mountpoint. A number follows if an earlier
//! daemon that was unmounted from there has not ended yet, or still serves open files.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, statfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::bpf::Error;

/// Root's alone.
const RUN_DIR: &str = "/run/cgview";

const MAX_PER_MOUNTPOINT: usize = 64;

/// How long to wait for an earlier daemon that may be ending, before a number is used.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// `BPF_FS_MAGIC` (include/uapi/linux/magic.h).
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// A mounted bpffs that this daemon alone uses. Dropping it unmounts and removes it.
#[derive(Debug)]
pub struct OwnBpffs {
    dir: PathBuf,
    lock_path: PathBuf,
    _lock: OwnedFd,
}

impl OwnBpffs {
    /// Mounts a bpffs for the daemon of a mountpoint, and removes those that crashed daemons of
    /// the same mountpoint have left.
    ///
    /// # Errors
    /// [`Error::InUse`] if 64 daemons of that mountpoint still run, else [`Error::Bpffs`].
    pub fn mount(mountpoint: &Path) -> Result<OwnBpffs, Error> {
        let name = escape(mountpoint);
        let mut free = None;
        let deadline = Instant::now() + END_TIMEOUT;
        for number in 0..MAX_PER_MOUNTPOINT {
            // An escaped name has no dot, so this is never the name for another mountpoint.
            let suffix = match number {
                0 => String::new(),
                _ => format!(".{number}"),
            };
            let dir = Path::new(RUN_DIR).join(format!("{name}{suffix}"));
            let is_left = dir.exists();
            if !is_left && free.is_some() {
                continue;
            }
            let lock_path = Path::new(RUN_DIR).join(format!("{name}{suffix}.lock"));
            let Some(lock) = lock(&lock_path, deadline)? else {
                continue;
            };
            let bpffs = OwnBpffs {
                dir,
                lock_path,
                _lock: lock,
            };
            if is_left {
                bpffs
                    .clean()
                    .map_err(bpffs.failed("remove the bpffs of a crashed daemon,"))?;
            }
            // A second free one is dropped, which removes its lock.
            free.get_or_insert(bpffs);
        }
        let bpffs = free.ok_or_else(|| Error::InUse {
            mountpoint: mountpoint.to_owned(),
        })?;
        bpffs.make()?;
        Ok(bpffs)
    }

    fn make(&self) -> Result<(), Error> {
        fs::create_dir(&self.dir).map_err(self.failed("create"))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("cgview", &self.dir, "bpf", flags, c"mode=0700")
            .map_err(|error| self.failed("mount bpffs at")(error.into()))
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = self.dir.clone();
        move |source| Error::Bpffs {
            path,
            action,
            source,
        }
    }

    /// The directory in which objects are pinned.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn clean(&self) -> io::Result<()> {
        while is_bpffs(&self.dir) {
            // The pins go first: a copy of the mount in another mount namespace would keep them.
            remove_pins(&self.dir)?;
            unmount(&self.dir, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
        }
        match fs::remove_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl Drop for OwnBpffs {
    fn drop(&mut self) {
        if let Err(error) = self.clean() {
            log::warn!("remove the bpffs at {}: {error}", self.dir.display());
        }
        // The lock goes while it is held. RUN_DIR goes if no other daemon uses it.
        let _ = fs::remove_file(&self.lock_path);
        let _ = fs::remove_dir(RUN_DIR);
    }
}

fn is_bpffs(dir: &Path) -> bool {
    statfs(dir).is_ok_and(|fs| fs.f_type as u64 & 0xffff_ffff == BPF_FS_MAGIC)
}

/// Removes the objects' directories. The files beside them were made by the kernel
/// (CONFIG_BPF_PRELOAD), which does not allow their removal.
fn remove_pins(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Makes the directory of all daemons, or checks the one that is there: what lies in it is removed
/// and unmounted without a further look.
fn make_run_dir() -> Result<(), Error> {
    let failed = |action| {
        move |source| Error::Bpffs {
            path: RUN_DIR.into(),
            action,
            source,
        }
    };
    match fs::DirBuilder::new().mode(0o700).create(RUN_DIR) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("create")(error)),
    }
    let meta = match fs::symlink_metadata(RUN_DIR) {
        // Another daemon has removed it at its end.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(failed("look at"))?,
    };
    if !meta.is_dir() || meta.uid() != 0 || meta.mode() & 0o022 != 0 {
        let why = "it is not a directory that only root can change; remove it";
        return Err(failed("use")(io::Error::other(why)));
    }
    Ok(())
}

/// Locks the directory of all daemons, so that one mounts at a time. Waits some seconds for others.
/// Only root can open the directory. It is there as long as the caller has an [`OwnBpffs`].
///
/// # Errors
/// Those of open(2) and flock(2).
pub fn lock_all() -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = open(RUN_DIR, flags, Mode::empty())?;
    let deadline = Instant::now() + END_TIMEOUT;
    loop {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(directory),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes the lock; `None` if a daemon holds it beyond the deadline.
fn lock(path: &Path, deadline: Instant) -> Result<Option<OwnedFd>, Error> {
    let failed = |error: Errno| Error::Bpffs {
        path: path.to_owned(),
        action: "lock",
        source: error.into(),
    };
    loop {
        make_run_dir()?;
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match open(path, flags, Mode::RUSR | Mode::WUSR) {
            // Another daemon has removed RUN_DIR at its end.
            Err(Errno::NOENT) => continue,
            opened => opened.map_err(failed)?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) if Instant::now() > deadline => return Ok(None),
            Err(Errno::WOULDBLOCK) => {
                thread::sleep(Duration::from_millis(10));
                continue;
            }
            Err(error) => return Err(failed(error)),
        }
        // A daemon that has just ended may have removed the name of this file.
        let locked = fstat(&file).map_err(failed)?;
        if rustix::fs::stat(path).is_ok_and(|now| now.st_ino == locked.st_ino) {
            return Ok(Some(file));
        }
    }
}

/// Escapes a path into one file name as systemd does: `-` for `/`, `\xNN` for other bytes. Dots are
/// escaped too, since bpffs reserves them. A name that would be too long is cut, and ends in a hash.
fn escape(path: &Path) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    use std::os::unix::ffi::OsStrExt as _;

    const MAX_BYTES: usize = 200;
    let mut name = String::new();
    for byte in path.as_os_str().as_bytes().iter().skip(1) {
        match byte {
            b'/' => name.push('-'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => name.push(char::from(*byte)),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    if name.len() > MAX_BYTES {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        name.truncate(MAX_BYTES);
        name.push_str(&format!("-{:016x}", hasher.finish()));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_mountpoints_have_different_names() {
        assert_eq!(escape(Path::new("/mnt/cgview")), "mnt-cgview");
        assert_eq!(escape(Path::new("/mnt-cg.view")), "mnt\\x2dcg\\x2eview");
        let long = format!("/{}", "a".repeat(300));
        let longer = format!("/{}", "a".repeat(301));
        assert!(escape(Path::new(&long)).len() < 250);
        assert_ne!(escape(Path::new(&long)), escape(Path::new(&longer)));
    }
}
