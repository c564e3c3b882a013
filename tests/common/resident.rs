//! Processes that live in a cgroup.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::eventually;

/// A process in a cgroup, killed on drop.
pub struct Resident {
    process: Child,
}

impl Resident {
    /// Runs a shell script that starts in `cgroup`.
    pub fn new(cgroup: &Path, script: &str) -> Resident {
        let process = Command::new("bash")
            .args(["-c", &format!("echo $$ >\"$0\"/cgroup.procs; {script}")])
            .arg(cgroup)
            .stdin(Stdio::null())
            .spawn()
            .expect("run bash");
        let resident = Resident { process };
        let procs = cgroup.join("cgroup.procs");
        eventually(
            Duration::from_secs(20),
            "the process is in its cgroup",
            || {
                let procs = fs::read_to_string(&procs).expect("read cgroup.procs");
                procs.lines().any(|pid| pid == resident.pid().to_string())
            },
        );
        resident
    }

    /// One that never sleeps.
    pub fn busy(cgroup: &Path) -> Resident {
        Resident::new(cgroup, "while :; do :; done")
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end.
    pub fn wait(mut self) {
        self.process.wait().expect("wait for the process");
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
