//! The notifier thread: after a change in the hierarchy it releases the links of a removed cgroup
//! and drops names from the kernel's cache. No request handler may notify: the kernel makes a
//! notifier wait for look-ups in the same directory.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use fuser::{INodeNo, Notifier};

use super::control;
use crate::bpf::catalog::Catalog;
use crate::bpf::run::Links;
use crate::mirror::{CgroupId, Change, Mirror};

use super::form::Form;

/// How long the queue stays silent before links are checked for cgroups whose end was missed.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// The queue of changes from the mirror to the notifier thread.
pub struct Changes {
    send: Sender<Message>,
    receive: Receiver<Message>,
}

enum Message {
    Change(Change),
    Stop,
}

impl Changes {
    /// An empty queue.
    pub fn new() -> Changes {
        let (send, receive) = unbounded();
        Changes { send, receive }
    }

    /// A callback for the mirror, which queues each change.
    pub fn callback(&self) -> impl Fn(Change) + Send + 'static {
        let send = self.send.clone();
        move |change| {
            // When the daemon ends, no thread receives it.
            let _ = send.send(Message::Change(change));
        }
    }
}

impl Default for Changes {
    fn default() -> Changes {
        Changes::new()
    }
}

/// The notifier thread. Dropping it stops and joins the thread.
pub(super) struct Invalidator {
    send: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Invalidator {
    pub(super) fn start(
        changes: &Changes,
        mirror: Arc<Mirror>,
        links: Arc<Links>,
        catalog: Arc<Catalog>,
        notifier: Notifier,
    ) -> io::Result<Invalidator> {
        let work = Work {
            receive: changes.receive.clone(),
            mirror,
            links,
            catalog,
            notifier,
        };
        let thread = thread::Builder::new()
            .name("cgview-notify".to_owned())
            .spawn(move || work.run())?;
        Ok(Invalidator {
            send: changes.send.clone(),
            thread: Some(thread),
        })
    }
}

impl Drop for Invalidator {
    fn drop(&mut self) {
        let _ = self.send.send(Message::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the notifier thread panicked");
        }
    }
}

struct Work {
    receive: Receiver<Message>,
    mirror: Arc<Mirror>,
    links: Arc<Links>,
    catalog: Arc<Catalog>,
    notifier: Notifier,
}

impl Work {
    fn run(&self) {
        let mut next_check = Instant::now() + CHECK_INTERVAL;
        loop {
            if Instant::now() >= next_check {
                self.check_links();
                next_check = Instant::now() + CHECK_INTERVAL;
            }
            match self.receive.recv_deadline(next_check) {
                Ok(Message::Change(Change::Appeared { parent, name, .. })) => {
                    // The cgroup now hides a file of the same name.
                    if self.may_be_view(&name) || name == control::NAME {
                        self.forget(parent, &name);
                    }
                }
                Ok(Message::Change(Change::Gone { id, parent, name })) => {
                    self.links.release(id.0);
                    self.forget(parent, &name);
                }
                Ok(Message::Change(Change::Renamed {
                    parent,
                    old_name,
                    new_name,
                    ..
                })) => {
                    self.forget(parent, &old_name);
                    self.forget(parent, &new_name);
                }
                Ok(Message::Change(Change::Attributes { id })) => {
                    // Attributes alone: a directory has no data.
                    let _ = self.notifier.inval_inode(self.number(id), -1, 0);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Whether a view may have a file of this name, in any form.
    fn may_be_view(&self, file: &OsStr) -> bool {
        let file = file.to_str().unwrap_or_default();
        Form::split(file).any(|(view, _)| self.catalog.id(view).is_some())
    }

    fn forget(&self, parent: CgroupId, name: &OsStr) {
        // Most names are not cached. After a failure `open` finds what is gone and answers ESTALE.
        let _ = self.notifier.inval_entry(self.number(parent), name);
    }

    /// The number that the kernel knows a cgroup's directory by.
    fn number(&self, id: CgroupId) -> INodeNo {
        if id == self.mirror.root() {
            INodeNo::ROOT
        } else {
            INodeNo(id.0)
        }
    }

    /// A link must not outlive its cgroup, even when an event was lost or a watch is missing.
    fn check_links(&self) {
        for id in self.links.cgroups() {
            if matches!(self.mirror.is_alive(CgroupId(id)), Ok(false)) {
                self.links.release(id);
            }
        }
    }
}
