//! The warnings of libbpf while one object is loaded, and the reason of a failure in them.

use parking_lot::Mutex;

use crate::sys;

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps all warnings from now on.
pub(super) fn start() {
    sys::on_libbpf_warning(keep);
    WARNINGS.lock().clear();
}

/// Takes the warnings since the start or the last call.
pub(super) fn take() -> Warnings {
    Warnings(std::mem::take(&mut *WARNINGS.lock()))
}

fn keep(warning: &[u8]) {
    let text = String::from_utf8_lossy(warning);
    // libbpf quotes the object, and the text ends up on terminals.
    let printable = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => '?',
        c => c,
    };
    WARNINGS.lock().push(text.chars().map(printable).collect());
}

/// How many lines of a verifier log a reason has.
const MAX_LOG_LINES: usize = 8;

const PROGRAM: &str = "libbpf: prog '";
const LOG_BEGIN: &str = "-- BEGIN PROG LOAD LOG --";
const LOG_END: &str = "-- END PROG LOAD LOG --";

/// Warnings in their order, one an element.
pub(super) struct Warnings(Vec<String>);

impl Warnings {
    /// The program that the last warning about a program names. A verifier log is one warning and
    /// its text comes from the object, so only the head of a warning counts.
    pub(super) fn failed_program(&self) -> Option<String> {
        let mut named = self.0.iter().rev().filter_map(|warning| {
            let (name, _) = warning.strip_prefix(PROGRAM)?.split_once('\'')?;
            Some(name.to_owned())
        });
        named.next()
    }

    /// The end of the verifier's log, without its statistics; without such a log, the first
    /// warning.
    pub(super) fn reason(&self) -> Option<String> {
        let reason = match self.verifier_log() {
            Some(log) => {
                let lines = log.lines().filter(|line| !line.is_empty());
                let lines: Vec<&str> = lines.filter(|l| !l.starts_with("processed ")).collect();
                let end = lines.len().saturating_sub(MAX_LOG_LINES);
                lines.get(end..).unwrap_or_default().join("\n")
            }
            None => self.0.first()?.lines().next()?.to_owned(),
        };
        let reason = reason.trim_start_matches("libbpf: ").trim();
        (!reason.is_empty()).then(|| reason.to_owned())
    }

    fn verifier_log(&self) -> Option<&str> {
        self.0.iter().find_map(|warning| {
            let (_, log) = warning.split_once(LOG_BEGIN)?;
            log.split_once(LOG_END).map(|(log, _)| log)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(all: &[&str]) -> Warnings {
        Warnings(all.iter().map(|&one| one.to_owned()).collect())
    }

    #[test]
    fn the_last_warning_about_a_program_names_it() {
        let log = warnings(&[
            "libbpf: prog 'a': x\n",
            "libbpf: prog 'b_walk': failed to load: -22\n",
            "libbpf: failed to load object 'object'\n",
        ]);
        assert_eq!(log.failed_program().as_deref(), Some("b_walk"));
        let log = warnings(&["libbpf: map 'm': failed to create"]);
        assert_eq!(log.failed_program(), None);
    }

    #[test]
    fn a_verifier_log_cannot_name_another_program() {
        let log = warnings(&[
            "libbpf: prog 'p': -- BEGIN PROG LOAD LOG --\nlibbpf: prog 'q': x\n-- END PROG LOAD LOG --\n",
        ]);
        assert_eq!(log.failed_program().as_deref(), Some("p"));
    }

    #[test]
    fn the_reason_is_the_end_of_the_verifier_log() {
        let log = warnings(&[
            "libbpf: prog 'p': BPF program load failed: Invalid argument\n",
            "libbpf: prog 'p': -- BEGIN PROG LOAD LOG --\n0: (85) call foo\nR1 is bad\n\
             processed 1 insns (limit 1000000)\n-- END PROG LOAD LOG --\n",
            "libbpf: prog 'p': failed to load: -22\n",
        ]);
        let reason = log.reason();
        assert_eq!(reason.as_deref(), Some("0: (85) call foo\nR1 is bad"));
    }
}
