//! The watches on directories that are no cgroups, so without privileges.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// A directory below /tmp, removed on drop.
struct FixtureDir(PathBuf);

impl FixtureDir {
    fn new(what: &str) -> FixtureDir {
        let name = format!("cgview-watch-{}-{what}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        FixtureDir(path)
    }

    fn make(&self, below: &str) {
        fs::create_dir(self.0.join(below)).unwrap();
    }
}

impl Drop for FixtureDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Watches of `dir` alone, as cgroup 1, by an inotify instance whose thread has ended.
fn watches_with_ended_thread(dir: &FixtureDir) -> (Watches, queue::Receiver) {
    let (sender, receiver) = queue::new();
    let source = fs::File::open(&dir.0).unwrap();
    let mut watches = Watches::new(source.as_fd(), sender.clone()).unwrap();
    let instance = InotifyInstance::open_with(sender, |_| panic!("as the test wants it"));
    watches.instances.insert(0, instance.unwrap());
    watches.next_instance = 1;
    watches.add_directory(CgroupId(1), source.as_fd());
    assert_eq!((watches.len(), watches.unwatched()), (1, 0));
    dir.make("event");
    let deadline = Instant::now() + Duration::from_secs(10);
    while watches.instances[&0].is_running() {
        assert!(Instant::now() < deadline, "the thread goes on");
        thread::sleep(Duration::from_millis(1));
    }
    (watches, receiver)
}

#[test]
fn adding_to_an_ended_instance_returns_and_counts_its_cgroups_as_unwatched() {
    let dir = FixtureDir::new("ended");
    dir.make("a");
    let (mut watches, _receiver) = watches_with_ended_thread(&dir);
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        watches.add(vec![(CgroupId(2), "a".into())]);
        let _ = send.send(watches);
    });
    let added = receive.recv_timeout(Duration::from_secs(10));
    let mut watches = added.expect("add returns");
    assert_eq!((watches.len(), watches.unwatched()), (0, 2));

    watches.add(vec![(CgroupId(2), "a".into())]);
    assert_eq!(watches.len(), 0, "added before the next rescan");
}

#[test]
fn ended_instance_is_replaced_at_the_next_rescan() {
    let dir = FixtureDir::new("replaced");
    let (mut watches, receiver) = watches_with_ended_thread(&dir);
    // The end of the thread has woken the receiver.
    receiver.next_batch(Some(Duration::from_secs(10)));
    watches.close_failed_instances();
    assert_eq!((watches.len(), watches.unwatched()), (0, 1));

    let source = fs::File::open(&dir.0).unwrap();
    watches.retry();
    watches.add_directory(CgroupId(1), source.as_fd());
    assert_eq!((watches.len(), watches.unwatched()), (1, 0));
    dir.make("later");
    let batch = receiver.next_batch(Some(Duration::from_secs(10)));
    let path = batch.events.first().expect("an event");
    assert!(path.ends_with("later"), "{path:?}");
    assert_eq!(watches.dir_of(path), Some(CgroupId(1)));
}

#[test]
fn no_watched_path_is_an_entry_of_another_watched_directory() {
    let dir = FixtureDir::new("depths");
    for path in ["a", "a/b", "a/b/c"] {
        dir.make(path);
    }
    let (sender, _receiver) = queue::new();
    let source = fs::File::open(&dir.0).unwrap();
    let mut watches = Watches::new(source.as_fd(), sender).unwrap();
    let paths = ["", "a", "a/b", "a/b/c"].map(PathBuf::from);
    watches.add((1..).map(CgroupId).zip(paths).collect());
    assert_eq!(watches.len(), 4);
    for path in watches.by_path.keys() {
        assert_eq!(watches.dir_of(path), None, "{}", path.display());
    }
}
