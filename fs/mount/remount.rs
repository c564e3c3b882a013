//! `mount -o remount`: mount(8) runs the helper again, which changes the flags of the mount that
//! is there. The daemon takes no part in it.

use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, mount_remount};

use super::{FLAGS, MountError, cgview_at, mountpoint};

const ACCESS_TIMES: MountFlags = MountFlags::NOATIME
    .union(MountFlags::RELATIME)
    .union(MountFlags::STRICTATIME);

/// Changes the flags of a mounted cgview.
///
/// `options` are those of `-o`, as mount(8) passes them: first the flags that the mount has, then
/// those that are wanted. The flags about access times can change, and a writable mount can become
/// read-only. Other generic options are ignored.
///
/// # Errors
/// [`MountError::NotMounted`], [`MountError::Mountpoint`], or [`MountError::Remount`] for `rw` on
/// a read-only mount and for an error of mount(2).
pub fn remount(path: &Path, options: &[String]) -> Result<(), MountError> {
    let path = mountpoint::canonicalize(path)?;
    let Some(mount) = cgview_at(&path)? else {
        return Err(MountError::NotMounted(path));
    };
    let mut flags = FLAGS;
    flags.set(MountFlags::RDONLY, mount.read_only);
    for option in options {
        match option.as_str() {
            "noatime" => flags = (flags - ACCESS_TIMES) | MountFlags::NOATIME,
            "relatime" => flags = (flags - ACCESS_TIMES) | MountFlags::RELATIME,
            "strictatime" => flags = (flags - ACCESS_TIMES) | MountFlags::STRICTATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "ro" => flags |= MountFlags::RDONLY,
            "rw" if mount.read_only => {
                let why = "it is mounted read-only, which cannot change".to_owned();
                return Err(MountError::Remount(path, why));
            }
            _ => {}
        }
    }
    mount_remount(&path, flags, c"")
        .map_err(|error| MountError::Remount(path, io::Error::from(error).to_string()))
}
