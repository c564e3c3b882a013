//! Where log lines go: to standard error in the foreground, else to the system log.

use std::ffi::{CStr, CString};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::sys;

const NAME: &CStr = c"cgview";

struct ToStderr;
struct ToSyslog;

/// Logs to standard error. Call this or [`to_syslog`] once; later calls have no effect.
pub fn to_stderr() {
    start(&ToStderr);
}

/// Logs to the system log by syslog(3), from the facility `LOG_DAEMON`.
pub fn to_syslog() {
    sys::open_syslog(NAME);
    start(&ToSyslog);
}

fn start(logger: &'static dyn Log) {
    if log::set_logger(logger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

impl Log for ToStderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        eprintln!("cgview: {}", record.args());
    }

    fn flush(&self) {}
}

impl Log for ToSyslog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let priority = match record.level() {
            Level::Error => libc::LOG_ERR,
            Level::Warn => libc::LOG_WARNING,
            Level::Info => libc::LOG_INFO,
            Level::Debug | Level::Trace => libc::LOG_DEBUG,
        };
        let line = record.args().to_string().replace('\0', "\\0");
        if let Ok(line) = CString::new(line) {
            sys::syslog(priority, &line);
        }
    }

    fn flush(&self) {}
}
