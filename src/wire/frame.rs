//! Frames: a little-endian u32 length and that many bytes.
//!
//! TCP gives a stream without borders; this is the one place that finds them again, for the
//! handshake and for sealed frames alike.
//!
//! What holds: the announced length is checked before anything else; memory grows with the bytes
//! that have arrived, at most doubling, never with the bytes that were announced; any split of the
//! same bytes gives the same frames.

use super::error::Error;

/// Bytes of the length field in front of a frame.
pub const LENGTH_BYTES: usize = 4;

/// Bytes asked from the system when nothing is known about what comes.
const READ_BYTES: usize = 4 * 1024;

/// Appends one frame to `out`.
///
/// # Errors
/// [`Error::FrameTooLarge`] where `body` is longer than `bytes_max`, or empty.
pub fn put(out: &mut Vec<u8>, body: &[u8], bytes_max: u32) -> Result<(), Error> {
    let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    check_length(bytes, bytes_max)?;
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(body);
    Ok(())
}

fn check_length(bytes: u32, bytes_max: u32) -> Result<(), Error> {
    match bytes {
        0 => Err(Error::Malformed { what: "frame length" }),
        _ if bytes > bytes_max => Err(Error::FrameTooLarge { bytes, bytes_max }),
        _ => Ok(()),
    }
}

/// Bytes that have arrived, cut into frames.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    /// Everything before this index has been handed out.
    start: usize,
    bytes_max: u32,
}

impl FrameBuffer {
    /// An empty buffer for frames of at most `bytes_max` bytes.
    pub fn new(bytes_max: u32) -> Self {
        FrameBuffer { bytes: Vec::new(), start: 0, bytes_max }
    }

    /// Changes the longest frame, from the next frame on.
    pub fn set_bytes_max(&mut self, bytes_max: u32) {
        self.bytes_max = bytes_max;
    }

    /// Appends bytes that have arrived.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.space().extend_from_slice(bytes);
    }

    /// The vector to which the next read appends, with some spare capacity: the rest of the frame
    /// under way, but no more than what has arrived of it so far (or [`READ_BYTES`]).
    pub fn space(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            // What is left is a part of one frame, so that this moves few bytes.
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        let have = self.bytes.len();
        let wanted = match self.announced() {
            Some(bytes) => (LENGTH_BYTES + bytes as usize).saturating_sub(have),
            None => READ_BYTES,
        };
        self.bytes.reserve_exact(wanted.clamp(1, have.max(READ_BYTES)));
        &mut self.bytes
    }

    /// True when no byte of an unfinished frame is waiting.
    pub fn is_empty(&self) -> bool {
        self.start >= self.bytes.len()
    }

    /// Bytes of memory held.
    pub fn capacity_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The next whole frame without its length, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// [`Error::FrameTooLarge`] and [`Error::Malformed`] as soon as a forbidden length is seen. The
    /// stream has no meaning afterwards.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, Error> {
        let Some(bytes) = self.announced() else {
            return Ok(None);
        };
        check_length(bytes, self.bytes_max)?;
        let begin = self.start.saturating_add(LENGTH_BYTES);
        let end = begin.saturating_add(bytes as usize);
        let frame = self.bytes.get(begin..end);
        if frame.is_some() {
            self.start = end;
        }
        Ok(frame)
    }

    fn announced(&self) -> Option<u32> {
        let length = self.bytes.get(self.start..)?.first_chunk::<LENGTH_BYTES>()?;
        Some(u32::from_le_bytes(*length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_memory_is_taken() {
        let mut buffer = FrameBuffer::new(4096);
        buffer.extend(&u32::MAX.to_le_bytes());
        let error = buffer.next_frame().unwrap_err();
        assert!(matches!(error, Error::FrameTooLarge { bytes: u32::MAX, bytes_max: 4096 }));
        assert!(buffer.capacity_bytes() <= READ_BYTES);
    }

    #[test]
    fn memory_grows_with_arrival() {
        let mut buffer = FrameBuffer::new(1 << 30);
        buffer.extend(&(1u32 << 30).to_le_bytes());
        for _ in 0..100 {
            buffer.extend(&[0; 100]);
        }
        assert!(buffer.next_frame().unwrap().is_none());
        buffer.space();
        assert!(buffer.capacity_bytes() <= 8 * READ_BYTES, "{}", buffer.capacity_bytes());
    }

    #[test]
    fn empty_frames_do_not_exist() {
        let mut buffer = FrameBuffer::new(16);
        buffer.extend(&[0; 4]);
        assert!(matches!(buffer.next_frame(), Err(Error::Malformed { .. })));
        assert!(matches!(put(&mut Vec::new(), &[], 16), Err(Error::Malformed { .. })));
        assert!(matches!(put(&mut Vec::new(), &[0; 17], 16), Err(Error::FrameTooLarge { .. })));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20),
            cuts in prop::collection::vec(1usize..97, 1..50),
        ) {
            let mut stream = Vec::new();
            for frame in &frames {
                put(&mut stream, frame, 300).unwrap();
            }
            let mut buffer = FrameBuffer::new(300);
            let mut seen = Vec::new();
            let mut sizes = cuts.iter().cycle();
            let mut rest = stream.as_slice();
            while !rest.is_empty() {
                let (chunk, tail) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                rest = tail;
                buffer.extend(chunk);
                while let Some(frame) = buffer.next_frame().unwrap() {
                    seen.push(frame.to_vec());
                }
            }
            prop_assert!(buffer.is_empty());
            prop_assert_eq!(seen, frames);
        }

        #[test]
        fn arbitrary_bytes_neither_panic_nor_take_memory(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..40),
        ) {
            let mut buffer = FrameBuffer::new(4096);
            let mut total = 0;
            'stream: for chunk in &chunks {
                buffer.extend(chunk);
                total += chunk.len();
                loop {
                    match buffer.next_frame() {
                        Ok(Some(frame)) => prop_assert!(frame.len() <= 4096),
                        Ok(None) => break,
                        Err(_) => break 'stream,
                    }
                }
                prop_assert!(buffer.capacity_bytes() <= 2 * total.max(2 * READ_BYTES));
            }
        }
    }
}
