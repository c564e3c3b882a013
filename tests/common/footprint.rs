//! What a daemon holds of the system.

use std::fs;
use std::path::PathBuf;

use super::MountedCgview;

/// Memory, descriptors, watches and pins of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    pub rss_kib: u64,
    pub descriptors: usize,
    pub watches: usize,
    pub links: usize,
    pub threads: usize,
}

impl Footprint {
    pub fn of(mount: &MountedCgview) -> Footprint {
        let process = PathBuf::from(format!("/proc/{}", mount.pid()));
        let status = fs::read_to_string(process.join("status")).expect("the daemon's status");
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|rss| rss.trim().strip_suffix(" kB"));
        let count = |dir: &str| fs::read_dir(process.join(dir)).expect("list").count();
        let infos = fs::read_dir(process.join("fdinfo")).expect("list");
        let infos = infos
            .flatten()
            .filter_map(|info| fs::read_to_string(info.path()).ok());
        Footprint {
            rss_kib: rss.expect("VmRSS").parse().expect("a number"),
            descriptors: count("fd"),
            watches: infos.map(|info| info.matches("inotify wd:").count()).sum(),
            links: mount.links().len(),
            threads: count("task"),
        }
    }

    /// The same apart from memory.
    pub fn without_memory(&self) -> Footprint {
        Footprint {
            rss_kib: 0,
            ..self.clone()
        }
    }
}
