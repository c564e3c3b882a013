//! The queue of the mirror's thread: paths that inotify reported, and names that a lookup found to
//! differ from the tree. Bounded: when it is full or inotify lost events, a flag asks for a rescan.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, unbounded};

use super::CgroupId;

/// Limit on queued messages: four times the kernel's queue of one inotify instance.
const MAX_QUEUED: usize = if cfg!(test) { 1_024 } else { 65_536 };

/// Limit on the messages of a batch. Several events on one name in a batch cost one check.
const MAX_BATCH: usize = MAX_QUEUED / 8;

enum Message {
    Event(PathBuf),
    Attributes(PathBuf),
    Check(CgroupId, OsString),
    /// Ends the receiver's wait; the flags say why.
    Wake,
}

/// The sending end.
#[derive(Clone)]
pub(super) struct Sender {
    messages: crossbeam_channel::Sender<Message>,
    shared: Arc<Shared>,
}

/// The receiving end.
pub(super) struct Receiver {
    messages: crossbeam_channel::Receiver<Message>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    lost: AtomicBool,
    stop: AtomicBool,
    events: AtomicU64,
    overflows: AtomicU64,
}

/// The messages since the last batch.
#[derive(Default)]
pub(super) struct Batch {
    /// Paths that inotify reported.
    pub(super) events: Vec<PathBuf>,
    /// Paths whose attributes inotify reported as changed.
    pub(super) attributes: Vec<PathBuf>,
    /// Names to check, each with its parent.
    pub(super) names: Vec<(CgroupId, OsString)>,
    /// Whether messages were lost.
    pub(super) lost: bool,
    /// Whether the thread has to end.
    pub(super) stop: bool,
}

/// Creates an empty queue.
pub(super) fn new() -> (Sender, Receiver) {
    let (sender, receiver) = unbounded();
    let shared = Arc::new(Shared::default());
    let sender = Sender {
        messages: sender,
        shared: Arc::clone(&shared),
    };
    let receiver = Receiver {
        messages: receiver,
        shared,
    };
    (sender, receiver)
}

impl Sender {
    /// Adds a path that inotify reported.
    pub(super) fn event(&self, path: PathBuf) {
        self.shared.events.fetch_add(1, Ordering::Relaxed);
        self.push(Message::Event(path));
    }

    /// Adds a path whose attributes inotify reported as changed.
    pub(super) fn attributes(&self, path: PathBuf) {
        self.shared.events.fetch_add(1, Ordering::Relaxed);
        self.push(Message::Attributes(path));
    }

    /// Adds a name for which the tree does not agree with cgroupfs.
    pub(super) fn check(&self, dir: CgroupId, name: OsString) {
        self.push(Message::Check(dir, name));
    }

    /// Asks for a rescan, since events were lost.
    pub(super) fn lost(&self) {
        self.shared.overflows.fetch_add(1, Ordering::Relaxed);
        self.shared.lost.store(true, Ordering::Release);
        self.wake();
    }

    /// Ends the mirror's thread.
    pub(super) fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Ends the receiver's wait.
    pub(super) fn wake(&self) {
        self.send(Message::Wake);
    }

    /// The number of events that inotify has reported.
    pub(super) fn events(&self) -> u64 {
        self.shared.events.load(Ordering::Relaxed)
    }

    /// How often events were lost.
    pub(super) fn overflows(&self) -> u64 {
        self.shared.overflows.load(Ordering::Relaxed)
    }

    fn push(&self, message: Message) {
        if self.messages.len() < MAX_QUEUED {
            self.send(message);
        } else if !self.shared.lost.swap(true, Ordering::AcqRel) {
            // The queued messages wake the receiver.
            self.shared.overflows.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send(&self, message: Message) {
        // Fails only after the mirror's thread has ended.
        let _ = self.messages.send(message);
    }
}

impl Receiver {
    /// Waits for messages, or until the timeout has passed.
    pub(super) fn next_batch(&self, timeout: Option<Duration>) -> Batch {
        let mut batch = Batch::default();
        let first = match timeout {
            Some(timeout) => self.messages.recv_timeout(timeout),
            None => self.messages.recv().map_err(RecvTimeoutError::from),
        };
        match first {
            Ok(message) => batch.put(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => batch.stop = true,
        }
        for message in self.messages.try_iter().take(MAX_BATCH) {
            batch.put(message);
        }
        batch.lost = self.shared.lost.swap(false, Ordering::AcqRel);
        batch.stop |= self.shared.stop.load(Ordering::Acquire);
        batch
    }
}

impl Batch {
    fn put(&mut self, message: Message) {
        match message {
            Message::Event(path) => self.events.push(path),
            Message::Attributes(path) => self.attributes.push(path),
            Message::Check(dir, name) => self.names.push((dir, name)),
            Message::Wake => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_queue_asks_once_for_a_rescan() {
        let (sender, receiver) = new();
        for _ in 0..MAX_QUEUED + 10 {
            sender.event(PathBuf::from("/a"));
        }
        let batch = receiver.next_batch(None);
        assert!(batch.lost);
        assert_eq!(batch.events.len(), MAX_BATCH + 1);
        assert_eq!(sender.overflows(), 1);
        assert_eq!(receiver.messages.len(), MAX_QUEUED - MAX_BATCH - 1);
    }

    #[test]
    fn timeout_gives_an_empty_batch() {
        let (_sender, receiver) = new();
        let batch = receiver.next_batch(Some(Duration::from_millis(1)));
        assert!(batch.events.is_empty() && batch.names.is_empty());
        assert!(!batch.lost && !batch.stop);
    }

    #[test]
    fn stop_ends_the_wait() {
        let (sender, receiver) = new();
        sender.stop();
        assert!(receiver.next_batch(None).stop);
    }
}
