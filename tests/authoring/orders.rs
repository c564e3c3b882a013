//! What the kernel's cgroup iterator promises, seen through views: each order, an epilogue, an
//! early end, a cgroup that is removed meanwhile, and targets by descriptor and by id.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::common::objects::{Placed, is_absent, object, promptly, text};
use crate::common::readers::python;
use crate::common::shown::Shown;
use crate::common::{FixtureCgroup, cgroup_root, id, read};

/// A mount with the views of `tests/bpf/walks.bpf.c`, and the object's file.
fn with_walks() -> (Placed, PathBuf) {
    let placed = Placed::new();
    let object = placed.put("walks", &object("walks", &[]));
    promptly("loaded", || placed.status_of(&object)["live"] == true);
    (placed, object)
}

/// The numbers and ids of a walk's lines, and whether its last line was the epilogue's.
fn walk(path: &Path) -> (Vec<(u64, u64)>, bool) {
    parse(&read(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display())))
}

fn parse(text: &str) -> (Vec<(u64, u64)>, bool) {
    let number = |word: &str| word.parse::<u64>().expect("a number");
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    let pairs = pairs.map(|(seq, id)| (number(seq), number(id)));
    (pairs.collect(), text.ends_with("end\n"))
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn one_object_has_views_of_every_order() {
    let cgroup = FixtureCgroup::new("walks");
    let (a, b, c) = (cgroup.mkdir("a"), cgroup.mkdir("a/b"), cgroup.mkdir("c"));
    let (placed, object) = with_walks();
    let dir = placed.mount.dir_of(cgroup.path());
    let (top, a, b, c) = (cgroup.id(), id(&a), id(&b), id(&c));
    let ids = |view: &str, dir: &Path| {
        let (lines, epilogue) = walk(&dir.join(view));
        assert!(epilogue, "{view} has no epilogue");
        let numbers: Vec<u64> = lines.iter().map(|(number, _)| *number).collect();
        let from_zero: Vec<u64> = (0..).take(lines.len()).collect();
        assert_eq!(numbers, from_zero, "{view}");
        lines.into_iter().map(|(_, id)| id).collect::<Vec<u64>>()
    };
    assert_eq!(ids("itself", &dir), [top]);
    assert_eq!(ids("sleepy", &dir), [top]);
    let pre = ids("walk.pre-order", &dir);
    assert!(pre == [top, a, b, c] || pre == [top, c, a, b], "{pre:?}");
    let post = ids("post", &dir);
    assert!(post == [b, a, c, top] || post == [c, b, a, top], "{post:?}");
    assert_eq!(
        ids("up", &dir.join("a/b")),
        [b, a, top, id(placed.mount.path())]
    );
    assert_eq!(
        ids("first", &dir),
        [top],
        "the walk ends with its first element"
    );
    let help = read(&placed.mount.join(".cgview/views/walk.pre-order/help")).expect("help");
    assert_eq!(help, "Parents first\n");

    let status = placed.status_of(&object);
    let mut views = status["views"].as_array().expect("views").iter();
    let children = views
        .find(|view| view["name"] == "children")
        .expect("there");
    if children["live"] == true {
        let children = ids("children", &dir);
        assert!(children == [a, c] || children == [c, a], "{children:?}");
    } else {
        let reason = text(&children["reason"]);
        assert!(reason.contains("order"), "{reason}");
        assert!(is_absent(&dir.join("children")));
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_walk_of_a_removed_cgroup_reads_enodev() {
    let cgroup = FixtureCgroup::new("walks-removed");
    let (above, below) = (cgroup.mkdir("above"), cgroup.mkdir("above/below"));
    let (placed, _) = with_walks();
    let views = ["itself", "walk.pre-order", "post", "up", "first"];
    let dir = placed.mount.dir_of(&above);
    let open = views.map(|view| File::open(dir.join(view)).expect("open"));
    let mut buffer = [0; 4096];
    for file in &open {
        assert!(file.read_at(&mut buffer, 0).expect("read") > 0);
    }
    // The links are of the cgroup above, and shall not show one that went below it.
    fs::remove_dir(&below).expect("rmdir");
    let (lines, epilogue) = walk(&dir.join("walk.pre-order"));
    assert!(epilogue && lines == [(0, id(&above))], "{lines:?}");
    fs::remove_dir(&above).expect("rmdir");
    for (file, view) in open.iter().zip(views) {
        let error = file.read_at(&mut buffer, 0).expect_err(view);
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{view}");
    }
}

/// Links a pinned program to cgroups by file descriptor and by id, with one order, and prints what
/// each iterator gives: bpf(2), include/uapi/linux/bpf.h.
const BY_FD_AND_BY_ID: &str = "
import ctypes, os, struct, sys
pin, path, order = sys.argv[1], sys.argv[2], int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
BPF = {'x86_64': 321, 'aarch64': 280}[os.uname().machine]
OBJ_GET, LINK_CREATE, ITER_CREATE, TRACE_ITER = 7, 28, 33, 28
def bpf(command, attributes):
    attributes = ctypes.create_string_buffer(attributes, 128)
    fd = libc.syscall(BPF, command, attributes, 128)
    if fd < 0: raise OSError(ctypes.get_errno(), 'bpf command %d' % command)
    return fd
name = ctypes.create_string_buffer(pin.encode())
program = bpf(OBJ_GET, struct.pack('Q', ctypes.addressof(name)))
def walk(fd, id):
    info = ctypes.create_string_buffer(struct.pack('IIQ', order, fd, id), 16)
    link = bpf(LINK_CREATE, struct.pack('IIIIQI', program, 0, TRACE_ITER, 0, ctypes.addressof(info), 16))
    with open(bpf(ITER_CREATE, struct.pack('II', link, 0))) as walk: text = walk.read()
    os.close(link)
    return text
by_fd = walk(os.open(path, os.O_RDONLY), 0)
by_id = walk(0, os.stat(path).st_ino)
assert by_fd == by_id, (by_fd, by_id)
for fd, id in [(os.open('/proc', os.O_RDONLY), 0), (0, 1 << 62), (os.open(path, os.O_RDONLY), 1)]:
    try: sys.exit('a link to fd %d, id %d' % (fd, id) + walk(fd, id))
    except OSError: pass
sys.stdout.write(by_id)";

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_link_by_id_walks_as_one_by_descriptor() {
    let cgroup = FixtureCgroup::new("walks-target");
    let (a, b) = (cgroup.mkdir("a"), cgroup.mkdir("a/b"));
    let (placed, _) = with_walks();
    let objects = fs::read_dir(placed.mount.instance())
        .expect("list the instance")
        .flatten();
    let mut pins = objects.map(|object| object.path().join("view0"));
    let pin = pins.find(|pin| pin.exists()).expect("a pinned program");
    let (top, a, b) = (cgroup.id(), id(&a), id(&b));
    // enum bpf_cgroup_iter_order
    for (order, expected) in [
        ("1", vec![top]),
        ("2", vec![top, a, b]),
        ("3", vec![b, a, top]),
        ("4", vec![top, id(placed.mount.path())]),
    ] {
        let arguments = [pin.as_os_str(), cgroup.path().as_os_str(), order.as_ref()];
        let text = String::from_utf8(python(BY_FD_AND_BY_ID, &arguments)).expect("text");
        let (lines, epilogue) = parse(&text);
        let ids: Vec<u64> = lines.into_iter().map(|(_, id)| id).collect();
        assert!(epilogue && ids == expected, "order {order}: {text}");
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_record_view_in_an_order_gives_rows() {
    let cgroup = FixtureCgroup::new("line");
    let (a, inside) = (cgroup.mkdir("a"), cgroup.mkdir("a/in"));
    let shown = Shown::new("tests/bpf", "line");
    let rows = shown.json(&inside, "line.json");
    let rows = rows.as_array().expect("rows").iter();
    let ids: Vec<_> = rows.map(|row| row["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids[..3], [id(&inside), id(&a), cgroup.id()]);
    assert_eq!(ids.last(), Some(&id(&cgroup_root())));
}
