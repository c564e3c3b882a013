//! What waits for the follower's thread: names to look at again, from inotify and from lookups.
//! Bounded; when it is full, or when inotify lost events, all that remains is "look everywhere".

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::CgroupId;

/// Messages that may wait: four times the kernel's own queue of one inotify instance.
const WAITING_MAX: usize = if cfg!(test) { 1_024 } else { 65_536 };

/// Messages taken at a time: events on one name within a batch cost one look.
const BATCH_MAX: usize = WAITING_MAX / 8;

enum Message {
    Touched(PathBuf),
    Look(CgroupId, OsString),
    /// Nothing but a reason to wake up: the flags tell.
    Wake,
}

/// The sending end.
#[derive(Clone)]
pub(super) struct Inbox {
    messages: Sender<Message>,
    flags: Arc<Flags>,
}

#[derive(Default)]
struct Flags {
    lost: AtomicBool,
    stop: AtomicBool,
    events: AtomicU64,
    overflows: AtomicU64,
}

/// The receiving end.
pub(super) struct Outbox {
    messages: Receiver<Message>,
    flags: Arc<Flags>,
}

/// What arrived since the last batch.
#[derive(Default)]
pub(super) struct Batch {
    /// Paths that inotify reported.
    pub(super) touched: Vec<PathBuf>,
    /// Names that a lookup found to differ from the tree.
    pub(super) looks: Vec<(CgroupId, OsString)>,
    /// Events were lost.
    pub(super) lost: bool,
    /// The mirror ends.
    pub(super) stop: bool,
}

/// Both ends of a new inbox.
pub(super) fn inbox() -> (Inbox, Outbox) {
    let (sender, receiver) = unbounded();
    let flags = Arc::new(Flags::default());
    let inbox = Inbox {
        messages: sender,
        flags: Arc::clone(&flags),
    };
    let outbox = Outbox {
        messages: receiver,
        flags,
    };
    (inbox, outbox)
}

impl Inbox {
    /// inotify reported this path.
    pub(super) fn touched(&self, path: PathBuf) {
        self.flags.events.fetch_add(1, Ordering::Relaxed);
        self.push(Message::Touched(path));
    }

    /// The tree does not agree with what was just found at `name` in `dir`.
    pub(super) fn look(&self, dir: CgroupId, name: OsString) {
        self.push(Message::Look(dir, name));
    }

    /// Events were lost: everything must be looked at again.
    pub(super) fn lost(&self) {
        self.flags.overflows.fetch_add(1, Ordering::Relaxed);
        self.flags.lost.store(true, Ordering::Release);
        self.send(Message::Wake);
    }

    /// Asks the follower to end.
    pub(super) fn stop(&self) {
        self.flags.stop.store(true, Ordering::Release);
        self.send(Message::Wake);
    }

    /// Events that inotify has reported so far.
    pub(super) fn events(&self) -> u64 {
        self.flags.events.load(Ordering::Relaxed)
    }

    /// How often events were lost.
    pub(super) fn overflows(&self) -> u64 {
        self.flags.overflows.load(Ordering::Relaxed)
    }

    fn push(&self, message: Message) {
        if self.messages.len() < WAITING_MAX {
            self.send(message);
        } else if !self.flags.lost.swap(true, Ordering::AcqRel) {
            // The follower is awake already: it has all these messages before it.
            self.flags.overflows.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send(&self, message: Message) {
        // Fails only when the follower has ended: then nobody is left to be told.
        let _ = self.messages.send(message);
    }
}

impl Outbox {
    /// Waits for the next batch, or until `patience` is at an end.
    pub(super) fn next_batch(&self, patience: Option<Duration>) -> Batch {
        let mut batch = Batch::default();
        let first = match patience {
            Some(patience) => self.messages.recv_timeout(patience),
            None => self.messages.recv().map_err(RecvTimeoutError::from),
        };
        match first {
            Ok(message) => batch.put(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => batch.stop = true,
        }
        for message in self.messages.try_iter().take(BATCH_MAX) {
            batch.put(message);
        }
        batch.lost = self.flags.lost.swap(false, Ordering::AcqRel);
        batch.stop |= self.flags.stop.load(Ordering::Acquire);
        batch
    }
}

impl Batch {
    fn put(&mut self, message: Message) {
        match message {
            Message::Touched(path) => self.touched.push(path),
            Message::Look(dir, name) => self.looks.push((dir, name)),
            Message::Wake => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_inbox_becomes_one_order_to_look_everywhere() {
        let (inbox, outbox) = inbox();
        for _ in 0..WAITING_MAX + 10 {
            inbox.touched(PathBuf::from("/a"));
        }
        let batch = outbox.next_batch(None);
        assert!(batch.lost);
        assert_eq!(batch.touched.len(), BATCH_MAX + 1);
        assert_eq!(inbox.overflows(), 1);
        assert_eq!(outbox.messages.len(), WAITING_MAX - BATCH_MAX - 1);
    }

    #[test]
    fn a_time_out_is_an_empty_batch() {
        let (_inbox, outbox) = inbox();
        let batch = outbox.next_batch(Some(Duration::from_millis(1)));
        assert!(batch.touched.is_empty() && batch.looks.is_empty());
        assert!(!batch.lost && !batch.stop);
    }

    #[test]
    fn stop_wakes_the_follower() {
        let (inbox, outbox) = inbox();
        inbox.stop();
        assert!(outbox.next_batch(None).stop);
    }
}
