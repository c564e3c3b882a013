//! Load for the views to count.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Processes that burn CPU time in a cgroup until dropped.
pub struct Burning(Vec<Child>);

impl Burning {
    /// Starts as many, each in the cgroup from its first instruction of burning on.
    pub fn new(cgroup: &Path, processes: usize) -> Burning {
        let start = |_| {
            Command::new("sh")
                .args(["-c", "echo $$ > \"$0\" && while :; do :; done"])
                .arg(cgroup.join("cgroup.procs"))
                .stdin(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("run sh: {error}"))
        };
        Burning((0..processes).map(start).collect())
    }
}

impl Drop for Burning {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
