//! Mountpoints at which the command and mount(8) mount in the background.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::objects::PATIENCE;
use super::{CGVIEW, FixtureDir, STATS, eventually, id, run, unique, value};

/// The program in mount(8)'s default PATH; what was there comes back on drop.
pub struct Installed {
    _turn: fs::File,
    before: Option<PathBuf>,
}

const INSTALLED: &str = "/usr/local/bin/cgview";

impl Installed {
    pub fn new() -> Installed {
        let turn = fs::File::create("/run/cgview-test-installed.lock").expect("create the lock");
        flock(&turn, FlockOperation::LockExclusive).expect("lock");
        let before = fs::symlink_metadata(INSTALLED).is_ok().then(|| {
            let aside = PathBuf::from(format!("{INSTALLED}.{}", unique("aside")));
            fs::rename(INSTALLED, &aside).expect("put aside");
            aside
        });
        symlink(CGVIEW, INSTALLED).expect("install");
        Installed {
            _turn: turn,
            before,
        }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_file(INSTALLED);
        if let Some(before) = &self.before {
            let _ = fs::rename(before, INSTALLED);
        }
    }
}

/// A mountpoint whose mounts and daemons are ended on drop.
pub struct Mountpoint(FixtureDir);

impl Mountpoint {
    pub fn new() -> Mountpoint {
        Mountpoint(FixtureDir::new("point"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn str(&self) -> &str {
        self.path().to_str().expect("UTF-8")
    }

    /// Mounts by the command, in the background.
    pub fn cgview(&self, arguments: &[&str]) -> Output {
        let arguments = arguments.iter().copied().chain([self.str()]);
        run("timeout", ["60", CGVIEW].into_iter().chain(arguments))
    }

    /// The same with `stats` alone, which has to succeed.
    pub fn mounted(&self, arguments: &[&str]) -> u32 {
        succeeds(&self.cgview(&[&STATS, arguments].concat()));
        self.check_serves();
        let daemons = self.daemons();
        assert_eq!(daemons.len(), 1);
        daemons[0]
    }

    pub fn check_serves(&self) {
        let text = fs::read_to_string(self.path().join("stats")).expect("read stats");
        assert_eq!(value(&text, "id"), Some(id(self.path())));
    }

    /// The options of each mount on it, as /proc/mounts shows them, with source and type.
    pub fn mounts(&self) -> Vec<String> {
        let table = fs::read_to_string("/proc/self/mounts").expect("mounts");
        let lines = table
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        lines
            .filter(|line| line[1] == self.str())
            .map(|line| format!("{} {} {}", line[0], line[2], line[3]))
            .collect()
    }

    /// The processes that have its path on their command line.
    pub fn daemons(&self) -> Vec<u32> {
        let processes = fs::read_dir("/proc").expect("proc").flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|b| *b == 0);
            words.next().is_some_and(|name| name.ends_with(b"cgview"))
                && words.any(|word| word == self.str().as_bytes())
        })
        .collect()
    }

    /// What is below /run/cgview for it, and mounted there.
    pub fn instances(&self) -> Vec<String> {
        let name = self.path().file_name().expect("a name").to_string_lossy();
        let name = name.replace('-', "\\x2d");
        let listed = fs::read_dir("/run/cgview").into_iter().flatten().flatten();
        let listed = listed.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let table = fs::read_to_string("/proc/self/mounts").expect("mounts");
        let mounted = table.lines().map(|line| line.replace("\\134", "\\"));
        listed
            .chain(mounted)
            .filter(|line| line.contains(&name))
            .collect()
    }

    pub fn check_nothing_left(&self) {
        eventually(PATIENCE, "the daemon has ended", || {
            self.daemons().is_empty()
        });
        assert_eq!(self.mounts(), [""; 0]);
        eventually(PATIENCE, "the instance is gone", || {
            self.instances().is_empty()
        });
        assert_eq!(fs::read_dir(self.path()).expect("list").count(), 0);
    }

    /// Runs what has to fail: one line from cgview, saying `why`, and nothing of it left.
    pub fn check_refused(&self, program: &str, arguments: &[&str], why: &str) {
        let output = run(program, arguments);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{arguments:?}: {complaint}");
        assert!(complaint.starts_with("cgview: "), "{complaint}");
        assert!(complaint.contains(why), "{why}: {complaint}");
        self.check_nothing_left();
    }
}

impl Drop for Mountpoint {
    fn drop(&mut self) {
        for daemon in self.daemons() {
            let _ = run("kill", ["-CONT".to_owned(), daemon.to_string()]);
        }
        for _ in 0..self.mounts().len() {
            let _ = run("umount", ["-l", self.str()]);
        }
        // One that ends by itself takes its instance along.
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.daemons().is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        for daemon in self.daemons() {
            let _ = run("kill", ["-9".to_owned(), daemon.to_string()]);
        }
    }
}

pub fn succeeds(output: &Output) {
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

pub fn mount(arguments: &[&str]) -> Output {
    run("timeout", ["60", "mount"].iter().chain(arguments))
}

pub fn umount(path: &str) {
    succeeds(&run("umount", [path]));
}

pub fn signal(pid: u32, signal: &str) {
    succeeds(&run("kill", [signal, &pid.to_string()]));
}

pub const OPTIONS: &str = "cgview fuse.cgview ro,nosuid,nodev,noexec,relatime,user_id=0,group_id=0,\
    default_permissions,allow_other";
