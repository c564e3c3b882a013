//! Object files below a directory: what there is, and the bytes of one.

use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What object files are called.
const SUFFIX: &str = ".bpf.o";

/// Larger than any sensible object; a file is read as a whole.
const MOST_BYTES: u64 = 16 << 20;

/// A file that was written to within this may not be complete yet.
const SETTLED_AFTER: Duration = Duration::from_millis(200);

/// Deepest placement; cgroups are nested far less deep.
const MOST_DEPTH: usize = 32;

/// A file that was found, and the cgroup path at which its directory places it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) at: PathBuf,
    pub(super) stamp: Stamp,
    /// False while it is still being written.
    pub(super) settled: bool,
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

/// All files below `root` for which `is_one` holds, parents' before children's. Hidden names are
/// passed over. What vanishes meanwhile or cannot be listed is not there.
pub(super) fn list(root: &Path, is_one: fn(&str) -> bool) -> Vec<Found> {
    let mut found = Vec::new();
    let mut todo = vec![(root.to_owned(), PathBuf::new(), 0)];
    while let Some((dir, at, depth)) = todo.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let path = entry.path();
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            match name.to_str() {
                Some(name) if name.starts_with('.') => {}
                _ if is_dir && depth < MOST_DEPTH => todo.push((path, at.join(name), depth + 1)),
                Some(name) if !is_dir && is_one(name) => found.push(look(path, at.clone())),
                _ => {}
            }
        }
    }
    found
}

/// Whether a file is an object's, by its name.
pub(super) fn is_object(name: &str) -> bool {
    name.len() > SUFFIX.len() && name.ends_with(SUFFIX)
}

fn look(path: PathBuf, at: PathBuf) -> Found {
    // A link that leads nowhere is there and cannot be used: loading it tells why.
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
        at,
    }
}

/// The bytes of an object file, or why they are not trusted.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let not_regular = || "it is not a regular file".to_owned();
    // Opening a device may do something.
    let meta = fs::metadata(path).map_err(|error| format!("open: {error}"))?;
    if !meta.is_file() {
        return Err(not_regular());
    }
    // Opening a FIFO that has just taken its place would wait for its writer.
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
    if meta.len() > MOST_BYTES {
        let mib = MOST_BYTES >> 20;
        return Err(format!("it is larger than {mib} MiB"));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("read: {error}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_known_by_its_name() {
        assert!(is_object("wait.bpf.o"));
        assert!(!is_object(".bpf.o"));
        assert!(!is_object("wait.o"));
        assert!(!is_object("wait.bpf.o.tmp"));
    }

    #[test]
    fn a_device_is_no_object() {
        let error = read(Path::new("/dev/null")).expect_err("a device");
        assert!(error.contains("not a regular file"), "{error}");
    }
}
