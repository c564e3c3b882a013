//! Collecting the records of a subtree in one run: by the css iterator under RCU where the kernel has
//! it, else by a pre-order cgroup iterator. Both write into an array that is shared with the kernel
//! and made larger as the tree grows.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use libbpf_rs::{ErrorKind, MapCore as _, MapFlags, MapHandle, Program};
use parking_lot::{Mutex, MutexGuard};

use super::swept::{Swept, u64_at};
use super::totals;
use crate::bpf::Error;
use crate::bpf::abi::cgview_swept;
use crate::bpf::manifest::Order;
use crate::bpf::record::Record;
use crate::sys::{self, MappedArray};

/// Room beyond the cgroups that are expected, so that a growing tree seldom needs a second run.
const SLACK: usize = 64;

/// Return `EBUSY` after waiting this long for another sweep of the view; one of 50,000 cgroups takes
/// some 10 ms.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How often a sweep is repeated because the tree has outgrown the array meanwhile.
const MAX_REPEATS: usize = 8;

/// Sweeps with the programs of one view.
pub(super) struct Sweeper {
    how: How,
    /// The map of maps through which the programs find the array.
    outer: MapHandle,
    record_bytes: usize,
    element_bytes: usize,
    /// Where an element has values that include the descendants.
    totals: Vec<usize>,
    max_bytes: usize,
    /// Locked for a whole sweep, since the array is that sweep's alone.
    array: Mutex<Array>,
}

enum How {
    /// A `syscall` program.
    Css(OwnedFd),
    /// An `iter/cgroup` program.
    Walk(OwnedFd),
}

/// Element 0 counts the visited cgroups, the others are the cgroups.
#[derive(Default)]
struct Array {
    capacity: usize,
    shared: Option<MappedArray>,
}

/// Why a sweep has no result.
enum Failure {
    /// The cgroups need more memory than a sweep may take.
    TooBig,
    /// The tree has outgrown the array each time.
    Outgrown,
    /// A system call failed.
    System(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::System(error)
    }
}

impl From<libbpf_rs::Error> for Failure {
    fn from(error: libbpf_rs::Error) -> Failure {
        // libbpf-rs keeps the errno to itself.
        let errno = match error.kind() {
            ErrorKind::OutOfMemory => libc::ENOMEM,
            ErrorKind::PermissionDenied => libc::EPERM,
            ErrorKind::TooBig => libc::E2BIG,
            ErrorKind::InvalidInput => libc::EINVAL,
            _ => libc::EIO,
        };
        Failure::System(io::Error::from_raw_os_error(errno))
    }
}

impl Sweeper {
    /// Opens the pins of a view's css sweep, or of its walk where there is no css sweep; `None`
    /// where there is neither.
    pub(super) fn open(
        sweep: Option<&Path>,
        walk: Option<&Path>,
        swept: &Path,
        record: &Record,
        max_bytes: usize,
    ) -> libbpf_rs::Result<Option<Sweeper>> {
        let how = match (sweep, walk) {
            (Some(path), _) => How::Css(Program::fd_from_pinned_path(path)?),
            (None, Some(path)) => How::Walk(Program::fd_from_pinned_path(path)?),
            (None, None) => return Ok(None),
        };
        let totals = record.fields.iter().filter(|field| field.with_descendants);
        Ok(Some(Sweeper {
            how,
            outer: MapHandle::from_pinned_path(swept)?,
            record_bytes: record.size_bytes,
            element_bytes: (cgview_swept::SIZE + record.size_bytes).next_multiple_of(8),
            totals: totals
                .map(|field| cgview_swept::SIZE + field.offset_bytes)
                .collect(),
            max_bytes,
            array: Mutex::default(),
        }))
    }

    /// Whether the sweep is by the css iterator.
    pub(super) fn is_css(&self) -> bool {
        matches!(self.how, How::Css(_))
    }

    /// Collects the subtree of `root`, whose directory is `directory`, and passes it to `render`.
    /// `expected` is a guess at the number of cgroups.
    pub(super) fn run<T>(
        &self,
        view: &str,
        root: u64,
        directory: BorrowedFd<'_>,
        expected: usize,
        render: impl FnOnce(Swept<'_>) -> T,
    ) -> Result<T, Error> {
        let mut array = lock(&self.array, view)?;
        let found = self
            .fill(&mut array, root, directory, expected)
            .map_err(|failure| self.error(view, failure))?;
        let elements = self.element_bytes..(found + 1).saturating_mul(self.element_bytes);
        let bytes = array.bytes_mut().get_mut(elements).unwrap_or_default();
        totals::raise(bytes, self.element_bytes, &self.totals);
        Ok(render(Swept::new(
            bytes,
            self.element_bytes,
            self.record_bytes,
        )))
    }

    fn error(&self, view: &str, failure: Failure) -> Error {
        let view = view.to_owned();
        match failure {
            Failure::TooBig => Error::SubtreeTooBig {
                view,
                limit_bytes: self.max_bytes,
            },
            Failure::Outgrown => Error::Busy { view },
            Failure::System(source) => match source.raw_os_error() {
                Some(libc::ENOENT | libc::ESTALE | libc::ENODEV) => Error::Gone,
                _ => Error::Sweep { view, source },
            },
        }
    }

    /// Runs the program until the array has room for all that it finds; gives their number.
    fn fill(
        &self,
        array: &mut Array,
        root: u64,
        directory: BorrowedFd<'_>,
        expected: usize,
    ) -> Result<usize, Failure> {
        let max_cgroups = (self.max_bytes / self.element_bytes).saturating_sub(1);
        let mut wanted = expected;
        for _ in 0..MAX_REPEATS {
            let roomy = wanted.saturating_add(SLACK).min(max_cgroups);
            if array.capacity < roomy {
                *array = Array::default();
                *array = self.allocate((roomy + roomy / 8).min(max_cgroups))?;
            }
            array.reset(self.element_bytes);
            array.written_by(|| match &self.how {
                How::Css(program) => css(program.as_fd(), root),
                How::Walk(program) => walk(program.as_fd(), directory),
            })?;
            let found = usize::try_from(u64_at(array.bytes_mut(), 0)).unwrap_or(usize::MAX);
            if found <= array.capacity {
                return Ok(found);
            }
            if found > max_cgroups {
                return Err(Failure::TooBig);
            }
            wanted = found;
        }
        Err(Failure::Outgrown)
    }

    /// Makes an array with room for `capacity` cgroups and lets the programs find it.
    fn allocate(&self, capacity: usize) -> Result<Array, Failure> {
        let too_big = |_| Failure::TooBig;
        let mapped = MappedArray::new(
            u32::try_from(capacity + 1).map_err(too_big)?,
            u32::try_from(self.element_bytes).map_err(too_big)?,
        )?;
        let fd = mapped.as_fd().as_raw_fd().to_ne_bytes();
        self.outer.update(&0u32.to_ne_bytes(), &fd, MapFlags::ANY)?;
        Ok(Array {
            capacity,
            shared: Some(mapped),
        })
    }
}

/// A sweep that ends by a panic leaves the array to the next one: the guard goes with it.
fn lock<'a>(array: &'a Mutex<Array>, view: &str) -> Result<MutexGuard<'a, Array>, Error> {
    let locked = array.try_lock_for(MAX_WAIT);
    locked.ok_or_else(|| Error::Busy {
        view: view.to_owned(),
    })
}

impl Array {
    fn bytes_mut(&mut self) -> &mut [u8] {
        let shared = self.shared.as_mut();
        shared.map_or(&mut [], MappedArray::bytes_mut)
    }

    fn written_by<T>(&mut self, run: impl FnOnce() -> T) -> T {
        match &mut self.shared {
            Some(mapped) => mapped.written_by(run),
            None => run(),
        }
    }

    /// Element 0 holds the count; the programs add to it.
    fn reset(&mut self, element_bytes: usize) {
        let count = self.bytes_mut().get_mut(..element_bytes);
        count.unwrap_or_default().fill(0);
    }
}

/// The context is `struct cgview_sweep`: the root's id.
fn css(program: BorrowedFd<'_>, root: u64) -> io::Result<()> {
    let result = sys::run_syscall_program(program, &mut root.to_ne_bytes())?.cast_signed();
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(())
}

fn walk(program: BorrowedFd<'_>, directory: BorrowedFd<'_>) -> io::Result<()> {
    let link = sys::cgroup_iter_link(program, Some(directory), Order::Pre.number())?;
    let iterator = sys::iter_create(link.as_fd())?;
    // The program prints nothing; reading drives it to the end.
    File::from(iterator).read_to_end(&mut Vec::new())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_rendering_leaves_the_array_to_the_next_sweep() {
        let array = Mutex::new(Array::default());
        let rendering = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _array = lock(&array, "stats").expect("free");
            panic!("in a rendering");
        }));
        assert!(rendering.is_err());
        assert!(array.try_lock().is_some());
    }
}
