//! A file about a subtree shows the cgroups that its reader could read one by one.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Output;
use std::time::Duration;

use crate::common::objects::{eventually_says, say};
use crate::common::{FixtureCgroup, FixtureDir, MountedCgview, NOBODY, eventually, run};

/// A user that owns cgroups.
const OWNER: u32 = 4242;

const READERS: [&[&str]; 5] = [
    &["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"],
    &["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
    // All capabilities, and none that reaches another user's directory.
    &["unshare", "--user", "--map-root-user"],
    // In a PID namespace.
    &["unshare", "--pid", "--fork"],
    &["env"],
];

/// Prints each way to read a file about the subtree `sys.argv[1]` that does not show exactly those
/// cgroups of `sys.argv[2]` that this process can list and enter, and `refused` if sendfile(2) is.
const COMPARE: &str = r##"
import json, os, re, sys
mnt, cgroup = sys.argv[1:]
reachable = {'.'}
for at, dirs, _ in os.walk(cgroup):
    dirs[:] = [d for d in dirs if os.access(f'{at}/{d}', os.R_OK | os.X_OK)]
    reachable |= {os.path.relpath(f'{at}/{d}', cgroup) for d in dirs}
def read(file):
    return open(f'{mnt}/{file}').read()
def sendfile(file):
    out, fd = os.memfd_create('out'), os.open(f'{mnt}/{file}', os.O_RDONLY)
    try:
        while os.sendfile(out, fd, None, 1 << 20): pass
    except OSError:
        return None
    return os.pread(out, 1 << 20, 0).decode()
def table(text): return {line.split(' ')[0] for line in text.splitlines()[1:]}
shown = {
    'table': table(read('stats.tree')),
    'json': {json.loads(line)['cgroup'] for line in read('stats.tree.json').splitlines()},
    'texts': {line[2:] for line in read('greet.tree').splitlines() if line.startswith('# ')},
    'prom': {c.strip('/') or '.' for c in
        re.findall(r'cgview_stats_level\{cgroup="([^"]*)"', read('.cgview/prom/stats.prom'))},
}
sent = sendfile('stats.tree')
if sent is not None: shown['page cache'] = table(sent)
for way, cgroups in shown.items():
    if cgroups != reachable: print(way, sorted(cgroups), 'for', sorted(reachable))
if sent is None: print('refused')
"##;

/// What the comparison says for this reader.
fn compared(reader: &[&str], mount: &MountedCgview, cgroup: &FixtureCgroup) -> String {
    // A python3 before it in PATH may be in the home of root.
    let python = ["/usr/bin/python3", "-S", "-c", COMPARE].map(OsStr::new);
    let paths = [mount.path().as_os_str(), cgroup.path().as_os_str()];
    let words = reader.iter().map(OsStr::new).chain(python).chain(paths);
    let Output { stdout, stderr, .. } = run("env", words);
    let complaint = String::from_utf8_lossy(&stderr);
    assert_eq!(complaint, "", "{reader:?}");
    String::from_utf8(stdout).expect("text").trim().to_owned()
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_subtree_shows_what_its_reader_may_enter() {
    let cgroup = FixtureCgroup::new("closed");
    for (name, mode, owner) in [
        ("open", 0o755, 0),
        ("roots", 0o700, 0),
        ("owned", 0o700, OWNER),
        ("by-name", 0o711, OWNER),
        ("open/nobodys", 0o300, OWNER),
    ] {
        let dir = cgroup.mkdir(name);
        cgroup.mkdir(format!("{name}/below/deep"));
        chown(&dir, Some(owner), None).expect("chown");
        fs::set_permissions(&dir, Permissions::from_mode(mode)).expect("chmod");
    }
    let views = FixtureDir::new("views.d");
    fs::copy(say("greet", "hello"), views.path().join("greet.bpf.o")).expect("place");
    let option = format!("builtin=stats,views={}", views.path().display());
    let mount = MountedCgview::of_with(&cgroup, &["-o", &option]);
    eventually_says(&mount.join("greet"), "hello ");

    let nobody = ["setpriv"]
        .iter()
        .chain(NOBODY)
        .copied()
        .collect::<Vec<_>>();
    for reader in READERS.iter().copied().chain([&nobody[..]]) {
        let said = compared(reader, &mount, &cgroup);
        assert!(
            ["", "refused"].contains(&said.as_str()),
            "{reader:?}: {said}"
        );
    }
    // The page cache is refused for a while after others have asked for attributes.
    let agrees = |reader: &[&str], what: &str| {
        eventually(Duration::from_secs(60), what, || {
            compared(reader, &mount, &cgroup).is_empty()
        });
    };
    agrees(&nobody, "what all may see is in the page cache");

    // Every change counts soon, and so does what is made later.
    for name in ["roots", "owned", "by-name", "open/nobodys"] {
        let dir = cgroup.path().join(name);
        fs::set_permissions(dir, Permissions::from_mode(0o755)).expect("chmod");
    }
    agrees(&nobody, "nothing is closed");
    agrees(&["env"], "nothing is closed to root");
    let made = cgroup.mkdir("later/below");
    let closed = Permissions::from_mode(0o700);
    fs::set_permissions(made.parent().expect("later"), closed).expect("chmod");
    agrees(&nobody, "a new one is closed");
}
