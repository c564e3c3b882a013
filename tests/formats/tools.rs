//! The files of a mount, read by the tools for which they are made: jq, promtool, node_exporter of
//! Prometheus, sort, awk and a shell script. A tool that is missing fails its test.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::common::burn::Burning;
use crate::common::{FixtureCgroup, MountedCgview, eventually, id, less_if_emulated, run};

/// Awkward names of cgroups, as JSON strings and as words of a table. A newline is not among them:
/// the kernel refuses it.
const NAMES: [(&[u8], &str, &str); 8] = [
    (b"plain.slice", "plain.slice", "plain.slice"),
    (b"a b", "a b", r"a\040b"),
    (b"quote\"d", "quote\"d", "quote\"d"),
    (br"dev-\x2dmapper", r"dev-\x2dmapper", r"dev-\134x2dmapper"),
    (b"tab\tand\x01", "tab\tand\u{1}", r"tab\011and\001"),
    (b"\xff", "\u{fffd}ff", r"\377"),
    ("snow\u{2603}".as_bytes(), "snow\u{2603}", "snow\u{2603}"),
    (
        b"{cgroup=\"x\"} 1",
        "{cgroup=\"x\"} 1",
        r#"{cgroup="x"}\0401"#,
    ),
];

/// A cgroup with children of all those names, and each with a child.
fn awkward() -> FixtureCgroup {
    let cgroup = FixtureCgroup::new("tools");
    for (name, ..) in NAMES {
        cgroup.mkdir(Path::new(OsStr::from_bytes(name)).join("child"));
    }
    cgroup
}

fn child(of: &Path, name: &[u8]) -> PathBuf {
    of.join(OsStr::from_bytes(name))
}

/// The names in a directory of the mount.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("list {}: {e}", dir.display()));
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.into_string().expect("UTF-8"))
        .collect()
}

/// All `.prom` files of the whole tree; a record view has one.
fn whole_tree(mount: &MountedCgview) -> Vec<PathBuf> {
    let dir = mount.join(".cgview/prom");
    let files: Vec<_> = names(&dir).iter().map(|name| dir.join(name)).collect();
    assert!(!files.is_empty());
    files
}

/// What a tool prints that reads the file as its standard input; its complaints fail the test.
fn tool(words: &[&str], file: &Path) -> String {
    let input = fs::File::open(file).unwrap_or_else(|e| panic!("open {}: {e}", file.display()));
    output_of(Command::new(words[0]).args(&words[1..]).stdin(input))
}

/// What jq prints of files that it opens by their names.
fn jq(filter: &str, files: &[PathBuf]) -> String {
    output_of(Command::new("jq").arg(filter).args(files))
}

fn output_of(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run.sh installs it"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaints}");
    assert_eq!(complaints, "", "{command:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn jq_reads_every_json_file() {
    let cgroup = awkward();
    let mount = MountedCgview::with_all_views();
    let children = NAMES.map(|(name, ..)| child(cgroup.path(), name));
    let each = |file: &str| {
        children
            .each_ref()
            .map(|path| mount.dir_of(path).join(file))
    };
    let views = mount.join(".cgview/views");
    for view in names(&views) {
        let schema = views.join(&view).join("schema.json");
        if !schema.exists() {
            continue;
        }
        assert_eq!(tool(&["jq", "-r", ".view"], &schema), format!("{view}\n"));
        let json = jq("type", &each(&format!("{view}.json")));
        assert_eq!(json, "\"object\"\n".repeat(NAMES.len()));
        let tree = jq(".cgroup", &each(&format!("{view}.tree.json")));
        assert_eq!(tree, "\".\"\n\"child\"\n".repeat(NAMES.len()));
    }
    let ids = children.each_ref().map(|path| format!("{}\n", id(path)));
    assert_eq!(jq(".id", &each("stats.json")), ids.concat());
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn jq_reads_names_back() {
    let cgroup = awkward();
    let mount = MountedCgview::new();
    let tree = mount.dir_of(cgroup.path()).join("stats.tree.json");
    let shown = tool(&["jq", "-c", "[.cgroup, .id]"], &tree);
    let shown: BTreeMap<String, u64> = shown
        .lines()
        .map(|line| serde_json::from_str(line).expect("a pair"))
        .collect();
    let mut expected = BTreeMap::from([(".".to_owned(), cgroup.id())]);
    for (name, json, _) in NAMES {
        let path = child(cgroup.path(), name);
        expected.insert(json.to_owned(), id(&path));
        expected.insert(format!("{json}/child"), id(&path.join("child")));
    }
    assert_eq!(shown, expected);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_raw_record_has_the_size_that_the_schema_says() {
    let cgroup = FixtureCgroup::new("raw");
    let mount = MountedCgview::with_all_views();
    let views = mount.join(".cgview/views");
    for file in whole_tree(&mount) {
        let view = file.file_stem().and_then(OsStr::to_str).expect("a view");
        let schema = views.join(view).join("schema.json");
        let expected = tool(&["jq", ".record_bytes"], &schema);
        let raw = mount.dir_of(cgroup.path()).join(format!("{view}.bin"));
        assert_eq!(tool(&["wc", "-c"], &raw), expected, "{view}");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn promtool_accepts_every_prom_file() {
    let cgroup = awkward();
    let mount = MountedCgview::with_all_views();
    let mut files = whole_tree(&mount);
    for (name, ..) in NAMES.iter().step_by(less_if_emulated(1, 8)) {
        let dir = mount.dir_of(&child(cgroup.path(), name));
        files.push(dir.join("stats.prom"));
    }
    for file in files {
        assert_eq!(tool(&["promtool", "check", "metrics"], &file), "");
    }
}

/// Debian's node_exporter with nothing but its textfile collector; stopped on drop.
struct NodeExporter {
    process: Child,
    port: u16,
}

impl NodeExporter {
    fn new(textfiles: &Path) -> NodeExporter {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let process = Command::new("prometheus-node-exporter")
            .args(["--collector.disable-defaults", "--collector.textfile"])
            .arg(format!(
                "--collector.textfile.directory={}",
                textfiles.display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("run prometheus-node-exporter: {error}"));
        let exporter = NodeExporter { process, port };
        eventually(Duration::from_secs(60), "node_exporter listens", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        exporter
    }

    fn scrape(&self) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("connect");
        stream
            .write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .expect("ask");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        answer
    }
}

impl Drop for NodeExporter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The value of a sample, given by its name and labels.
fn sample<'a>(scraped: &'a str, series: &str) -> &'a str {
    let mut lines = scraped.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in {scraped}"))
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn node_exporter_serves_the_metrics() {
    let cgroup = awkward();
    let mount = MountedCgview::new();
    let exporter = NodeExporter::new(&mount.join(".cgview/prom"));
    let name = cgroup.name().to_str().expect("UTF-8");
    for round in 0..less_if_emulated(3, 1) {
        let asked = SystemTime::now();
        let scraped = exporter.scrape();
        assert_eq!(sample(&scraped, "node_textfile_scrape_error"), "0");
        for file in whole_tree(&mount) {
            let series = format!("node_textfile_mtime_seconds{{file=\"{}\"}}", file.display());
            let mtime: f64 = sample(&scraped, &series).parse().expect("seconds");
            let asked = asked.duration_since(UNIX_EPOCH).expect("a time");
            // A coarse clock of the kernel may lag behind by a tick.
            let age = asked.as_secs_f64() - mtime;
            assert!(age < 1.0, "{} is {age} s old", file.display());
        }
        let children = format!("cgview_stats_nr_descendants{{cgroup=\"/{name}\"}}");
        let expected = 2 * NAMES.len() + round;
        assert_eq!(sample(&scraped, &children), expected.to_string());
        for label in [r#"quote\"d"#, r"dev-\\x2dmapper", "\u{fffd}ff", "a b"] {
            let level = format!("cgview_stats_level{{cgroup=\"/{name}/{label}\"}}");
            assert_eq!(sample(&scraped, &level), "2");
        }
        cgroup.mkdir(round.to_string());
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn sort_and_awk_find_the_columns() {
    let cgroup = awkward();
    let path = |name: &[u8]| child(cgroup.path(), name);
    let mount = MountedCgview::new();
    let tree = mount.dir_of(cgroup.path()).join("stats.tree");
    let widths = tool(&["awk", "{ print NF }"], &tree);
    assert!(widths.lines().all(|width| width == "21"), "{widths}");
    // Column 2 is the id.
    let sorted = crate::common::sh(&format!("tail -n +2 {} | sort -k2,2n", tree.display()));
    let mut expected = vec![(cgroup.id(), ".")];
    expected.extend(NAMES.map(|(name, _, word)| (id(&path(name)), word)));
    expected.sort_unstable();
    let sorted = String::from_utf8(sorted).expect("UTF-8");
    let shown: Vec<_> = sorted
        .lines()
        .filter(|line| !line.contains("/child "))
        .map(|line| {
            let mut words = line.split_ascii_whitespace();
            let word = words.next().expect("a path");
            (
                words.next().and_then(|id| id.parse().ok()).expect("an id"),
                word,
            )
        })
        .collect();
    assert_eq!(shown, expected);
    // A column by its name, as every script should do it.
    let by_name =
        r#"NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } { print $at["level"] }"#;
    let levels = tool(&["awk", by_name], &tree);
    let mut expected = "1\n".to_owned();
    expected.push_str(&"2\n3\n".repeat(NAMES.len()));
    assert_eq!(levels, expected);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn cgtop_shows_the_busiest_cgroups() {
    let cgroup = FixtureCgroup::new("cgtop");
    let busy = cgroup.mkdir("idle/but not me");
    let _burning = Burning::new(&busy, 2);
    let mount = MountedCgview::new();
    let output = run(
        concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cgtop.sh"),
        [
            mount.dir_of(cgroup.path()).as_os_str(),
            "1".as_ref(),
            "1".as_ref(),
        ],
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_ascii_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 3, "{text}");
    for row in &rows {
        let percent: f64 = row[0].parse().expect("a number");
        assert!(percent > 5.0, "{text}");
    }
    let busy = rows.iter().find(|row| row[2] == r"idle/but\040not\040me");
    assert_eq!(busy.expect("the busy one")[1], "2", "{text}");
}
