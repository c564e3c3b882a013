//! The examples as their authors' machines see them: compiled by clang with the authoring header
//! and Debian's libbpf-dev alone, dropped into a directory of views, read through a mount.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::burn::Burning;
use crate::common::objects::compile_once;
use crate::common::resident::Resident;
use crate::common::{
    FixtureCgroup, FixtureDir, MountedCgview, eventually, id, less_if_emulated, read, run, value,
};
use serde_json::Value;

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// As the authoring guide says it.
fn compile(source: &Path, object: &Path) {
    let compiled = compile_once(source, &["by the guide"], |object| {
        let words = [
            "-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-c", "-I",
        ];
        let mut arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        let include = Path::new(SOURCE).join("bpf/include");
        arguments.extend([include.as_os_str(), source.as_os_str()]);
        arguments.extend([OsStr::new("-o"), object.as_os_str()]);
        let output = run("clang", arguments);
        let complaints = String::from_utf8_lossy(&output.stderr);
        let source = source.display();
        assert!(output.status.success(), "{source}: {complaints}");
    });
    fs::copy(compiled, object).expect("copy the object");
}

/// The sources in a directory, by the names of their objects.
fn sources(dir: &str) -> BTreeMap<String, PathBuf> {
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

/// Whether this kernel has a function of that name, for programs to call or to hook.
fn kernel_has(function: &str) -> bool {
    let btf = fs::read("/sys/kernel/btf/vmlinux").expect("read the kernel's BTF");
    let name = [b"\0", function.as_bytes(), b"\0"].concat();
    btf.windows(name.len()).any(|part| part == name)
}

/// A mount with one example, or view of the tests, in its directory of views.
struct Shown {
    mount: MountedCgview,
    _dir: FixtureDir,
}

impl Shown {
    fn new(dir: &str, name: &str) -> Shown {
        let views = FixtureDir::new("views");
        let object = views.path().join(format!("{name}.bpf.o"));
        compile(&sources(dir)[name], &object);
        let option = format!("builtin=,views={}", views.path().display());
        let mount = MountedCgview::with(&["-o", &option]);
        Shown { mount, _dir: views }
    }

    fn example(name: &str) -> Shown {
        let shown = Shown::new("examples", name);
        assert!(shown.mount.join(name).exists(), "{}", shown.status());
        shown
    }

    fn status(&self) -> String {
        read(&self.mount.join(".cgview/status")).expect("read the status")
    }

    /// The file of the cgroup.
    fn file(&self, cgroup: &Path, name: &str) -> PathBuf {
        self.mount.dir_of(cgroup).join(name)
    }

    fn read(&self, cgroup: &Path, name: &str) -> String {
        let file = self.file(cgroup, name);
        read(&file).unwrap_or_else(|e| panic!("read {}: {e}", file.display()))
    }

    fn json(&self, cgroup: &Path, name: &str) -> Value {
        let text = self.read(cgroup, name);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }
}

/// The CPU time of a cgroup as cgroupfs says.
fn usage_usec(cgroup: &Path) -> u64 {
    let stat = read(&cgroup.join("cpu.stat")).expect("read cpu.stat");
    value(&stat, "usage_usec").expect("CPU time")
}

fn cpus() -> usize {
    libbpf_rs::num_possible_cpus().expect("a number of CPUs")
}

#[test]
fn no_example_is_longer_than_a_hundred_lines() {
    for (name, path) in sources("examples") {
        let lines = fs::read_to_string(path).expect("read").lines().count();
        assert!(lines <= 100, "{name} has {lines} lines");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn every_example_can_be_used_or_says_why_not() {
    let dir = FixtureDir::new("check");
    for (name, source) in sources("examples") {
        let object = dir.path().join(format!("{name}.bpf.o"));
        compile(&source, &object);
        let checked = run(
            crate::common::CGVIEW,
            ["--check".as_ref(), object.as_os_str()],
        );
        let complaints = String::from_utf8_lossy(&checked.stderr);
        // The one example that needs more than the oldest kernel has.
        let usable = name != "tasks" || kernel_has("bpf_iter_css_task_new");
        assert_eq!(checked.status.success(), usable, "{name}: {complaints}");
        assert!(
            usable || complaints.contains("bpf_iter_css_task_new"),
            "{complaints}"
        );
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn wait_shows_the_longest_wait_for_a_cpu() {
    let cgroup = FixtureCgroup::new("wait");
    let (busy, idle) = (cgroup.mkdir("busy"), cgroup.mkdir("idle"));
    let shown = Shown::example("wait");
    let began = Instant::now();
    let _burning = Burning::new(&busy, 2 * cpus());
    let longest = || {
        let text = shown.read(&busy, "wait");
        let (of, longest) = text.trim_end().split_once(' ').expect("two words");
        assert_eq!(of.parse(), Ok(id(&busy)));
        Duration::from_nanos(longest.parse().expect("ns"))
    };
    // With two tasks a CPU, each waits for as long as the other's turn takes.
    eventually(Duration::from_secs(30), "a task waits 1 ms", || {
        longest() >= Duration::from_millis(1)
    });
    assert!(longest() < began.elapsed());
    assert_eq!(shown.read(&idle, "wait"), format!("{} 0\n", id(&idle)));
    // The tree of a text view is made of the same texts.
    let tree = shown.read(&cgroup.path().join("idle"), "wait.tree");
    assert_eq!(tree, format!("# .\n{} 0\n", id(&idle)));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn runqlat_accounts_for_the_time_that_no_cpu_was_given() {
    let cgroup = FixtureCgroup::new("runqlat");
    let busy = cgroup.mkdir("busy");
    let shown = Shown::example("runqlat");
    let processes = 2 * cpus();
    let burning = Burning::new(&busy, processes);
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(less_if_emulated(3, 2)));
    let json = shown.json(&busy, "runqlat.json");
    let used = usage_usec(&busy);
    let wanted = began.elapsed().as_micros() as f64 * processes as f64;
    let lat = &json["wait"];
    let number = |of: &str| {
        lat[of]
            .as_f64()
            .unwrap_or_else(|| panic!("no {of} in {lat}"))
    };
    // A task that never sleeps runs or waits. Those that wait just now are not counted yet.
    let sum = number("sum_usec");
    let accounted = (sum + used as f64) / wanted;
    assert!(
        (0.7..1.3).contains(&accounted),
        "{used} used + {sum} waited of {wanted}"
    );
    let percentiles = ["p50_usec", "p90_usec", "p99_usec", "max_usec"].map(number);
    assert!(percentiles.is_sorted(), "{percentiles:?}");
    assert!(percentiles[0] > 0.0);
    let buckets = lat["buckets"].as_array().expect("buckets");
    let counts = buckets
        .iter()
        .map(|b| b["count"].as_u64().expect("a count"));
    assert_eq!(Some(counts.sum()), lat["count"].as_u64());
    drop(burning);
    let tree = shown.read(cgroup.path(), "runqlat.tree");
    assert_eq!(tree.lines().count(), 3, "{tree}");
    let metrics = shown.file(&busy, "runqlat.prom");
    crate::common::sh(&format!("promtool check metrics < '{}'", metrics.display()));
}

/// A sleeping process with a name of its own, ended on drop.
struct Named(Child);

impl Named {
    fn new(cgroup: &Path, name: &[u8]) -> Named {
        let script = "($procs, $name) = @ARGV; $0 = $name; open F, '>', $procs; print F $$; \
                      close F; $| = 1; print \"ready\\n\"; <STDIN>";
        let mut child = Command::new("perl")
            .args(["-e", script])
            .arg(cgroup.join("cgroup.procs"))
            .arg(OsStr::from_bytes(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("run perl: {error}"));
        let mut ready = [0; 6];
        let stdout = child.stdout.as_mut().expect("a pipe");
        std::io::Read::read_exact(stdout, &mut ready).expect("it is ready");
        Named(child)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn tasks_are_those_of_cgroup_threads() {
    let cgroup = FixtureCgroup::new("tasks");
    let (some, none) = (cgroup.mkdir("some"), cgroup.mkdir("none"));
    if !kernel_has("bpf_iter_css_task_new") {
        let shown = Shown::new("examples", "tasks");
        assert!(!shown.file(&some, "tasks").exists());
        let status = shown.status();
        assert!(status.contains("kfunc 'bpf_iter_css_task_new'"), "{status}");
        return;
    }
    let names: [(&[u8], &str); 4] = [
        (b"one", "one"),
        (b"a b", "a b"),
        (b"x\ny\"\\", "x\ny\"\\"),
        (b"\xff", "\u{fffd}ff"),
    ];
    let processes = names.map(|(name, _)| Named::new(&some, name));
    let mut expected = BTreeMap::new();
    for (process, (_, name)) in processes.iter().zip(names) {
        expected.insert(u64::from(process.0.id()), name);
    }
    let shown = Shown::example("tasks");
    let json = shown.json(&some, "tasks.json");
    let rows: BTreeMap<u64, &str> = json
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            assert_eq!(row["pid"], row["tid"]);
            (
                row["tid"].as_u64().expect("an id"),
                row["comm"].as_str().expect("a name"),
            )
        })
        .collect();
    assert_eq!(rows, expected);
    let native = fs::read_to_string(some.join("cgroup.threads")).expect("read cgroup.threads");
    let mut native: Vec<u64> = native
        .lines()
        .map(|tid| tid.parse().expect("an id"))
        .collect();
    native.sort_unstable();
    assert_eq!(rows.into_keys().collect::<Vec<_>>(), native);
    // No task is no row.
    assert_eq!(shown.read(&none, "tasks"), "");
    assert_eq!(shown.json(&none, "tasks.json"), Value::Array(Vec::new()));
    // Every row of every cgroup has a line of its own, whatever the names hold.
    let tree = shown.read(cgroup.path(), "tasks.tree");
    assert_eq!(tree.lines().count(), 1 + names.len(), "{tree}");
    assert!(
        tree.lines().skip(1).all(|line| line.starts_with("some ")),
        "{tree}"
    );
    assert!(tree.contains(r" x\012y"), "{tree}");
    let lines = shown.read(cgroup.path(), "tasks.tree.json");
    let of: Vec<(Value, usize)> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|object| {
            (
                object["cgroup"].clone(),
                object["rows"].as_array().expect("rows").len(),
            )
        })
        .collect();
    // A cgroup without rows has no line.
    assert_eq!(of, [("some".into(), names.len())]);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn tasks_are_the_threads_of_all_processes() {
    let cgroup = FixtureCgroup::new("threads");
    let of = cgroup.mkdir("of");
    if !kernel_has("bpf_iter_css_task_new") {
        let shown = Shown::new("examples", "tasks");
        assert!(!shown.file(&of, "tasks").exists());
        return;
    }
    let eight = "exec python3 -S -c 'import threading, time\n\
                 for _ in range(7): threading.Thread(target=time.sleep, args=(999,)).start()'";
    let _processes = [eight, "exec sleep 999"].map(|script| Resident::new(&of, script));
    let ids = |file: &str| -> BTreeSet<u64> {
        let text = read(&of.join(file)).unwrap_or_else(|e| panic!("read {file}: {e}"));
        text.lines().map(|id| id.parse().expect("an id")).collect()
    };
    eventually(Duration::from_secs(60), "nine threads", || {
        ids("cgroup.threads").len() == 9
    });
    let rows = Shown::example("tasks").json(&of, "tasks.json");
    let column = |name: &str| -> BTreeSet<u64> {
        let rows = rows.as_array().expect("rows").iter();
        rows.map(|row| row[name].as_u64().expect(name)).collect()
    };
    assert_eq!(column("tid"), ids("cgroup.threads"));
    assert_eq!(column("pid"), ids("cgroup.procs"));
}

/// Starts so many processes in a cgroup.
fn start_in(cgroup: &Path, processes: usize) {
    let script = "echo $$ > \"$0/cgroup.procs\" || exit; for ((i = 0; i < $1; i++)); do (:); done";
    let processes = processes.to_string();
    let output = run(
        "bash",
        [
            "-c".as_ref(),
            script.as_ref(),
            cgroup.as_os_str(),
            processes.as_ref(),
        ],
    );
    assert!(output.status.success(), "{output:?}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn forks_go_up_the_tree() {
    let cgroup = FixtureCgroup::new("forks");
    let all = cgroup.mkdir("all");
    let leaves = [cgroup.mkdir("all/first"), cgroup.mkdir("all/second")];
    let shown = Shown::example("forks");
    let forks = |cgroup: &Path| shown.json(cgroup, "forks.json")["forks"].as_u64();
    start_in(&leaves[0], 10);
    start_in(&leaves[1], 5);
    start_in(&all, 3);
    let by_cgroup = [&leaves[0], &leaves[1], &all].map(|cgroup| forks(cgroup));
    assert_eq!(by_cgroup, [Some(10), Some(5), Some(18)]);
    assert_eq!(forks(cgroup.path()), Some(18));
    fs::remove_dir(&leaves[0]).expect("rmdir");
    start_in(&leaves[1], 1);
    assert_eq!(forks(cgroup.path()), Some(19));
    let tree = shown.read(cgroup.path(), "forks.tree");
    let lines: Vec<Vec<&str>> = tree
        .lines()
        .map(|line| line.split(' ').filter(|word| !word.is_empty()).collect())
        .collect();
    let expected = [
        ["cgroup", "forks"],
        [".", "19"],
        ["all", "19"],
        ["all/second", "6"],
    ];
    assert_eq!(lines, expected);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn rows_of_cpus_add_up() {
    let cgroup = FixtureCgroup::new("cpus");
    let busy = cgroup.mkdir("busy");
    let shown = Shown::example("cpus");
    let _burning = Burning::new(&busy, 2 * cpus());
    std::thread::sleep(Duration::from_secs(less_if_emulated(2, 1)));
    let rows = shown.json(&busy, "cpus.json");
    let used = usage_usec(&busy);
    let rows = rows.as_array().expect("rows");
    let numbers: Vec<_> = rows
        .iter()
        .map(|row| row["cpu"].as_u64().expect("a CPU"))
        .collect();
    assert_eq!(numbers, (0..cpus() as u64).collect::<Vec<_>>());
    let run: u64 = rows
        .iter()
        .map(|row| row["run_usec"].as_u64().expect("a time"))
        .sum();
    let share = run as f64 / used as f64;
    assert!((0.7..1.3).contains(&share), "{run} of {used}");
    // One line of the file for each row, in the shape of cgroupfs.
    let text = shown.read(&busy, "cpus");
    assert_eq!(text.lines().count(), cpus());
    assert!(text.starts_with("0 run_usec="), "{text}");
    // And of the table, below its header.
    let tree = shown.read(cgroup.path(), "cpus.tree");
    assert_eq!(tree.lines().count(), 1 + 2 * cpus(), "{tree}");
    let raw = fs::read(shown.file(&busy, "cpus.bin")).expect("read");
    assert_eq!(raw.len(), 24 * cpus());
    let metrics = shown.mount.join(".cgview/prom/cpus.prom");
    crate::common::sh(&format!("promtool check metrics < '{}'", metrics.display()));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn psi_tells_on_which_cpu_tasks_wait() {
    let cgroup = FixtureCgroup::new("psi");
    let (busy, idle, other) = (
        cgroup.mkdir("busy"),
        cgroup.mkdir("idle"),
        cgroup.mkdir("other"),
    );
    let shown = Shown::example("psi");
    let pressure = busy.join("cpu.pressure");
    if !pressure.exists() {
        assert_eq!(shown.read(&busy, "psi"), "", "PSI is off");
        return;
    }
    let figure = |cgroup: &Path, cpu: usize, figure: &str| {
        let rows = shown.json(cgroup, "psi.json");
        rows[cpu][figure].as_u64().expect(figure)
    };
    // Two tasks of one CPU: one of them waits all the time.
    let spin = "while :; do :; done";
    let script = format!("taskset -pc 0 $$ >/dev/null; ({spin}) & {spin}");
    let _busy = Resident::new(&busy, &script);
    // One of another cgroup gets the CPU now and then: the kernel accounts when that changes.
    let nap = "import time\nwhile True: time.sleep(0.01)";
    let script = format!("taskset -pc 0 $$ >/dev/null; exec python3 -S -c '{nap}'");
    let _other = Resident::new(&other, &script);
    eventually(Duration::from_secs(30), "both are on CPU 0", || {
        figure(&busy, 0, "running") == 2
    });
    let waited = || {
        let native = read(&pressure).expect("read cpu.pressure");
        let (_, total) = native
            .lines()
            .next()
            .and_then(|some| some.rsplit_once("total="))
            .expect("total");
        let total_usec: u64 = total.parse().expect("usec");
        (total_usec, figure(&busy, 0, "cpu_some_ns"))
    };
    let (native_before, before) = waited();
    std::thread::sleep(Duration::from_secs(1));
    let (native_after, after) = waited();
    let native_usec = (native_after - native_before) as f64;
    let usec = f64::from((after as u32).wrapping_sub(before as u32)) / 1e3;
    let share = usec / native_usec;
    assert!((0.8..1.2).contains(&share), "{usec} of {native_usec} us");
    let all = shown.json(&busy, "psi.json");
    assert_eq!(all.as_array().map(Vec::len), Some(cpus()));
    for cpu in 1..cpus() {
        assert_eq!(figure(&busy, cpu, "running"), 0);
    }
    for cpu in 0..cpus() {
        assert_eq!(
            figure(&idle, cpu, "running") + figure(&idle, cpu, "cpu_some_ns"),
            0
        );
    }
    // The whole machine's account is another than a cgroup's.
    assert!(figure(&crate::common::cgroup_root(), 0, "running") >= 2);
    let table = shown.read(cgroup.path(), "psi.tree");
    assert_eq!(table.lines().count(), 1 + 4 * cpus(), "{table}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn protoc_decodes_proto() {
    let cgroup = FixtureCgroup::new("proto");
    let long = "n".repeat(255);
    let child = cgroup.mkdir("a \"child\"");
    let shown = Shown::example("proto");
    let decoded = |cgroup: &Path| {
        let script = format!(
            "protoc --proto_path={SOURCE}/examples --decode=Cgroup proto.proto < '{}'",
            shown.file(cgroup, "proto").display()
        );
        String::from_utf8(crate::common::sh(&script)).expect("UTF-8")
    };
    let level = cgroup
        .path()
        .strip_prefix(crate::common::cgroup_root())
        .expect("below")
        .iter()
        .count();
    let expected = format!(
        "id: {}\nlevel: {}\nname: \"a \\\"child\\\"\"\n",
        id(&child),
        level + 1
    );
    assert_eq!(decoded(&child), expected);
    let deep = cgroup.mkdir(Path::new("a \"child\"").join(&long));
    assert!(decoded(&deep).contains(&format!("name: \"{long}\"")));
    assert!(decoded(&child).contains("nr_descendants: 1\n"));
    let root = decoded(&crate::common::cgroup_root());
    assert!(root.starts_with("id: 1\nnr_descendants: "), "{root}");
}

/// The values that tests/bpf/quantiles.bpf.c counts for a cgroup.
fn sequence(id: u64) -> impl Iterator<Item = u64> {
    let mut state = id;
    (0..5000).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    })
}

fn skewed(value: u64) -> u64 {
    1000 + ((value % 1000) << ((value >> 20) % 24))
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn percentiles_are_within_an_eighth() {
    let cgroup = FixtureCgroup::new("quantiles");
    let shown = Shown::new("tests/bpf", "quantiles");
    for child in 0..20 {
        let path = cgroup.mkdir(child.to_string());
        let values: Vec<u64> = sequence(id(&path)).collect();
        let json = shown.json(&path, "quantiles.json");
        let check = |name: &str, unit: &str, scale: f64, error: f64, of: &dyn Fn(u64) -> u64| {
            let mut exact: Vec<u64> = values.iter().map(|value| of(*value)).collect();
            exact.sort_unstable();
            let shown = |stat: &str| {
                let key = format!("{stat}{unit}");
                let shown = json[name][&key].as_f64();
                shown.unwrap_or_else(|| panic!("no {name}.{key} in {json}"))
            };
            assert_eq!(json[name]["count"].as_u64(), Some(exact.len() as u64));
            let sum = exact.iter().sum::<u64>() as f64 / scale;
            assert_eq!(shown("sum"), sum.floor(), "{name}");
            let max = exact[exact.len() - 1] as f64 / scale;
            assert!((shown("max") - max).abs() < 0.01, "{name}");
            for percent in [50, 90, 99] {
                // The smallest value that so many percent do not exceed.
                let rank = (exact.len() * percent).div_ceil(100);
                let exact = exact[rank - 1] as f64 / scale;
                let shown = shown(&format!("p{percent}"));
                // Two digits are shown, the rest is cut off.
                let off = (shown - exact).abs() - 0.01;
                assert!(
                    off <= error * exact,
                    "{name} p{percent}: {shown}, exact {exact}"
                );
            }
        };
        check("even", "", 1.0, 0.125, &|value| {
            1_000_000 + value % 1_000_000
        });
        check("skewed", "_usec", 1000.0, 0.125, &skewed);
        check("few", "_bytes", 1.0, 0.125, &|value| value % 10);
        check("coarse", "_usec", 1.0, 0.5, &skewed);
        // The sweep fills the same.
        let swept = shown.json(&path, "quantiles.tree.json");
        assert_eq!(swept["even"], json["even"]);
        assert_eq!(swept["coarse"], json["coarse"]);
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_walk_gives_rows() {
    let cgroup = FixtureCgroup::new("line");
    let (a, inside) = (cgroup.mkdir("a"), cgroup.mkdir("a/in"));
    let shown = Shown::new("tests/bpf", "line");
    let rows = shown.json(&inside, "line.json");
    let rows = rows.as_array().expect("rows").iter();
    let ids: Vec<_> = rows.map(|row| row["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids[..3], [id(&inside), id(&a), cgroup.id()]);
    assert_eq!(ids.last(), Some(&id(&crate::common::cgroup_root())));
}

/// The pieces of C in the authoring guide that are whole objects.
fn pieces_of_the_guide() -> Vec<String> {
    let guide = fs::read_to_string(Path::new(SOURCE).join("docs/authoring.md")).expect("read");
    let pieces = guide.split("```c\n").skip(1);
    let pieces = pieces.filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()));
    pieces.filter(|code| code.contains("LICENSE")).collect()
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_code_of_the_authoring_guide_works() {
    let dir = FixtureDir::new("guide");
    let pieces = pieces_of_the_guide();
    assert!(pieces.len() >= 3);
    // Two fields, a collector, and no more than a screen of code.
    let lines = pieces[1].lines().count();
    assert!(lines < 40, "{lines} lines");
    for (number, code) in pieces.iter().enumerate() {
        let source = dir.path().join(format!("{number}.bpf.c"));
        let object = source.with_extension("o");
        fs::write(&source, code).expect("write");
        compile(&source, &object);
        let checked = run(
            crate::common::CGVIEW,
            ["--check".as_ref(), object.as_os_str()],
        );
        let complaints = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{code}\n{complaints}");
    }
}
