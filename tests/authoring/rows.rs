//! The examples that have rows: of tasks and of CPUs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::common::burn::Burning;
use crate::common::resident::Resident;
use crate::common::shown::{Shown, cpus, usage_usec};
use crate::common::{
    FixtureCgroup, cgroup_root, eventually, kernel_has, less_if_emulated, read, sh,
};

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
    sh(&format!("promtool check metrics < '{}'", metrics.display()));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn psi_shows_on_which_cpu_tasks_wait() {
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
    let native_usec = || -> u64 {
        let native = read(&pressure).expect("read cpu.pressure");
        let (_, total) = native
            .lines()
            .next()
            .and_then(|some| some.rsplit_once("total="))
            .expect("total");
        total.parse().expect("usec")
    };
    // A read takes as long as the machine is slow, so the kernel's figure is read on both sides.
    let waited = || {
        let first = native_usec();
        let view = figure(&busy, 0, "cpu_some_ns");
        (first, view, native_usec())
    };
    let (before_first, before, before_last) = waited();
    std::thread::sleep(Duration::from_secs(1));
    let (after_first, after, after_last) = waited();
    let usec = f64::from((after as u32).wrapping_sub(before as u32)) / 1e3;
    let (least, most) = (after_first - before_last, after_last - before_first);
    assert!(
        (least as f64 * 0.8..most as f64 * 1.2).contains(&usec),
        "{usec} us, by the kernel {least} to {most}"
    );
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
    assert!(figure(&cgroup_root(), 0, "running") >= 2);
    let table = shown.read(cgroup.path(), "psi.tree");
    assert_eq!(table.lines().count(), 1 + 4 * cpus(), "{table}");
}
