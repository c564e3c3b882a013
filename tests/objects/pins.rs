//! Programs that others pin into bpffs.

use std::fs;
use std::path::{Path, PathBuf};

use libbpf_rs::ObjectBuilder;

use crate::common::bpffs::Bpffs;
use crate::common::objects::{
    eventually_says, is_absent, object, promptly, say, says, status_of, text,
};
use crate::common::{FixtureCgroup, MountedCgview, sh};

/// A bpffs with a directory of pinned views, and a mount that follows it.
struct Pinned {
    mount: MountedCgview,
    bpffs: Bpffs,
}

impl Pinned {
    fn new() -> Pinned {
        let bpffs = Bpffs::new();
        let pins = bpffs.path().join("views");
        fs::create_dir(&pins).expect("mkdir in bpffs");
        let option = format!("builtin=,pins={}", pins.display());
        let mount = MountedCgview::with(&["-o", &option]);
        Pinned { mount, bpffs }
    }

    fn pin(&self, at: impl AsRef<Path>) -> PathBuf {
        let pin = self.bpffs.path().join("views").join(at);
        fs::create_dir_all(pin.parent().expect("a parent")).expect("mkdir in bpffs");
        pin
    }

    /// Loads the first program of an object and pins it, as its owner would.
    fn load(&self, object: &Path, at: impl AsRef<Path>, how: &str) -> PathBuf {
        let pin = self.pin(at);
        let (from, to) = (object.display(), pin.display());
        sh(&format!("bpftool prog load {from} {to} {how}"));
        pin
    }

    /// Why this pin is no view, once that is known.
    fn refusal(&self, pin: &Path) -> String {
        let status = status_of(&self.mount, pin);
        assert_eq!(status["live"], false, "{status}");
        text(&status["reason"])
    }
}

/// Attaches the program of an object and pins the link.
fn pin_link(object: &Path, pin: &Path) {
    let mut builder = ObjectBuilder::default();
    let open = builder.open_file(object).expect("open the object");
    let object = open.load().expect("load the object");
    let program = object.progs_mut().next().expect("a program");
    let mut link = program.attach().expect("attach");
    link.pin(pin).expect("pin the link");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_pinned_program_is_a_view_until_it_is_unpinned() {
    let cgroup = FixtureCgroup::new("pinned");
    let pinned = Pinned::new();
    let view = pinned.mount.dir_of(cgroup.path()).join("greeting");
    for text in ["hello", "again"] {
        let pin = pinned.load(&say("greet", text), "greeting", "");
        eventually_says(&view, &format!("{text} {}", cgroup.id()));
        assert!(says(&pinned.mount.join("greeting"), text));
        fs::remove_file(&pin).expect("unpin");
        promptly("the view is gone", || is_absent(&view));
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_directory_places_the_pins_in_it() {
    let cgroup = FixtureCgroup::new("placed");
    let child = cgroup.mkdir("a/b");
    let pinned = Pinned::new();
    let at = Path::new(cgroup.name()).join("a/greet");
    let pin = pinned.load(&say("greet", "hello"), at, "");
    let view = |cgroup: &Path| pinned.mount.dir_of(cgroup).join("greet");
    eventually_says(&view(&child), "hello ");
    assert!(says(&view(&cgroup.path().join("a")), "hello "));
    assert!(is_absent(&view(cgroup.path())));
    fs::rename(&pin, pinned.pin("greet")).expect("move the pin to the root");
    eventually_says(&view(cgroup.path()), "hello ");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_pin_that_is_no_view_is_listed_with_the_reason() {
    let pinned = Pinned::new();
    let map = pinned.pin("map");
    let create = "type hash key 4 value 4 entries 4 name cgview_map";
    sh(&format!("bpftool map create {} {create}", map.display()));
    let collector = |hook: &str| object("collector", &[&format!("HOOK=\"{hook}\"")]);
    let exec = collector("tp_btf/sched_process_exec");
    let link = pinned.pin("link");
    pin_link(&exec, &link);
    let program = pinned.load(&exec, "program", "");
    let tasks = pinned.load(&collector("iter/task"), "tasks", "");
    let maps = pinned.load(&collector("iter/bpf_map"), "maps", "");
    for (pin, why) in [
        (map, "Map"),
        (link, "Link"),
        (program, "not an iter/cgroup program"),
        (tasks, "not an iter/cgroup program"),
        (maps, "an iter/bpf_map one"),
    ] {
        let reason = pinned.refusal(&pin);
        assert!(reason.contains(why), "{}: {reason}", pin.display());
        let name = pin.file_name().expect("a name");
        assert!(is_absent(&pinned.mount.join(name)));
        let all = fs::read_to_string(pinned.mount.join(".cgview/status")).expect("status");
        assert!(all.contains(&reason), "{all}");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_pinned_program_still_belongs_to_its_owner() {
    let pinned = Pinned::new();
    let maps = pinned.bpffs.path().join("maps");
    let how = format!("pinmaps {}", maps.display());
    let pin = pinned.load(&object("owned", &[]), "owned", &how);
    let view = pinned.mount.join("owned");
    eventually_says(&view, "number 0\n");
    let map = maps.join("number");
    let map = map.display();
    for number in [7, 42] {
        let value = format!("key 0 0 0 0 value {number} 0 0 0 0 0 0 0");
        sh(&format!("bpftool map update pinned {map} {value}"));
        assert!(says(&view, &format!("number {number}\n")));
    }
    drop(pinned.mount);
    assert!(pin.exists());
    sh(&format!("bpftool prog show pinned {}", pin.display()));
    sh(&format!("bpftool map dump pinned {map} | grep 42"));
}
