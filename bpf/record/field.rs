//! Reading one field of a record. No slice is trusted to be long enough: what is missing reads as
//! zero, though [`super::check`] and the length of the record rule that out.

/// One value as the renderings show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// This cgroup or kernel has no such value.
    Absent,
    Unsigned(u64),
    Signed(i64),
    /// A decimal with two digits.
    Hundredths {
        whole: u64,
        hundredths: u8,
    },
    Text(&'a [u8]),
}

impl Value<'_> {
    /// A thousandth, truncated: nanoseconds to microseconds.
    pub(super) fn thousandth(self) -> Self {
        match self {
            Value::Unsigned(value) => Value::Unsigned(value / 1000),
            Value::Signed(value) => Value::Signed(value / 1000),
            other => other,
        }
    }
}

/// Where a record holds an integer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Integer {
    pub(super) offset_bytes: usize,
    pub(super) size_bytes: usize,
    pub(super) signed: bool,
    pub(super) absent_if_ones: bool,
}

impl Integer {
    /// The integer in the unit of the record.
    #[inline]
    pub(super) fn read(&self, record: &[u8]) -> Value<'static> {
        let value = self.unsigned(record);
        let unused_bits = 64 - 8 * self.size_bytes as u32;
        if self.absent_if_ones && value == u64::MAX >> unused_bits {
            Value::Absent
        } else if self.signed {
            Value::Signed((value << unused_bits).cast_signed() >> unused_bits)
        } else {
            Value::Unsigned(value)
        }
    }

    /// Reads it in one numbered record after the other. Most are words: for them what to do is
    /// decided once.
    #[inline]
    pub(super) fn read_each<'a>(
        &self,
        records: impl Iterator<Item = (usize, &'a [u8])>,
        mut each: impl FnMut(usize, Value<'a>),
    ) {
        if self.size_bytes == 8 && !self.signed {
            let word = Integer {
                size_bytes: 8,
                signed: false,
                ..*self
            };
            records.for_each(|(at, record)| each(at, word.read(record)));
        } else {
            records.for_each(|(at, record)| each(at, self.read(record)));
        }
    }

    #[inline]
    fn unsigned(&self, record: &[u8]) -> u64 {
        let at = self.offset_bytes;
        match self.size_bytes {
            8 => u64_at(record, at),
            4 => u64::from(u32::from_ne_bytes(array_at(record, at))),
            2 => u64::from(u16::from_ne_bytes(array_at(record, at))),
            _ => u64::from(u8::from_ne_bytes(array_at(record, at))),
        }
    }
}

/// Where a record holds a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    pub(super) offset_bytes: usize,
    pub(super) size_bytes: usize,
    pub(super) absent_if_ones: bool,
}

impl Text {
    /// The bytes before the first NUL.
    pub(super) fn read<'a>(&self, record: &'a [u8]) -> Value<'a> {
        if self.absent_if_ones && all_ones(record, self.offset_bytes, self.size_bytes) {
            return Value::Absent;
        }
        let bytes = bytes_at(record, self.offset_bytes, self.size_bytes);
        let length = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        Value::Text(&bytes[..length])
    }
}

/// Whether all bits of a part of the record are set.
pub(super) fn all_ones(record: &[u8], offset_bytes: usize, size_bytes: usize) -> bool {
    let bytes = bytes_at(record, offset_bytes, size_bytes);
    !bytes.is_empty() && bytes.iter().all(|b| *b == 0xff)
}

/// The integer of 8 bytes at an offset.
#[inline]
pub(super) fn u64_at(record: &[u8], offset_bytes: usize) -> u64 {
    u64::from_ne_bytes(array_at(record, offset_bytes))
}

#[inline]
fn array_at<const N: usize>(record: &[u8], offset_bytes: usize) -> [u8; N] {
    let rest = record.get(offset_bytes..);
    rest.and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .unwrap_or([0; N])
}

fn bytes_at(record: &[u8], offset_bytes: usize, size_bytes: usize) -> &[u8] {
    let rest = record.get(offset_bytes..).unwrap_or(&[]);
    &rest[..size_bytes.min(rest.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(size_bytes: usize, signed: bool) -> Integer {
        Integer {
            offset_bytes: 8,
            size_bytes,
            signed,
            absent_if_ones: true,
        }
    }

    fn with(tail: &[u8]) -> Vec<u8> {
        [&[0xaa; 8], tail, &[0xaa; 8]].concat()
    }

    #[test]
    fn every_size_reads_its_own_bytes() {
        for value in [0, 1, 127, 254] {
            let one = integer(1, false).read(&with(&[value]));
            assert_eq!(one, Value::Unsigned(u64::from(value)));
        }
        let two = integer(2, false).read(&with(&0x1234u16.to_ne_bytes()));
        assert_eq!(two, Value::Unsigned(0x1234));
        let four = integer(4, false).read(&with(&0x1234_5678u32.to_ne_bytes()));
        assert_eq!(four, Value::Unsigned(0x1234_5678));
        let eight = integer(8, false).read(&with(&(u64::MAX - 1).to_ne_bytes()));
        assert_eq!(eight, Value::Unsigned(u64::MAX - 1));
    }

    #[test]
    fn signs_are_extended() {
        assert_eq!(integer(1, true).read(&with(&[0x80])), Value::Signed(-128));
        let two = integer(2, true).read(&with(&(-2i16).to_ne_bytes()));
        assert_eq!(two, Value::Signed(-2));
        let eight = integer(8, true).read(&with(&i64::MIN.to_ne_bytes()));
        assert_eq!(eight, Value::Signed(i64::MIN));
    }

    #[test]
    fn all_ones_are_absent_only_where_the_field_says_so() {
        for size_bytes in [1, 2, 4, 8] {
            let ones = with(&[0xff; 8][..size_bytes]);
            let mut field = integer(size_bytes, false);
            assert_eq!(field.read(&ones), Value::Absent);
            field.signed = true;
            assert_eq!(field.read(&ones), Value::Absent);
            field.absent_if_ones = false;
            assert_eq!(field.read(&ones), Value::Signed(-1));
        }
    }

    #[test]
    fn a_text_ends_at_the_first_nul_or_with_its_array() {
        let mut text = Text {
            offset_bytes: 1,
            size_bytes: 4,
            absent_if_ones: false,
        };
        assert_eq!(text.read(b"xab\0cz"), Value::Text(b"ab"));
        assert_eq!(text.read(b"xabcdz"), Value::Text(b"abcd"));
        assert_eq!(text.read(b"x\0\0\0\0z"), Value::Text(b""));
        assert_eq!(text.read(&[0xff; 6]), Value::Text(&[0xff; 4]));
        text.absent_if_ones = true;
        assert_eq!(text.read(&[0xff; 6]), Value::Absent);
    }

    #[test]
    fn a_short_record_is_no_panic() {
        let field = integer(8, false);
        assert_eq!(field.read(&[1; 9]), Value::Unsigned(0));
        assert_eq!(field.read(&[]), Value::Unsigned(0));
        assert_eq!(bytes_at(&[1, 2], 1, 4), [2]);
        assert!(!all_ones(&[], 1, 4));
    }
}
