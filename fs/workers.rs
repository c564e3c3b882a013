//! Threads for the requests that take long: reads of a whole subtree. No other request waits for
//! them. Users take turns; of one user's requests one runs at a time.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

use super::errno::Error;
use super::open::User;

/// One of them is root's alone.
const THREADS: usize = 3;

/// Further requests of one user are refused.
const MAX_WAITING: usize = 256;

/// A request. It is called with an error when it cannot be served.
pub(super) type Job = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// The threads. Dropping this ends them, after the jobs that run.
pub(super) struct Workers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    /// Locked to put or take a job, never while one runs.
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    /// The user whose turn it is comes first. Each has at least one job.
    users: VecDeque<(User, VecDeque<Job>)>,
    running: Vec<User>,
    ending: bool,
}

impl Workers {
    pub(super) fn start() -> io::Result<Workers> {
        let mut workers = Workers {
            queue: Arc::default(),
            threads: Vec::with_capacity(THREADS),
        };
        for _ in 0..THREADS {
            let queue = Arc::clone(&workers.queue);
            let thread = thread::Builder::new()
                .name("cgview-tree".to_owned())
                .spawn(move || queue.work())?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Has a job done in the user's turn.
    pub(super) fn submit(&self, user: User, job: Job) {
        let mut jobs = self.queue.jobs.lock();
        match jobs.put(user, job) {
            Ok(()) => {
                self.queue.changed.notify_one();
            }
            Err(job) => {
                drop(jobs);
                job(Err(Error::TooManyWaiting));
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let waiting = {
            let mut jobs = self.queue.jobs.lock();
            jobs.ending = true;
            std::mem::take(&mut jobs.users)
        };
        self.queue.changed.notify_all();
        drop(waiting);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread for reads of subtrees panicked");
            }
        }
    }
}

impl Queue {
    fn work(&self) {
        let mut jobs = self.jobs.lock();
        while !jobs.ending {
            let Some((user, job)) = jobs.take() else {
                self.changed.wait(&mut jobs);
                continue;
            };
            drop(jobs);
            // The user's turn ends also then, and this thread goes on.
            if catch_unwind(AssertUnwindSafe(|| job(Ok(())))).is_err() {
                log::error!("a read of a subtree panicked");
            }
            jobs = self.jobs.lock();
            jobs.end(user);
            // The user's next job may have waited for this one.
            self.changed.notify_one();
        }
    }
}

impl Jobs {
    /// Adds a job, or gives it back when the user has too many.
    fn put(&mut self, user: User, job: Job) -> Result<(), Job> {
        match self.users.iter_mut().find(|(other, _)| *other == user) {
            Some((_, waiting)) if waiting.len() >= MAX_WAITING => return Err(job),
            Some((_, waiting)) => waiting.push_back(job),
            None => self.users.push_back((user, VecDeque::from([job]))),
        }
        Ok(())
    }

    /// The next job; `None` when there is none that may run now.
    fn take(&mut self) -> Option<(User, Job)> {
        let others = self.running.iter().filter(|user| **user != User::ROOT);
        let any_may_run = others.count() < THREADS - 1;
        let may_run =
            |user: User| !self.running.contains(&user) && (any_may_run || user == User::ROOT);
        let at = self.users.iter().position(|(user, _)| may_run(*user))?;
        let (user, mut waiting) = self.users.remove(at)?;
        let job = waiting.pop_front()?;
        if !waiting.is_empty() {
            self.users.push_back((user, waiting));
        }
        self.running.push(user);
        Some((user, job))
    }

    fn end(&mut self, user: User) {
        if let Some(at) = self.running.iter().position(|running| *running == user) {
            self.running.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(jobs: &mut Jobs, user: u32) -> bool {
        jobs.put(User(user), Box::new(|_| {})).is_ok()
    }

    fn take(jobs: &mut Jobs) -> Option<u32> {
        jobs.take().map(|(user, _)| user.0)
    }

    #[test]
    fn users_take_turns_and_each_has_one_job_running() {
        let mut jobs = Jobs::default();
        for user in [1, 1, 1, 2, 2] {
            assert!(put(&mut jobs, user));
        }
        assert_eq!(
            [take(&mut jobs), take(&mut jobs), take(&mut jobs)],
            [Some(1), Some(2), None]
        );
        jobs.end(User(1));
        assert_eq!(take(&mut jobs), Some(1));
        jobs.end(User(1));
        jobs.end(User(2));
        assert_eq!(
            [take(&mut jobs), take(&mut jobs), take(&mut jobs)],
            [Some(2), Some(1), None]
        );
    }

    #[test]
    fn after_a_panic_the_next_jobs_of_the_user_run() {
        let workers = Workers::start().expect("threads");
        let (send, receive) = crossbeam_channel::unbounded();
        for number in 0..=THREADS {
            let send = send.clone();
            workers.submit(
                User(1),
                Box::new(move |admitted| {
                    assert!(admitted.is_ok());
                    assert!(number == THREADS, "in a rendering");
                    send.send(number).expect("received");
                }),
            );
        }
        let last = receive.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(last, Ok(THREADS));
    }

    #[test]
    fn one_thread_is_for_root() {
        let mut jobs = Jobs::default();
        for user in [1, 2, 3] {
            put(&mut jobs, user);
        }
        assert_eq!(
            [take(&mut jobs), take(&mut jobs), take(&mut jobs)],
            [Some(1), Some(2), None]
        );
        put(&mut jobs, User::ROOT.0);
        assert_eq!(take(&mut jobs), Some(0));
    }

    #[test]
    fn a_user_with_too_many_jobs_is_refused_and_others_are_not() {
        let mut jobs = Jobs::default();
        assert!((0..MAX_WAITING).all(|_| put(&mut jobs, 1)));
        assert!(!put(&mut jobs, 1));
        assert!(put(&mut jobs, 2));
    }
}
