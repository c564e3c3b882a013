//! The fixtures of the integration tests: real cgroups and real mounts, which are removed on drop,
//! also when the test fails.

#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

pub mod bpffs;
pub mod burn;
pub mod command;
pub mod deep;
pub mod footprint;
pub mod objects;
pub mod point;
pub mod readers;
pub mod resident;
pub mod shown;
pub mod watched;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use command::{NOBODY, as_nobody, run, sh, with_privileges};
use rustix::mount::{UnmountFlags, unmount};

/// The program under test.
pub const CGVIEW: &str = env!("CARGO_BIN_EXE_cgview");

/// A name that no other test and no other run uses.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("cgview-test-{}-{number}-{what}", std::process::id())
}

/// Whether this is a guest of tests/vm/run, which does without KVM.
pub fn is_emulated() -> bool {
    std::env::var_os("CGVIEW_KERNEL").is_some()
}

/// `times`, or `emulated` where the CPU is: there everything takes twenty times as long.
pub fn less_if_emulated<T>(times: T, emulated: T) -> T {
    if is_emulated() { emulated } else { times }
}

/// Whether process ids are here what they are to the kernel. In a container they usually are not.
pub fn in_initial_pid_namespace() -> bool {
    let namespace = fs::read_link("/proc/self/ns/pid").expect("a PID namespace");
    // PROC_PID_INIT_INO in the kernel's include/linux/proc_ns.h.
    namespace == Path::new("pid:[4026531836]")
}

/// Where cgroup2 is mounted.
pub fn cgroup_root() -> PathBuf {
    cgview::mirror::find_cgroup2().expect("cgroup2 is mounted")
}

/// Whether the kernel gives this cgroup the controller.
pub fn has_controller(cgroup: &Path, controller: &str) -> bool {
    let list = fs::read_to_string(cgroup.join("cgroup.controllers")).expect("cgroup.controllers");
    list.split_whitespace().any(|name| name == controller)
}

/// A cgroup directly below the root of cgroup2, removed with everything below on drop.
pub struct FixtureCgroup {
    path: PathBuf,
}

impl FixtureCgroup {
    pub fn new(what: &str) -> FixtureCgroup {
        FixtureCgroup::at(cgroup_root().join(unique(what)))
    }

    pub fn at(path: PathBuf) -> FixtureCgroup {
        fs::create_dir(&path).unwrap_or_else(|e| panic!("mkdir {}: {e}", path.display()));
        let cgroup = FixtureCgroup { path };
        // So that children have files of the controllers; a hybrid host has none to give.
        for controller in ["cpu", "memory", "io", "pids"] {
            if has_controller(&cgroup.path, controller) {
                let _ = fs::write(
                    cgroup.path.join("cgroup.subtree_control"),
                    format!("+{controller}"),
                );
            }
        }
        cgroup
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name, and so its path below the root.
    pub fn name(&self) -> &OsStr {
        self.path.file_name().expect("has a name")
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        id(&self.path)
    }

    /// Makes a descendant, with all on the way.
    pub fn mkdir(&self, below: impl AsRef<Path>) -> PathBuf {
        let path = self.path.join(below);
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("mkdir {}: {e}", path.display()));
        path
    }
}

impl Drop for FixtureCgroup {
    fn drop(&mut self) {
        remove_cgroup(&self.path);
    }
}

/// The id of the cgroup at a path.
pub fn id(path: &Path) -> u64 {
    fs::metadata(path)
        .unwrap_or_else(|e| panic!("stat {}: {e}", path.display()))
        .ino()
}

/// Kills what runs in a cgroup and removes it with everything below.
pub fn remove_cgroup(path: &Path) {
    if let Ok(entries) = fs::read_dir(path) {
        for entry in entries
            .flatten()
            .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::write(path.join("cgroup.kill"), "1");
    for _ in 0..500 {
        match fs::remove_dir(path) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                thread::sleep(Duration::from_millis(10));
            }
            _ => return,
        }
    }
    eprintln!("cannot remove {}", path.display());
}

/// A directory below /tmp, removed on drop.
pub struct FixtureDir {
    path: PathBuf,
}

impl FixtureDir {
    pub fn new(what: &str) -> FixtureDir {
        let path = std::env::temp_dir().join(unique(what));
        fs::create_dir(&path).unwrap_or_else(|e| panic!("mkdir {}: {e}", path.display()));
        FixtureDir { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for FixtureDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Most tests need no other view. To load one takes an emulated CPU half a second.
pub const STATS: [&str; 2] = ["-o", "builtin=stats"];

/// A mounted cgview at a new mountpoint, unmounted on drop.
pub struct MountedCgview {
    daemon: Child,
    mountpoint: FixtureDir,
    source: PathBuf,
    log: PathBuf,
}

impl MountedCgview {
    /// Mounts the whole of cgroup2, with `stats` alone.
    pub fn new() -> MountedCgview {
        MountedCgview::with(&STATS)
    }

    /// Mounts a cgroup and what is below, so that others' cgroups make no difference; with `stats`
    /// alone.
    pub fn of(cgroup: &FixtureCgroup) -> MountedCgview {
        MountedCgview::of_with(cgroup, &STATS)
    }

    /// The same with these arguments.
    pub fn of_with(cgroup: &FixtureCgroup, arguments: &[&str]) -> MountedCgview {
        let mut arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        arguments.push(cgroup.path().as_os_str());
        let mut mounted = MountedCgview::with(&arguments);
        mounted.source = cgroup.path().to_owned();
        mounted
    }

    /// Mounts the whole of cgroup2, as without any option.
    pub fn with_all_views() -> MountedCgview {
        MountedCgview::with(&[""; 0])
    }

    /// Mounts with these arguments in front of the mountpoint: a source, or options.
    pub fn with(arguments: &[impl AsRef<OsStr>]) -> MountedCgview {
        let mountpoint = FixtureDir::new("mnt");
        let log = mountpoint.path().with_extension("log");
        let daemon = start(arguments, mountpoint.path(), &log);
        let mut mounted = MountedCgview {
            daemon,
            mountpoint,
            source: cgroup_root(),
            log,
        };
        mounted.wait_until_ready();
        mounted
    }

    /// Kills the daemon by SIGKILL, and mounts at the same place again.
    pub fn crash_and_start_again(&mut self, arguments: &[impl AsRef<OsStr>]) {
        self.daemon.kill().expect("kill -9");
        self.daemon.wait().expect("wait for cgview");
        self.daemon = start(arguments, self.mountpoint.path(), &self.log);
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        let log = &self.log;
        let daemon = &mut self.daemon;
        eventually(Duration::from_secs(60), "the mount is there", || {
            let ended = daemon.try_wait().expect("wait for cgview");
            let text = fs::read_to_string(log).expect("read the log");
            assert!(ended.is_none(), "cgview ended with {ended:?}: {text}");
            text.contains("mounted at")
        });
    }

    /// The mountpoint.
    pub fn path(&self) -> &Path {
        self.mountpoint.path()
    }

    /// A path below the mountpoint.
    pub fn join(&self, below: impl AsRef<Path>) -> PathBuf {
        self.path().join(below)
    }

    /// The directory that stands for a cgroup.
    pub fn dir_of(&self, cgroup: &Path) -> PathBuf {
        let below = cgroup
            .strip_prefix(&self.source)
            .expect("a cgroup of the mounted hierarchy");
        self.join(below)
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("read the log")
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.id()
    }

    /// The directory of its pins, a bpffs.
    pub fn instance(&self) -> PathBuf {
        let name = self.path().display().to_string();
        let name = name
            .trim_start_matches('/')
            .replace('-', "\\x2d")
            .replace('/', "-");
        Path::new("/run/cgview").join(name)
    }

    /// The pinned links.
    pub fn links(&self) -> Vec<PathBuf> {
        let objects = fs::read_dir(self.instance()).expect("list the instance");
        let objects = objects
            .flatten()
            .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        objects
            .flat_map(|object| match fs::read_dir(object.path()) {
                Ok(pins) => pins.flatten().collect(),
                // Taken away since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
                Err(error) => panic!("list {}: {error}", object.path().display()),
            })
            .map(|pin| pin.path())
            .filter(|pin| {
                pin.file_name()
                    .is_some_and(|n| n.to_string_lossy().starts_with('c'))
            })
            .collect()
    }
}

fn start(arguments: &[impl AsRef<OsStr>], mountpoint: &Path, log: &Path) -> Child {
    let stderr = fs::File::create(log).expect("create the log");
    Command::new(CGVIEW)
        .arg("-f")
        .args(arguments)
        .arg(mountpoint)
        .stdin(Stdio::null())
        .stderr(stderr)
        .spawn()
        .expect("start cgview")
}

impl Drop for MountedCgview {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.daemon.try_wait() {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        if thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
        let _ = fs::remove_file(&self.log);
    }
}

/// Ends the threads that look at it when it is dropped, also when the test fails.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until a condition holds; fails when it does not in time.
pub fn eventually(within: Duration, what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    loop {
        let asked = Instant::now();
        if so() {
            return;
        }
        assert!(asked < deadline, "not within {within:?}: {what}");
        // The condition may need the CPU that asking for it takes.
        thread::sleep(Duration::from_millis(5).max(3 * asked.elapsed()));
    }
}

/// The value of a key in a flat keyed file.
pub fn value(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .map(|value| {
            value
                .parse()
                .unwrap_or_else(|e| panic!("{key} {value}: {e}"))
        })
}

/// The errno of a failure.
pub fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// Whether this kernel has a function of that name, for programs to call or to hook.
pub fn kernel_has(function: &str) -> bool {
    let btf = fs::read("/sys/kernel/btf/vmlinux").expect("read the kernel's BTF");
    let name = [b"\0", function.as_bytes(), b"\0"].concat();
    btf.windows(name.len()).any(|part| part == name)
}

/// Reads a view of a cgroup.
pub fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}
