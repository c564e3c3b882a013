//! The machine that the other privileged tests run on is what they take for granted: cgroups, bpffs, FUSE, scratch space.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

type Outcome = Result<(), Box<dyn Error>>;

/// Where cgroup2 is mounted.
fn cgroup2() -> Result<PathBuf, Box<dyn Error>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut fields = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = fields
        .find(|mount| mount[2] == "cgroup2")
        .ok_or("no cgroup2 mounted")?;
    Ok(PathBuf::from(mount[1]))
}

/// A cgroup that goes away with this value.
struct Child(PathBuf);

impl Child {
    fn new(name: &str) -> Result<Self, Box<dyn Error>> {
        let path = cgroup2()?.join(format!("bed-{name}-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// A bpffs of the test's own: not every machine has one at /sys/fs/bpf.
struct Bpffs(PathBuf);

impl Bpffs {
    fn new() -> Result<Self, Box<dyn Error>> {
        let path = std::env::temp_dir().join(format!("bed-bpffs-{}", std::process::id()));
        fs::create_dir(&path)?;
        mount("bed", &path, "bpf", MountFlags::empty(), None)?;
        Ok(Self(path))
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_new_cgroup_has_the_files_of_the_enabled_controllers_only() -> Outcome {
    let child = Child::new("files")?;
    let enabled = fs::read_to_string(cgroup2()?.join("cgroup.subtree_control"))?;
    let files = [
        ("memory", "memory.current"),
        ("pids", "pids.current"),
        ("io", "io.stat"),
        ("cpuset", "cpuset.cpus"),
    ];
    for (controller, file) in files {
        let expected = enabled.split_whitespace().any(|name| name == controller);
        assert_eq!(child.0.join(file).exists(), expected, "{file}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_removed_cgroup_is_gone() -> Outcome {
    let child = Child::new("gone")?;
    fs::remove_dir(&child.0)?;
    assert!(!child.0.exists());
    Ok(())
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_guest_has_the_controllers_where_its_name_says() -> Outcome {
    let root = cgroup2()?;
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
    let bpffs = Bpffs::new()?;
    let path = bpffs.0.join("map");
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
