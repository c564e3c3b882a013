//! Asks cgroupfs: does this cgroup exist, what is in it, what is above it. Keeps no answer.
//!
//! Each question names a cgroup by its id, so no answer is about another cgroup.

use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, fstat, openat, openat2, statat,
};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::access::Access;
use super::{CgroupId, Error};
use crate::sys;

/// Size of the buffer for directory entries: room for a leaf's control files and some children.
const LISTING_BYTES: usize = 16 * 1024;

/// One cgroup hierarchy, from the source directory down.
pub(super) struct Cgroupfs {
    source: OwnedFd,
    root: CgroupId,
    parent_of_root: Option<(CgroupId, OwnedFd)>,
}

impl Cgroupfs {
    /// Takes the cgroup of the open directory `source` for the root.
    pub(super) fn new(source: &OwnedFd) -> Result<Cgroupfs, Error> {
        let unknown = CgroupId(0);
        let stat = fstat(source).map_err(|e| Error::io("stat", unknown, e.into()))?;
        let root = CgroupId(stat.st_ino);
        let action = "clone the mount (SOURCE must be mounted in this mount namespace) of";
        let cgroupfs = Cgroupfs {
            source: clone_mount(source).map_err(|e| Error::io(action, root, e.into()))?,
            root,
            parent_of_root: parent_of_root(source, root),
        };
        let action = "open by id (needs CAP_DAC_READ_SEARCH)";
        sys::open_cgroup_by_id(cgroupfs.source(), root.0, libc::O_PATH)
            .map_err(|e| Error::io(action, root, e))?;
        Ok(cgroupfs)
    }

    /// The source directory, in a mount that nothing covers.
    pub(super) fn source(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }

    pub(super) fn root(&self) -> CgroupId {
        self.root
    }

    /// The cgroup above the source and its directory, where the source's mount shows it.
    pub(super) fn parent_of_root(&self) -> Option<(CgroupId, BorrowedFd<'_>)> {
        let (id, directory) = self.parent_of_root.as_ref()?;
        Some((*id, directory.as_fd()))
    }

    /// Opens the directory of exactly this cgroup for reading.
    pub(super) fn open(&self, id: CgroupId) -> Result<OwnedFd, Error> {
        self.open_with(id, libc::O_RDONLY | libc::O_DIRECTORY)
    }

    pub(super) fn is_alive(&self, id: CgroupId) -> Result<bool, Error> {
        match self.open_path(id) {
            Ok(_) => Ok(true),
            Err(Error::Gone(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The cgroup that has this name in `parent` now.
    pub(super) fn child(&self, parent: CgroupId, name: &OsStr) -> Result<Option<CgroupId>, Error> {
        if !is_name(name) {
            return Ok(None);
        }
        match statat(self.open_path(parent)?, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Ok(Some(CgroupId(stat.st_ino)))
            }
            Ok(_) | Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
            Err(e) => Err(Error::io("look into", parent, e.into())),
        }
    }

    /// The child cgroups of `dir`.
    pub(super) fn children(&self, dir: CgroupId) -> Result<Vec<(OsString, CgroupId)>, Error> {
        list(&self.open(dir)?).map_err(|e| Error::io("list", dir, e.into()))
    }

    /// The attributes of the directory of this cgroup.
    pub(super) fn stat(&self, id: CgroupId) -> Result<Stat, Error> {
        fstat(self.open_path(id)?).map_err(|e| Error::io("stat", id, e.into()))
    }

    /// Who may list and enter the directory, and the child cgroups.
    pub(super) fn scan(&self, dir: CgroupId) -> Result<(Access, Vec<(OsString, CgroupId)>), Error> {
        let directory = self.open(dir)?;
        let stat = fstat(&directory).map_err(|e| Error::io("stat", dir, e.into()))?;
        let children = list(&directory).map_err(|e| Error::io("list", dir, e.into()))?;
        Ok((Access::of(&stat), children))
    }

    /// The parent of `id`, and the name of `id` in it.
    pub(super) fn parent_and_name(&self, id: CgroupId) -> Result<(CgroupId, OsString), Error> {
        let failed = |e: Errno| match e {
            // The kernel goes up no further than to the root of the mount, which is the source.
            Errno::NOENT => Error::Outside(id),
            e => Error::io("find the parent of", id, e.into()),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = openat(self.open_path(id)?, "..", flags, Mode::empty()).map_err(failed)?;
        let parent_id = CgroupId(fstat(&parent).map_err(failed)?.st_ino);
        if parent_id == id {
            return Err(Error::Outside(id));
        }
        list(&parent)
            .map_err(failed)?
            .into_iter()
            .find(|&(_, child)| child == id)
            .map(|(name, _)| (parent_id, name))
            .ok_or(Error::Gone(id))
    }

    /// Opens a directory to resolve names in it, which needs no permission to read it.
    fn open_path(&self, id: CgroupId) -> Result<OwnedFd, Error> {
        self.open_with(id, libc::O_PATH | libc::O_DIRECTORY)
    }

    fn open_with(&self, id: CgroupId, flags: libc::c_int) -> Result<OwnedFd, Error> {
        sys::open_cgroup_by_id(self.source(), id.0, flags).map_err(|e| Error::io("open", id, e))
    }
}

/// Opens `source` in a private clone of its mount.
///
/// A file system, even cgview itself, can be mounted over a cgroup's directory. A lookup that
/// reaches it waits for its daemon, and cgview must not wait for itself. In the clone no directory
/// is covered, so neither the lookups here nor those of notify leave cgroupfs.
fn clone_mount(source: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(source, "", flags)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // When `tree` is closed, the kernel detaches the clone from its peers (fs/namespace.c
    // `dissolve_on_fput`): no later mount propagates into it.
    openat(&tree, ".", flags, Mode::empty())
}

/// The cgroup above the source; none where the mount ends there, or another one covers it.
fn parent_of_root(source: &OwnedFd, root: CgroupId) -> Option<(CgroupId, OwnedFd)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV;
    let parent = openat2(source, "..", flags, Mode::empty(), resolve).ok()?;
    let id = CgroupId(fstat(&parent).ok()?.st_ino);
    (id != root).then_some((id, parent))
}

/// The subdirectories of an open cgroup directory; none if the cgroup was removed meanwhile.
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

/// Whether `name` is a single path component that stays below its directory.
fn is_name(name: &OsStr) -> bool {
    !matches!(name.as_bytes(), b"" | b"." | b"..") && !name.as_bytes().contains(&b'/')
}
