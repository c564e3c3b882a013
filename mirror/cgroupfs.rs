//! The questions that only cgroupfs answers: is this cgroup alive, what is in it, what is above.
//! Always asked by cgroup id, so no answer can be about another cgroup. Keeps nothing.

use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, fstat, openat, statat};
use rustix::io::Errno;

use super::{CgroupId, Error};
use crate::sys;

/// Bytes of directory entries fetched at a time: a leaf's control files and some children.
const LISTING_BYTES: usize = 16 * 1024;

/// One mounted cgroup hierarchy, seen from the directory that is the source.
pub(super) struct Cgroupfs {
    source: OwnedFd,
    root: CgroupId,
    device: u64,
}

impl Cgroupfs {
    /// Takes the open directory `source` for the root, and checks that ids can be opened here.
    pub(super) fn new(source: OwnedFd) -> Result<Cgroupfs, Error> {
        let unknown = CgroupId(0);
        let stat = fstat(&source).map_err(|e| Error::io("stat", unknown, e.into()))?;
        let cgroupfs = Cgroupfs {
            source,
            root: CgroupId(stat.st_ino),
            device: stat.st_dev,
        };
        let action = "open by its id (needs CAP_DAC_READ_SEARCH)";
        sys::open_cgroup_by_id(cgroupfs.source(), stat.st_ino, libc::O_PATH)
            .map_err(|e| Error::io(action, cgroupfs.root, e))?;
        Ok(cgroupfs)
    }

    pub(super) fn source(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }

    pub(super) fn root(&self) -> CgroupId {
        self.root
    }

    /// Opens the directory of exactly this cgroup, for reading.
    pub(super) fn open(&self, id: CgroupId) -> Result<OwnedFd, Error> {
        self.open_with(id, libc::O_RDONLY | libc::O_DIRECTORY)
    }

    pub(super) fn is_alive(&self, id: CgroupId) -> Result<bool, Error> {
        match self.open_place(id) {
            Ok(_) => Ok(true),
            Err(Error::Gone(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The cgroup that is `name` in `parent` now, if one is.
    pub(super) fn child(&self, parent: CgroupId, name: &OsStr) -> Result<Option<CgroupId>, Error> {
        if !is_name(name) {
            return Ok(None);
        }
        self.child_in(self.open_place(parent)?, parent, name)
    }

    /// The cgroups directly below `dir`.
    pub(super) fn children(&self, dir: CgroupId) -> Result<Vec<(OsString, CgroupId)>, Error> {
        list(&self.open(dir)?).map_err(|e| Error::io("list", dir, e.into()))
    }

    /// The parent of `id`, and the name it bears there.
    pub(super) fn place(&self, id: CgroupId) -> Result<(CgroupId, OsString), Error> {
        let failed = |e: Errno| match e {
            // Above the mounted part of the hierarchy there is nothing to go up to.
            Errno::NOENT => Error::Outside(id),
            e => Error::io("find the parent of", id, e.into()),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let above = openat(self.open_place(id)?, "..", flags, Mode::empty()).map_err(failed)?;
        let stat = fstat(&above).map_err(failed)?;
        if stat.st_dev != self.device || stat.st_ino == id.0 {
            return Err(Error::Outside(id));
        }
        list(&above)
            .map_err(failed)?
            .into_iter()
            .find(|&(_, child)| child == id)
            .map(|(name, _)| (CgroupId(stat.st_ino), name))
            .ok_or(Error::Gone(id))
    }

    fn child_in(
        &self,
        dir: OwnedFd,
        parent: CgroupId,
        name: &OsStr,
    ) -> Result<Option<CgroupId>, Error> {
        match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Something is mounted over the child, perhaps cgview itself: the listing shows what
            // is below.
            Ok(stat) if stat.st_dev != self.device => {
                let listing = self.children(parent)?;
                let child = listing.into_iter().find(|(other, _)| other == name);
                Ok(child.map(|(_, id)| id))
            }
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Ok(Some(CgroupId(stat.st_ino)))
            }
            Ok(_) | Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
            Err(e) => Err(Error::io("look into", parent, e.into())),
        }
    }

    /// Opens a cgroup's directory as a mere place to look from: no permission is asked for.
    fn open_place(&self, id: CgroupId) -> Result<OwnedFd, Error> {
        self.open_with(id, libc::O_PATH | libc::O_DIRECTORY)
    }

    fn open_with(&self, id: CgroupId, flags: libc::c_int) -> Result<OwnedFd, Error> {
        sys::open_cgroup_by_id(self.source(), id.0, flags).map_err(|e| Error::io("open", id, e))
    }
}

/// The subdirectories of an open cgroup directory; none when it was removed meanwhile.
fn list(dir: &OwnedFd) -> rustix::io::Result<Vec<(OsString, CgroupId)>> {
    let mut buffer = [MaybeUninit::uninit(); LISTING_BYTES];
    let mut entries = RawDir::new(dir, &mut buffer);
    let mut listing = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::NOENT) => break,
            entry => entry?,
        };
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if entry.file_type() == FileType::Directory && is_name(name) {
            listing.push((name.to_owned(), CgroupId(entry.ino())));
        }
    }
    Ok(listing)
}

/// Whether `name` can be a child's: one component, and not a step to another directory.
fn is_name(name: &OsStr) -> bool {
    !matches!(name.as_bytes(), b"" | b"." | b"..") && !name.as_bytes().contains(&b'/')
}
