//! What follows from a change in the hierarchy: links of a cgroup that is gone are released and
//! its name is dropped from the kernel's cache. One thread does that and nothing else: the kernel
//! makes a notifier wait for look-ups in the same directory, so no request handler may notify.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use fuser::{INodeNo, Notifier};

use super::control;
use crate::bpf::catalog::Catalog;
use crate::bpf::run::Links;
use crate::mirror::{CgroupId, Change, Mirror};

use super::form::Form;

/// How often links are checked for cgroups whose end was not heard of.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// The way from the mirror to the invalidator.
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

    /// For the mirror to call with each change.
    pub fn callback(&self) -> impl Fn(Change) + Send + 'static {
        let send = self.send.clone();
        move |change| {
            // Nobody receives any more when the daemon ends.
            let _ = send.send(Message::Change(change));
        }
    }
}

impl Default for Changes {
    fn default() -> Changes {
        Changes::new()
    }
}

/// The thread; stopped and joined on drop.
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
            log::error!("the notifying thread panicked");
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
        loop {
            match self.receive.recv_timeout(CHECK_EVERY) {
                Ok(Message::Change(Change::Appeared { parent, name, .. })) => {
                    // The cgroup hides a file of ours of the same name.
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
                Err(RecvTimeoutError::Timeout) => self.check_links(),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Whether a file of this name may be a view's, in one form or another.
    fn may_be_view(&self, file: &OsStr) -> bool {
        let file = file.to_str().unwrap_or_default();
        Form::split(file).any(|(view, _)| self.catalog.id(view).is_some())
    }

    fn forget(&self, parent: CgroupId, name: &OsStr) {
        let parent = if parent == self.mirror.root() {
            INodeNo::ROOT
        } else {
            INodeNo(parent.0)
        };
        // Most names are not in the cache; a failure leaves a name that open will find stale.
        let _ = self.notifier.inval_entry(parent, name);
    }

    /// An event may be lost, and a watch may be missing; a link must not outlive its cgroup.
    fn check_links(&self) {
        for id in self.links.cgroups() {
            if matches!(self.mirror.is_alive(CgroupId(id)), Ok(false)) {
                self.links.release(id);
            }
        }
    }
}
