//! Collecting one view's records of a whole subtree in one run of a program: the css iterator
//! under RCU where the kernel has it, else a pre-order cgroup iterator. The records land in an
//! array that is shared with the kernel and made larger as the tree grows.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};
use parking_lot::{Condvar, Mutex};

use super::totals;
use crate::bpf::Error;
use crate::bpf::manifest::Order;
use crate::bpf::record::Record;
use crate::sys::{self, MappedArray};

/// `struct cgview_row` of the authoring header, in front of each record.
const HEADER_BYTES: usize = 32;

/// `CGVIEW_ROW_EMPTY`: the view has no record for this cgroup.
const ROW_EMPTY: u64 = 1;

/// Room beyond the cgroups that are expected, so that a growing tree seldom needs a second run.
const SLACK: usize = 64;

/// A sweep of 50,000 cgroups takes some 10 ms; whoever waits longer is better told so.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How often a sweep is repeated because the tree outgrew the array meanwhile.
const MOST_REPEATS: usize = 8;

/// Collects the records of a subtree.
pub(super) struct Sweeper {
    how: How,
    outer: MapHandle,
    record_bytes: usize,
    row_bytes: usize,
    /// Where a row has values that count descendants.
    totals: Vec<usize>,
    most_bytes: usize,
    /// The one array; taken out while a sweep uses it, so that nothing is locked meanwhile.
    idle: Mutex<Option<Array>>,
    returned: Condvar,
}

enum How {
    /// A `syscall` program.
    Css(OwnedFd),
    /// An `iter/cgroup` program.
    Walk(OwnedFd),
}

#[derive(Default)]
struct Array {
    capacity: usize,
    shared: Option<(MapHandle, MappedArray)>,
}

impl Sweeper {
    /// Opens the pins of a view's sweep, or of its walk where it has no sweep or where the
    /// hierarchy is one that only the walk can name. `None`: the view has neither.
    pub(super) fn open(
        sweep: Option<&Path>,
        walk: Option<&Path>,
        rows: &Path,
        record: &Record,
        most_bytes: usize,
    ) -> libbpf_rs::Result<Option<Sweeper>> {
        let program = libbpf_rs::Program::fd_from_pinned_path;
        let how = match (sweep, walk) {
            (Some(path), _) => How::Css(program(path)?),
            (None, Some(path)) => How::Walk(program(path)?),
            (None, None) => return Ok(None),
        };
        Ok(Some(Sweeper {
            how,
            outer: MapHandle::from_pinned_path(rows)?,
            record_bytes: record.size_bytes,
            row_bytes: (HEADER_BYTES + record.size_bytes).next_multiple_of(8),
            totals: totals(record),
            most_bytes,
            idle: Mutex::new(Some(Array::default())),
            returned: Condvar::new(),
        }))
    }

    /// Whether the caller has to flush rstat, by a self read of the root, before [`Self::run`].
    pub(super) fn wants_flush(&self) -> bool {
        matches!(self.how, How::Css(_))
    }

    /// Collects the subtree of `root` and shows it to `render`. `expected`: about how many
    /// cgroups there are.
    pub(super) fn run<T>(
        &self,
        view: &str,
        root: u64,
        directory: BorrowedFd<'_>,
        expected: usize,
        render: impl FnOnce(Rows<'_>) -> T,
    ) -> Result<T, Error> {
        let mut array = self.take(view)?;
        let done = self
            .fill(&mut array, root, directory, expected)
            .map(|count| {
                let shared = array.shared.as_mut();
                let bytes = shared.map_or(&mut [][..], |(_, mapped)| mapped.bytes_mut());
                let rows = self.row_bytes..(count + 1).saturating_mul(self.row_bytes);
                let bytes = bytes.get_mut(rows).unwrap_or_default();
                totals::raise(bytes, self.row_bytes, &self.totals);
                render(Rows::new(bytes, self.row_bytes, self.record_bytes))
            });
        *self.idle.lock() = Some(array);
        self.returned.notify_one();
        done.map_err(|source| match source.raw_os_error() {
            Some(libc::ENOENT | libc::ESTALE | libc::ENODEV) => Error::Gone,
            _ => Error::Sweep {
                view: view.to_owned(),
                source,
            },
        })
    }

    fn take(&self, view: &str) -> Result<Array, Error> {
        let mut idle = self.idle.lock();
        loop {
            if let Some(array) = idle.take() {
                return Ok(array);
            }
            if self.returned.wait_for(&mut idle, LONGEST_WAIT).timed_out() && idle.is_none() {
                return Err(Error::Busy {
                    view: view.to_owned(),
                });
            }
        }
    }

    /// Runs the program until the array has room for what it found; gives their number.
    fn fill(
        &self,
        array: &mut Array,
        root: u64,
        directory: BorrowedFd<'_>,
        expected: usize,
    ) -> io::Result<usize> {
        let mut wanted = expected + SLACK;
        for _ in 0..MOST_REPEATS {
            if array.capacity < wanted {
                self.grow(array, wanted + wanted / 8)?;
            }
            // The header counts; it starts from nothing.
            if let Some((inner, _)) = &array.shared {
                let zeros = vec![0; self.row_bytes];
                let header = 0u32.to_ne_bytes();
                inner
                    .update(&header, &zeros, MapFlags::ANY)
                    .map_err(os_error)?;
            }
            match &self.how {
                How::Css(program) => css(program.as_fd(), root)?,
                How::Walk(program) => walk(program.as_fd(), directory)?,
            }
            let found = array
                .shared
                .as_ref()
                .map_or(0, |(_, mapped)| u64_at(mapped.bytes(), 0));
            let found = usize::try_from(found).unwrap_or(usize::MAX);
            if found <= array.capacity {
                return Ok(found);
            }
            wanted = found.saturating_add(SLACK);
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the tree grows faster than it can be read",
        ))
    }

    /// Puts an array with room for `capacity` cgroups in the place of the old one.
    fn grow(&self, array: &mut Array, capacity: usize) -> io::Result<()> {
        let size_bytes = (capacity + 1).saturating_mul(self.row_bytes);
        if size_bytes > self.most_bytes {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        *array = Array::default();
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
            map_flags: libbpf_sys::BPF_F_MMAPABLE | libbpf_sys::BPF_F_INNER_MAP,
            ..Default::default()
        };
        let entries = u32::try_from(capacity + 1).map_err(io::Error::other)?;
        let row_bytes = u32::try_from(self.row_bytes).map_err(io::Error::other)?;
        let inner = MapHandle::create(
            MapType::Array,
            Some("cgview"),
            4,
            row_bytes,
            entries,
            &options,
        )
        .map_err(os_error)?;
        let fd = inner.as_fd().as_raw_fd().to_ne_bytes();
        self.outer
            .update(&0u32.to_ne_bytes(), &fd, MapFlags::ANY)
            .map_err(os_error)?;
        let mapped = MappedArray::new(inner.as_fd(), size_bytes)?;
        *array = Array {
            capacity,
            shared: Some((inner, mapped)),
        };
        Ok(())
    }
}

fn totals(record: &Record) -> Vec<usize> {
    let fields = record.fields.iter().filter(|field| field.with_descendants);
    fields
        .map(|field| HEADER_BYTES + field.offset_bytes)
        .collect()
}

fn os_error(error: libbpf_rs::Error) -> io::Error {
    io::Error::other(error)
}

/// `struct cgview_sweep`: the root's id in.
fn css(program: BorrowedFd<'_>, root: u64) -> io::Result<()> {
    let result = sys::run_syscall_program(program, &mut root.to_ne_bytes())?.cast_signed();
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(())
}

fn walk(program: BorrowedFd<'_>, directory: BorrowedFd<'_>) -> io::Result<()> {
    let link = sys::cgroup_iter_link(program, Some(directory), order(Order::Pre))?;
    let iterator = sys::iter_create(link.as_fd())?;
    // The program prints nothing; reading drives it to the end.
    File::from(iterator).read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The kernel's number for an order.
pub(crate) fn order(order: Order) -> u32 {
    match order {
        Order::Itself => sys::SELF_ONLY,
        Order::Pre => libbpf_sys::BPF_CGROUP_ITER_DESCENDANTS_PRE,
        Order::Post => libbpf_sys::BPF_CGROUP_ITER_DESCENDANTS_POST,
        Order::Up => libbpf_sys::BPF_CGROUP_ITER_ANCESTORS_UP,
        // BPF_CGROUP_ITER_CHILDREN, which libbpf 1.7.0 does not know yet.
        Order::Children => 5,
    }
}

/// The rows that a sweep has collected, parents before their children.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    bytes: &'a [u8],
    row_bytes: usize,
    record_bytes: usize,
}

/// One cgroup in a sweep.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// Its id.
    pub id: u64,
    /// Its parent's id.
    pub parent: u64,
    /// Its level in the hierarchy.
    pub level: u32,
    /// What the view wrote for it.
    pub record: &'a [u8],
}

impl<'a> Rows<'a> {
    fn new(bytes: &'a [u8], row_bytes: usize, record_bytes: usize) -> Rows<'a> {
        Rows {
            bytes,
            row_bytes,
            record_bytes,
        }
    }

    /// How many cgroups were visited.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.row_bytes
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Those that have a record, in the order of the walk.
    pub fn iter(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let record = HEADER_BYTES..HEADER_BYTES + self.record_bytes;
        let rows = self.bytes.chunks_exact(self.row_bytes);
        let rows = rows.filter(|row| u64_at(row, 16) >> 32 & ROW_EMPTY == 0);
        rows.map(move |row| Row {
            id: u64_at(row, 0),
            parent: u64_at(row, 8),
            level: u64_at(row, 16) as u32,
            record: row.get(record.clone()).unwrap_or_default(),
        })
    }
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes
        .get(offset..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |chunk| u64::from_ne_bytes(*chunk))
}
