//! Map contents that carry over when an object is replaced.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::common::objects::{PATIENCE, Placed, object, promptly, text};
use crate::common::{eventually, read};

fn version(name: &str, entries: u32) -> PathBuf {
    let name = format!("VERSION=\"{name}\"");
    object("keep", &[&name, &format!("ENTRIES={entries}")])
}

/// Puts an object in place and waits for it; gives what its map's contents came from.
fn replace(placed: &Placed, object: &Path) -> String {
    let path = placed.file("runs");
    let before = fs::exists(&path)
        .expect("stat")
        .then(|| placed.status_of(&path));
    if let Some(before) = &before {
        // The time of a status is in seconds.
        let since = Duration::from_secs(before["since"].as_u64().expect("since") + 1);
        eventually(PATIENCE, "a second has passed", || {
            UNIX_EPOCH.elapsed().expect("a time") >= since
        });
    }
    let hidden = placed.views.path().join("new.tmp");
    fs::copy(object, &hidden).expect("copy beside");
    fs::rename(&hidden, &path).expect("rename over");
    let mut contents = String::new();
    promptly("the new object", || {
        let now = placed.status_of(&path);
        contents = text(&now["kept_maps"][0]["contents"]);
        now["live"] == true && before.as_ref() != Some(&now)
    });
    contents
}

/// How often the view has run, by the kept map and by the other, and once more for this.
fn runs(placed: &Placed, version: &str) -> (u64, u64) {
    let text = read(&placed.mount.join("runs")).expect("read the view");
    let words: Vec<&str> = text.split_whitespace().collect();
    let [found, "kept", kept, "fresh", fresh] = words[..] else {
        panic!("{text}");
    };
    assert_eq!(found, version);
    let number = |word: &str| word.parse().expect("a number");
    (number(kept), number(fresh))
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_kept_map_goes_on_in_the_replacement_when_its_layout_is_the_same() {
    let placed = Placed::new();
    assert_eq!(replace(&placed, &version("one", 4)), "new");
    let (first, fresh) = runs(&placed, "one");
    assert_eq!(first, fresh);
    let (second, _) = runs(&placed, "one");
    assert!(second > first);
    assert_eq!(replace(&placed, &version("two", 4)), "carried over");
    let (third, fresh) = runs(&placed, "two");
    assert!(third > second && fresh == third - second, "{third} {fresh}");

    fs::write(placed.file("runs"), b"bad").expect("replace by a bad one");
    placed.refusal(&placed.file("runs"));
    let (fourth, fresh) = runs(&placed, "two");
    assert!(
        fourth > third && fresh == fourth - second,
        "{fourth} {fresh}"
    );
    assert_eq!(replace(&placed, &version("three", 4)), "carried over");
    let (fifth, fresh) = runs(&placed, "three");
    assert!(fifth > fourth && fresh == fifth - fourth, "{fifth} {fresh}");

    let lost = replace(&placed, &version("four", 8));
    assert_eq!(lost, "not carried over: its max_entries was 4 and is 8");
    let (kept, fresh) = runs(&placed, "four");
    assert_eq!(kept, fresh);
    let status = fs::read_to_string(placed.mount.join(".cgview/status")).expect("status");
    assert!(
        status.contains(&format!("  map kept contents {lost}\n")),
        "{status}"
    );
}
