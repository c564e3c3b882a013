//! The memory of a large output that nobody reads any more, kept for the next one: to have as much
//! new memory from the kernel costs about what it costs to fill it.

use parking_lot::Mutex;

/// Shorter outputs gain nothing.
const LEAST_BYTES: usize = 256 << 10;

/// At most one buffer.
pub(in crate::fs) struct Spare {
    most_bytes: usize,
    /// Held to take or put the buffer only.
    buffer: Mutex<Vec<u8>>,
}

impl Spare {
    /// Keeps a buffer of at most so many bytes.
    pub(in crate::fs) fn new(most_bytes: usize) -> Spare {
        Spare {
            most_bytes,
            buffer: Mutex::default(),
        }
    }

    /// An empty buffer.
    pub(in crate::fs) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.buffer.lock())
    }

    /// The output in a buffer of its size, where the one that it was written to is much larger.
    pub(in crate::fs) fn fit(&self, output: Vec<u8>) -> Vec<u8> {
        if output.capacity() < LEAST_BYTES || output.len() > output.capacity() / 2 {
            return output;
        }
        let exact = output.as_slice().to_vec();
        self.put(output);
        exact
    }

    /// Keeps the larger one of this buffer and the one that is kept.
    pub(in crate::fs) fn put(&self, mut buffer: Vec<u8>) {
        if !(LEAST_BYTES..=self.most_bytes).contains(&buffer.capacity()) {
            return;
        }
        buffer.clear();
        let mut kept = self.buffer.lock();
        if buffer.capacity() > kept.capacity() {
            std::mem::swap(&mut *kept, &mut buffer);
        }
        drop(kept);
        // What is not kept goes back to the kernel with no lock held.
        drop(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 4 * LEAST_BYTES;

    #[test]
    fn the_largest_buffer_is_kept_empty() {
        let spare = Spare::new(LARGE);
        spare.put(vec![1; LARGE]);
        spare.put(vec![1; LEAST_BYTES]);
        let buffer = spare.take();
        assert_eq!((buffer.len(), buffer.capacity()), (0, LARGE));
        assert_eq!(spare.take().capacity(), 0);
    }

    #[test]
    fn what_is_too_large_or_not_worth_it_is_not_kept() {
        let spare = Spare::new(LARGE);
        spare.put(vec![1; LARGE + 1]);
        spare.put(vec![1; LEAST_BYTES - 1]);
        assert_eq!(spare.take().capacity(), 0);
    }

    #[test]
    fn a_short_output_does_not_hold_a_large_buffer() {
        let spare = Spare::new(LARGE);
        let mut output = Vec::with_capacity(LARGE);
        output.extend_from_slice(b"short");
        let output = spare.fit(output);
        assert_eq!((output.as_slice(), output.capacity()), (&b"short"[..], 5));
        assert_eq!(spare.take().capacity(), LARGE);
    }

    #[test]
    fn a_long_output_stays_where_it_is() {
        let spare = Spare::new(LARGE);
        let output = spare.fit(vec![1; LARGE]);
        assert_eq!(output.len(), LARGE);
        assert_eq!(spare.take().capacity(), 0);
    }
}
