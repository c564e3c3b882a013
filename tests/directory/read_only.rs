//! Every user may read, and none may write.

use std::ffi::OsStr;

use crate::common::objects::{Placed, eventually_says, promptly, say, says};
use crate::common::readers::python;
use crate::common::{FixtureCgroup, FixtureDir, MountedCgview, as_nobody};

/// Tries everything that writes; prints each that was not refused, or not in the expected way.
const WRITES: &str = "
import errno, fcntl, os, sys
dir, uid, file, manage = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == 'manage'
if uid: os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
f, new, at = dir + '/' + file, dir + '/new', os.open(dir, os.O_RDONLY)
fd = os.open(f, os.O_RDONLY)
calls = {
    'open for writing': lambda: os.open(f, os.O_WRONLY),
    'open for both': lambda: os.open(f, os.O_RDWR),
    'open and truncate': lambda: os.open(f, os.O_WRONLY | os.O_TRUNC),
    'open and append': lambda: os.open(f, os.O_WRONLY | os.O_APPEND),
    'create': lambda: os.open(new, os.O_WRONLY | os.O_CREAT, 0o644),
    'open a nameless file': lambda: os.open(dir, os.O_WRONLY | os.O_TMPFILE, 0o600),
    'truncate': lambda: os.truncate(f, 0),
    'chmod': lambda: os.chmod(f, 0o666),
    'fchmod': lambda: os.fchmod(fd, 0o666),
    'chmod of the directory': lambda: os.chmod(dir, 0o777),
    'chown': lambda: os.chown(f, 1, 1),
    'utimes': lambda: os.utime(f, (0, 0)),
    'touch': lambda: os.utime(f),
    'unlink': lambda: os.unlink(f),
    'rmdir': lambda: os.rmdir(dir + '/child'),
    'mkdir': lambda: os.mkdir(new),
    'mknod': lambda: os.mknod(new),
    'mkfifo': lambda: os.mkfifo(new),
    'symlink': lambda: os.symlink('x', new),
    'link': lambda: os.link(f, new),
    'rename': lambda: os.rename(f, new),
    'rename of the directory': lambda: os.rename(dir + '/child', new),
    'setxattr': lambda: os.setxattr(f, 'user.a', b'b'),
    'removexattr': lambda: os.removexattr(f, 'user.a'),
    'ftruncate': lambda: os.ftruncate(fd, 0),
    'fallocate': lambda: os.posix_fallocate(fd, 0, 10),
    'write': lambda: os.write(fd, b'x'),
    'ioctl': lambda: fcntl.ioctl(fd, 0x1234, 0),
}
# What the kernel says of a descriptor that is open for reading only.
of_descriptor = {'ftruncate': 'EINVAL', 'fallocate': 'EBADF', 'write': 'EBADF', 'ioctl': 'ENOTTY'}
for name, call in calls.items():
    try:
        call()
        print(name, 'succeeded')
    except OSError as e:
        got = errno.errorcode[e.errno]
        expected = [of_descriptor[name]] if name in of_descriptor else ['EROFS']
        # Views may be removed, but not where they are inherited.
        if manage and name == 'unlink': expected = ['EPERM']
        if manage and name == 'open a nameless file': expected = ['ENOTSUP']
        if uid and name not in of_descriptor: expected += ['EACCES', 'EPERM']
        if got not in expected: print(name, got)
";

/// Writes by root and by others, to a view of the user's and to a built-in one.
fn assert_nothing_can_be_written(placed: &Placed, cgroup: &FixtureCgroup, manage: &str) {
    let child = cgroup.mkdir("child");
    let object = placed.put("greet", &say("greet", "hello"));
    let dir = placed.mount.dir_of(cgroup.path());
    eventually_says(&dir.join("greet"), "hello ");
    for uid in ["0", "65534"] {
        for file in ["greet", "stats"] {
            let [uid, file, manage] = [uid, file, manage].map(OsStr::new);
            let said = python(WRITES, &[dir.as_os_str(), uid, file, manage]);
            let said = String::from_utf8_lossy(&said);
            assert_eq!(said, "", "{} by user {}", file.display(), uid.display());
        }
    }
    assert!(object.exists() && child.exists());
    promptly("still there", || says(&dir.join("greet"), "hello "));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn nobody_can_write_anything() {
    let cgroup = FixtureCgroup::new("writes");
    let views = FixtureDir::new("views.d");
    // In the directory where the views are placed.
    let option = format!("builtin=stats,views={}", views.path().display());
    let mount = MountedCgview::of_with(&cgroup, &["-o", &option]);
    assert_nothing_can_be_written(&Placed { mount, views }, &cgroup, "");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn with_manage_nobody_can_write_where_views_are_inherited() {
    let cgroup = FixtureCgroup::new("manage-writes");
    let placed = Placed::with(",builtin=stats,manage");
    assert_nothing_can_be_written(&placed, &cgroup, "manage");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn an_unprivileged_user_reads_all_of_the_mount_and_nothing_of_the_daemon() {
    let cgroup = FixtureCgroup::new("nobody");
    cgroup.mkdir("a/b");
    let mount = MountedCgview::of(&cgroup);
    let all = as_nobody(
        "cd \"$1\" && ls -lR . && grep -r '' . && cat a/b/stats.tree .cgview/prom/*",
        &[mount.path().as_os_str()],
    );
    assert!(
        all.status.success(),
        "{}",
        String::from_utf8_lossy(&all.stderr)
    );
    let text = String::from_utf8(all.stdout).expect("text");
    assert!(text.contains(&format!(
        "a/b/stats:id {}\n",
        crate::common::id(&cgroup.path().join("a/b"))
    )));
    assert!(!mount.links().is_empty());
    let pins = as_nobody("ls \"$1\"", &[mount.instance().as_os_str()]);
    assert!(
        !pins.status.success(),
        "{}",
        String::from_utf8_lossy(&pins.stdout)
    );
}
