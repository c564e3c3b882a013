//! Where log lines go: to standard error in the foreground, else to the system log. A thread writes
//! them, so that nobody waits for the reader of the log. Floods are limited by [limit].

mod limit;

use std::ffi::{CStr, CString};
use std::sync::OnceLock;
use std::time::Duration;
use std::{io, thread};

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

use crate::printable::one_line;
use crate::sys;

use limit::Limit;

const NAME: &CStr = c"cgview";

/// Further lines are dropped while this many wait to be written.
const MAX_WAITING: usize = 1024;

/// How long the end of the process waits for the lines before it.
const MAX_FLUSH_TIME: Duration = Duration::from_secs(1);

/// The logger of the process.
static LOGGER: OnceLock<Logger> = OnceLock::new();

struct Logger {
    write: fn(Level, &str),
    limit: Mutex<Limit>,
    /// Before there is a thread, lines are written at once.
    queue: OnceLock<Sender<Message>>,
}

enum Message {
    Line(Level, String),
    /// Answered when the lines before it are written.
    Flush(Sender<()>),
}

/// Logs to standard error. Call this or [`to_syslog`] once; later calls have no effect.
pub fn to_stderr() {
    set(|_, line| eprintln!("cgview: {line}"));
}

/// Logs to the system log by syslog(3), from the facility `LOG_DAEMON`.
pub fn to_syslog() {
    sys::open_syslog(NAME);
    set(|level, line| {
        let priority = match level {
            Level::Error => libc::LOG_ERR,
            Level::Warn => libc::LOG_WARNING,
            Level::Info => libc::LOG_INFO,
            Level::Debug | Level::Trace => libc::LOG_DEBUG,
        };
        // A line has no NUL.
        if let Ok(line) = CString::new(line) {
            sys::syslog(priority, &line);
        }
    });
}

/// Starts the thread that writes the lines from now on.
///
/// # Errors
/// Those of pthread_create(3).
pub fn start_thread() -> io::Result<()> {
    let Some(logger) = LOGGER.get() else {
        return Ok(());
    };
    let (send, receive) = bounded(MAX_WAITING);
    let write = logger.write;
    thread::Builder::new()
        .name("cgview-log".to_owned())
        .spawn(move || write_all(&receive, write))?;
    // Only the first call sets it; the thread of a later one ends at once.
    let _ = logger.queue.set(send);
    Ok(())
}

fn set(write: fn(Level, &str)) {
    let logger = LOGGER.get_or_init(|| Logger {
        write,
        limit: Mutex::default(),
        queue: OnceLock::new(),
    });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

fn write_all(receive: &Receiver<Message>, write: fn(Level, &str)) {
    for message in receive {
        match message {
            Message::Line(level, line) => write(level, &line),
            Message::Flush(done) => drop(done),
        }
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        let lines = self.limit.lock().admit(record, &text);
        for line in lines {
            let line = one_line(&line).into_owned();
            match self.queue.get() {
                // Dropped when the log is not read fast enough.
                Some(queue) => drop(queue.try_send(Message::Line(record.level(), line))),
                None => (self.write)(record.level(), &line),
            }
        }
    }

    fn flush(&self) {
        let Some(queue) = self.queue.get() else {
            return;
        };
        let (done, written) = bounded(0);
        if queue
            .send_timeout(Message::Flush(done), MAX_FLUSH_TIME)
            .is_ok()
        {
            // Ends by the drop of the sender.
            let _ = written.recv_timeout(MAX_FLUSH_TIME);
        }
    }
}
