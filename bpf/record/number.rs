//! Writes numbers as decimal digits, without an allocation.
//!
//! The `fill_*` functions write at the end of a buffer and return the part before it, so that they
//! can be chained from right to left. A buffer that is too short loses leading characters.

/// "00", "01" to "99": one division yields two digits.
const PAIRS: &[[u8; 2]] =
    b"00010203040506070809101112131415161718192021222324252627282930313233343536373839\
    40414243444546474849505152535455565758596061626364656667686970717273747576777879\
    8081828384858687888990919293949596979899"
        .as_chunks()
        .0;

/// 20 digits, a point, two decimals and a sign fit.
const MAX_NUMBER_BYTES: usize = 32;

/// A double holds every integer up to this one. jq and JavaScript read numbers as doubles.
const MAX_EXACT_DOUBLE: u64 = 1 << 53;

/// Writes `bytes`.
pub(super) fn fill_bytes<'a>(buffer: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let start = buffer.len().checked_sub(bytes.len());
    let Some((free, end)) = start.and_then(|start| buffer.split_at_mut_checked(start)) else {
        return &mut [];
    };
    end.copy_from_slice(bytes);
    free
}

/// Writes an integer.
#[inline]
pub(super) fn fill_unsigned(mut buffer: &mut [u8], mut value: u64) -> &mut [u8] {
    // Four digits a step, because each division waits for the one before.
    while value >= 10_000 {
        let Some((free, four)) = buffer.split_last_chunk_mut::<4>() else {
            return &mut [];
        };
        let low = (value % 10_000) as usize;
        value /= 10_000;
        let ([a, b], [c, d]) = (pair(low / 100), pair(low % 100));
        *four = [a, b, c, d];
        buffer = free;
    }
    let mut value = value as usize;
    if value >= 100 {
        buffer = fill_pair(buffer, value % 100);
        value /= 100;
    }
    if value >= 10 {
        return fill_pair(buffer, value);
    }
    fill_byte(buffer, b'0' + value as u8)
}

/// Writes an integer and a sign if it is negative.
pub(super) fn fill_signed(buffer: &mut [u8], value: i64) -> &mut [u8] {
    let free = fill_unsigned(buffer, value.unsigned_abs());
    if value >= 0 {
        return free;
    }
    fill_byte(free, b'-')
}

/// Writes a decimal with two decimals, which are `hundredths` modulo 100.
pub(super) fn fill_hundredths(buffer: &mut [u8], whole: u64, hundredths: u8) -> &mut [u8] {
    let free = fill_pair(buffer, usize::from(hundredths % 100));
    fill_unsigned(fill_byte(free, b'.'), whole)
}

#[inline]
fn fill_byte(buffer: &mut [u8], byte: u8) -> &mut [u8] {
    let Some((last, free)) = buffer.split_last_mut() else {
        return &mut [];
    };
    *last = byte;
    free
}

#[inline]
fn fill_pair(buffer: &mut [u8], below_100: usize) -> &mut [u8] {
    let Some((free, two)) = buffer.split_last_chunk_mut() else {
        return &mut [];
    };
    *two = pair(below_100);
    free
}

/// The two digits of a number below 100.
#[inline]
fn pair(below_100: usize) -> [u8; 2] {
    PAIRS.get(below_100).copied().unwrap_or_default()
}

/// How many digits a number has.
pub(super) fn digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Appends an integer.
#[inline]
pub(super) fn push_unsigned(out: &mut Vec<u8>, value: u64) {
    push(out, |buffer| fill_unsigned(buffer, value));
}

/// Appends an integer and a sign if it is negative.
pub(super) fn push_signed(out: &mut Vec<u8>, value: i64) {
    push(out, |buffer| fill_signed(buffer, value));
}

/// Appends a decimal with two decimals, which are `hundredths` modulo 100.
pub(super) fn push_hundredths(out: &mut Vec<u8>, whole: u64, hundredths: u8) {
    push(out, |buffer| fill_hundredths(buffer, whole, hundredths));
}

#[inline]
fn push(out: &mut Vec<u8>, fill: impl FnOnce(&mut [u8]) -> &mut [u8]) {
    let mut buffer = [0; MAX_NUMBER_BYTES];
    let start = fill(&mut buffer).len();
    out.extend_from_slice(buffer.get(start..).unwrap_or_default());
}

/// Appends `value / 10^DECIMALS` exactly, without trailing zeros.
pub(super) fn push_fraction<const DECIMALS: usize>(out: &mut Vec<u8>, value: u64) {
    let one = const { 10u64.pow(DECIMALS as u32) };
    let (whole, part) = (value / one, value % one);
    if part == 0 {
        return push_unsigned(out, whole);
    }
    let mut buffer = [b'0'; MAX_NUMBER_BYTES];
    let Some((before, decimals)) = buffer.split_last_chunk_mut::<DECIMALS>() else {
        return;
    };
    fill_unsigned(decimals, part);
    let zeros = decimals.iter().rev().take_while(|b| **b == b'0').count();
    let start = fill_unsigned(fill_byte(before, b'.'), whole).len();
    let number = buffer.get(start..MAX_NUMBER_BYTES - zeros);
    out.extend_from_slice(number.unwrap_or_default());
}

/// Runs `push`, between quotes if a double cannot hold an integer of this size.
pub(super) fn quote_if_large(out: &mut Vec<u8>, size: u64, push: impl FnOnce(&mut Vec<u8>)) {
    if size <= MAX_EXACT_DOUBLE {
        return push(out);
    }
    out.push(b'"');
    push(out);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_are_written_as_std_writes_them() {
        let mut value = 1u64;
        for _ in 0..64 {
            for near in [value - 1, value, value.wrapping_add(1)] {
                assert_eq!(written(|out| push_unsigned(out, near)), near.to_string());
                assert_eq!(digits(near), near.to_string().len());
                let signed = near.cast_signed();
                assert_eq!(written(|out| push_signed(out, signed)), signed.to_string());
            }
            value = value.wrapping_mul(3);
        }
        assert_eq!(
            written(|out| push_signed(out, i64::MIN)),
            i64::MIN.to_string()
        );
        assert_eq!(
            written(|out| push_unsigned(out, u64::MAX)),
            u64::MAX.to_string()
        );
    }

    #[test]
    fn hundredths_keep_both_digits() {
        assert_eq!(written(|out| push_hundredths(out, 0, 0)), "0.00");
        assert_eq!(written(|out| push_hundredths(out, 12, 5)), "12.05");
        let largest = written(|out| push_hundredths(out, u64::MAX, 99));
        assert_eq!(largest, "18446744073709551615.99");
    }

    #[test]
    fn fractions_are_exact_and_short() {
        assert_eq!(written(|out| push_fraction::<9>(out, 0)), "0");
        assert_eq!(written(|out| push_fraction::<9>(out, 1)), "0.000000001");
        assert_eq!(written(|out| push_fraction::<9>(out, 1_500_000_000)), "1.5");
        assert_eq!(written(|out| push_fraction::<6>(out, 10)), "0.00001");
        assert_eq!(written(|out| push_fraction::<6>(out, 7_000_000)), "7");
        assert_eq!(written(|out| push_fraction::<3>(out, 1024)), "1.024");
        let largest = written(|out| push_fraction::<9>(out, u64::MAX));
        assert_eq!(largest, "18446744073.709551615");
    }

    #[test]
    fn a_short_buffer_loses_leading_characters() {
        let mut buffer = *b"....";
        assert!(fill_unsigned(&mut buffer, 1_234_567).is_empty());
        assert_eq!(&buffer, b"4567");
        assert!(fill_signed(&mut buffer, -1234).is_empty());
        assert_eq!(&buffer, b"1234");
        assert!(fill_hundredths(&mut buffer, 98, 76).is_empty());
        assert_eq!(buffer[1..], *b".76");
        assert_eq!(fill_bytes(&mut buffer, b"ab").len(), 2);
        assert!(fill_bytes(&mut buffer, b"abcde").is_empty());
    }

    #[test]
    fn only_integers_that_a_double_cannot_hold_are_quoted() {
        let json =
            |value| written(|out| quote_if_large(out, value, |out| push_unsigned(out, value)));
        assert_eq!(json(1 << 53), "9007199254740992");
        assert_eq!(json((1 << 53) + 1), "\"9007199254740993\"");
    }
}
