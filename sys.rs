//! System calls and calls of libbpf that no safe crate wraps. All `unsafe` code of the crate is
//! here, each operation with the fact that makes it sound.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::slice;
use std::sync::OnceLock;

use libbpf_sys::{
    BPF_F_INNER_MAP, BPF_F_MMAPABLE, BPF_MAP_TYPE_ARRAY, BPF_TRACE_ITER, bpf_iter_link_info,
    bpf_iter_link_info__bindgen_ty_2, bpf_link_create_opts, bpf_map_create_opts, bpf_test_run_opts,
};

/// From this size on, a block of memory is given back to the kernel when it is freed.
const LARGE_BLOCK_BYTES: libc::c_int = 1 << 20;

/// The type of kernfs file handles (`FILEID_KERNFS`, include/linux/exportfs.h). The handle is the
/// 64-bit id of the node, which is the cgroup id for a directory of cgroupfs.
const FILEID_KERNFS: libc::c_int = 0xfe;

/// `struct file_handle` of open_by_handle_at(2), with the eight bytes of a kernfs handle.
#[repr(C)]
struct KernfsHandle {
    handle_bytes: libc::c_uint,
    handle_type: libc::c_int,
    id: [u8; 8],
}

/// Opens the directory of the cgroup `id` by open_by_handle_at(2), at whatever path it is now.
///
/// `on` is an open file of the same cgroupfs; `flags` are those of open(2). Needs
/// `CAP_DAC_READ_SEARCH`. The layout of the handle is that of fs/kernfs/mount.c
/// `kernfs_encode_fh`.
///
/// # Errors
/// `ESTALE` if the cgroup is gone: an id is never used again. Else those of open_by_handle_at(2).
pub fn open_cgroup_by_id(on: BorrowedFd<'_>, id: u64, flags: libc::c_int) -> io::Result<OwnedFd> {
    let mut handle = KernfsHandle {
        handle_bytes: 8,
        handle_type: FILEID_KERNFS,
        id: id.to_ne_bytes(),
    };
    // SAFETY: `handle` is a `struct file_handle` that outlives the call, and `handle_bytes` is the
    // size of its `id`.
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
    // SAFETY: the kernel has just made this descriptor, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Links an `iter/cgroup` program to a cgroup, or to the root of cgroup2 if `cgroup` is `None`.
///
/// `order` is an `enum bpf_cgroup_iter_order` (include/uapi/linux/bpf.h).
///
/// # Errors
/// Those of bpf(2), `BPF_LINK_CREATE`.
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

/// Opens an iterator: reading the file to its end runs the linked program once.
///
/// # Errors
/// Those of bpf(2), `BPF_ITER_CREATE`.
pub fn iter_create(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the call reads and writes no memory of this process.
    new_fd(unsafe { libbpf_sys::bpf_iter_create(link.as_raw_fd()) })
}

/// Pins a BPF link, map or program at a path in bpffs.
///
/// # Errors
/// Those of bpf(2), `BPF_OBJ_PIN`, and an error if the path has a NUL byte.
pub fn bpf_pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    let error = unsafe { libbpf_sys::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) };
    if error < 0 {
        return Err(io::Error::from_raw_os_error(-error));
    }
    Ok(())
}

/// Runs a program of type `syscall` and returns its return value. The kernel copies `context` in,
/// and copies it back with the changes of the program.
///
/// # Errors
/// Those of bpf(2), `BPF_PROG_TEST_RUN`.
pub fn run_syscall_program(program: BorrowedFd<'_>, context: &mut [u8]) -> io::Result<u32> {
    let mut options = bpf_test_run_opts {
        sz: size_of::<bpf_test_run_opts>() as libbpf_sys::size_t,
        ctx_in: context.as_mut_ptr().cast(),
        ctx_size_in: u32::try_from(context.len()).map_err(io::Error::other)?,
        ..Default::default()
    };
    // SAFETY: `context` is borrowed mutably for the call, and the kernel reads and writes no more
    // than its `ctx_size_in` bytes; the pointers to other buffers are null.
    let error =
        unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut options) };
    if error < 0 {
        return Err(io::Error::from_raw_os_error(-error));
    }
    Ok(options.retval)
}

/// The result of a call of libbpf that makes a descriptor or returns a negative errno.
fn new_fd(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: callers pass the result of a call that makes a descriptor, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A BPF array map whose values are memory of this process too.
///
/// The map is made here, so only a program that was given it by [`MappedArray::as_fd`] can write
/// to that memory. Run such a program in [`MappedArray::written_by`].
pub struct MappedArray {
    map: OwnedFd,
    start: *mut u8,
    size_bytes: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and `start` is used by `self` alone.
unsafe impl Send for MappedArray {}

impl MappedArray {
    /// Makes a map of `values` values, `value_bytes` bytes each, all zero. The map can be put into
    /// a map of maps whose inner maps have another number of values (`BPF_F_INNER_MAP`).
    ///
    /// # Errors
    /// Those of bpf(2), `BPF_MAP_CREATE`, and of mmap(2).
    pub fn new(values: u32, value_bytes: u32) -> io::Result<MappedArray> {
        let options = bpf_map_create_opts {
            sz: size_of::<bpf_map_create_opts>() as libbpf_sys::size_t,
            map_flags: BPF_F_MMAPABLE | BPF_F_INNER_MAP,
            ..Default::default()
        };
        let (name, key_bytes) = (c"cgview".as_ptr(), size_of::<u32>() as u32);
        // SAFETY: the name is a static string, and `options` outlives the call.
        let map = new_fd(unsafe {
            libbpf_sys::bpf_map_create(
                BPF_MAP_TYPE_ARRAY,
                name,
                key_bytes,
                value_bytes,
                values,
                &raw const options,
            )
        })?;
        // The kernel rounds the size of a value up (kernel/bpf/arraymap.c `array_map_alloc`).
        let size_bytes =
            (values as usize).saturating_mul((value_bytes as usize).next_multiple_of(8));
        // SAFETY: a new mapping at an address of the kernel's choice replaces no memory of ours.
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
            map,
            start: start.cast(),
            size_bytes,
        })
    }

    /// Calls `run`, which runs a program that writes to the map. The exclusive borrow ensures that
    /// no slice of the values exists meanwhile.
    pub fn written_by<T>(&mut self, run: impl FnOnce() -> T) -> T {
        run()
    }

    /// The values.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `new` has mapped `size_bytes` bytes for reading and writing until the drop. The
        // slice borrows `self` exclusively: there is no other slice, and no program writes, since
        // those that know the map run in `written_by`.
        unsafe { slice::from_raw_parts_mut(self.start, self.size_bytes) }
    }
}

impl AsFd for MappedArray {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

impl Drop for MappedArray {
    fn drop(&mut self) {
        // SAFETY: `new` has made exactly this mapping, and slices of it borrow `self`.
        unsafe { libc::munmap(self.start.cast(), self.size_bytes) };
    }
}

/// The function that takes libbpf's warnings.
static ON_WARNING: OnceLock<fn(&[u8])> = OnceLock::new();

/// Makes libbpf pass its warnings to `take` and print nothing. The first `take` stays.
///
/// A warning is bytes, since it quotes names of the object: where they are not UTF-8, the
/// `set_print` of libbpf-rs panics.
pub fn on_libbpf_warning(take: fn(&[u8])) {
    let _ = ON_WARNING.set(take);
    #[expect(
        clippy::missing_transmute_annotations,
        reason = "bindgen's va_list differs between platforms"
    )]
    // SAFETY: `print` differs from the type of the callback in the last argument only, which is
    // passed as a pointer on all platforms of libbpf-rs, however bindgen declares a `va_list`.
    let callback: libbpf_sys::libbpf_print_fn_t =
        unsafe { Some(std::mem::transmute(print as *const ())) };
    // SAFETY: the callback is a static function that any thread may call, and libbpf exchanges it
    // atomically.
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
        // SAFETY: libbpf calls this with a format and the arguments of that format.
        if let Ok(message) = unsafe { vsprintf::vsprintf_raw(format, arguments) } {
            take(&message);
        }
    }
    0
}

/// The process that runs after [`fork`].
pub enum Forked {
    /// The process that called it.
    Parent,
    /// The new process.
    Child,
}

/// Makes malloc(3) give large blocks back to the kernel when they are freed. By default glibc keeps
/// blocks of up to 32 MiB once some were freed.
///
/// # Errors
/// When the C library refuses; it says no reason.
pub fn return_freed_memory() -> io::Result<()> {
    // SAFETY: takes two numbers, and glibc locks what it changes.
    match unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES) } {
        1 => Ok(()),
        _ => Err(io::Error::other("mallopt refuses M_MMAP_THRESHOLD")),
    }
}

/// Forks this process, which must have one thread.
///
/// # Errors
/// Those of fork(2) and of reading /proc/self/task, and an error if there is a second thread.
pub fn fork() -> io::Result<Forked> {
    require_one_thread()?;
    // SAFETY: no other thread exists or can start, so the child is a full copy in which no lock is
    // held by a thread that it does not have.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        pid if pid > 0 => Ok(Forked::Parent),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes the descriptors above the standard streams that this process has inherited: those
/// without close-on-exec. The process must have one thread.
///
/// # Errors
/// Those of reading /proc/self/task and /proc/self/fd, and an error if there is a second thread.
pub fn close_inherited() -> io::Result<()> {
    require_one_thread()?;
    let mut descriptors = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        descriptors.extend(
            name.to_str()
                .and_then(|name| name.parse::<libc::c_int>().ok()),
        );
    }
    for descriptor in descriptors {
        // SAFETY: F_GETFD changes nothing, and a number that is no descriptor is an error.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
        if descriptor <= libc::STDERR_FILENO || flags < 0 || flags & libc::FD_CLOEXEC != 0 {
            continue;
        }
        // SAFETY: std, libbpf and this crate open every descriptor with close-on-exec, so nothing
        // in this process owns one without it. The engine of `bpf` clears the flag of one, but has
        // it only beside the threads of `mirror`, whose source it is.
        unsafe { libc::close(descriptor) };
    }
    Ok(())
}

/// Gives this process, which must have one thread, a mount namespace and a network of its own. The
/// network has no interface that is up.
///
/// # Errors
/// Those of unshare(2) and of reading /proc/self/task, and an error if there is a second thread.
pub fn unshare_mounts_and_network() -> io::Result<()> {
    require_one_thread()?;
    // SAFETY: the call changes what paths and sockets made later mean; no memory.
    if unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Only this thread can start another one, so what holds here holds until it does.
fn require_one_thread() -> io::Result<()> {
    match fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        threads => Err(io::Error::other(format!(
            "the process has {threads} threads, and may have one only"
        ))),
    }
}

/// Sends a line to the system log, from the facility `LOG_DAEMON`. It is lost where no log runs.
pub fn syslog(priority: libc::c_int, line: &CStr) {
    // SAFETY: both strings outlive the call, and the format takes this one string. syslog(3) locks
    // and checks the priority itself.
    unsafe { libc::syslog(libc::LOG_DAEMON | priority, c"%s".as_ptr(), line.as_ptr()) };
}

/// Sets the name of this process in the system log.
pub fn open_syslog(name: &'static CStr) {
    // SAFETY: the C library keeps the pointer, and the string is static.
    unsafe { libc::openlog(name.as_ptr(), libc::LOG_PID, libc::LOG_DAEMON) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_process_with_two_threads_neither_forks_nor_closes_descriptors() {
        // The harness may run this test on the only thread.
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let second = thread::spawn(move || ended.recv());
        let forked = fork();
        let closed = close_inherited();
        drop(end);
        let _ = second.join();
        assert!(forked.is_err_and(|error| error.to_string().contains("threads")));
        assert!(closed.is_err_and(|error| error.to_string().contains("threads")));
    }
}
