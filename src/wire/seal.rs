//! Sealed frames: AES-256-GCM under the keys of one session, one counter for each direction.
//!
//! A byte stream that others can touch needs more than encryption: a frame that is altered,
//! repeated, left out or moved has to be noticed, and so has an end that was not meant.
//!
//! What holds:
//! * The nonce is the number of the frame in its direction: it is not sent, has no gaps, is never
//!   used twice, and ends the session before [`FRAMES_MAX`](super::limits::FRAMES_MAX) is passed.
//! * The last byte of a frame's plaintext says whether its message continues, ends, or whether
//!   the sender has nothing more to say. A stream that stops without the latter was cut.

use std::sync::Arc;

use snow::{HandshakeState, StatelessTransportState};

use super::error::Error;
use super::frame::LENGTH_BYTES;
use super::limits::{CHUNK_BYTES_MAX, TAG_BYTES};

/// What a sealed frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The next frame belongs to the same message.
    More,
    /// The last frame of a message.
    Last,
    /// The sender ends the stream; the frame carries nothing.
    End,
}

impl Mark {
    fn code(self) -> u8 {
        match self {
            Mark::More => 0,
            Mark::Last => 1,
            Mark::End => 2,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Mark::More, Mark::Last, Mark::End].into_iter().find(|mark| mark.code() == code)
    }
}

/// Turns a finished handshake into the two halves of the session.
pub(crate) fn halves(state: HandshakeState, frames_max: u64) -> Result<(Sealer, Opener), Error> {
    let state = state.into_stateless_transport_mode().map_err(|_| Error::WrongKey)?;
    let state = Arc::new(state);
    let frames_max = frames_max.min(super::limits::FRAMES_MAX);
    let sealer = Sealer { state: Arc::clone(&state), next: 0, frames_max, plain: Vec::new() };
    Ok((sealer, Opener { state, next: 0, frames_max }))
}

/// Seals the frames that one side sends.
#[derive(Debug)]
pub struct Sealer {
    state: Arc<StatelessTransportState>,
    next: u64,
    frames_max: u64,
    /// Reused for the chunk and its mark, which have to lie side by side.
    plain: Vec<u8>,
}

impl Sealer {
    /// Appends a frame, length included, that carries `chunk` (at most [`CHUNK_BYTES_MAX`] bytes).
    ///
    /// # Errors
    /// [`Error::Exhausted`] when the session may not seal another frame, except for the end mark,
    /// for which one number is kept; [`Error::MessageTooLarge`] for a longer chunk.
    pub fn seal(&mut self, mark: Mark, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if chunk.len() > CHUNK_BYTES_MAX {
            return Err(Error::MessageTooLarge { bytes_max: CHUNK_BYTES_MAX });
        }
        let kept = u64::from(mark != Mark::End);
        if self.next.saturating_add(kept) >= self.frames_max {
            return Err(Error::Exhausted);
        }
        self.plain.clear();
        self.plain.extend_from_slice(chunk);
        self.plain.push(mark.code());
        let body_bytes = self.plain.len() + TAG_BYTES;
        let length = u32::try_from(body_bytes).map_err(|_| Error::Exhausted)?;
        let begin = out.len();
        out.extend_from_slice(&length.to_le_bytes());
        out.resize(begin + LENGTH_BYTES + body_bytes, 0);
        let body = out.get_mut(begin + LENGTH_BYTES..).unwrap_or_default();
        let sealed = self.state.write_message(self.next, &self.plain, body);
        if sealed.ok() != Some(body_bytes) {
            // Nothing may leave that was not sealed.
            out.truncate(begin);
            return Err(Error::Encode { reason: "the cipher refused the frame".to_owned() });
        }
        self.next += 1;
        Ok(())
    }

    /// Frames sealed so far.
    pub fn sealed(&self) -> u64 {
        self.next
    }
}

/// Opens the frames that the other side sent.
#[derive(Debug)]
pub struct Opener {
    state: Arc<StatelessTransportState>,
    next: u64,
    frames_max: u64,
}

impl Opener {
    /// Opens the next frame (without its length) and appends what it carries to `out`, which is
    /// left as it was when the frame is not genuine.
    ///
    /// # Errors
    /// [`Error::Forged`] for anything but the very next frame of the peer, [`Error::Exhausted`]
    /// after the last allowed frame, [`Error::Malformed`] for an unknown mark. The stream has no
    /// meaning afterwards.
    pub fn open(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Mark, Error> {
        if self.next >= self.frames_max {
            return Err(Error::Exhausted);
        }
        let begin = out.len();
        let Some(plain_bytes) = body.len().checked_sub(TAG_BYTES) else {
            return Err(Error::Forged);
        };
        out.resize(begin + plain_bytes, 0);
        let plain = out.get_mut(begin..).unwrap_or_default();
        let opened = self.state.read_message(self.next, body, plain);
        if opened.ok() != Some(plain_bytes) {
            out.truncate(begin);
            return Err(Error::Forged);
        }
        self.next += 1;
        let mark = if plain_bytes > 0 { out.pop().and_then(Mark::from_code) } else { None };
        match mark {
            Some(Mark::End) if plain_bytes > 1 => {}
            Some(mark) => return Ok(mark),
            None => {}
        }
        out.truncate(begin);
        Err(Error::Malformed { what: "mark of a sealed frame" })
    }

    /// Frames opened so far.
    pub fn opened(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A finished handshake without any I/O: the session halves of both sides.
    pub(crate) fn session(frames_max: u64) -> ((Sealer, Opener), (Sealer, Opener)) {
        let params = || crate::wire::handshake::PATTERN.parse().unwrap();
        let builder = || snow::Builder::new(params()).psk(0, &[3; 32]).unwrap();
        let mut one = builder().build_initiator().unwrap();
        let mut two = builder().build_responder().unwrap();
        let (mut first, mut second, mut none) = ([0; 48], [0; 48], [0; 0]);
        one.write_message(&[], &mut first).unwrap();
        two.read_message(&first, &mut none).unwrap();
        two.write_message(&[], &mut second).unwrap();
        one.read_message(&second, &mut none).unwrap();
        (halves(one, frames_max).unwrap(), halves(two, frames_max).unwrap())
    }

    fn frame(sealer: &mut Sealer, mark: Mark, chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        sealer.seal(mark, chunk, &mut out).unwrap();
        out.split_off(LENGTH_BYTES)
    }

    #[test]
    fn chunks_arrive_in_order_with_their_marks() {
        let ((mut sealer, _), (_, mut opener)) = session(100);
        let full = vec![9; CHUNK_BYTES_MAX];
        let chunks = [(Mark::More, full.as_slice()), (Mark::Last, b"x"), (Mark::Last, b""), (Mark::End, b"")];
        for (mark, chunk) in chunks {
            let body = frame(&mut sealer, mark, chunk);
            let mut out = b"before".to_vec();
            assert_eq!(opener.open(&body, &mut out).unwrap(), mark);
            assert_eq!(out, [b"before", chunk].concat());
        }
        assert_eq!((sealer.sealed(), opener.opened()), (4, 4));
        assert!(sealer.seal(Mark::Last, &vec![0; CHUNK_BYTES_MAX + 1], &mut Vec::new()).is_err());
    }

    #[test]
    fn anything_but_the_next_frame_is_forged() {
        let ((mut sealer, mut reflected), (_, mut opener)) = session(100);
        let (one, two) = (frame(&mut sealer, Mark::Last, b"1"), frame(&mut sealer, Mark::Last, b"2"));
        let mut out = Vec::new();
        assert!(matches!(opener.open(&two, &mut out), Err(Error::Forged)), "reordered");
        assert!(matches!(reflected.open(&one, &mut out), Err(Error::Forged)), "reflected");
        opener.open(&one, &mut out).unwrap();
        assert!(matches!(opener.open(&one, &mut out), Err(Error::Forged)), "replayed");
        for length in 0..two.len() {
            assert!(matches!(opener.open(&two[..length], &mut out), Err(Error::Forged)), "short");
        }
        for at in 0..two.len() {
            let mut changed = two.clone();
            changed[at] ^= 1;
            assert!(matches!(opener.open(&changed, &mut out), Err(Error::Forged)), "altered");
        }
        let ((mut other, _), _) = session(100);
        let _ = frame(&mut other, Mark::Last, b"1");
        let spliced = frame(&mut other, Mark::Last, b"2");
        assert!(matches!(opener.open(&spliced, &mut out), Err(Error::Forged)), "spliced");
        assert_eq!(out, b"1");
        opener.open(&two, &mut out).unwrap();
        assert_eq!(out, b"12");
    }

    #[test]
    fn the_last_frame_is_kept_for_the_end() {
        let ((mut sealer, _), (_, mut opener)) = session(3);
        let bodies = [frame(&mut sealer, Mark::Last, b"1"), frame(&mut sealer, Mark::Last, b"2")];
        let error = sealer.seal(Mark::Last, b"3", &mut Vec::new()).unwrap_err();
        assert!(matches!(error, Error::Exhausted));
        let end = frame(&mut sealer, Mark::End, b"");
        let mut out = Vec::new();
        for body in bodies.iter().chain([&end]) {
            opener.open(body, &mut out).unwrap();
        }
        assert!(matches!(opener.open(&end, &mut out), Err(Error::Exhausted)));
    }

    #[test]
    fn sessions_never_share_a_key() {
        // Equal plaintexts at equal counters under equal keys would give equal ciphertexts.
        let sessions: usize = if std::env::var_os("HQ_CAMPAIGN").is_some() { 1_000_000 } else { 500 };
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let frames = || {
            let ((mut one, _), (mut two, _)) = session(10);
            [frame(&mut one, Mark::Last, b"same text"), frame(&mut two, Mark::Last, b"same text")]
        };
        let many = || (0..sessions.div_ceil(threads)).flat_map(|_| frames()).collect::<Vec<_>>();
        let found: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(many)).collect();
            running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let mut seen = std::collections::HashSet::new();
        assert!(found.iter().all(|frame| seen.insert(frame)));
        assert!(seen.len() >= 2 * sessions);
        println!("{sessions} sessions, {} keys", seen.len());
    }
}
