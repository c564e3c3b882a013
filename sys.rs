//! The libc calls that no safe crate wraps, one function each. The only `unsafe` of the crate.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::slice;
use std::sync::OnceLock;

use libbpf_sys::{
    BPF_TRACE_ITER, bpf_iter_link_info, bpf_iter_link_info__bindgen_ty_2, bpf_link_create_opts,
    bpf_test_run_opts,
};

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

/// Links an `iter/cgroup` program to one cgroup, or to the root of cgroup2, to be walked in
/// `order` (`enum bpf_cgroup_iter_order`).
pub fn cgroup_iter_link(
    program: BorrowedFd<'_>,
    cgroup: Option<BorrowedFd<'_>>,
    order: u32,
) -> io::Result<OwnedFd> {
    let mut info = bpf_iter_link_info {
        cgroup: bpf_iter_link_info__bindgen_ty_2 {
            order,
            cgroup_fd: cgroup.map_or(0, |cgroup| cgroup.as_raw_fd().cast_unsigned()),
            cgroup_id: 0,
        },
    };
    let options = bpf_link_create_opts {
        sz: size_of::<bpf_link_create_opts>() as libbpf_sys::size_t,
        iter_info: &raw mut info,
        iter_info_len: size_of::<bpf_iter_link_info>() as u32,
        ..Default::default()
    };
    // SAFETY: `options` and the `info` that it points to outlive the call.
    let fd = unsafe {
        libbpf_sys::bpf_link_create(program.as_raw_fd(), 0, BPF_TRACE_ITER, &raw const options)
    };
    new_fd(fd)
}

/// A file whose reading runs the iterator once.
pub fn iter_create(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the call takes a number and no memory of ours.
    new_fd(unsafe { libbpf_sys::bpf_iter_create(link.as_raw_fd()) })
}

/// Pins a BPF object at a path in bpffs.
pub fn bpf_pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    let error = unsafe { libbpf_sys::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) };
    if error < 0 {
        return Err(io::Error::from_raw_os_error(-error));
    }
    Ok(())
}

/// Runs a `syscall` program on a context that it may change; gives its return value.
pub fn run_syscall_program(program: BorrowedFd<'_>, context: &mut [u8]) -> io::Result<u32> {
    let mut options = bpf_test_run_opts {
        sz: size_of::<bpf_test_run_opts>() as libbpf_sys::size_t,
        ctx_in: context.as_mut_ptr().cast(),
        ctx_size_in: u32::try_from(context.len()).map_err(io::Error::other)?,
        ..Default::default()
    };
    // SAFETY: the kernel reads and writes `ctx_size_in` bytes at `ctx_in`, which `context` owns.
    let error =
        unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut options) };
    if error < 0 {
        return Err(io::Error::from_raw_os_error(-error));
    }
    Ok(options.retval)
}

fn new_fd(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: libbpf has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The values of a `BPF_F_MMAPABLE` array map, read-only.
pub struct MappedArray {
    start: *mut u8,
    size_bytes: usize,
}

// SAFETY: the mapping is plain memory that lives until the drop, whichever thread reads it.
unsafe impl Send for MappedArray {}

impl MappedArray {
    /// Maps the first `size_bytes` of the array's values.
    pub fn new(map: BorrowedFd<'_>, size_bytes: usize) -> io::Result<MappedArray> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(MappedArray {
            start: start.cast(),
            size_bytes,
        })
    }

    /// The bytes as they are. Nobody may run a program that writes them meanwhile: the array's
    /// owner lends it to one sweep at a time.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, writable too, and `self` is borrowed by nobody else.
        unsafe { slice::from_raw_parts_mut(self.start, self.size_bytes) }
    }
}

impl Drop for MappedArray {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; no borrow of it outlives `self`.
        unsafe { libc::munmap(self.start.cast(), self.size_bytes) };
    }
}

/// Who gets libbpf's warnings.
static ON_WARNING: OnceLock<fn(&[u8])> = OnceLock::new();

/// Gives every warning of libbpf to `take`, with whatever bytes it quotes of the object: the
/// `set_print` of libbpf-rs ends the process where those are not UTF-8. The first one stays.
pub fn on_libbpf_warning(take: fn(&[u8])) {
    let _ = ON_WARNING.set(take);
    #[expect(
        clippy::missing_transmute_annotations,
        reason = "bindgen's va_list differs between platforms"
    )]
    // SAFETY: a `va_list` argument is passed as a pointer on every platform of libbpf-rs, which
    // relies on the same; bindgen's name for it differs.
    let callback: libbpf_sys::libbpf_print_fn_t =
        unsafe { Some(std::mem::transmute(print as *const ())) };
    // SAFETY: the callback lives as long as the process and is for use by any thread.
    unsafe { libbpf_sys::libbpf_set_print(callback) };
}

extern "C" fn print(
    level: libbpf_sys::libbpf_print_level,
    format: *const libc::c_char,
    arguments: *mut libc::c_void,
) -> libc::c_int {
    if level == libbpf_sys::LIBBPF_WARN
        && let Some(take) = ON_WARNING.get()
    {
        // SAFETY: libbpf passes a format and the arguments that belong to it.
        if let Ok(message) = unsafe { vsprintf::vsprintf_raw(format, arguments) } {
            take(&message);
        }
    }
    0
}

/// Which side of a fork this is.
pub enum Forked {
    /// The process that called.
    Parent,
    /// The new one.
    Child,
}

/// Forks; to be called before the process has a second thread.
pub fn fork() -> io::Result<Forked> {
    // SAFETY: with one thread the child is a full copy in which no lock is held by another.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        pid if pid > 0 => Ok(Forked::Parent),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes the file descriptors from `first` on; to be called before the process has opened any.
pub fn close_inherited(first: libc::c_uint) -> io::Result<()> {
    // SAFETY: nothing in this process owns one of them yet.
    match unsafe { libc::close_range(first, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a line to the system log; where there is none, it is dropped.
pub fn syslog(priority: libc::c_int, line: &CStr) {
    // SAFETY: both are NUL-terminated strings, and the format takes exactly this one argument.
    unsafe { libc::syslog(libc::LOG_DAEMON | priority, c"%s".as_ptr(), line.as_ptr()) };
}

/// Names this process in the system log.
pub fn open_syslog(name: &'static CStr) {
    // SAFETY: the log keeps the pointer, and the string lives as long as the process.
    unsafe { libc::openlog(name.as_ptr(), libc::LOG_PID, libc::LOG_DAEMON) };
}
