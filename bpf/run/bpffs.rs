//! The daemon's own bpffs: everything that it has in the kernel is pinned there, so that unmounting
//! it frees all of it, also after a crash. It is named after the mountpoint, with a number if a
//! daemon that has been unmounted from there still ends, or serves files that are still open.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, statfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::bpf::Error;

/// Where the instances are.
const RUN_DIR: &str = "/run/cgview";

/// Most daemons that may have been mounted at one place and still be there.
const MOST: usize = 64;

/// How long a daemon that ends gets to be done with its instance.
const PATIENCE: Duration = Duration::from_secs(2);

/// `BPF_FS_MAGIC` (include/uapi/linux/magic.h).
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// A mounted bpffs that belongs to one daemon; unmounted and removed on drop.
#[derive(Debug)]
pub struct Instance {
    dir: PathBuf,
    lock_path: PathBuf,
    _lock: OwnedFd,
}

impl Instance {
    /// Mounts an instance for a mountpoint, after removing what crashed daemons have left there.
    ///
    /// # Errors
    /// [`Error::InUse`] when too many living daemons have one, else [`Error::Bpffs`].
    pub fn mount(mountpoint: &Path) -> Result<Instance, Error> {
        let name = escape(mountpoint);
        let mut free = None;
        let deadline = Instant::now() + PATIENCE;
        for number in 0..MOST {
            // No name has a dot by itself.
            let suffix = if number == 0 {
                String::new()
            } else {
                format!(".{number}")
            };
            let dir = Path::new(RUN_DIR).join(format!("{name}{suffix}"));
            let stale = dir.exists();
            if !stale && free.is_some() {
                continue;
            }
            let lock_path = Path::new(RUN_DIR).join(format!("{name}{suffix}.lock"));
            if let Some(lock) = lock(&lock_path, deadline)? {
                let instance = Instance {
                    dir,
                    lock_path,
                    _lock: lock,
                };
                if stale {
                    instance
                        .clean()
                        .map_err(instance.failed("clean the stale bpffs at"))?;
                }
                // Those that are not needed go by being dropped.
                free.get_or_insert(instance);
            }
        }
        let instance = free.ok_or_else(|| Error::InUse {
            mountpoint: mountpoint.to_owned(),
        })?;
        instance.fill()?;
        Ok(instance)
    }

    fn fill(&self) -> Result<(), Error> {
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
            // A copy of the mount in another namespace would keep the pins alive.
            remove_objects(&self.dir)?;
            unmount(&self.dir, UnmountFlags::DETACH)?;
        }
        match fs::remove_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Err(error) = self.clean() {
            log::warn!("remove the bpffs at {}: {error}", self.dir.display());
        }
        // While the lock is still held. The directory of all may be another daemon's too.
        let _ = fs::remove_file(&self.lock_path);
        let _ = fs::remove_dir(RUN_DIR);
    }
}

fn is_bpffs(dir: &Path) -> bool {
    statfs(dir).is_ok_and(|fs| fs.f_type as u64 & 0xffff_ffff == BPF_FS_MAGIC)
}

/// Removes the objects' directories; what else there is has the kernel put there by itself
/// (CONFIG_BPF_PRELOAD), and refuses to remove.
fn remove_objects(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The lock, unless a living daemon has it and keeps it.
fn lock(path: &Path, deadline: Instant) -> Result<Option<OwnedFd>, Error> {
    let failed = |error: Errno| Error::Bpffs {
        path: path.to_owned(),
        action: "lock",
        source: error.into(),
    };
    loop {
        fs::create_dir_all(RUN_DIR).map_err(|source| Error::Bpffs {
            path: RUN_DIR.into(),
            action: "create",
            source,
        })?;
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match open(path, flags, Mode::RUSR | Mode::WUSR) {
            // A daemon that has just ended was the last to need the directory.
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
        // The daemon that has just ended removes the name: then this is the lock of nothing.
        let locked = fstat(&file).map_err(failed)?;
        if rustix::fs::stat(path).is_ok_and(|now| now.st_ino == locked.st_ino) {
            return Ok(Some(file));
        }
    }
}

/// A path as one file name: systemd's way (`-` for `/`, others escaped), without dots, which
/// bpffs and the lock's suffix reserve. A name that would be too long ends in a hash.
fn escape(path: &Path) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    use std::os::unix::ffi::OsStrExt as _;

    const LONGEST: usize = 200;
    let mut name = String::new();
    for byte in path.as_os_str().as_bytes().iter().skip(1) {
        match byte {
            b'/' => name.push('-'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => name.push(char::from(*byte)),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    if name.len() > LONGEST {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        name.truncate(LONGEST);
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
