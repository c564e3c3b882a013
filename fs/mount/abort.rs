//! The end of a FUSE connection that unmounting alone does not end, because somebody still has a
//! file of it open.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Ends the connection of the FUSE file system with this device number, `0:minor`: its requests
/// and those to come fail, and its daemon reads an end.
///
/// # Errors
/// The kernel's; a connection that is gone already is none.
pub(super) fn abort(device: &str) -> io::Result<()> {
    let Some((_, number)) = device.split_once(':') else {
        return Ok(());
    };
    match openat(
        control()?,
        format!("{number}/abort"),
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(file) => Ok(rustix::io::write(file, b"1").map(drop)?),
        Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// FUSE's control file system, wherever or whether it is mounted.
fn control() -> io::Result<OwnedFd> {
    let context = fsopen("fusectl", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}
