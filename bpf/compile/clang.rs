//! Which clang there is, how it is called, and the error that it names first.

use std::env::consts::ARCH;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::sandbox::INCLUDE;

/// Where a clang may be. Not `PATH`, which is that of whoever mounts.
const DIRECTORIES: [&str; 2] = ["/usr/bin", "/usr/local/bin"];

/// The name by which libbpf's headers know this architecture.
const TARGET_ARCH: &str = match ARCH.as_bytes() {
    b"x86_64" | b"x86" => "x86",
    b"aarch64" => "arm64",
    b"s390x" => "s390",
    b"powerpc64" => "powerpc",
    b"riscv64" => "riscv",
    _ => ARCH,
};

pub(super) struct Clang {
    path: PathBuf,
}

impl Clang {
    /// The default clang, or else the newest.
    ///
    /// # Errors
    /// That there is none.
    pub(super) fn find() -> Result<Clang, String> {
        let versions = DIRECTORIES.iter().filter_map(|dir| newest(Path::new(dir)));
        let defaults = DIRECTORIES.iter().map(|dir| Path::new(dir).join("clang"));
        let path = defaults.chain(versions).find(|path| path.is_file());
        let path = path.ok_or_else(|| {
            format!(
                "no clang in {}; install clang, or compile it elsewhere and put the .bpf.o here",
                DIRECTORIES.join(" or ")
            )
        })?;
        Ok(Clang { path })
    }

    /// Tells one compiler from another.
    pub(super) fn identity(&self) -> String {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let stamp = fs::metadata(&path).map_or((0, 0), |meta| (meta.size(), meta.mtime()));
        format!("{} {stamp:?} {:?}", path.display(), self.compile())
    }

    /// The command that reads a source, which is at `path`, and writes it preprocessed.
    pub(super) fn preprocess(&self, path: &Path) -> Vec<OsString> {
        let mut command = self.command();
        command.extend(["-E", "-I", INCLUDE, "-iquote"].map(Into::into));
        command.push(path.parent().unwrap_or(Path::new("/")).into());
        // On Debian, linux/types.h includes asm/types.h, which is there.
        command.push("-idirafter".into());
        command.push(format!("/usr/include/{ARCH}-linux-gnu").into());
        command.push(format!("-D__TARGET_ARCH_{TARGET_ARCH}").into());
        command.extend(["-x", "c", "-"].map(Into::into));
        command
    }

    /// The command that reads a preprocessed source and writes an object.
    pub(super) fn compile(&self) -> Vec<OsString> {
        let mut command = self.command();
        command.extend(["-O2", "-g", "-mcpu=v3", "-c", "-o", "-"].map(Into::into));
        command.extend(["-x", "cpp-output", "-"].map(Into::into));
        command
    }

    fn command(&self) -> Vec<OsString> {
        let mut command = vec![self.path.clone().into_os_string()];
        let diagnostics = ["-w", "-fno-caret-diagnostics", "-fno-color-diagnostics"];
        command.extend(
            ["-target", "bpf"]
                .iter()
                .chain(&diagnostics)
                .map(Into::into),
        );
        command
    }
}

/// The clang with the highest version in its name, in one directory.
fn newest(dir: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(dir).ok()?.flatten().map(|it| it.file_name());
    let version = |name: &OsStr| name.to_str()?.strip_prefix("clang-")?.parse::<u32>().ok();
    let newest = names.filter_map(|name| Some((version(&name)?, name))).max();
    newest.map(|(_, name)| dir.join(name))
}

/// The source with a first line that names its file, for the compiler's errors.
pub(super) fn with_name(path: &Path, source: &[u8]) -> Vec<u8> {
    let mut text = b"#line 1 \"".to_vec();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            text.push(b'\\');
        }
        // A line ends at a newline, whatever is quoted.
        text.push(if *byte == b'\n' { b'?' } else { *byte });
    }
    text.extend(b"\"\n");
    text.extend(source);
    text
}

/// The first error in the compiler's output, and how many there are besides. The last line where no
/// error is called so.
pub(super) fn first_error(output: &str) -> Option<String> {
    let is_error = |line: &&str| line.contains("error: ");
    let mut errors = output.lines().filter(is_error);
    let Some(first) = errors.next() else {
        let last = output.lines().rfind(|line| !line.trim().is_empty())?;
        return Some(last.to_owned());
    };
    let first = first.replace(&format!("{INCLUDE}/"), "");
    Some(match errors.count() {
        0 => first,
        more => format!("{first} (and {more} more)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_given_with_file_and_line() {
        let output = "/v/a.bpf.c:3:1: error: unknown type name 'foo'\n/v/a.bpf.c:4:1: note: x\n\
                      /sys/include/cgview/record.h:9:2: error: y\n2 errors generated.\n";
        let first = first_error(output).expect("an error");
        assert_eq!(
            first,
            "/v/a.bpf.c:3:1: error: unknown type name 'foo' (and 1 more)"
        );
        let header = first_error("/sys/include/cgview/record.h:9:2: error: y\n");
        assert_eq!(header.as_deref(), Some("cgview/record.h:9:2: error: y"));
        assert_eq!(
            first_error("LLVM ERROR: x\n\n").as_deref(),
            Some("LLVM ERROR: x")
        );
        assert_eq!(first_error("\n"), None);
    }

    #[test]
    fn a_path_with_odd_characters_stays_on_its_line() {
        let text = with_name(Path::new("/v/a\"\\\n.bpf.c"), b"int x;");
        assert_eq!(text, b"#line 1 \"/v/a\\\"\\\\?.bpf.c\"\nint x;");
    }
}
