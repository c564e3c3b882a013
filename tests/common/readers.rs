//! Programs that read a file, each in its own way.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A way to read a whole file.
pub struct Reader {
    pub name: &'static str,
    /// A bash script: `$1` is the file, `$2` an empty directory; standard output is what was read.
    pub script: &'static str,
}

const fn reader(name: &'static str, script: &'static str) -> Reader {
    Reader { name, script }
}

/// Those that take the file for what it is.
pub const WHOLE: [Reader; 24] = [
    reader("GNU cat", r#"cat "$1""#),
    reader("busybox cat", r#"busybox cat "$1""#),
    reader("uutils cat", r#""$UUTILS_CAT" "$1""#),
    reader("cp", r#"cp "$1" "$2/copy"; cat "$2/copy""#),
    reader("cp -a", r#"cp -a "$1" "$2/copy"; cat "$2/copy""#),
    reader("busybox cp", r#"busybox cp "$1" "$2/copy"; cat "$2/copy""#),
    reader("tail -n", r#"tail -n +1 "$1""#),
    reader("tail -n, from the end", r#"tail -n 1000000 "$1""#),
    reader("tail -c", r#"tail -c +1 "$1""#),
    reader("head -c", r#"head -c 1000000000 "$1""#),
    reader("head -n", r#"head -n 1000000000 "$1""#),
    reader("dd bs=2M", r#"dd if="$1" bs=2M status=none"#),
    reader("dd, odd blocks", r#"dd if="$1" bs=1234 status=none"#),
    reader("sed", r#"sed -n p "$1""#),
    reader("awk", r#"awk '{ print }' "$1""#),
    reader("grep", r#"grep '' "$1""#),
    reader("grep -r", r#"grep -rh '' "$1""#),
    reader("bash $(<)", r#"printf '%s\n' "$(<"$1")""#),
    reader(
        "bash mapfile",
        r#"mapfile lines <"$1"; printf %s "${lines[@]}""#,
    ),
    reader(
        "bash read",
        r#"while IFS= read -r line; do printf '%s\n' "$line"; done <"$1""#,
    ),
    reader(
        "python read()",
        r#"python3 -S -c 'import sys; sys.stdout.write(open(sys.argv[1]).read())' "$1""#,
    ),
    reader(
        "python copyfile",
        r#"python3 -S -c 'import shutil, sys; shutil.copyfile(*sys.argv[1:])' "$1" "$2/copy"; cat "$2/copy""#,
    ),
    reader(
        "python select",
        r#"python3 -S -c '
import os, select, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
poll = select.poll()
poll.register(fd, select.POLLIN)
while True:
    assert select.select([fd], [], [], 5)[0] == [fd] and poll.poll(5000) == [(fd, select.POLLIN)]
    part = os.read(fd, 65536)
    if not part: break
    sys.stdout.buffer.write(part)' "$1""#,
    ),
    reader(
        "steps of 3 bytes, then the rest",
        r#"python3 -S -c '
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
parts = [os.read(fd, 3) for _ in range(100)]
while parts[-1]: parts.append(os.read(fd, 30000))
sys.stdout.buffer.write(b"".join(parts))' "$1""#,
    ),
];

/// Those that take a read for each byte, for small files.
pub const BYTE_BY_BYTE: [Reader; 2] = [
    reader("dd bs=1", r#"dd if="$1" bs=1 status=none"#),
    reader(
        "bash read -N 1",
        r#"while IFS= read -rN 1 c; do printf %s "$c"; done <"$1""#,
    ),
];

impl Reader {
    /// What it reads.
    pub fn read(&self, file: &Path, empty_dir: &Path) -> Vec<u8> {
        let output = Command::new("bash")
            .args(["-euc", self.script, "bash"])
            .args([file, empty_dir])
            .env("UUTILS_CAT", uutils_cat())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .expect("run bash");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {complaint}", self.name);
        assert_eq!(complaint, "", "{}", self.name);
        let _ = std::fs::remove_file(empty_dir.join("copy"));
        output.stdout
    }
}

/// Where uutils' cat is.
fn uutils_cat() -> PathBuf {
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = Vec::new();
    places.extend(std::env::var_os("CGVIEW_UUTILS_CAT").map(PathBuf::from));
    places.extend(std::env::split_paths(&path).map(|dir| dir.join("uutils-cat")));
    places.extend([
        PathBuf::from("/usr/lib/cargo/bin/coreutils/cat"),
        Path::new(tools).join("uu_cat"),
        Path::new(tools).join("cat"),
    ]);
    let found = places.into_iter().find(|place| place.is_file());
    found.expect("there is no uutils cat: tests/run.sh installs it")
}

/// Runs a python script; its standard output. Without `site`, most of its start.
pub fn python(script: &str, arguments: &[&OsStr]) -> Vec<u8> {
    let output = Command::new("python3")
        .args(["-S", "-c", script])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("run python3: tests/run.sh installs it");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {complaint}");
    output.stdout
}
