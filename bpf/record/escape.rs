//! Names and texts that anybody may have chosen, made safe for each format.
//!
//! Bytes that are not UTF-8 become U+FFFD and two hex digits in JSON and Prometheus, and so does
//! U+FFFD itself: two names never become the same label, which would spoil a whole scrape.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends a name as one word of printable characters: blanks, control characters, backslashes
/// and bytes that are not UTF-8 become octal (`\040`), as in /proc/mounts.
pub fn word(bytes: &[u8], out: &mut Vec<u8>) {
    word_but(bytes, '\\', out);
}

/// Like [`word`], and one more character becomes octal.
pub(super) fn word_but(bytes: &[u8], special: char, out: &mut Vec<u8>) {
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
    !(char.is_whitespace() || char.is_control() || char == '\\')
}

/// The columns of a terminal that [`word`] takes, as far as each character takes one.
pub(super) fn word_width(bytes: &[u8]) -> usize {
    if is_plain(bytes) {
        return bytes.len();
    }
    let mut out = Vec::new();
    word(bytes, &mut out);
    width(&out)
}

/// How many characters a UTF-8 text has.
fn width(text: &[u8]) -> usize {
    text.iter().filter(|b| **b & 0xc0 != 0x80).count()
}

/// Appends a JSON string with its quotes.
pub(super) fn json_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape(bytes, out, |byte, out| match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        0..0x20 | 0x7f => {
            out.extend_from_slice(b"\\u00");
            push_hex(byte, out);
        }
        _ => out.push(byte),
    });
    out.push(b'"');
}

/// Appends a Prometheus label value without its quotes.
pub(super) fn label(bytes: &[u8], out: &mut Vec<u8>) {
    escape(bytes, out, |byte, out| match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        _ => out.push(byte),
    });
}

/// Appends a Prometheus help text.
pub(super) fn help(text: &str, out: &mut Vec<u8>) {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    out.extend_from_slice(escaped.as_bytes());
}

/// Appends UTF-8 made of `bytes`, each valid byte by way of `push`.
fn escape(bytes: &[u8], out: &mut Vec<u8>, push: impl Fn(u8, &mut Vec<u8>)) {
    if is_plain(bytes) && !bytes.contains(&b'"') {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for (part, text) in chunk.valid().split(char::REPLACEMENT_CHARACTER).enumerate() {
            if part > 0 {
                push_replaced("\u{fffd}".as_bytes(), out);
            }
            text.bytes().for_each(|byte| push(byte, out));
        }
        push_replaced(chunk.invalid(), out);
    }
}

/// Printable ASCII without blank and backslash, which is what cgroups are usually named with.
/// No early end: the loop becomes vector instructions.
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
    out.push(HEX[usize::from(byte >> 4)]);
    out.push(HEX[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn text(bytes: &[u8], escape: fn(&[u8], &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        escape(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_word_is_one_word() {
        assert_eq!(text(b"system.slice/a", word), "system.slice/a");
        assert_eq!(text(b"a b\tc\nd", word), r"a\040b\011c\012d");
        assert_eq!(text(br"dev-\x2d", word), r"dev-\134x2d");
        assert_eq!(text("caf\u{e9}".as_bytes(), word), "caf\u{e9}");
        assert_eq!(text("a\u{a0}b".as_bytes(), word), r"a\302\240b");
        assert_eq!(text(b"\xff", word), r"\377");
        assert_eq!(text(b"\x7f", word), r"\177");
        assert_eq!(word_width("caf\u{e9} ".as_bytes()), 8);
    }

    #[test]
    fn one_more_character_can_be_escaped() {
        let mut out = Vec::new();
        word_but(b"8:0", ':', &mut out);
        assert_eq!(out, br"8\0720");
    }

    #[test]
    fn json_reads_back() {
        assert_eq!(
            text(b"a\"b\\c\nd\x01\x7f", json_string),
            r#""a\"b\\c\nd\u0001\u007f""#
        );
        let name = "snow \u{2603} \u{2028}";
        let read: String = serde_json::from_str(&text(name.as_bytes(), json_string)).unwrap();
        assert_eq!(read, name);
    }

    #[test]
    fn labels_are_quoted_for_prometheus() {
        assert_eq!(text(b"/a\"b\\x2d\nc", label), r#"/a\"b\\x2d\nc"#);
        assert_eq!(text(b"a b", label), "a b");
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
        for escape in [label as fn(&[u8], &mut Vec<u8>), json_string, word] {
            let shown: HashSet<_> = names.iter().map(|name| text(name, escape)).collect();
            assert_eq!(shown.len(), names.len());
        }
    }
}
