//! Characters that are safe to show. Names of cgroups come from users, and names of views and
//! programs from objects: neither may act on a terminal, forge a line of a log, or look like
//! another name.

use std::borrow::Cow;

/// Whether the character has a shape of its own: not a control character, not one that changes the
/// direction of text, and not one without width.
pub fn is_printable(char: char) -> bool {
    if char.is_ascii() {
        return !char.is_ascii_control();
    }
    // Debug of a string escapes what is not printable, and a combining character that follows
    // none.
    let text = String::from_iter(['a', char]);
    text.escape_debug().eq(text.chars())
}

/// The text with each character that is not printable escaped as in Rust: `\n`, `\u{1b}`.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if is_printable(char) {
            line.push(char);
        } else {
            line.extend(char.escape_default());
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_or_cannot_be_seen_is_not_printable() {
        for char in [
            'a', ' ', '"', '\'', '\\', '~', '\u{e9}', '\u{2603}', '\u{301}', '\u{4e2d}',
        ] {
            assert!(is_printable(char), "{char:?}");
        }
        let escape_bell_c1 = [
            '\0', '\n', '\r', '\u{1b}', '\u{7}', '\u{7f}', '\u{85}', '\u{9b}',
        ];
        let direction = ['\u{202e}', '\u{2066}', '\u{200f}', '\u{61c}'];
        let without_width = [
            '\u{200b}',
            '\u{200d}',
            '\u{2060}',
            '\u{feff}',
            '\u{ad}',
            '\u{e0041}',
        ];
        let separators = ['\u{2028}', '\u{2029}', '\u{a0}', '\u{3000}'];
        for char in [&escape_bell_c1[..], &direction, &without_width, &separators].concat() {
            assert!(!is_printable(char), "{char:?}");
        }
    }

    #[test]
    fn a_text_becomes_one_line() {
        assert_eq!(one_line("plain \"text\""), "plain \"text\"");
        assert_eq!(one_line("a\nb\u{1b}[2J\u{202e}"), r"a\nb\u{1b}[2J\u{202e}");
    }
}
