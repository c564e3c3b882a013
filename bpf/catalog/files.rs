//! Directories of object files or of pins: what is in them, and the bytes of one object file.

use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::trust;
use crate::bpf::compile;

/// The end of an object file's name.
const SUFFIX: &str = ".bpf.o";

/// A larger file is refused, since a file is read as a whole.
const MAX_BYTES: u64 = 16 << 20;

/// A file that was written to within this time may not be complete yet.
const SETTLED_AFTER: Duration = Duration::from_millis(200);

/// Deepest placement; cgroups are nested far less deep.
const MAX_DEPTH: usize = 32;

/// A file or pin, and the cgroup path at which its directory places it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) placement: PathBuf,
    pub(super) stamp: Stamp,
    /// False while the file is being written.
    pub(super) settled: bool,
}

/// A directory that cannot be listed.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) path: PathBuf,
    pub(super) placement: PathBuf,
    pub(super) error: io::Error,
}

/// All that is below a directory, as far as it can be read.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) found: Vec<Found>,
    pub(super) unreadable: Vec<Unreadable>,
}

/// Tells one content of a path from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        Stamp {
            device: meta.dev(),
            inode: meta.ino(),
            size_bytes: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// Lists the files below `root` for which `is_one` holds. Hidden names are passed over, and a
/// directory that is not there is empty.
pub(super) fn list(root: &Path, is_one: fn(&str) -> bool) -> Listing {
    let mut listing = Listing::default();
    let mut todo = vec![(root.to_owned(), PathBuf::new(), 0)];
    while let Some((path, placement, depth)) = todo.pop() {
        let entries = match trusted_entries_of(&path) {
            Ok(entries) => entries,
            Err(error) => {
                listing.unreadable.push(Unreadable {
                    path,
                    placement,
                    error,
                });
                continue;
            }
        };
        for entry in entries {
            let name = entry.file_name();
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            match name.to_str() {
                Some(name) if name.starts_with('.') => {}
                _ if is_dir && depth < MAX_DEPTH => {
                    todo.push((entry.path(), placement.join(name), depth + 1));
                }
                Some(name) if !is_dir && is_one(name) => {
                    listing.found.push(look(entry.path(), placement.clone()));
                }
                _ => {}
            }
        }
    }
    listing
}

/// The entries of a directory that only root can change.
fn trusted_entries_of(dir: &Path) -> io::Result<Vec<DirEntry>> {
    let entries = entries_of(dir)?;
    if fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir() || meta.is_symlink()) {
        trust::check(dir).map_err(io::Error::other)?;
    }
    Ok(entries)
}

fn entries_of(dir: &Path) -> io::Result<Vec<DirEntry>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    entries.collect()
}

/// Whether a file is an object file or the source of one, by its name.
pub(super) fn is_object(name: &str) -> bool {
    name.len() > SUFFIX.len() && name.ends_with(SUFFIX) || compile::is_source(name)
}

/// Whether a file in bpffs is a pin: all are.
pub(super) fn is_pin(_: &str) -> bool {
    true
}

fn look(path: PathBuf, placement: PathBuf) -> Found {
    // A link that leads nowhere counts too: loading it gives the reason.
    let meta = fs::metadata(&path);
    let settled = meta.as_ref().is_ok_and(|meta| {
        let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let age = SystemTime::now().duration_since(modified);
        // A time in the future says nothing.
        age.is_err() || age.is_ok_and(|age| age >= SETTLED_AFTER)
    });
    Found {
        settled: settled || meta.is_err(),
        stamp: meta.map(|meta| Stamp::of(&meta)).unwrap_or_default(),
        path,
        placement,
    }
}

/// The bytes of an object file, or why it is not trusted.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let not_regular = || "it is not a regular file".to_owned();
    // To open a device may have effects.
    let meta = fs::metadata(path).map_err(|error| format!("open: {error}"))?;
    if !meta.is_file() {
        return Err(not_regular());
    }
    // To open a FIFO that has just taken its place would wait for a writer.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| format!("open: {error}"))?;
    let meta = file.metadata().map_err(|error| format!("stat: {error}"))?;
    if !meta.is_file() {
        return Err(not_regular());
    }
    if meta.uid() != 0 || meta.mode() & 0o022 != 0 {
        return Err("others than root may write to it; chown root and chmod go-w".to_owned());
    }
    if meta.len() > MAX_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_BYTES >> 20));
    }
    trust::check(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("read: {error}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_file_is_known_by_its_name() {
        assert!(is_object("wait.bpf.o"));
        assert!(is_object("wait.bpf.c"));
        assert!(!is_object(".bpf.o"));
        assert!(!is_object("wait.o"));
        assert!(!is_object("wait.bpf.o.tmp"));
    }

    #[test]
    fn a_device_is_no_object_file() {
        let error = read(Path::new("/dev/null")).expect_err("a device");
        assert!(error.contains("not a regular file"), "{error}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_empty() {
        for path in ["/no/such/directory", "/dev/null"] {
            let listing = list(Path::new(path), is_object);
            assert!(listing.found.is_empty() && listing.unreadable.is_empty());
        }
    }

    #[test]
    fn a_directory_that_cannot_be_listed_is_an_error() {
        // A link to itself gives ELOOP, for root too.
        let link = std::env::temp_dir().join(format!("cgview-files-{}", std::process::id()));
        std::os::unix::fs::symlink(&link, &link).expect("symlink");
        let listing = list(&link, is_object);
        fs::remove_file(&link).expect("remove");
        assert!(listing.found.is_empty());
        let unreadable = listing.unreadable.first().expect("an error");
        assert_eq!(unreadable.error.raw_os_error(), Some(libc::ELOOP));
    }
}
