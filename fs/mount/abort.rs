//! Ends a FUSE connection that outlives its unmount, because a file of it is open or another mount
//! namespace has a copy of the mount.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Aborts the connection of the FUSE file system with the device number `device`, `0:minor`.
///
/// All requests fail from then on, with `ECONNABORTED` or `ENOTCONN`, and the daemon reads the end
/// of the session. The control file is documented in Documentation/filesystems/fuse/fuse.rst.
///
/// # Errors
/// Those of mounting and writing the control file. It is no error if the connection has ended.
pub(super) fn abort(device: &str) -> io::Result<()> {
    let Some((_, minor)) = device.split_once(':') else {
        return Ok(());
    };
    match openat(
        fusectl()?,
        format!("{minor}/abort"),
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(file) => Ok(rustix::io::write(file, b"1").map(drop)?),
        Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A mount of FUSE's control file system for this process alone, so that it need not be mounted
/// at /sys/fs/fuse/connections.
fn fusectl() -> io::Result<OwnedFd> {
    let context = fsopen("fusectl", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}
