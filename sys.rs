//! The libc calls that no safe crate wraps, one function each. The only `unsafe` of the crate.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Type of the file handles of kernfs (`FILEID_KERNFS`, include/linux/exportfs.h): the handle is
/// the 64-bit node id, which for a directory of cgroupfs is the cgroup id.
const FILEID_KERNFS: libc::c_int = 0xfe;

/// `struct file_handle` with the eight bytes of a kernfs handle.
#[repr(C)]
struct KernfsHandle {
    handle_bytes: libc::c_uint,
    handle_type: libc::c_int,
    id: [u8; 8],
}

/// Opens the directory of the cgroup `id`, whatever its path is now.
///
/// `on` is any open file of the same cgroupfs. Fails with `ESTALE` when that cgroup is gone, and
/// never opens another cgroup: ids are not used twice. Needs `CAP_DAC_READ_SEARCH`.
/// `open_by_handle_at(2)`; the handle's layout is fs/kernfs/mount.c `kernfs_encode_fh`.
pub fn open_cgroup_by_id(on: BorrowedFd<'_>, id: u64, flags: libc::c_int) -> io::Result<OwnedFd> {
    let mut handle = KernfsHandle {
        handle_bytes: 8,
        handle_type: FILEID_KERNFS,
        id: id.to_ne_bytes(),
    };
    // SAFETY: the handle is a live `struct file_handle` whose `handle_bytes` is its payload's size.
    let fd = unsafe {
        libc::open_by_handle_at(
            on.as_raw_fd(),
            (&raw mut handle).cast(),
            flags | libc::O_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
