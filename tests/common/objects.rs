//! View objects for tests, compiled when they are needed as their authors would compile them:
//! with clang, the authoring header and libbpf's; and the directories in which they are placed.

use std::collections::hash_map::DefaultHasher;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{FixtureDir, MountedCgview, eventually, is_emulated, run, unique};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The object of `tests/bpf/NAME.bpf.c`, compiled with these macros defined (`X` or `X=Y`).
pub fn object(name: &str, defines: &[&str]) -> PathBuf {
    let source = format!("{ROOT}/tests/bpf/{name}.bpf.c");
    compile(Path::new(&source), defines)
}

/// The object of `examples/NAME.bpf.c`.
pub fn example(name: &str) -> PathBuf {
    compile(Path::new(&format!("{ROOT}/examples/{name}.bpf.c")), &[])
}

/// A text view called `view` that prints `text`, a blank and the cgroup's id.
pub fn say(view: &str, text: &str) -> PathBuf {
    let view = format!("VIEW={view}");
    object("say", &[&view, &format!("TEXT=\"{text}\"")])
}

/// Compiles a source with these macros defined.
pub fn compile(source: &Path, defines: &[&str]) -> PathBuf {
    compile_once(source, defines, |object| clang(source, defines, object))
}

/// The object that `compile` makes of a source, once for all tests, runs and guests: an emulated
/// CPU takes seconds for it. `flags` distinguish it from other objects of the same source.
pub fn compile_once(source: &Path, flags: &[&str], compile: impl FnOnce(&Path)) -> PathBuf {
    let include = format!("{ROOT}/bpf/include");
    let mut hasher = DefaultHasher::new();
    let headers = fs::read_dir(format!("{include}/cgview"))
        .expect("list the headers")
        .flatten();
    let mut inputs: Vec<PathBuf> = headers.map(|entry| entry.path()).collect();
    inputs.sort();
    inputs.push(source.to_owned());
    for input in &inputs {
        let text = fs::read(input).unwrap_or_else(|e| panic!("read {}: {e}", input.display()));
        text.hash(&mut hasher);
    }
    flags.hash(&mut hasher);
    let stem = source.file_stem().expect("a file").to_string_lossy();
    let name = format!("{stem}-{:016x}.o", hasher.finish());
    let object = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !object.exists() {
        let half = object.with_extension(unique("o"));
        compile(&half);
        fs::rename(&half, &object).expect("name the object");
    }
    object
}

fn clang(source: &Path, defines: &[&str], object: &Path) {
    let include = format!("{ROOT}/bpf/include");
    let machine = run("uname", ["-m"]).stdout;
    let machine = String::from_utf8_lossy(&machine).trim().to_owned();
    let output = Command::new("clang")
        .args([
            "-target", "bpf", "-g", "-O2", "-mcpu=v3", "-Wall", "-Werror",
        ])
        .arg(format!(
            "-D__TARGET_ARCH_{}",
            machine.replace("x86_64", "x86")
        ))
        .args(["-I", &include])
        // Where Debian has <asm/types.h>.
        .args(["-I", &format!("/usr/include/{machine}-linux-gnu")])
        .args(defines.iter().map(|define| format!("-D{define}")))
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(object)
        .output()
        .unwrap_or_else(|error| panic!("run clang: {error}; tests/run.sh installs it"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}: {complaints}",
        source.display()
    );
}

/// The bytes of an object in which one name stands for another of the same length.
pub fn renamed(object: &Path, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "names of the same length");
    let mut bytes = fs::read(object).expect("read the object");
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut at = 0;
    while at + from.len() <= bytes.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
        at += 1;
    }
    bytes
}

/// A mount with a directory of view objects of its own.
pub struct Placed {
    pub mount: MountedCgview,
    pub views: FixtureDir,
}

impl Placed {
    /// Without built-in views.
    pub fn new() -> Placed {
        Placed::with(",builtin=")
    }

    /// With more options, which begin with a comma.
    pub fn with(options: &str) -> Placed {
        let views = FixtureDir::new("views.d");
        let mount = mount_over(views.path(), options);
        Placed { mount, views }
    }

    /// The path of an object file; `at` may lead through directories, which are made.
    pub fn file(&self, at: impl AsRef<Path>) -> PathBuf {
        let mut name = self.views.path().join(at).into_os_string();
        name.push(".bpf.o");
        let path = PathBuf::from(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir the placement");
        path
    }

    /// Copies an object into the directory.
    pub fn put(&self, at: impl AsRef<Path>, object: &Path) -> PathBuf {
        let path = self.file(at);
        fs::copy(object, &path).unwrap_or_else(|e| panic!("copy to {}: {e}", path.display()));
        path
    }

    /// What status.json says.
    pub fn status(&self) -> Value {
        status(&self.mount)
    }

    /// What status.json says of the object in this file, once the daemon knows of it.
    pub fn status_of(&self, file: &Path) -> Value {
        status_of(&self.mount, file)
    }

    /// Why the object in this file is not used, once it is refused.
    pub fn refusal(&self, file: &Path) -> String {
        let mut reason = String::new();
        eventually(PATIENCE, &format!("{} is refused", file.display()), || {
            let status = self.status();
            let object = of_origin(&status, file);
            reason = object.map(|o| text(&o["reason"])).unwrap_or_default();
            !reason.is_empty()
        });
        reason
    }
}

/// A mount with the view objects of a directory.
pub fn mount_over(views: &Path, options: &str) -> MountedCgview {
    let mut option = OsString::from("views=");
    option.push(views);
    option.push(options);
    MountedCgview::with(&[OsStr::new("-o"), &option])
}

/// What status.json says.
pub fn status(mount: &MountedCgview) -> Value {
    let text = fs::read_to_string(mount.join(".cgview/status.json")).expect("read status.json");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("status.json: {e}: {text}"))
}

/// What status.json says of one origin, once the daemon knows of it.
pub fn status_of(mount: &MountedCgview, origin: &Path) -> Value {
    let mut found = Value::Null;
    eventually(PATIENCE, &format!("{} is known", origin.display()), || {
        let status = status(mount);
        found = of_origin(&status, origin).cloned().unwrap_or_default();
        !found.is_null()
    });
    found
}

/// The object with this origin, once it has been tried.
pub fn of_origin<'a>(status: &'a Value, origin: &Path) -> Option<&'a Value> {
    let origin = origin.display().to_string();
    let mut objects = status["objects"].as_array().expect("objects").iter();
    let found = objects.find(|object| object["origin"] == origin.as_str());
    found.filter(|object| object["reason"] != BEING_LOADED)
}

/// What is said of an object of which nothing else is known yet.
pub const BEING_LOADED: &str = "it is being loaded";

/// A JSON string, empty when there is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// How long a test waits for what has no promised time, on any machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what is promised within a second. The promise is for a machine that has a CPU to
/// spare: a busy one gets a second for each process that waits for a CPU, an emulated one thirty.
pub fn promptly(what: &str, so: impl FnMut() -> bool) {
    let load = fs::read_to_string("/proc/loadavg").expect("loadavg");
    let load: f64 = load.split(' ').next().expect("load").parse().expect("load");
    let cpus = std::thread::available_parallelism().expect("CPUs").get();
    let seconds = (1.0 + load / cpus as f64) * if is_emulated() { 30.0 } else { 1.0 };
    eventually(Duration::from_secs_f64(seconds), what, so);
}

/// Whether a read gives a text that begins so.
pub fn says(path: &Path, text: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|output| output.starts_with(text))
}

/// Waits until a read gives a text that begins so, which is promised within a second.
pub fn eventually_says(path: &Path, text: &str) {
    promptly(&format!("{} says {text}", path.display()), || {
        says(path, text)
    });
}

/// Whether there is no such file.
pub fn is_absent(path: &Path) -> bool {
    let open = fs::File::open(path).map_err(|error| error.raw_os_error());
    let stat = fs::metadata(path).map_err(|error| error.raw_os_error());
    open.is_err_and(|error| error == Some(libc::ENOENT))
        && stat.is_err_and(|error| error == Some(libc::ENOENT))
}
