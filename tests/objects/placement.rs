//! Where a view is, and which one when several have a name.

use std::fs;
use std::path::Path;

use crate::common::objects::{
    Placed, eventually_says, is_absent, promptly, say, says, status, text,
};
use crate::common::{FixtureCgroup, MountedCgview, id, read};

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_placement_holds_there_and_below_now_and_later() {
    let cgroup = FixtureCgroup::new("place");
    let child = cgroup.mkdir("a");
    let placed = Placed::new();
    placed.put(Path::new(cgroup.name()).join("a/x"), &say("greet", "hello"));
    let view = |cgroup: &Path| placed.mount.dir_of(cgroup).join("greet");
    eventually_says(&view(&child), "hello ");
    assert!(says(&view(&cgroup.mkdir("a/b/c")), "hello "));
    assert!(is_absent(&view(cgroup.path())));
    assert!(is_absent(&placed.mount.join("greet")));
    assert!(is_absent(&view(&cgroup.mkdir("ab"))));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_placement_waits_for_its_cgroup() {
    let cgroup = FixtureCgroup::new("wait");
    let placed = Placed::new();
    let at = Path::new(cgroup.name()).join("not/yet/x");
    let path = placed.put(at, &say("greet", "hello"));
    promptly("loaded", || placed.status_of(&path)["live"] == true);
    for _ in 0..3 {
        let there = cgroup.mkdir("not/yet");
        assert!(says(&placed.mount.dir_of(&there).join("greet"), "hello "));
        fs::remove_dir(there).expect("rmdir");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_nearer_placement_wins_and_the_farther_comes_back() {
    let cgroup = FixtureCgroup::new("nearer");
    let child = cgroup.mkdir("a/b");
    let placed = Placed::new();
    let name = Path::new(cgroup.name());
    placed.put("far", &say("greet", "far"));
    let view = |cgroup: &Path| placed.mount.dir_of(cgroup).join("greet");
    eventually_says(&view(&child), "far ");
    let near = placed.put(name.join("a/near"), &say("greet", "near"));
    eventually_says(&view(&child), "near ");
    assert!(says(&view(&cgroup.path().join("a")), "near "));
    assert!(says(&view(cgroup.path()), "far "));
    let middle = placed.put(name.join("middle"), &say("greet", "middle"));
    eventually_says(&view(cgroup.path()), "middle ");
    assert!(says(&view(&child), "near "));
    fs::remove_file(near).expect("remove");
    eventually_says(&view(&child), "middle ");
    fs::remove_file(middle).expect("remove");
    eventually_says(&view(&child), "far ");
    assert_eq!(
        read(&view(&child)).expect("read"),
        format!("far {}\n", id(&child))
    );
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn of_two_objects_at_one_place_the_first_by_name_wins_and_the_other_says_so() {
    let placed = Placed::new();
    let view = placed.mount.join("greet");
    let second = placed.put("2", &say("greet", "second"));
    eventually_says(&view, "second ");
    let first = placed.put("1", &say("greet", "first"));
    eventually_says(&view, "first ");
    let status = placed.status_of(&second);
    assert_eq!(status["views"][0]["live"], false);
    let reason = text(&status["views"][0]["reason"]);
    assert!(reason.contains(&first.display().to_string()), "{reason}");
    let all = fs::read_to_string(placed.mount.join(".cgview/status")).expect("status");
    assert!(all.contains(&reason), "{all}");
    fs::remove_file(first).expect("remove");
    eventually_says(&view, "second ");
    assert_eq!(placed.status_of(&second)["views"][0]["live"], true);
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn only_the_builtin_views_that_are_asked_for_are_loaded() {
    for (builtin, expected) in [("", &[] as &[&str]), ("vmscan", &["vmscan"])] {
        let mount = MountedCgview::with(&["-o", &format!("builtin={builtin}")]);
        for view in ["stats", "vmscan"] {
            let there = !is_absent(&mount.join(view));
            assert_eq!(there, expected.contains(&view), "{view} of {builtin:?}");
        }
        let objects = status(&mount)["objects"].clone();
        let origins: Vec<String> = objects
            .as_array()
            .expect("objects")
            .iter()
            .map(|o| text(&o["origin"]))
            .collect();
        let builtin = origins
            .iter()
            .filter_map(|origin| origin.strip_prefix("builtin:"));
        assert_eq!(builtin.collect::<Vec<_>>(), expected);
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_users_view_hides_a_builtin_one_which_comes_back() {
    let cgroup = FixtureCgroup::new("builtin");
    let placed = Placed::with(",builtin=stats");
    let view = placed.mount.dir_of(cgroup.path()).join("stats");
    assert!(says(&view, "id "));
    let json = view.with_extension("json");
    assert!(json.exists());
    let path = placed.put("stats", &say("stats", "mine"));
    eventually_says(&view, "mine ");
    assert!(is_absent(&json), "a text view has no JSON");
    let status = placed.status_of(Path::new("builtin:stats"));
    let reason = text(&status["views"][0]["reason"]);
    assert!(reason.contains(&path.display().to_string()), "{reason}");
    fs::remove_file(path).expect("remove");
    eventually_says(&view, "id ");
    assert!(json.exists());
}
