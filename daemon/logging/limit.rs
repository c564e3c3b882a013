//! Limits on what is logged: a reader can cause some lines as often as it reads.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use log::Record;
use lru::LruCache;

/// The same line is not logged again for this time.
const REPEAT_TIME: Duration = Duration::from_secs(60);

/// How many lines are known for that.
const MAX_KNOWN: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// Lines from one place in the code are limited in each period.
const PERIOD: Duration = Duration::from_secs(10);
const MAX_LINES: u32 = 100;

/// What was logged lately.
pub(super) struct Limit {
    /// By the line's text.
    known: LruCache<String, Repeats>,
    /// By place in the code, of which there are few.
    places: HashMap<(&'static str, u32), Period>,
}

struct Repeats {
    since: Instant,
    dropped: u64,
}

struct Period {
    since: Instant,
    lines: u32,
    dropped: u64,
}

impl Default for Limit {
    fn default() -> Limit {
        Limit {
            known: LruCache::new(MAX_KNOWN),
            places: HashMap::new(),
        }
    }
}

impl Limit {
    /// The lines to log for one line: none, itself, or before it how many were left out.
    pub(super) fn admit(&mut self, record: &Record<'_>, text: &str) -> Vec<String> {
        let module = record.module_path_static().unwrap_or_default();
        let place = (module, record.line().unwrap_or(0));
        self.admit_at(place, text, Instant::now())
    }

    fn admit_at(&mut self, place: (&'static str, u32), text: &str, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(repeats) = self.known.get_mut(text) {
            if now - repeats.since < REPEAT_TIME {
                repeats.dropped += 1;
                return lines;
            }
            if repeats.dropped > 0 {
                lines.push(format!("{} times: {text}", repeats.dropped));
            }
            self.known.pop(text);
        }
        let period = self.places.entry(place).or_insert(Period {
            since: now,
            lines: 0,
            dropped: 0,
        });
        if now - period.since >= PERIOD {
            if period.dropped > 0 {
                lines.push(format!(
                    "{} lines like the next were left out",
                    period.dropped
                ));
            }
            (period.since, period.lines, period.dropped) = (now, 0, 0);
        }
        if period.lines >= MAX_LINES {
            period.dropped += 1;
            return lines;
        }
        period.lines += 1;
        let first = Repeats {
            since: now,
            dropped: 0,
        };
        self.known.put(text.to_owned(), first);
        lines.push(text.to_owned());
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: (&str, u32) = ("here", 1);

    #[test]
    fn a_line_that_repeats_is_logged_once_a_minute_with_its_count() {
        let mut limit = Limit::default();
        let start = Instant::now();
        assert_eq!(limit.admit_at(PLACE, "a", start), ["a"]);
        for _ in 0..1000 {
            assert!(limit.admit_at(PLACE, "a", start).is_empty());
        }
        assert_eq!(limit.admit_at(PLACE, "b", start), ["b"]);
        assert_eq!(
            limit.admit_at(PLACE, "a", start + REPEAT_TIME),
            ["1000 times: a", "a"]
        );
        assert_eq!(limit.admit_at(PLACE, "b", start + REPEAT_TIME), ["b"]);
    }

    #[test]
    fn different_lines_from_one_place_do_not_flood_the_log_or_hide_others() {
        let mut limit = Limit::default();
        let start = Instant::now();
        let logged = (0..1000).map(|n| limit.admit_at(PLACE, &n.to_string(), start).len());
        assert_eq!(logged.sum::<usize>(), MAX_LINES as usize);
        assert_eq!(limit.admit_at(("here", 2), "other", start), ["other"]);
        let next = limit.admit_at(PLACE, "next", start + PERIOD);
        assert_eq!(next, ["900 lines like the next were left out", "next"]);
        assert!(limit.known.len() <= MAX_KNOWN.get());
    }
}
