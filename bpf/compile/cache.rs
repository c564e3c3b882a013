//! Objects that were compiled before, by the content that they were made of. The directory is used
//! only if nobody but root can write to it.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, open, openat, renameat, statat, unlinkat};
use sha2::{Digest as _, Sha256};

const DIRECTORY: &str = "/var/cache/cgview/objects";

/// Of more files than these, the oldest goes. A machine has a few dozen views.
const MAX_FILES: usize = 256;

/// The directory, which its descriptor names once it is trusted.
pub(super) struct Cache {
    dir: OwnedFd,
}

/// The name of the object that is made of these parts.
pub(super) fn key(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // Where one part ends belongs to the content.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Cache {
    /// Opens the directory, which is made if need be.
    ///
    /// # Errors
    /// Those of mkdir(2) and open(2), and that others than root can write to it.
    pub(super) fn open() -> io::Result<Cache> {
        Cache::at(Path::new(DIRECTORY))
    }

    fn at(path: &Path) -> io::Result<Cache> {
        let failed = |error: io::Error| {
            let text = format!("open {}: {error}", path.display());
            io::Error::new(error.kind(), text)
        };
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o755)
            .create(path)
            .map_err(failed)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let stat = fstat(&dir)?;
        if stat.st_uid != 0 || stat.st_mode & 0o022 != 0 {
            let reason = "others than root may write to it; chown root and chmod go-w";
            return Err(failed(io::Error::other(reason)));
        }
        Ok(Cache { dir })
    }

    /// The object of that name, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.dir, key, flags, Mode::empty()).ok()?);
        let mut object = Vec::new();
        file.read_to_end(&mut object).ok()?;
        Some(object)
    }

    /// Keeps an object. A file appears under its name when it is complete.
    ///
    /// # Errors
    /// Those of open(2), write(2) and rename(2).
    pub(super) fn put(&self, key: &str, object: &[u8]) -> io::Result<()> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!(".{}-{number}", process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.dir, &unfinished, flags, Mode::RUSR | Mode::WUSR)?;
        let written = File::from(file).write_all(object);
        let named = written.and_then(|()| Ok(renameat(&self.dir, &unfinished, &self.dir, key)?));
        if named.is_err() {
            // The first error counts.
            let _ = unlinkat(&self.dir, &unfinished, AtFlags::empty());
        }
        named?;
        self.remove_oldest()
    }

    fn remove_oldest(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.dir)? {
            let name = entry?.file_name().to_owned();
            // One that another cgview has just removed does not count.
            if let Ok(stat) = statat(&self.dir, &name, AtFlags::SYMLINK_NOFOLLOW)
                && !matches!(name.to_bytes(), b"." | b"..")
            {
                files.push((stat.st_mtime, name));
            }
        }
        files.sort();
        let surplus = files.len().saturating_sub(MAX_FILES);
        for (_, name) in files.into_iter().take(surplus) {
            let _ = unlinkat(&self.dir, name, AtFlags::empty());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_key_tells_where_its_parts_end() {
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert_eq!(key(&[b"ab"]), key(&[b"ab"]));
        assert_eq!(key(&[]).len(), 64);
    }

    #[test]
    fn what_is_kept_comes_back_and_the_oldest_goes() {
        let path = std::env::temp_dir().join(format!("cgview-cache-{}", process::id()));
        let cache = Cache::at(&path).expect("open");
        for number in 0..MAX_FILES + 3 {
            cache.put(&format!("{number:04}"), b"object").expect("put");
        }
        let names = fs::read_dir(&path).expect("list").count();
        let last = cache.get(&format!("{:04}", MAX_FILES + 2));
        fs::remove_dir_all(&path).expect("remove");
        assert_eq!(last.as_deref(), Some(b"object".as_slice()));
        assert_eq!(names, MAX_FILES);
        assert_eq!(cache.get("0005"), None);
    }

    #[test]
    #[ignore = "needs root, whose directory others may write to"]
    fn a_directory_that_others_may_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = std::env::temp_dir().join(format!("cgview-open-{}", process::id()));
        fs::create_dir(&path).expect("mkdir");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("chmod");
        let refused = Cache::at(&path).err().map(|error| error.to_string());
        fs::remove_dir(&path).expect("rmdir");
        assert!(refused.is_some_and(|error| error.contains("others than root")));
    }
}
