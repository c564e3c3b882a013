//! Renames, which only a v1 hierarchy has.

use std::ffi::CStr;

use rustix::mount::{MountFlags, UnmountFlags};

use super::*;

/// A v1 hierarchy without controllers, mounted until drop.
struct V1Hierarchy {
    point: PathBuf,
}

impl V1Hierarchy {
    const OPTIONS: &CStr = c"none,name=cgview-test";

    fn mount() -> V1Hierarchy {
        let point = std::env::temp_dir().join(format!("cgview-v1-{}", std::process::id()));
        fs::create_dir(&point).unwrap();
        let hierarchy = V1Hierarchy { point };
        hierarchy.mount_again();
        hierarchy
    }

    fn mount_again(&self) {
        let flags = MountFlags::empty();
        rustix::mount::mount("cgview", &self.point, "cgroup", flags, Self::OPTIONS).unwrap();
    }

    fn is_left(&self) -> bool {
        let hierarchies = fs::read_to_string("/proc/self/cgroup").unwrap();
        hierarchies.contains(":name=cgview-test:")
    }
}

impl Drop for V1Hierarchy {
    fn drop(&mut self) {
        // The kernel keeps a hierarchy that has a dying cgroup at the unmount, and frees others
        // a while later.
        for _ in 0..5 {
            rustix::mount::unmount(&self.point, UnmountFlags::empty()).unwrap();
            let deadline = Instant::now() + Duration::from_secs(3);
            while self.is_left() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
            if !self.is_left() {
                break;
            }
            self.mount_again();
        }
        fs::remove_dir(&self.point).unwrap();
    }
}

#[test]
#[ignore = "needs root"]
fn v1_rename_is_reported_with_both_names_and_followed() {
    let hierarchy = V1Hierarchy::mount();
    let fixture = FixtureCgroup::below(&hierarchy.point);
    let id = fixture.make("before");
    let below = fixture.make("before/below");
    let (mirror, changes) = start(fixture.path());
    fs::rename(fixture.path().join("before"), fixture.path().join("after")).unwrap();
    let renamed = Change::Renamed {
        id,
        parent: mirror.root(),
        old_name: "before".into(),
        new_name: "after".into(),
    };
    eventually("the rename is reported", || {
        *changes.lock() == [renamed.clone()]
    });
    assert_eq!(mirror.path(below).unwrap(), Path::new("after/below"));
    let again = fixture.make("before");
    let new = fixture.make("after/below/new");
    eventually("both names are watched", || {
        let appeared = appeared_ids(&changes);
        appeared.contains(&again) && appeared.contains(&new)
    });
    fixture.remove("after/below/new");
    fixture.remove("after/below");
    fixture.remove("after");
    eventually("all three are gone", || {
        gone_ids(&changes) == [new, below, id]
    });
}
