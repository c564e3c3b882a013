//! Room for an output that may become long. Whoever asks for the output limits it.

use super::Error;

/// Called with the number of bytes that a buffer is going to hold; false if that is too much.
pub type Room<'a> = dyn FnMut(usize) -> bool + 'a;

/// Makes room for at least `more_bytes` more in a buffer.
///
/// # Errors
/// [`Error::NoRoom`]; the buffer is unchanged.
pub fn make_room(
    buffer: &mut Vec<u8>,
    more_bytes: usize,
    room: &mut Room<'_>,
) -> Result<(), Error> {
    let needed = buffer.len().saturating_add(more_bytes);
    if needed <= buffer.capacity() {
        // The buffer may have grown, or come with its capacity.
        return if room(buffer.capacity()) {
            Ok(())
        } else {
            Err(Error::NoRoom)
        };
    }
    // Half as much again, so that a buffer of any size moves a few times only.
    let roomy = needed.max(buffer.capacity().saturating_add(buffer.capacity() / 2));
    let size_bytes = if room(roomy) {
        roomy
    } else if room(needed) {
        needed
    } else {
        return Err(Error::NoRoom);
    };
    buffer.reserve_exact(size_bytes - buffer.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_in_steps_up_to_what_is_allowed() {
        let mut buffer = Vec::new();
        let mut asked = Vec::new();
        let mut room = |bytes| {
            asked.push(bytes);
            bytes <= 110
        };
        assert!(make_room(&mut buffer, 80, &mut room).is_ok());
        buffer.resize(80, 0);
        assert!(make_room(&mut buffer, 20, &mut room).is_ok());
        assert_eq!(buffer.capacity(), 100);
        assert_eq!(make_room(&mut buffer, 31, &mut room), Err(Error::NoRoom));
        assert_eq!(buffer.capacity(), 100);
        assert_eq!(asked, [80, 120, 100, 150, 111]);
    }
}
