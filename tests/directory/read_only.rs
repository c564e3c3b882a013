//! Everybody may read, and nobody may write.

use std::path::Path;

use crate::common::readers::python;
use crate::common::{FixtureCgroup, MountedCgview};

/// Tries everything that writes; prints each that was not refused, or not in the expected way.
const WRITES: &str = "
import errno, fcntl, os, sys
dir, uid = sys.argv[1], int(sys.argv[2])
if uid: os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
f, new, at = dir + '/stats', dir + '/new', os.open(dir, os.O_RDONLY)
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
        if uid and name not in of_descriptor: expected += ['EACCES', 'EPERM']
        if got not in expected: print(name, got)
";

fn refused_writes(uid: u32) -> String {
    let cgroup = FixtureCgroup::new("writes");
    cgroup.mkdir("child");
    let mount = MountedCgview::of(&cgroup);
    let uid = uid.to_string();
    let said = python(WRITES, &[mount.path().as_os_str(), uid.as_ref()]);
    assert!(cgroup.path().join("child").exists());
    String::from_utf8(said).expect("text")
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn root_can_write_nothing() {
    assert_eq!(refused_writes(0), "");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn an_unprivileged_user_can_write_nothing() {
    assert_eq!(refused_writes(65534), "");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn an_unprivileged_user_reads_all_of_the_mount_and_nothing_of_the_daemon() {
    let cgroup = FixtureCgroup::new("nobody");
    cgroup.mkdir("a/b");
    let mount = MountedCgview::of(&cgroup);
    let as_nobody = |script: &str, path: &Path| {
        let program =
            "setpriv --reuid 65534 --regid 65534 --clear-groups bash -c \"$0\" bash \"$1\"";
        crate::common::run(
            "bash",
            [
                "-c".as_ref(),
                program.as_ref(),
                script.as_ref(),
                path.as_os_str(),
            ],
        )
    };
    let all = as_nobody(
        "cd \"$1\" && ls -lR . && grep -r '' . && cat a/b/stats.tree .cgview/prom/*",
        mount.path(),
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
    let pins = as_nobody("ls \"$1\"", &mount.instance());
    assert!(
        !pins.status.success(),
        "{}",
        String::from_utf8_lossy(&pins.stdout)
    );
}
