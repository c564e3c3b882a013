//! What the other privileged tests need of the machine: cgroups, bpffs, FUSE, BTF.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::path::Path;

use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};

use crate::common::bpffs::Bpffs;
use crate::common::{FixtureCgroup, cgroup_root};

type Outcome = Result<(), Box<dyn Error>>;

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_new_cgroup_has_the_files_of_the_enabled_controllers_only() -> Outcome {
    let child = FixtureCgroup::new("files");
    let enabled = fs::read_to_string(cgroup_root().join("cgroup.subtree_control"))?;
    let files = [
        ("memory", "memory.current"),
        ("pids", "pids.current"),
        ("io", "io.stat"),
        ("cpuset", "cpuset.cpus"),
    ];
    for (controller, file) in files {
        let expected = enabled.split_whitespace().any(|name| name == controller);
        assert_eq!(child.path().join(file).exists(), expected, "{file}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_removed_cgroup_is_gone() -> Outcome {
    let child = FixtureCgroup::new("gone");
    fs::remove_dir(child.path())?;
    assert!(!child.path().exists());
    Ok(())
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_guest_has_the_controllers_where_its_name_says() -> Outcome {
    let root = cgroup_root();
    let enabled = fs::read_to_string(root.join("cgroup.subtree_control"))?;
    match std::env::var("CGVIEW_KERNEL") {
        Ok(guest) if guest.ends_with("-hybrid") => {
            assert_eq!(root, Path::new("/sys/fs/cgroup/unified"));
            assert_eq!(enabled.trim(), "");
            assert!(Path::new("/sys/fs/cgroup/pids/cgroup.procs").exists());
        }
        Ok(_) => {
            assert_eq!(root, Path::new("/sys/fs/cgroup"));
            assert_eq!(enabled.trim(), "cpuset cpu io memory pids");
        }
        Err(_) => assert!(
            root.join("cgroup.procs").exists(),
            "not a guest: any cgroup2 will do"
        ),
    }
    Ok(())
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_map_pinned_in_bpffs_can_be_opened_again() -> Outcome {
    let bpffs = Bpffs::new();
    let path = bpffs.path().join("map");
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let mut map = MapHandle::create(MapType::Array, Some("bed"), 4, 8, 1, &options)?;
    map.update(&0u32.to_ne_bytes(), &7u64.to_ne_bytes(), MapFlags::ANY)?;
    map.pin(&path)?;
    let again = MapHandle::from_pinned_path(&path)?.lookup(&0u32.to_ne_bytes(), MapFlags::ANY)?;
    map.unpin(&path)?;
    assert_eq!(again, Some(7u64.to_ne_bytes().to_vec()));
    Ok(())
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn fuse_btf_and_tracing_are_there() -> Outcome {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")?;
    File::open("/sys/kernel/btf/vmlinux")?;
    Ok(())
}
