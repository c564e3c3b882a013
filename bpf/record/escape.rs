//! Escapes names and strings for each format. They are untrusted: any byte can be in them, and no
//! format shows one that is not printable.
//!
//! In JSON and Prometheus, each byte that is not UTF-8 becomes U+FFFD and two hex digits, and so
//! does each byte of U+FFFD itself, and in Prometheus of a character that is not printable: its
//! labels know no other escape. Different names stay different: equal labels would make Prometheus
//! reject the whole scrape.

use crate::printable::is_printable;

/// How many times longer a string can become in any format.
pub(super) const MAX_GROWTH: usize = 6;

/// Appends a name as one printable word. White space, backslashes, characters that are not printable
/// and bytes that are not UTF-8 become octal (`\040`), as in /proc/mounts.
pub fn word(bytes: &[u8], out: &mut Vec<u8>) {
    word_without(bytes, '\\', out);
}

/// Like [`word`]; the ASCII character `special` becomes octal too.
pub(super) fn word_without(bytes: &[u8], special: char, out: &mut Vec<u8>) {
    if is_plain(bytes) && (special == '\\' || !bytes.contains(&(special as u8))) {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            let mut buffer = [0; 4];
            let bytes = char.encode_utf8(&mut buffer).as_bytes();
            if is_word(char) && char != special {
                out.extend_from_slice(bytes);
            } else {
                push_octal(bytes, out);
            }
        }
        push_octal(chunk.invalid(), out);
    }
}

fn is_word(char: char) -> bool {
    is_printable(char) && !char.is_whitespace() && char != '\\'
}

/// The width of [`word`] in characters.
pub(super) fn word_width(bytes: &[u8]) -> usize {
    if is_plain(bytes) {
        return bytes.len();
    }
    let mut out = Vec::new();
    word(bytes, &mut out);
    width(&out)
}

/// The number of characters in UTF-8.
fn width(utf8: &[u8]) -> usize {
    utf8.iter().filter(|b| **b & 0xc0 != 0x80).count()
}

/// Appends a JSON string with its quotes.
pub(super) fn json_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape(bytes, out, |char, out| {
        for unit in char.encode_utf16(&mut [0; 2]) {
            out.extend_from_slice(b"\\u");
            for byte in unit.to_be_bytes() {
                push_hex(byte, out);
            }
        }
    });
    out.push(b'"');
}

/// Appends the value of a Prometheus label, without the quotes.
pub(super) fn label_value(bytes: &[u8], out: &mut Vec<u8>) {
    escape(bytes, out, |char, out| {
        push_replaced(char.encode_utf8(&mut [0; 4]).as_bytes(), out);
    });
}

/// Appends a Prometheus help text.
pub(super) fn help(text: &str, out: &mut Vec<u8>) {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    out.extend_from_slice(escaped.as_bytes());
}

/// Appends valid UTF-8: `push` appends each character that is not printable.
fn escape(bytes: &[u8], out: &mut Vec<u8>, push: impl Fn(char, &mut Vec<u8>)) {
    if is_plain(bytes) && !bytes.contains(&b'"') {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            let mut buffer = [0; 4];
            let utf8 = char.encode_utf8(&mut buffer).as_bytes();
            match char {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                char::REPLACEMENT_CHARACTER => push_replaced(utf8, out),
                char if is_printable(char) => out.extend_from_slice(utf8),
                char => push(char, out),
            }
        }
        push_replaced(chunk.invalid(), out);
    }
}

/// Whether all is printable ASCII without blanks and backslashes, as in most names of cgroups.
/// The loop does not end early, so that the compiler can vectorize it.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let plain = |b: &u8| (*b > b' ') & (*b < 0x7f) & (*b != b'\\');
    bytes.iter().fold(true, |all, b| all & plain(b))
}

fn push_octal(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        let digit = |shift: u8| b'0' + (byte >> shift & 7);
        out.extend_from_slice(&[b'\\', digit(6), digit(3), digit(0)]);
    }
}

fn push_replaced(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend_from_slice("\u{fffd}".as_bytes());
        push_hex(*byte, out);
    }
}

fn push_hex(byte: u8, out: &mut Vec<u8>) {
    let digit = |nibble| match nibble {
        0..10 => b'0' + nibble,
        _ => b'a' + (nibble - 10),
    };
    out.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn escaped(bytes: &[u8], escape: fn(&[u8], &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        escape(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_word_is_one_word() {
        assert_eq!(escaped(b"system.slice/a", word), "system.slice/a");
        assert_eq!(escaped(b"a b\tc\nd", word), r"a\040b\011c\012d");
        assert_eq!(escaped(br"dev-\x2d", word), r"dev-\134x2d");
        assert_eq!(escaped("caf\u{e9}".as_bytes(), word), "caf\u{e9}");
        assert_eq!(escaped("a\u{a0}b".as_bytes(), word), r"a\302\240b");
        assert_eq!(escaped(b"\xff", word), r"\377");
        assert_eq!(escaped(b"\x7f", word), r"\177");
        assert_eq!(word_width("caf\u{e9} ".as_bytes()), 8);
    }

    #[test]
    fn one_more_character_can_be_escaped() {
        let mut out = Vec::new();
        word_without(b"8:0", ':', &mut out);
        assert_eq!(out, br"8\0720");
    }

    #[test]
    fn json_reads_back() {
        assert_eq!(
            escaped(b"a\"b\\c\nd\x01\x7f", json_string),
            r#""a\"b\\c\nd\u0001\u007f""#
        );
        let name = "snow \u{2603} \u{2028} \u{e0041}";
        let read: String = serde_json::from_str(&escaped(name.as_bytes(), json_string)).unwrap();
        assert_eq!(read, name);
    }

    #[test]
    fn labels_are_quoted_for_prometheus() {
        assert_eq!(escaped(b"/a\"b\\x2d\nc", label_value), r#"/a\"b\\x2d\nc"#);
        assert_eq!(escaped(b"a b", label_value), "a b");
    }

    #[test]
    fn no_format_shows_what_is_not_printable() {
        let name = "\u{1b}[2J\r\u{7}\u{9b}\u{202e}\u{200b}\u{e0041}";
        let reads = [
            (
                word as fn(&[u8], &mut Vec<u8>),
                r"\033[2J\015\007\302\233\342\200\256",
            ),
            (
                json_string,
                r#""\u001b[2J\u000d\u0007\u009b\u202e\u200b\udb40\udc41""#,
            ),
            (
                label_value,
                "\u{fffd}1b[2J\u{fffd}0d\u{fffd}07\u{fffd}c2\u{fffd}9b",
            ),
        ];
        for (escape, expected) in reads {
            let shown = escaped(name.as_bytes(), escape);
            assert!(shown.starts_with(expected), "{shown}");
            assert!(shown.chars().all(is_printable), "{shown}");
            assert!(shown.len() <= MAX_GROWTH * name.len());
        }
    }

    #[test]
    fn hex_digits_are_lower_case() {
        for byte in 0..=u8::MAX {
            let mut out = Vec::new();
            push_hex(byte, &mut out);
            assert_eq!(out, format!("{byte:02x}").as_bytes());
        }
    }

    #[test]
    fn different_bytes_never_become_one_label() {
        let names: [&[u8]; 7] = [
            b"\xff",
            b"\xfe",
            b"\xff\xfe",
            "\u{fffd}".as_bytes(),
            "\u{fffd}ff".as_bytes(),
            "\u{fffd}\u{fffd}".as_bytes(),
            b"ff",
        ];
        for escape in [label_value as fn(&[u8], &mut Vec<u8>), json_string, word] {
            let shown: HashSet<_> = names.iter().map(|name| escaped(name, escape)).collect();
            assert_eq!(shown.len(), names.len());
        }
    }
}
