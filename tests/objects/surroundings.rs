//! What happens around the objects: directories that cannot be listed, a source that is mounted over.

use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::thread;
use std::time::Duration;

use crate::common::objects::{PATIENCE, Placed, is_absent, object, of_origin, say, says};
use crate::common::{CGVIEW, FixtureCgroup, FixtureDir, eventually, run};

/// A process that cannot open another file, until this is dropped.
struct NoDescriptors(u32);

impl NoDescriptors {
    fn of(pid: u32) -> NoDescriptors {
        limit_descriptors(pid, "3");
        NoDescriptors(pid)
    }
}

impl Drop for NoDescriptors {
    fn drop(&mut self) {
        limit_descriptors(self.0, "1024");
    }
}

fn limit_descriptors(pid: u32, soft: &str) {
    let limit = format!("--nofile={soft}:");
    let set = run("prlimit", ["--pid", &pid.to_string(), &limit]);
    assert!(set.status.success(), "{set:?}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_directory_that_cannot_be_listed_takes_no_view_away() {
    let placed = Placed::new();
    let file = placed.put("kept", &say("kept", "kept"));
    let view = placed.mount.join("kept");
    eventually(PATIENCE, "the view is live", || says(&view, "kept "));
    let since = placed.status_of(&file)["since"].clone();

    let limited = NoDescriptors::of(placed.mount.pid());
    let complaint = format!(
        "list view objects in {}: the directory cannot be listed: Too many open files",
        placed.views.path().display()
    );
    eventually(PATIENCE, "the directory is reported", || {
        placed.mount.log().contains(&complaint)
    });
    drop(limited);

    let other = placed.mount.join("other");
    placed.put("other", &say("other", "other"));
    eventually(PATIENCE, "another view is live", || says(&other, "other "));
    assert!(says(&view, "kept "));
    assert_eq!(placed.status_of(&file)["since"], since);
    assert_eq!(placed.mount.log().matches(&complaint).count(), 1);
    let status = placed.status();
    assert!(
        of_origin(&status, placed.views.path()).is_none(),
        "{status:#}"
    );
    fs::remove_file(file).expect("remove");
    eventually(PATIENCE, "the view is gone", || is_absent(&view));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn collectors_are_attached_to_a_source_that_is_mounted_over() {
    let cgroup = FixtureCgroup::new("over");
    let views = FixtureDir::new("views.d");
    let options = format!("builtin=,views={}", views.path().display());
    let path = cgroup.path().to_str().expect("UTF-8");
    let mounted = run(CGVIEW, ["-o", &options, path, path]);
    assert!(mounted.status.success(), "{mounted:?}");
    struct Unmount<'a>(&'a str);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            run("umount", ["-l", self.0]);
            // The cgroup below is busy until the daemon has ended.
            thread::sleep(Duration::from_millis(300));
        }
    }
    let _unmount = Unmount(path);
    let skb = object("collector", &["HOOK=\"cgroup_skb/egress\"", "VIEW"]);
    let file = views.path().join("skb.bpf.o");
    fs::copy(skb, &file).expect("copy");
    let mut entry = serde_json::Value::Null;
    eventually(PATIENCE, "the object is known", || {
        let json = fs::read_to_string(cgroup.path().join(".cgview/status.json")).expect("status");
        let status = serde_json::from_str(&json).expect("JSON");
        entry = of_origin(&status, &file).cloned().unwrap_or_default();
        !entry.is_null()
    });
    assert_eq!(entry["live"], true, "{entry:#}");
    assert_eq!(entry["collectors"][0]["live"], true, "{entry:#}");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn objects_that_others_could_replace_are_refused() {
    let outside = FixtureDir::new("outside");
    let theirs = outside.path().join("theirs");
    fs::create_dir(&theirs).expect("mkdir");
    fs::copy(say("linked", "linked"), theirs.join("linked.bpf.o")).expect("copy");
    let placed = Placed::new();
    let views = placed.views.path();
    fs::create_dir(views.join("users")).expect("mkdir");
    for dir in [&theirs, &views.join("users")] {
        lchown(dir, Some(65534), None).expect("chown");
    }
    placed.put("users/own", &say("own", "own"));
    symlink(theirs.join("linked.bpf.o"), views.join("linked.bpf.o")).expect("symlink");
    symlink("/usr", views.join("usr")).expect("symlink");
    placed.put("good", &say("good", "good"));
    eventually(PATIENCE, "the good view is live", || {
        says(&placed.mount.join("good"), "good ")
    });
    let why = "belongs to user 65534";
    let refusal = placed.refusal(&views.join("linked.bpf.o"));
    assert!(refusal.contains(why), "{refusal}");
    let refusal = placed.refusal(&views.join("users"));
    assert!(refusal.contains(why), "{refusal}");
    // A link to a directory leads nowhere: nothing below it is watched.
    assert!(inotify_watches(placed.mount.pid()) < 5000);
    let status = placed.status();
    assert_eq!(
        status["objects"].as_array().map(Vec::len),
        Some(3),
        "{status:#}"
    );
}

/// How many directories the process watches, cgroups included.
fn inotify_watches(pid: u32) -> usize {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("list fdinfo");
    let texts = infos.filter_map(|info| fs::read_to_string(info.ok()?.path()).ok());
    texts.map(|text| text.matches("inotify wd").count()).sum()
}
