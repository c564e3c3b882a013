//! The buffer of a large output that was closed, kept for the next one: new memory of that size
//! from the kernel costs about as much time as filling it.

use parking_lot::Mutex;

/// Smaller buffers are not worth keeping.
const MIN_BYTES: usize = 256 << 10;

/// At most one spare buffer.
pub(in crate::fs) struct Spare {
    max_bytes: usize,
    /// Locked to take or put the buffer only.
    buffer: Mutex<Vec<u8>>,
}

impl Spare {
    /// Keeps no buffer that is larger than `max_bytes`.
    pub(in crate::fs) fn new(max_bytes: usize) -> Spare {
        Spare {
            max_bytes,
            buffer: Mutex::default(),
        }
    }

    /// An empty buffer: the spare one if there is one.
    pub(in crate::fs) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.buffer.lock())
    }

    /// The output in a buffer of its size, if its buffer is much larger.
    pub(in crate::fs) fn shrink(&self, output: Vec<u8>) -> Vec<u8> {
        if output.capacity() < MIN_BYTES || output.len() > output.capacity() / 2 {
            return output;
        }
        let exact = output.as_slice().to_vec();
        self.put(output);
        exact
    }

    /// Keeps the larger of this buffer and the spare one.
    pub(in crate::fs) fn put(&self, mut buffer: Vec<u8>) {
        if !(MIN_BYTES..=self.max_bytes).contains(&buffer.capacity()) {
            return;
        }
        buffer.clear();
        let mut kept = self.buffer.lock();
        if buffer.capacity() > kept.capacity() {
            std::mem::swap(&mut *kept, &mut buffer);
        }
        drop(kept);
        // Freeing a large buffer takes long.
        drop(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 4 * MIN_BYTES;

    #[test]
    fn the_largest_buffer_is_kept_empty() {
        let spare = Spare::new(LARGE);
        spare.put(vec![1; LARGE]);
        spare.put(vec![1; MIN_BYTES]);
        let buffer = spare.take();
        assert_eq!((buffer.len(), buffer.capacity()), (0, LARGE));
        assert_eq!(spare.take().capacity(), 0);
    }

    #[test]
    fn a_buffer_that_is_too_large_or_too_small_is_not_kept() {
        let spare = Spare::new(LARGE);
        spare.put(vec![1; LARGE + 1]);
        spare.put(vec![1; MIN_BYTES - 1]);
        assert_eq!(spare.take().capacity(), 0);
    }

    #[test]
    fn a_short_output_does_not_hold_a_large_buffer() {
        let spare = Spare::new(LARGE);
        let mut output = Vec::with_capacity(LARGE);
        output.extend_from_slice(b"short");
        let output = spare.shrink(output);
        assert_eq!((output.as_slice(), output.capacity()), (&b"short"[..], 5));
        assert_eq!(spare.take().capacity(), LARGE);
    }

    #[test]
    fn a_long_output_stays_where_it_is() {
        let spare = Spare::new(LARGE);
        let output = spare.shrink(vec![1; LARGE]);
        assert_eq!(output.len(), LARGE);
        assert_eq!(spare.take().capacity(), 0);
    }
}
