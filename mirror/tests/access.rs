//! Who may list and enter a cgroup's directory, as chmod and chown change it.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};

use super::*;

#[test]
#[ignore = "needs root and cgroup2"]
fn closed_cgroups_are_known_and_changes_are_reported() {
    let fixture = FixtureCgroup::new();
    let chmod = |name: &str, mode| {
        let path = fixture.path().join(name);
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    let [early, late] = [fixture.make("early"), fixture.make("late")];
    chmod("early", 0o700);
    let (mirror, changes) = start(fixture.path());
    let is_reported = |id| changes.lock().contains(&Change::Attributes { id });
    assert_eq!(mirror.closed(), BTreeMap::from([(early, Access::Owner(0))]));
    assert_eq!(mirror.access(late).unwrap(), Access::Everyone);

    chmod("early", 0o755);
    chmod("late", 0o711);
    chown(fixture.path().join("late"), Some(7), None).unwrap();
    eventually("both changes are known", || {
        mirror.closed() == BTreeMap::from([(late, Access::Owner(7))])
    });
    eventually("both are reported", || {
        is_reported(early) && is_reported(late)
    });

    // A name that was looked up before any event about it.
    let id = fixture.make("new");
    chmod("new", 0o300);
    assert_eq!(mirror.lookup(mirror.root(), OsStr::new("new")).unwrap(), id);
    eventually("the new one is closed", || {
        mirror.closed().get(&id) == Some(&Access::Nobody)
    });
    for name in ["late", "new"] {
        fixture.remove(name);
    }
    eventually("nothing is left of them", || mirror.closed().is_empty());
}
