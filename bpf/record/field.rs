//! Reads the value of a field from a record. A field that ends beyond the record reads as zero or
//! as a shorter string, although [`super::check`] and the length of the record exclude that.

use super::layout::Unit;

/// A value as the renderings show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// This cgroup or kernel does not have the value.
    Absent,
    Unsigned(u64),
    Signed(i64),
    /// A number with two decimals.
    Hundredths {
        whole: u64,
        hundredths: u8,
    },
    String(&'a [u8]),
}

impl Value<'_> {
    /// Converts nanoseconds to microseconds; drops the fraction.
    pub(super) fn thousandth(self) -> Self {
        match self {
            Value::Unsigned(value) => Value::Unsigned(value / 1000),
            Value::Signed(value) => Value::Signed(value / 1000),
            other => other,
        }
    }
}

/// Reads an integer field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Integer {
    pub(super) offset_bytes: usize,
    /// 1, 2, 4 or 8.
    pub(super) size_bytes: usize,
    pub(super) signed: bool,
    pub(super) unit: Unit,
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

    /// The integer in the unit of its column: times are in microseconds.
    #[inline]
    pub(super) fn read_shown(&self, record: &[u8]) -> Value<'static> {
        match self.unit {
            Unit::Nanoseconds => self.read(record).thousandth(),
            Unit::None | Unit::Microseconds | Unit::Bytes => self.read(record),
        }
    }

    /// Calls `each` with the [`Integer::read`] of many records, and with what came with the record.
    #[inline]
    pub(super) fn read_each<'a, T>(
        &self,
        records: impl Iterator<Item = (T, &'a [u8])>,
        mut each: impl FnMut(T, Value<'a>),
    ) {
        // Most fields are unsigned and have 8 bytes: the compiler makes a loop without branches.
        if self.size_bytes == 8 && !self.signed {
            let word = Integer {
                size_bytes: 8,
                signed: false,
                ..*self
            };
            records.for_each(|(with, record)| each(with, word.read(record)));
        } else {
            records.for_each(|(with, record)| each(with, self.read(record)));
        }
    }

    #[inline]
    fn unsigned(&self, record: &[u8]) -> u64 {
        let start = self.offset_bytes;
        match self.size_bytes {
            8 => u64_at(record, start),
            4 => u64::from(u32::from_ne_bytes(array_at(record, start))),
            2 => u64::from(u16::from_ne_bytes(array_at(record, start))),
            _ => u64::from(u8::from_ne_bytes(array_at(record, start))),
        }
    }
}

/// Reads a string field.
#[derive(Debug, Clone, Copy)]
pub(super) struct StringField {
    pub(super) offset_bytes: usize,
    pub(super) size_bytes: usize,
    pub(super) absent_if_ones: bool,
}

impl StringField {
    /// The bytes before the first NUL.
    pub(super) fn read<'a>(&self, record: &'a [u8]) -> Value<'a> {
        if self.absent_if_ones && all_ones(record, self.offset_bytes, self.size_bytes) {
            return Value::Absent;
        }
        let bytes = bytes_at(record, self.offset_bytes, self.size_bytes);
        let length = bytes.iter().position(|b| *b == 0);
        Value::String(length.and_then(|end| bytes.get(..end)).unwrap_or(bytes))
    }
}

/// Whether all bits of a part of the record are set.
pub(super) fn all_ones(record: &[u8], offset_bytes: usize, size_bytes: usize) -> bool {
    let bytes = bytes_at(record, offset_bytes, size_bytes);
    !bytes.is_empty() && bytes.iter().all(|b| *b == 0xff)
}

/// The 8-byte integer at an offset.
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
    let rest = record.get(offset_bytes..).unwrap_or_default();
    rest.get(..size_bytes).unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(size_bytes: usize, signed: bool) -> Integer {
        Integer {
            offset_bytes: 8,
            size_bytes,
            signed,
            unit: Unit::None,
            absent_if_ones: true,
        }
    }

    fn with(tail: &[u8]) -> Vec<u8> {
        [&[0xaa; 8], tail, &[0xaa; 8]].concat()
    }

    #[test]
    fn integers_of_every_size_are_read() {
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
    fn all_ones_are_absent_only_if_the_field_can_be_absent() {
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
    fn a_string_ends_at_the_first_nul_or_with_its_array() {
        let mut comm = StringField {
            offset_bytes: 1,
            size_bytes: 4,
            absent_if_ones: false,
        };
        assert_eq!(comm.read(b"xab\0cz"), Value::String(b"ab"));
        assert_eq!(comm.read(b"xabcdz"), Value::String(b"abcd"));
        assert_eq!(comm.read(b"x\0\0\0\0z"), Value::String(b""));
        assert_eq!(comm.read(&[0xff; 6]), Value::String(&[0xff; 4]));
        comm.absent_if_ones = true;
        assert_eq!(comm.read(&[0xff; 6]), Value::Absent);
    }

    #[test]
    fn bytes_beyond_the_record_read_as_zero() {
        let field = integer(8, false);
        assert_eq!(field.read(&[1; 9]), Value::Unsigned(0));
        assert_eq!(field.read(&[]), Value::Unsigned(0));
        assert_eq!(bytes_at(&[1, 2], 1, 4), [2]);
        assert!(!all_ones(&[], 1, 4));
    }
}
