//! What libbpf says while an object is loaded: kept, and condensed to the reason of a failure.

use parking_lot::Mutex;

use crate::sys;

static LOG: Mutex<String> = Mutex::new(String::new());

/// Keeps what libbpf says from now on.
pub(super) fn start() {
    sys::on_libbpf_warning(keep_message);
    LOG.lock().clear();
}

/// What has been said since the start or the last time.
pub(super) fn take() -> String {
    std::mem::take(&mut *LOG.lock())
}

fn keep_message(message: &[u8]) {
    let text = String::from_utf8_lossy(message);
    // What it quotes of the object may be anything, and ends up on terminals.
    let shown = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '?'
        } else {
            c
        }
    };
    LOG.lock().extend(text.chars().map(shown));
}

/// The program that libbpf's last complaint names.
pub(super) fn failed_program(log: &str) -> Option<String> {
    let (_, rest) = log.rsplit_once("prog '")?;
    rest.split_once('\'').map(|(name, _)| name.to_owned())
}

/// How much of a verifier log an answer carries.
const LOG_LINES: usize = 8;

/// The end of a log: of a verifier's the lines before its statistics, else the last line.
pub(super) fn condense(log: &str) -> Option<String> {
    let verifier = log
        .split_once("-- BEGIN PROG LOAD LOG --")
        .and_then(|(_, rest)| rest.split_once("-- END PROG LOAD LOG --"))
        .map(|(lines, _)| lines);
    let lines: Vec<&str> = match verifier {
        Some(lines) => lines
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("processed "))
            .collect(),
        None => log
            .lines()
            .filter(|line| line.starts_with("libbpf: "))
            .collect(),
    };
    let keep = if verifier.is_some() { LOG_LINES } else { 1 };
    let first = match verifier {
        Some(_) => lines.len().saturating_sub(keep),
        None => 0,
    };
    let tail: Vec<&str> = lines.into_iter().skip(first).take(keep).collect();
    let text = tail.join("\n");
    let text = text.trim_start_matches("libbpf: ").trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complaint_names_the_program() {
        let log = "libbpf: prog 'a': x\nlibbpf: prog 'b_walk': failed to load: -22\n";
        assert_eq!(failed_program(log).as_deref(), Some("b_walk"));
        assert_eq!(failed_program("libbpf: map 'm': failed to create"), None);
    }

    #[test]
    fn a_verifier_log_is_condensed_to_its_end() {
        let log = "libbpf: prog 'p': BPF program load failed: Invalid argument\n\
                   libbpf: prog 'p': -- BEGIN PROG LOAD LOG --\n\
                   0: (85) call foo\nR1 is bad\n\
                   processed 1 insns (limit 1000000)\n-- END PROG LOAD LOG --\n\
                   libbpf: prog 'p': failed to load: -22\n";
        assert_eq!(
            condense(log).as_deref(),
            Some("0: (85) call foo\nR1 is bad")
        );
    }
}
