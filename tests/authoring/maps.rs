//! Maps by cgroup: their entries go with the cgroups, sums reach every ancestor, and a cgroup that
//! found no room shows nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libbpf_rs::query::MapInfoIter;
use libbpf_rs::{MapCore as _, MapHandle};

use crate::common::objects::{PATIENCE, Placed, example, object, promptly};
use crate::common::{
    FixtureCgroup, cgroup_root, eventually, id, less_if_emulated, read, run, value,
};

/// The newest map that the kernel knows by this name.
fn map(name: &str) -> MapHandle {
    let maps = MapInfoIter::default().filter(|map| map.name.to_string_lossy() == name);
    let newest = maps.map(|map| map.id).max();
    let newest = newest.unwrap_or_else(|| panic!("no map {name}"));
    MapHandle::from_map_id(newest).expect("open the map")
}

/// The cgroups that have an entry.
fn ids(map: &MapHandle) -> BTreeSet<u64> {
    let keys = map
        .keys()
        .filter_map(|key| Some(u64::from_ne_bytes(key.try_into().ok()?)));
    keys.collect()
}

/// In each cgroup, starts a process and sends a datagram.
fn use_all(cgroups: &[PathBuf]) {
    let script = "for cgroup; do echo $$ >\"$cgroup/cgroup.procs\" || exit; (:); \
                  echo x >/dev/udp/127.0.0.1/9 || exit; done";
    let mut arguments = vec!["-c".as_ref(), script.as_ref(), "use".as_ref()];
    arguments.extend(cgroups.iter().map(|path| path.as_os_str()));
    let output = run("bash", arguments);
    assert!(output.status.success(), "{output:?}");
}

/// A mount with these examples.
fn with(examples: &[&str]) -> Placed {
    let placed = Placed::new();
    let files = examples.iter().map(|name| placed.put(name, &example(name)));
    let files: Vec<PathBuf> = files.collect();
    promptly("all are live", || {
        files
            .iter()
            .all(|file| placed.status_of(file)["live"] == true)
    });
    placed
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn no_entry_stays_when_its_cgroup_is_gone() {
    let cgroup = FixtureCgroup::new("entries");
    let placed = with(&["forks", "net", "runqlat", "wait"]);
    let maps = ["counts", "traffic", "waits", "longest"].map(map);
    for round in 0..2 {
        let names = (0..less_if_emulated(200, 20)).map(|n| format!("{round}-{n}"));
        let children: Vec<PathBuf> = names.map(|name| cgroup.mkdir(name)).collect();
        let of_children: BTreeSet<u64> = children.iter().map(|path| id(path)).collect();
        use_all(&children);
        for (map, kind) in maps.iter().zip(["forks", "net"]) {
            assert!(ids(map).is_superset(&of_children), "{kind}");
        }
        assert!(!ids(&maps[2]).is_disjoint(&of_children));
        read(&placed.mount.dir_of(cgroup.path()).join("forks.tree")).expect("read");
        children
            .iter()
            .for_each(|path| fs::remove_dir(path).expect("rmdir"));
        for map in &maps {
            eventually(PATIENCE, "the entries are gone", || {
                ids(map).is_disjoint(&of_children)
            });
        }
    }
}

/// Opens a socket in one cgroup, moves to another one, and sends datagrams while a file exists.
const OUTLIVE: &str = "echo $$ >\"$1/cgroup.procs\" && exec 3<>/dev/udp/127.0.0.1/9 && \
                       echo $$ >\"$2/cgroup.procs\" && echo ready || exit; \
                       while [ -e \"$3\" ]; do echo x >&3; sleep 0.02; done 2>/dev/null; \
                       exec 3>&-; read";

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_socket_that_outlives_its_cgroup_counts_above_and_leaves_no_entry() {
    let cgroup = FixtureCgroup::new("outlives");
    let (gone, other) = (cgroup.mkdir("gone"), cgroup.mkdir("other"));
    let placed = with(&["net"]);
    let traffic = map("traffic");
    let sends = placed.file("sends");
    fs::write(&sends, "").expect("write");
    let mut sender = Command::new("bash")
        .args(["-c", OUTLIVE, "sender"])
        .args([&gone, &other, &sends])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run bash");
    let mut ready = [0; 6];
    let stdout = sender.stdout.as_mut().expect("a pipe");
    std::io::Read::read_exact(stdout, &mut ready).expect("it is ready");
    let gone_id = id(&gone);
    let counted = || {
        let text = read(&placed.mount.dir_of(cgroup.path()).join("net.json")).expect("read");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        json["tx_packets"].as_u64().expect("a number")
    };
    eventually(PATIENCE, "it sends", || ids(&traffic).contains(&gone_id));
    fs::remove_dir(&gone).expect("rmdir");
    let before = counted();
    eventually(PATIENCE, "the socket still counts above", || {
        counted() > before
    });
    fs::remove_file(&sends).expect("rm");
    let end = Instant::now() + PATIENCE;
    while ids(&traffic).contains(&gone_id) && Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
    }
    // Now and then Linux 6.1 keeps the cgroup for longer, and its entry with it.
    let stat = read(&cgroup.path().join("cgroup.stat")).expect("read cgroup.stat");
    let is_dying = value(&stat, "nr_dying_descendants") > Some(0);
    assert!(is_dying || !ids(&traffic).contains(&gone_id), "{stat}");
    assert!(counted() > before);
    drop(sender.stdin.take());
    sender.wait().expect("wait for bash");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn sums_reach_every_ancestor_at_any_depth() {
    let cgroup = FixtureCgroup::new("deep");
    let mut deepest = PathBuf::new();
    let mut all = vec![cgroup.path().to_owned()];
    for _ in 0..80 {
        deepest.push("d");
        all.push(cgroup.mkdir(&deepest));
    }
    let placed = with(&["forks", "net"]);
    let deepest = cgroup.path().join(deepest);
    use_all(std::slice::from_ref(&deepest));
    let text = |cgroup: &Path, file: &str| {
        read(&placed.mount.dir_of(cgroup).join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    };
    for cgroup in [&deepest, cgroup.path(), &all[40]] {
        assert_eq!(text(cgroup, "forks"), "forks 1\n");
        let traffic = text(cgroup, "net");
        // The IP and UDP headers have 28 bytes.
        assert!(traffic.contains("tx_bytes 30\ntx_packets 1\n"), "{traffic}");
    }
    assert!(value(&text(&cgroup_root(), "forks"), "forks") > Some(0));
    let tree = text(cgroup.path(), "net.tree");
    assert_eq!(tree.lines().count(), 1 + all.len(), "{tree}");
    assert!(
        tree.lines().skip(1).all(|line| line.contains(" 30 ")),
        "{tree}"
    );
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_cgroup_without_room_in_the_map_shows_nothing_and_not_0() {
    let cgroup = FixtureCgroup::new("full");
    let names = ["first", "second", "third", "fourth"];
    let children = names.map(|name| cgroup.mkdir(name));
    let placed = Placed::new();
    let file = placed.put("counts", &object("counts", &["ENTRIES=2"]));
    promptly("it is live", || placed.status_of(&file)["live"] == true);
    let text = |cgroup: &Path, file: &str| {
        read(&placed.mount.dir_of(cgroup).join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    };
    let idle = text(&children[0], "exec-count");
    assert!(["execs 0\n", ""].contains(&idle.as_str()), "{idle}");
    for child in &children {
        let script = "echo $$ >\"$0/cgroup.procs\" && exec /bin/true";
        let output = run("bash", ["-c".as_ref(), script.as_ref(), child.as_os_str()]);
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(text(cgroup.path(), "counts.full"), "1\n");
    let help = read(&placed.mount.join(".cgview/views/counts.full/help")).expect("help");
    assert_eq!(help, "Whether a cgroup had no room\n");
    let shown: Vec<String> = children
        .iter()
        .map(|child| text(child, "exec-count"))
        .collect();
    let counted = shown.iter().filter(|text| *text == "execs 1\n").count();
    assert!(counted <= 2, "{shown:?}");
    assert!(
        shown
            .iter()
            .all(|text| ["execs 1\n", ""].contains(&text.as_str())),
        "{shown:?}"
    );
    let tree = text(cgroup.path(), "exec-count.tree");
    assert!(!tree.contains(" 0\n"), "{tree}");
}
