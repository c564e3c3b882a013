//! What readers can do to each other: loops of the worst reads known, by users other than root,
//! beside a victim that reads one small file and a victim that makes and removes cgroups. Prints the
//! times of both without and with the attack. No time is a failure.
//!
//! `cargo bench --bench hostile` creates 20,000 cgroups, `cargo bench --bench hostile -- 1000` that
//! many. Needs root.

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::objects::{object, promptly, say};
use common::{FixtureCgroup, FixtureDir, MountedCgview, read};

const CGROUPS: usize = 20_000;

/// Children of an inner cgroup.
const SIBLINGS: usize = 100;

/// How long each measurement takes.
const TIME: Duration = Duration::from_secs(20);

/// How often a cgroup is made and removed in a measurement.
const CYCLES: usize = 300;

/// The users of the attackers.
const FIRST_USER: u32 = 60_000;
const USERS: u32 = 4;

/// A loop of bash, and how many run it. `$1` is the mount, `$2` a delegated cgroup.
const ATTACKS: [(&str, usize, &str); 8] = [
    ("text trees", 10, "while :; do cat $1/hello.tree; done"),
    ("trees", 10, "while :; do cat $1/stats.tree; done"),
    (
        "Prometheus",
        8,
        "while :; do cat $1/.cgview/prom/stats.prom; done",
    ),
    ("status", 8, "while :; do cat $1/.cgview/status; done"),
    ("too long", 8, "while :; do cat $1/long; done"),
    (
        "files held open",
        8,
        "while exec {held}<$1/stats.tree.json && read -rN 1 -u $held _; do :; done; sleep 999",
    ),
    (
        "page cache",
        8,
        "exec python3 -S -c 'import mmap, os, sys\nwhile True:\n  try:\n    \
         f = os.open(sys.argv[1], os.O_RDONLY); m = mmap.mmap(f, 4096, prot=mmap.PROT_READ, \
         flags=mmap.MAP_PRIVATE); m[0]; os.sendfile(1, f, 0, 1 << 20)\n  \
         except OSError: pass' $1/stats.tree",
    ),
    (
        "churn",
        4,
        "while :; do mkdir $2/$$ && cat $1/delegated/$$/stats; rmdir $2/$$; done",
    ),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.find_map(|argument| argument.parse().ok());
    let bed = Bed::new(count.unwrap_or(CGROUPS));
    let alone = bed.measure();
    let resident = bed.resident_kib();
    let attackers = bed.attack();
    thread::sleep(Duration::from_secs(2));
    let attacked = bed.measure();
    let peak = bed.resident_kib();
    drop(attackers);
    thread::sleep(Duration::from_secs(10));
    println!("                        alone     attacked");
    for (name, alone, attacked) in [
        ("cat, median", alone.median, attacked.median),
        ("cat, 99th percentile", alone.p99, attacked.p99),
        ("cat, longest", alone.longest, attacked.longest),
        ("mkdir and rmdir", alone.cycle, attacked.cycle),
    ] {
        let ratio = attacked.as_secs_f64() / alone.as_secs_f64();
        println!("{name:21} {alone:9.2?} {attacked:9.2?} {ratio:8.1}x");
    }
    let after = bed.resident_kib();
    println!("reads of the victim that failed: {}", attacked.failures);
    println!(
        "resident, KiB: {resident} before, {peak} under attack, {after} 10 s after; {} is the limit \
         of max_snapshot_mib",
        256 << 10
    );
    ExitCode::SUCCESS
}

/// The cgroups, the mount and its views.
struct Bed {
    mount: MountedCgview,
    tree: FixtureCgroup,
    _views: FixtureDir,
}

/// What the victims saw.
struct Times {
    median: Duration,
    p99: Duration,
    longest: Duration,
    /// Making and removing a cgroup.
    cycle: Duration,
    failures: usize,
}

impl Bed {
    fn new(count: usize) -> Bed {
        let tree = FixtureCgroup::new("hostile");
        for number in 1..count {
            let inner = format!("group-{}.slice", number / SIBLINGS);
            tree.mkdir(match number % SIBLINGS {
                0 => inner,
                leaf => format!("{inner}/unit-{leaf}.service"),
            });
        }
        let mut nested = tree.path().to_owned();
        for _ in 0..12 {
            nested.push("n".repeat(250));
        }
        fs::create_dir_all(nested).expect("mkdir");
        let delegated = tree.mkdir("delegated");
        std::os::unix::fs::chown(&delegated, Some(FIRST_USER), None).expect("chown");
        let views = FixtureDir::new("views.d");
        let put = |object: &Path, name: &str| {
            fs::copy(object, views.path().join(name)).expect("copy");
        };
        put(&say("hello", "hello"), "hello.bpf.o");
        put(&object("long", &["LINES=40"]), "long.bpf.o");
        let option = format!("views={}", views.path().display());
        let mount = MountedCgview::of_with(&tree, &["-o", &option]);
        promptly("the views are there", || mount.join("hello").exists());
        Bed {
            mount,
            tree,
            _views: views,
        }
    }

    fn attack(&self) -> Attackers {
        let mut attackers = Attackers(Vec::new());
        for (_, count, script) in ATTACKS {
            for number in 0..count {
                let user = FIRST_USER + number as u32 % USERS;
                let mut bash = Command::new("setpriv");
                bash.args([format!("--reuid={user}"), format!("--regid={user}")])
                    .args(["--clear-groups", "env", "PATH=/usr/bin:/bin"])
                    .args(["bash", "-c", script, "bash"])
                    .args([self.mount.path(), &self.tree.path().join("delegated")])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .process_group(0);
                attackers.0.push(bash.spawn().expect("run setpriv"));
            }
        }
        attackers
    }

    fn measure(&self) -> Times {
        let small = self.tree.path().join("group-0.slice/unit-7.service");
        let small = self.mount.dir_of(&small).join("stats");
        let (mut times, mut failures) = (Vec::new(), 0);
        let start = Instant::now();
        while start.elapsed() < TIME {
            let one = Instant::now();
            failures += usize::from(read(&small).is_err());
            times.push(one.elapsed());
            thread::sleep(Duration::from_millis(5));
        }
        times.sort_unstable();
        let cycle = self.cycle();
        let at = |part: usize| times[(times.len() - 1) * part / 100];
        Times {
            median: at(50),
            p99: at(99),
            longest: at(100),
            cycle,
            failures,
        }
    }

    /// The time of making and removing a cgroup, at real-time priority.
    fn cycle(&self) -> Duration {
        let script = format!(
            "import os, sys, time\nstart = time.monotonic()\nfor _ in range({CYCLES}): \
             os.mkdir(sys.argv[1]); os.rmdir(sys.argv[1])\n\
             print(int((time.monotonic() - start) * 1e9 / {CYCLES}))"
        );
        let output = Command::new("chrt")
            .args(["-f", "50", "python3", "-S", "-c", &script])
            .arg(self.tree.path().join("cycle"))
            .output()
            .expect("run chrt");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Duration::from_nanos(text.trim().parse().expect("nanoseconds"))
    }

    fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.mount.pid()));
        let status = status.expect("the daemon runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|n| n.parse().ok()).expect("VmRSS")
    }
}

/// Processes that are killed, with all that they have started, on drop.
struct Attackers(Vec<Child>);

impl Drop for Attackers {
    fn drop(&mut self) {
        let groups: Vec<_> = self.0.iter().map(|one| format!("-{}", one.id())).collect();
        let _ = Command::new("kill")
            .args(["-KILL", "--"])
            .args(&groups)
            .status();
        for attacker in &mut self.0 {
            let _ = attacker.wait();
        }
    }
}
