//! Nothing is left of a view, or of cgview, that is gone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::common::objects::{
    Placed, eventually_says, is_absent, object, promptly, renamed, say, says,
};
use crate::common::{FixtureCgroup, eventually, read, sh};

/// What the kernel has of one test's object, which has names of its own.
struct Traces {
    tag: String,
    /// BTF has no name: the ids of what was loaded at some time.
    btf: BTreeSet<u64>,
    programs: BTreeSet<u64>,
}

/// What bpftool lists.
fn list(what: &str) -> Vec<Value> {
    let json = sh(&format!("bpftool -j {what} list"));
    serde_json::from_slice(&json).expect("JSON")
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

impl Traces {
    fn new() -> Traces {
        Traces {
            tag: format!("{:04x}", std::process::id() & 0xffff),
            btf: BTreeSet::new(),
            programs: BTreeSet::new(),
        }
    }

    /// The object with names of this test.
    fn object(&self, defines: &[&str]) -> Vec<u8> {
        renamed(&object("leaky", defines), "0000", &self.tag)
    }

    fn is_ours(&self, entry: &Value) -> bool {
        let name = entry["name"].as_str().unwrap_or_default();
        let name = name.strip_prefix("cgview_").unwrap_or(name);
        name.starts_with("lk_") && name.contains(&self.tag)
    }

    /// Programs, maps, links and BTF that are there.
    fn found(&mut self) -> [usize; 4] {
        let programs: Vec<_> = list("prog")
            .into_iter()
            .filter(|p| self.is_ours(p))
            .collect();
        self.btf
            .extend(programs.iter().map(|p| number(p, "btf_id")));
        self.programs
            .extend(programs.iter().map(|p| number(p, "id")));
        let maps = list("map").into_iter().filter(|m| self.is_ours(m)).count();
        let mut links = list("link");
        links.retain(|link| self.programs.contains(&number(link, "prog_id")));
        let mut btf = list("btf");
        btf.retain(|btf| self.btf.contains(&number(btf, "id")));
        [programs.len(), maps, links.len(), btf.len()]
    }

    /// The kernel frees programs and maps a moment after their last user.
    fn expect_none(&mut self) {
        let mut found = [0; 4];
        eventually(
            Duration::from_secs(60),
            "nothing is left in the kernel",
            || {
                found = self.found();
                found == [0; 4]
            },
        );
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn nothing_is_left_of_an_object_whichever_way_it_goes() {
    let cgroup = FixtureCgroup::new("leak");
    let child = cgroup.mkdir("child");
    let mut traces = Traces::new();
    let view = format!("lk_{}", traces.tag);
    let mut placed = Placed::new();
    let path = placed.file("leaky");
    let use_it = |placed: &Placed| {
        for cgroup in [cgroup.path(), &child] {
            let file = placed.mount.dir_of(cgroup).join(&view);
            eventually(Duration::from_secs(60), "the view is there", || {
                file.exists()
            });
            assert!(read(&file).expect("read").contains("id"));
            read(&file.with_extension("tree")).expect("sweep");
        }
    };
    let write = |defines: &[&str], path: &PathBuf, traces: &Traces| {
        fs::write(path, traces.object(defines)).expect("write the object");
    };

    write(&[], &path, &traces);
    use_it(&placed);
    let [programs, maps, links, btf] = traces.found();
    // The view, its sweep and walk, two collectors; the collectors' links and two of the view.
    assert!(
        programs >= 4 && maps >= 3 && links >= 4 && btf >= 1,
        "{:?}",
        traces.found()
    );

    write(&["AGAIN"], &path, &traces);
    promptly("replaced", || {
        placed.status_of(&path)["kept_maps"][0]["contents"] == "carried over"
    });
    use_it(&placed);
    promptly("the one before is gone", || traces.found()[0] == programs);

    fs::remove_file(&path).expect("remove the object");
    promptly("the view is gone", || is_absent(&placed.mount.join(&view)));
    traces.expect_none();

    write(&["BROKEN"], &path, &traces);
    placed.refusal(&path);
    traces.expect_none();

    write(&[], &path, &traces);
    use_it(&placed);
    let option = views_option(&placed);
    placed.mount.crash_and_start_again(&option);
    use_it(&placed);
    assert_eq!(
        traces.found()[0],
        programs,
        "of the crashed one nothing is left"
    );
    drop(placed);
    traces.expect_none();
}

fn views_option(placed: &Placed) -> [OsString; 2] {
    let mut option = OsString::from("views=");
    option.push(placed.views.path());
    ["-o".into(), option]
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn an_open_file_of_a_removed_view_finishes_its_snapshot_then_reads_enodev() {
    let cgroup = FixtureCgroup::new("open");
    let placed = Placed::new();
    let view = placed.mount.dir_of(cgroup.path()).join("greet");
    let path = placed.put("greet", &say("greet", "hello"));
    eventually_says(&view, "hello ");
    let text = read(&view).expect("read");
    let mut file = fs::File::open(&view).expect("open");
    let untouched = fs::File::open(&view).expect("open");
    let mut start = [0; 3];
    file.read_exact(&mut start).expect("read the start");
    assert_eq!(&start, b"hel");
    fs::remove_file(&path).expect("remove the object");
    promptly("the view is gone", || is_absent(&view));

    let mut rest = String::new();
    file.read_to_string(&mut rest).expect("read the rest");
    assert_eq!(format!("hel{rest}"), text);
    for file in [&file, &untouched] {
        let error = file.read_at(&mut [0; 64], 0).expect_err("the view is gone");
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
    // A file that is opened now is another one.
    placed.put("greet", &say("greet", "again"));
    eventually_says(&view, "again ");
    let length = untouched
        .read_at(&mut [0; 64], 0)
        .expect("the name means a view again");
    assert!(length > 0);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn removing_a_view_takes_its_links_with_it() {
    let cgroup = FixtureCgroup::new("links");
    let placed = Placed::new();
    let path = placed.put("greet", &say("greet", "hello"));
    let view = placed.mount.dir_of(cgroup.path()).join("greet");
    eventually_says(&view, "hello ");
    let before = placed.mount.links().len();
    let children: Vec<_> = (0..5).map(|n| cgroup.mkdir(n.to_string())).collect();
    for child in &children {
        assert!(says(&placed.mount.dir_of(child).join("greet"), "hello "));
    }
    assert_eq!(placed.mount.links().len(), before + 5);
    fs::remove_file(&path).expect("remove the object");
    promptly("the links are gone", || {
        placed.mount.links().len() + 1 == before
    });
}
