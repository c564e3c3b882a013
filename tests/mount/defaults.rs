//! What holds without options: where views and pins are looked for, and where the daemon logs. Each
//! test has its own directories there, in a mount namespace.

use crate::common::objects::say;
use crate::common::point::{Mountpoint, succeeds};
use crate::common::{CGVIEW, run};

/// Runs a script in a mount namespace; `$1` is the program, `$2` the mountpoint, `$3` an object.
fn in_namespace(point: &Mountpoint, script: &str) -> String {
    let object = say("greet", "hello");
    let object = object.to_str().expect("UTF-8");
    let words = [
        "-m",
        "bash",
        "-euc",
        script,
        "bash",
        CGVIEW,
        point.str(),
        object,
    ];
    let output = run("unshare", words);
    succeeds(&output);
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn views_and_pins_are_looked_for_in_the_default_directories() {
    let point = Mountpoint::new();
    let script = r#"
        mount -t tmpfs none /etc && mkdir -p /etc/cgview/views.d
        cp "$3" /etc/cgview/views.d/greet.bpf.o
        mount -t bpf none /sys/fs/bpf && mkdir /sys/fs/bpf/cgview
        bpftool prog load "$3" /sys/fs/bpf/cgview/pinned
        "$1" -o builtin= "$2"
        trap 'umount "$2"' EXIT
        grep -h '^object' "$2/.cgview/status"
        cat "$2/greet""#;
    let shown = in_namespace(&point, script);
    for part in [
        "object /etc/cgview/views.d/greet.bpf.o placement / ",
        "object /sys/fs/bpf/cgview/pinned placement / ",
        "\nhello 1\n",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    point.check_nothing_left();
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn in_the_background_the_daemon_logs_to_the_system_log() {
    let point = Mountpoint::new();
    let script = r#"
        mount -t tmpfs none /dev
        mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/fuse c 10 229
        # For Python, when the kernel has not gathered enough randomness yet.
        mknod -m 444 /dev/urandom c 1 9
        mkdir /dev/views
        exec python3 -S -c '
import socket, subprocess, sys
program, point = sys.argv[1:]
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
log.settimeout(60)
subprocess.run([program, "-o", "builtin=,views=/dev/views", point], check=True)
try:
    open("/dev/views/bad.bpf.o", "w").close()
    print(log.recv(4096).decode())
finally:
    subprocess.run(["umount", point], check=True)' "$1" "$2""#;
    let line = in_namespace(&point, script);
    assert!(line.contains("cgview["), "{line}");
    assert!(line.contains("/dev/views/bad.bpf.o"), "{line}");
    point.check_nothing_left();
}
