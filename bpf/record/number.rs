//! Numbers as decimal digits, without an allocation.

/// "00", "01", ... "99": two digits a division.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

/// More than any number here takes: 20 digits, a point, a sign.
const LONGEST: usize = 32;

/// Integers up to this one survive a double, which is what jq and JavaScript read them into.
const MAX_EXACT_DOUBLE: u64 = 1 << 53;

/// Writes digits so that they end before `end`; returns where they start.
#[inline]
pub(super) fn digits_before(buffer: &mut [u8], end: usize, mut value: u64) -> usize {
    let mut at = end;
    // Four at a time: each division waits for the one before.
    while value >= 10_000 {
        at -= 4;
        let four = (value % 10_000) as usize;
        value /= 10_000;
        let cell = &mut buffer[at..at + 4];
        cell[..2].copy_from_slice(&PAIRS[four / 100]);
        cell[2..].copy_from_slice(&PAIRS[four % 100]);
    }
    let mut value = value as usize;
    if value >= 100 {
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[value % 100]);
        value /= 100;
    }
    if value >= 10 {
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[value]);
    } else {
        at -= 1;
        buffer[at] = b'0' + value as u8;
    }
    at
}

/// Like [`digits_before`], with a sign where there is one.
pub(super) fn signed_before(buffer: &mut [u8], end: usize, value: i64) -> usize {
    let at = digits_before(buffer, end, value.unsigned_abs());
    if value >= 0 {
        return at;
    }
    buffer[at - 1] = b'-';
    at - 1
}

/// Like [`digits_before`], with a point and two more digits.
pub(super) fn hundredths_before(buffer: &mut [u8], end: usize, whole: u64, part: u8) -> usize {
    buffer[end - 3] = b'.';
    buffer[end - 2..end].copy_from_slice(&PAIRS[usize::from(part % 100)]);
    digits_before(buffer, end - 3, whole)
}

/// How many digits a number has.
pub(super) fn digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Appends an integer.
#[inline]
pub(super) fn push_unsigned(out: &mut Vec<u8>, value: u64) {
    let mut buffer = [0; LONGEST];
    let at = digits_before(&mut buffer, LONGEST, value);
    out.extend_from_slice(&buffer[at..]);
}

/// Appends an integer with its sign.
pub(super) fn push_signed(out: &mut Vec<u8>, value: i64) {
    let mut buffer = [0; LONGEST];
    let at = signed_before(&mut buffer, LONGEST, value);
    out.extend_from_slice(&buffer[at..]);
}

/// Appends a decimal with two digits.
pub(super) fn push_hundredths(out: &mut Vec<u8>, whole: u64, hundredths: u8) {
    let mut buffer = [0; LONGEST];
    let at = hundredths_before(&mut buffer, LONGEST, whole, hundredths);
    out.extend_from_slice(&buffer[at..]);
}

/// Appends `value / 10^DECIMALS` exactly, in as few digits as that takes.
pub(super) fn push_fraction<const DECIMALS: u32>(out: &mut Vec<u8>, value: u64) {
    let one = const { 10u64.pow(DECIMALS) };
    let (whole, part) = (value / one, value % one);
    if part == 0 {
        return push_unsigned(out, whole);
    }
    let mut buffer = [b'0'; LONGEST];
    digits_before(&mut buffer, LONGEST, part);
    let zeros = buffer.iter().rev().take_while(|b| **b == b'0').count();
    let point = LONGEST - DECIMALS as usize - 1;
    buffer[point] = b'.';
    let at = digits_before(&mut buffer, point, whole);
    out.extend_from_slice(&buffer[at..LONGEST - zeros]);
}

/// Runs `push`, in quotes where the number would not survive a double.
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

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_are_what_std_writes() {
        let mut value = 1u64;
        for _ in 0..64 {
            for near in [value - 1, value, value.wrapping_add(1)] {
                assert_eq!(text(|out| push_unsigned(out, near)), near.to_string());
                assert_eq!(digits(near), near.to_string().len());
                let signed = near.cast_signed();
                assert_eq!(text(|out| push_signed(out, signed)), signed.to_string());
            }
            value = value.wrapping_mul(3);
        }
        assert_eq!(text(|out| push_signed(out, i64::MIN)), i64::MIN.to_string());
        assert_eq!(
            text(|out| push_unsigned(out, u64::MAX)),
            u64::MAX.to_string()
        );
    }

    #[test]
    fn hundredths_keep_both_digits() {
        assert_eq!(text(|out| push_hundredths(out, 0, 0)), "0.00");
        assert_eq!(text(|out| push_hundredths(out, 12, 5)), "12.05");
        let largest = text(|out| push_hundredths(out, u64::MAX, 99));
        assert_eq!(largest, "18446744073709551615.99");
    }

    #[test]
    fn fractions_are_exact_and_short() {
        assert_eq!(text(|out| push_fraction::<9>(out, 0)), "0");
        assert_eq!(text(|out| push_fraction::<9>(out, 1)), "0.000000001");
        assert_eq!(text(|out| push_fraction::<9>(out, 1_500_000_000)), "1.5");
        assert_eq!(text(|out| push_fraction::<6>(out, 10)), "0.00001");
        assert_eq!(text(|out| push_fraction::<6>(out, 7_000_000)), "7");
        assert_eq!(text(|out| push_fraction::<3>(out, 1024)), "1.024");
        let largest = text(|out| push_fraction::<9>(out, u64::MAX));
        assert_eq!(largest, "18446744073.709551615");
    }

    #[test]
    fn only_what_a_double_cannot_hold_is_quoted() {
        let json = |value| text(|out| quote_if_large(out, value, |out| push_unsigned(out, value)));
        assert_eq!(json(1 << 53), "9007199254740992");
        assert_eq!(json((1 << 53) + 1), "\"9007199254740993\"");
    }
}
