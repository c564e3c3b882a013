//! Which paths are trusted: those that only root can change. What is loaded runs in the kernel.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

const STICKY: u32 = 0o1000;

/// Checks that the absolute path, with every directory and symbolic link that leads to it, belongs
/// to root and that nobody else may write to it.
///
/// Nobody else can change afterwards what was checked.
///
/// # Errors
/// A text that says which file is not trusted, and what to do.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let mut at = PathBuf::from("/");
    let mut todo = names(path);
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        at.push(name);
        let meta = fs::symlink_metadata(&at).map_err(|e| format!("{}: {e}", at.display()))?;
        check_one(&at, &meta, todo.is_empty())?;
        if meta.is_symlink() {
            links += 1;
            let target = fs::read_link(&at).map_err(|e| format!("{}: {e}", at.display()))?;
            if links > MAX_LINKS {
                return Err(format!("{}: too many symbolic links", path.display()));
            }
            at.pop();
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            todo.extend(names(&target));
        }
    }
    Ok(())
}

/// The names in a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

fn check_one(path: &Path, meta: &Metadata, is_last: bool) -> Result<(), String> {
    let path = path.display();
    if meta.uid() != 0 {
        return Err(format!(
            "{path} belongs to user {}; chown root it",
            meta.uid()
        ));
    }
    let others_write = !meta.is_symlink() && meta.mode() & 0o022 != 0;
    // In a sticky directory others cannot replace what is root's.
    let is_sticky = meta.is_dir() && !is_last && meta.mode() & STICKY != 0;
    if others_write && !is_sticky {
        return Err(format!(
            "others than root may write to {path}; chmod go-w it"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

    /// A directory below /tmp, removed on drop.
    struct Dir(PathBuf);

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    #[ignore = "needs root"]
    fn a_path_is_trusted_only_if_nobody_else_can_change_any_part_of_it() {
        let dir = Dir(std::env::temp_dir().join(format!("cgview-trust-{}", std::process::id())));
        let at = |name: &str| dir.0.join(name);
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
        };
        fs::create_dir_all(at("roots/below")).expect("mkdir");
        fs::create_dir_all(at("users/below")).expect("mkdir");
        for path in [&dir.0, &at("roots"), &at("roots/below"), &at("users/below")] {
            mode(path, 0o755);
        }
        lchown(at("users"), Some(65534), None).expect("chown");
        symlink("below", at("roots/relative")).expect("symlink");
        symlink(at("users/to"), at("roots/out")).expect("symlink");
        symlink(at("roots"), at("users/to")).expect("symlink");
        symlink("loop", at("roots/loop")).expect("symlink");
        let trusted = |name: &str| check(&at(name));
        for name in ["roots", "roots/below", "roots/relative", "roots/below/.."] {
            assert_eq!(trusted(name), Ok(()), "{name}");
        }
        for (name, why) in [
            ("users", "belongs to user 65534"),
            ("users/below", "belongs to user 65534"),
            ("roots/out", "belongs to user 65534"),
            ("roots/loop", "too many symbolic links"),
            ("roots/none", "No such file"),
        ] {
            let error = trusted(name).expect_err(name);
            assert!(error.contains(why), "{name}: {error}");
        }
        mode(&at("roots/below"), 0o1777);
        assert!(
            trusted("roots/below")
                .expect_err("writable")
                .contains("chmod go-w")
        );
        fs::write(at("roots/below/file"), "").expect("write");
        mode(&at("roots/below/file"), 0o644);
        assert_eq!(trusted("roots/below/file"), Ok(()));
        mode(&at("roots/below"), 0o777);
        assert!(trusted("roots/below/file").is_err());
    }
}
