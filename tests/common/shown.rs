//! Views compiled as the authoring guide says it, each in a mount for itself.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::objects::compile_once;
use super::{CGVIEW, FixtureDir, MountedCgview, read, run, value};

pub const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// As the authoring guide says it, with the headers of cgview alone.
pub fn compile_by_guide(source: &Path, object: &Path) {
    let compiled = compile_once(source, &["by the guide"], |object| {
        let include = FixtureDir::new("include");
        let headers = run(CGVIEW, ["--headers".as_ref(), include.path().as_os_str()]);
        assert!(headers.status.success(), "{headers:?}");
        let words = "-O2 -g -target bpf -Wall -Werror -nostdinc -c -I";
        let mut arguments: Vec<&OsStr> = words.split(' ').map(OsStr::new).collect();
        arguments.extend([include.path().as_os_str(), source.as_os_str()]);
        arguments.extend([OsStr::new("-o"), object.as_os_str()]);
        let output = run("clang", arguments);
        let complaints = String::from_utf8_lossy(&output.stderr);
        let source = source.display();
        assert!(output.status.success(), "{source}: {complaints}");
    });
    fs::copy(compiled, object).expect("copy the object");
}

/// How many lines a source in C has, without blank ones and comments.
pub fn code_lines(source: &str) -> usize {
    let mut pieces = source.split("/*");
    let mut code = pieces.next().unwrap_or_default().to_owned();
    code.extend(pieces.filter_map(|piece| Some(piece.split_once("*/")?.1)));
    let lines = code.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

/// The sources in a directory, by the names of their objects.
pub fn sources(dir: &str) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(Path::new(SOURCE).join(dir)).expect("list the sources");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let sources: BTreeMap<String, PathBuf> = paths
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".bpf.c")?;
            Some((name.to_owned(), path.clone()))
        })
        .collect();
    assert!(!sources.is_empty());
    sources
}

/// A mount with one example, or view of the tests, in its directory of views.
pub struct Shown {
    pub mount: MountedCgview,
    _dir: FixtureDir,
}

impl Shown {
    pub fn new(dir: &str, name: &str) -> Shown {
        let views = FixtureDir::new("views");
        let object = views.path().join(format!("{name}.bpf.o"));
        compile_by_guide(&sources(dir)[name], &object);
        let option = format!("builtin=,views={}", views.path().display());
        let mount = MountedCgview::with(&["-o", &option]);
        Shown { mount, _dir: views }
    }

    pub fn example(name: &str) -> Shown {
        let shown = Shown::new("examples", name);
        assert!(shown.mount.join(name).exists(), "{}", shown.status());
        shown
    }

    pub fn status(&self) -> String {
        read(&self.mount.join(".cgview/status")).expect("read the status")
    }

    /// The file of the cgroup.
    pub fn file(&self, cgroup: &Path, name: &str) -> PathBuf {
        self.mount.dir_of(cgroup).join(name)
    }

    pub fn read(&self, cgroup: &Path, name: &str) -> String {
        let file = self.file(cgroup, name);
        read(&file).unwrap_or_else(|e| panic!("read {}: {e}", file.display()))
    }

    pub fn json(&self, cgroup: &Path, name: &str) -> Value {
        let text = self.read(cgroup, name);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }
}

/// The CPU time of a cgroup as cgroupfs says.
pub fn usage_usec(cgroup: &Path) -> u64 {
    let stat = read(&cgroup.join("cpu.stat")).expect("read cpu.stat");
    value(&stat, "usage_usec").expect("CPU time")
}

pub fn cpus() -> usize {
    libbpf_rs::num_possible_cpus().expect("a number of CPUs")
}
