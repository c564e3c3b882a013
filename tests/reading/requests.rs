//! What a reader costs: the requests that reach the daemon, as strace sees them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{FixtureCgroup, FixtureDir, MountedCgview, eventually, less_if_emulated, run};

const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const RELEASE: u32 = 18;

/// strace on the daemon's reads, which are the requests.
struct Trace {
    strace: Child,
    output: FixtureDir,
}

impl Trace {
    fn start(mount: &MountedCgview) -> Trace {
        let output = FixtureDir::new("trace");
        let pid = mount.pid().to_string();
        let strace = Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-e",
                "trace=read",
                "-xx",
                "-s",
                "8",
                "-p",
                &pid,
                "-o",
            ])
            .arg(output.path().join("out"))
            .stdin(Stdio::null())
            .spawn()
            .expect("run strace: tests/run.sh installs it");
        let trace = Trace { strace, output };
        // strace does not say when it is attached: its output does.
        eventually(Duration::from_secs(20), "strace is attached", || {
            let _ = fs::read_dir(mount.path()).map(Iterator::count);
            !trace.opcodes().is_empty()
        });
        trace
    }

    /// The operation codes of the requests so far: the second 32-bit word of each.
    fn opcodes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.output.path().join("out")).unwrap_or_default();
        text.lines().filter_map(opcode).collect()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // SIGTERM lets it detach, which a kill does not.
        let _ = run("kill", [self.strace.id().to_string()]);
        let _ = self.strace.wait();
    }
}

fn opcode(line: &str) -> Option<u32> {
    let bytes = line.split_once("\"\\x")?.1.split_once('"')?.0;
    let bytes: Vec<_> = bytes
        .split("\\x")
        .map(|hex| u8::from_str_radix(hex, 16).ok())
        .collect();
    match bytes.as_slice() {
        // A record begins with a cgroup's id, whose upper half is 0.
        [_, _, _, _, Some(opcode @ 1..), Some(0), Some(0), Some(0)] => Some(u32::from(*opcode)),
        _ => None,
    }
}

fn count(opcodes: &[u32], wanted: u32) -> usize {
    opcodes.iter().filter(|opcode| **opcode == wanted).count()
}

fn requests_of(mount: &MountedCgview, times: usize, file: &Path) -> Vec<u32> {
    fs::read(file).expect("read");
    let trace = Trace::start(mount);
    let before = trace.opcodes().len();
    let cat = format!("for i in $(seq {times}); do cat \"$0\"; done >/dev/null");
    assert!(
        run("bash", ["-c".as_ref(), cat.as_ref(), file.as_os_str()])
            .status
            .success()
    );
    let mut opcodes = Vec::new();
    eventually(Duration::from_secs(20), "all files are closed", || {
        opcodes = trace.opcodes().split_off(before);
        count(&opcodes, RELEASE) >= times
    });
    opcodes
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn repeated_reads_send_no_lookups() {
    let cgroup = FixtureCgroup::new("lookups");
    let child = cgroup.mkdir("a/b");
    let mount = MountedCgview::of(&cgroup);
    let start = Instant::now();
    let times = less_if_emulated(200, 20);
    let requests = requests_of(&mount, times, &mount.dir_of(&child).join("stats"));
    let counts = [OPEN, READ, LOOKUP].map(|opcode| count(&requests, opcode));
    assert_eq!(counts, [times, 2 * times, 0]);
    // One to open, one for cat's look at what it reads, and each second the directories above.
    let most = 2 * times + 4 * (start.elapsed().as_secs() as usize + 1);
    let asked = count(&requests, GETATTR);
    assert!(asked <= most, "{asked}, not {most}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn reading_on_in_an_open_file_sends_nothing_but_reads() {
    use std::os::unix::fs::FileExt as _;
    let cgroup = FixtureCgroup::new("reads");
    let mount = MountedCgview::of(&cgroup);
    let file = fs::File::open(mount.join("stats")).expect("open");
    let trace = Trace::start(&mount);
    let before = trace.opcodes().len();
    let mut buffer = [0; 4096];
    for _ in 0..100 {
        file.read_at(&mut buffer, 0).expect("read");
    }
    let is_read = |opcode: &u32| *opcode == READ;
    let requests = trace.opcodes().split_off(before);
    assert!(requests.iter().filter(|opcode| is_read(opcode)).count() >= 99);
    // The directory that was listed to see the trace may be closed only now.
    assert!(
        requests.iter().filter(|opcode| !is_read(opcode)).count() <= 2,
        "{requests:?}"
    );
}
