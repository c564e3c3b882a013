//! The kernel's own iterators in a text view.

use std::fs;

use crate::common::shown::Shown;
use crate::common::{cgroup_root, kernel_has, value};

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_task_iterator_finds_processes_and_threads() {
    let shown = Shown::new("tests/bpf", "threads");
    if !kernel_has("bpf_iter_task_new") {
        let status = shown.status();
        assert!(status.contains("bpf_iter_task_new"), "{status}");
        return;
    }
    let text = shown.read(&cgroup_root(), "threads");
    let number = |key: &str| value(&text, key).unwrap_or_else(|| panic!("no {key} in {text:?}"));
    let tasks = format!("/proc/{}/task", shown.mount.pid());
    let tasks = fs::read_dir(tasks).expect("list the daemon's threads");
    assert_eq!(number("own"), tasks.count() as u64);
    assert!(number("processes") > 1, "{text}");
    let others = number("threads") - number("own");
    assert!(others + 1 >= number("processes"), "{text}");
}
