//! One inotify instance: a watcher of notify, with the thread that it runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{Event, EventKind, EventKindMask, ModifyKind};
use notify::{Config, EventHandler, INotifyWatcher, PathOp, UpdatePathsError, Watcher};

use crate::mirror::queue;

pub(super) struct InotifyInstance {
    /// Taken on drop.
    watcher: Option<INotifyWatcher>,
    running: Arc<AtomicBool>,
    /// The number of its watches.
    pub(super) watches: usize,
}

impl InotifyInstance {
    /// Opens an inotify instance that sends its events to the queue.
    pub(super) fn open(sender: queue::Sender) -> notify::Result<InotifyInstance> {
        let events = sender.clone();
        InotifyInstance::open_with(sender, move |event| send(&events, event))
    }

    /// Opens an inotify instance whose thread calls `handle` with each event. The queue is woken
    /// when the thread ends.
    pub(super) fn open_with(
        sender: queue::Sender,
        handle: impl FnMut(notify::Result<Event>) + Send + 'static,
    ) -> notify::Result<InotifyInstance> {
        let running = Arc::new(AtomicBool::new(true));
        let handler = Handler {
            handle,
            running: Arc::clone(&running),
            sender,
        };
        // Opens and reads of cgroup files are frequent: those events must not wake the thread.
        let kinds = EventKindMask::CREATE
            | EventKindMask::REMOVE
            | EventKindMask::MODIFY_NAME
            | EventKindMask::MODIFY_META;
        let watcher = INotifyWatcher::new(handler, Config::default().with_event_kinds(kinds))?;
        let instance = InotifyInstance {
            watcher: Some(watcher),
            running,
            watches: 0,
        };
        // notify does not report that it cannot start its thread.
        if instance.is_running() {
            Ok(instance)
        } else {
            Err(notify::Error::generic("cannot start notify's thread"))
        }
    }

    /// Whether notify's thread is running. If not, no event is reported any more.
    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    pub(super) fn update(&mut self, operations: Vec<PathOp>) -> Result<(), UpdatePathsError> {
        match &mut self.watcher {
            Some(watcher) => watcher.update_paths(operations),
            None => Ok(()),
        }
    }

    pub(super) fn unwatch(&mut self, path: &Path) {
        if let Some(watcher) = &mut self.watcher {
            // Fails if the kernel has removed the watch before.
            let _ = watcher.unwatch(path);
        }
    }
}

impl Drop for InotifyInstance {
    fn drop(&mut self) {
        let watcher = self.watcher.take();
        // notify panics here if its thread has ended. The descriptors are closed nevertheless.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(watcher)));
    }
}

/// Owned by notify's thread, so it is dropped when the thread ends, also by a panic.
struct Handler<F> {
    handle: F,
    running: Arc<AtomicBool>,
    sender: queue::Sender,
}

impl<F: FnMut(notify::Result<Event>) + Send + 'static> EventHandler for Handler<F> {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        (self.handle)(event);
    }
}

impl<F> Drop for Handler<F> {
    fn drop(&mut self) {
        self.running.store(false, Ordering::Release);
        self.sender.wake();
    }
}

/// Runs on notify's thread. The mirror's thread waits for that thread when it adds watches, so this
/// must not wait for the mirror's thread.
fn send(sender: &queue::Sender, event: notify::Result<Event>) {
    match event {
        Ok(event) if !event.need_rescan() => {
            let about_attributes = matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)));
            for path in event.paths {
                if about_attributes {
                    sender.attributes(path);
                } else {
                    sender.event(path);
                }
            }
        }
        Ok(_) | Err(_) => sender.lost(),
    }
}
