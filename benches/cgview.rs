//! Compares reads of many cgroups, and of one file, with reads of cgroupfs. One run interleaves all
//! measurements, takes the shortest time of each and shows ratios. No time is a failure.
//!
//! `cargo bench` creates 10,000 cgroups, `cargo bench -- 50000` that many. Needs root.

#[path = "../tests/common/mod.rs"]
mod common;
mod null;

use std::cell::RefCell;
use std::fs::File;
use std::hint::black_box;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cgview::bpf::BUILTIN;
use cgview::bpf::load;
use cgview::bpf::run::{ARGUMENT, Engine, Links, LoadedObject, OwnBpffs, Settings};
use common::{FixtureCgroup, FixtureDir, MountedCgview};
use null::NullMount;

/// Default number of cgroups.
const CGROUPS: usize = 10_000;

/// Children of an inner cgroup.
const SIBLINGS: usize = 100;

/// `cat` and `cp` read at least this much at a time, and more if the file's block size is larger.
const READ_BYTES: usize = 128 << 10;

/// Cgroups in one part of a measurement that reads them one by one.
const PART_CGROUPS: usize = 500;

/// Rounds of the measurements over all cgroups.
const ROUNDS: usize = 9;

/// Rounds of the measurements of one file, and cycles in each round.
const FILE_ROUNDS: usize = 15;
const FILE_CYCLES: u32 = 2000;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // The engine starts this program as the loader of an object.
    if let [first, target @ ..] = arguments.as_slice()
        && first == ARGUMENT
    {
        let target: Vec<_> = target.iter().map(Into::into).collect();
        load::serve(&target).expect("answer the engine");
        return ExitCode::SUCCESS;
    }
    // cargo adds options such as --bench.
    let mut numbers = arguments.iter().filter_map(|a| a.to_str()?.parse().ok());
    let bed = Bed::new(numbers.next().unwrap_or(CGROUPS));
    bed.all_cgroups();
    bed.one_file();
    ExitCode::SUCCESS
}

/// The cgroups, a mount of cgview with them as source, and a separate engine.
struct Bed {
    mount: MountedCgview,
    engine: OwnEngine,
    cgroups: Vec<PathBuf>,
    /// Dropped last: the mount and the engine use it.
    tree: FixtureCgroup,
}

/// One measurement.
struct Measure<'a> {
    name: &'static str,
    /// It should take at most 1/target of the time of the first measurement.
    target: Option<f64>,
    /// Each part is timed alone. On a busy machine a run of a second is always disturbed and a run
    /// of milliseconds is not, so their times could not be compared.
    parts: Vec<Box<dyn Fn() + 'a>>,
}

impl<'a> Measure<'a> {
    fn whole(name: &'static str, target: Option<f64>, run: impl Fn() + 'a) -> Self {
        let parts: Vec<Box<dyn Fn()>> = vec![Box::new(run)];
        Measure {
            name,
            target,
            parts,
        }
    }

    fn each(name: &'static str, paths: &'a [PathBuf]) -> Self {
        let part = |paths| -> Box<dyn Fn()> { Box::new(move || read_each(paths)) };
        Measure {
            name,
            target: None,
            parts: paths.chunks(PART_CGROUPS).map(part).collect(),
        }
    }
}

impl Bed {
    fn new(count: usize) -> Bed {
        let tree = FixtureCgroup::new("bench");
        let mut cgroups = vec![tree.path().to_owned()];
        for number in 1..count {
            let inner = format!("group-{}.slice", number / SIBLINGS);
            cgroups.push(tree.mkdir(match number % SIBLINGS {
                0 => inner,
                _ if number < SIBLINGS => format!("unit-{number}.service"),
                leaf => format!("{inner}/unit-{leaf}.service"),
            }));
        }
        let mount = MountedCgview::with(&[tree.path().as_os_str()]);
        Bed {
            mount,
            engine: OwnEngine::new(tree.path()),
            cgroups,
            tree,
        }
    }

    fn all_cgroups(&self) {
        let files = |root: &Path, name: &str| -> Vec<PathBuf> {
            let below = |path: &PathBuf| path.strip_prefix(self.tree.path()).map(Path::to_owned);
            let all = self.cgroups.iter().map(below);
            all.map(|path| root.join(path.expect("below the tree")).join(name))
                .collect()
        };
        let native = |name| files(self.tree.path(), name);
        let (cpu, cgroup, views) = (
            native("cpu.stat"),
            native("cgroup.stat"),
            files(self.mount.path(), "stats"),
        );
        let whole = |name: &str| {
            let path = self.mount.join(name);
            let buffer = RefCell::new(Vec::new());
            move || read_whole(&path, &mut buffer.borrow_mut())
        };
        let measures = vec![
            Measure::each("cpu.stat of each", &cpu),
            Measure::each("cgroup.stat of each", &cgroup),
            Measure::each("stats of each", &views),
            Measure::whole("stats.tree", Some(20.0), whole("stats.tree")),
            Measure::whole("stats.tree.json", None, whole("stats.tree.json")),
            Measure::whole("stats.prom", Some(10.0), whole(".cgview/prom/stats.prom")),
            Measure::whole("bare sweep", Some(40.0), || {
                self.engine.sweep(self.cgroups.len());
            }),
        ];
        let count = self.cgroups.len();
        println!("{count} cgroups, best of {ROUNDS} rounds, MB of the daemon's memory at peak:");
        self.forget_peak();
        println!(
            "{:22} {:>9} {:>9} {:>7} {:>9}  target",
            "", "ms", "us/cgroup", "MB", "1 in"
        );
        let results = best_of(ROUNDS, &measures, || self.peak_mb());
        let base = results.first().map_or(Duration::ZERO, |first| first.time);
        for result in &results {
            let time = result.time.as_secs_f64();
            let ratio = base.as_secs_f64() / time;
            println!(
                "{:22} {:9.2} {:9.2} {:7.1} {:9.1}  {}",
                result.name,
                time * 1e3,
                time * 1e6 / count as f64,
                result.peak_mb,
                ratio,
                verdict(ratio, result.target)
            );
        }
    }

    fn one_file(&self) {
        let cgroup = self.cgroups.last().expect("there is one");
        let below = cgroup
            .strip_prefix(self.tree.path())
            .expect("below the tree");
        let view = self.mount.join(below).join("stats");
        // Creates the link that is measured.
        drop(File::open(&view).map(|mut file| file.read(&mut [0; 4096])));
        let suffix = format!("-{}", common::id(cgroup));
        let mut pins = self.mount.links().into_iter();
        let pin = pins
            .find(|pin| pin.to_string_lossy().ends_with(&suffix))
            .expect("a pin");
        let dir = FixtureDir::new("null");
        let null = NullMount::new(dir.path()).expect("mount the null file");
        let lxcfs = Lxcfs::start();
        let cycle = |name, path: PathBuf| {
            Measure::whole(name, None, move || {
                (0..FILE_CYCLES).for_each(|_| read_cycle(&path));
            })
        };
        let mut measures = vec![
            cycle("cgroup.stat", cgroup.join("cgroup.stat")),
            cycle("cpu.stat", cgroup.join("cpu.stat")),
            cycle("pinned link of stats", pin),
            cycle("a null FUSE file", null.file()),
            cycle("stats", view),
        ];
        match &lxcfs {
            Some(lxcfs) => measures.push(cycle(
                "lxcfs proc/uptime",
                lxcfs.dir.path().join("proc/uptime"),
            )),
            None => println!("lxcfs is not installed: not compared"),
        }
        println!("one file, open + read + read at the end + close, best of {FILE_ROUNDS} rounds:");
        let results = best_of(FILE_ROUNDS, &measures, || 0.0);
        let base = results.first().map_or(Duration::ZERO, |first| first.time);
        for result in results {
            let cycle = result.time / FILE_CYCLES;
            let times = result.time.as_secs_f64() / base.as_secs_f64();
            println!(
                "{:22} {:9.2} us {times:9.1} times",
                result.name,
                cycle.as_secs_f64() * 1e6
            );
        }
    }

    /// Resets the peak of the daemon's memory to its present use.
    fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.mount.pid()), "5").expect("clear_refs");
    }

    /// The peak of the daemon's memory since the last call.
    fn peak_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.mount.pid()));
        let status = status.expect("the daemon runs");
        let mut words = status
            .split_whitespace()
            .skip_while(|word| *word != "VmHWM:");
        let kib: f64 = words
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .expect("a number");
        self.forget_peak();
        kib / 1024.0
    }
}

struct Best {
    name: &'static str,
    target: Option<f64>,
    time: Duration,
    peak_mb: f64,
}

/// Each round runs all measurements, so that a disturbance affects all of them.
fn best_of(rounds: usize, measures: &[Measure<'_>], peak_mb: impl Fn() -> f64) -> Vec<Best> {
    let mut parts: Vec<_> = measures
        .iter()
        .map(|measure| vec![Duration::MAX; measure.parts.len()])
        .collect();
    let mut peaks_mb = vec![0f64; measures.len()];
    for _ in 0..rounds {
        for ((measure, best), peak) in measures.iter().zip(&mut parts).zip(&mut peaks_mb) {
            for (run, best) in measure.parts.iter().zip(best) {
                let start = Instant::now();
                run();
                *best = start.elapsed().min(*best);
            }
            *peak = peak.max(peak_mb());
        }
    }
    let best = measures.iter().zip(parts).zip(peaks_mb);
    best.map(|((measure, parts), peak_mb)| Best {
        name: measure.name,
        target: measure.target,
        time: parts.iter().sum(),
        peak_mb,
    })
    .collect()
}

fn verdict(ratio: f64, target: Option<f64>) -> String {
    match target {
        Some(target) if ratio >= target => format!("1 in {target}: met"),
        Some(target) => format!("1 in {target}: MISSED"),
        None => String::new(),
    }
}

fn read_each(paths: &[PathBuf]) {
    let mut buffer = [0; 4096];
    for path in paths {
        let mut file = File::open(path).expect("open");
        black_box(file.read(&mut buffer).expect("read"));
    }
}

fn read_cycle(path: &Path) {
    let mut buffer = [0; 4096];
    let mut file = File::open(path).expect("open");
    while file.read(&mut buffer).expect("read") > 0 {}
}

/// Reads to the end as `cat` does.
fn read_whole(path: &Path, buffer: &mut Vec<u8>) {
    let mut file = File::open(path).expect("open");
    let block = file.metadata().expect("stat").blksize();
    buffer.resize(READ_BYTES.max(block as usize), 0);
    while file.read(buffer).expect("read") > 0 {}
}

/// An engine with `stats`, to sweep without a file system.
struct OwnEngine {
    stats: LoadedObject,
    root: File,
    _engine: Engine,
    _dir: FixtureDir,
}

impl OwnEngine {
    fn new(root: &Path) -> OwnEngine {
        let dir = FixtureDir::new("engine");
        let bpffs = OwnBpffs::mount(dir.path()).expect("mount bpffs");
        let settings = Settings {
            ids_name_cgroups: true,
            max_sweep_bytes: usize::MAX,
        };
        let links = Arc::new(Links::new(std::num::NonZeroUsize::MIN));
        let source = File::open(root).expect("open the root").into();
        let engine = Engine::new(bpffs, links, source, settings).expect("make an engine");
        let (name, elf) = BUILTIN
            .iter()
            .find(|(name, _)| *name == "stats")
            .expect("stats");
        OwnEngine {
            stats: engine.load(name, elf, None).expect("load stats"),
            root: File::open(root).expect("open the root"),
            _engine: engine,
            _dir: dir,
        }
    }

    fn sweep(&self, cgroups: usize) {
        let id = rustix::fs::fstat(&self.root).expect("stat").st_ino;
        let view = self.stats.views.first().expect("a view");
        let found = view.sweep(id, self.root.as_fd(), cgroups, |swept| swept.visited());
        assert_eq!(found.expect("sweep"), cgroups);
    }
}

/// A running lxcfs; stopped on drop.
struct Lxcfs {
    process: Child,
    dir: FixtureDir,
}

impl Lxcfs {
    /// `None` where it is not installed.
    fn start() -> Option<Lxcfs> {
        let dir = FixtureDir::new("lxcfs");
        let mut command = Command::new("lxcfs");
        let command = command.arg("-f").arg(dir.path());
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = quiet.spawn().ok()?;
        let lxcfs = Lxcfs { process, dir };
        common::eventually(Duration::from_secs(10), "lxcfs is mounted", || {
            lxcfs.dir.path().join("proc/uptime").exists()
        });
        Some(lxcfs)
    }
}

impl Drop for Lxcfs {
    fn drop(&mut self) {
        common::run("umount", ["-l".as_ref(), self.dir.path().as_os_str()]);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
