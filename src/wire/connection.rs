//! A sealed connection that carries messages: CBOR values, batched into frames.
//!
//! The two directions are independent halves, so that a task that sends never waits for one that
//! receives.
//!
//! What holds:
//! * Small messages share frames, a large one spans several; its limit is checked before memory is
//!   taken for the next part.
//! * `recv`, `flush` and everything built on them may be dropped at any await: no byte is lost or
//!   sent twice, and the next call goes on.
//! * The end of the stream is `None` only if the peer said that it was the end.

use std::collections::VecDeque;
use std::io;

use hq_core::cbor::{Metered, within_memory};
use hq_core::limits;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error::Error;
use super::frame::FrameBuffer;
use super::hello::Hello;
use super::limits::{CHUNK_BYTES_MAX, Limits, TAG_BYTES};
use super::preamble::Role;
use super::seal::{Mark, Opener, Sealer};
use super::stream::{ReadHalf, WriteHalf};

/// Sealed bytes kept ahead of the system's send buffer.
const SEALED_AHEAD_BYTES: usize = 128 * 1024;

/// Memory that an idle half may keep for its next message.
const IDLE_BYTES_MAX: usize = 256 * 1024;

/// Bytes of queued messages after which `send_batch` writes before it encodes more.
const BATCH_BYTES: usize = 1024 * 1024;

/// Maps what the system says on a connection: a peer that is gone is no trouble of our own.
pub(crate) fn read_error(source: io::Error) -> Error {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match source.kind() {
        BrokenPipe | ConnectionAborted | UnexpectedEof => Error::Cut,
        ConnectionReset => Error::Reset,
        _ => Error::Io { doing: "use the connection", source },
    }
}

/// A proven peer and the two sealed directions to and from it.
#[derive(Debug)]
pub struct Connection<R = ReadHalf, W = WriteHalf> {
    receiver: Receiver<R>,
    sender: Sender<W>,
    role: Role,
    peer: Hello,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<R, W> {
    pub(crate) fn new(
        (reader, writer, buffer): (R, W, FrameBuffer),
        (sealer, opener): (Sealer, Opener),
        role: Role,
        peer: Hello,
        limits: Limits,
    ) -> Self {
        let bytes_max = limits.message_bytes_max;
        let receiver = Receiver::new(reader, buffer, opener, bytes_max);
        let sender = Sender::new(writer, sealer, bytes_max);
        Connection { receiver, sender, role, peer }
    }

    /// The role that faces the server here.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What the peer said about itself.
    pub fn peer(&self) -> &Hello {
        &self.peer
    }

    /// Sends one message; see [`Sender::send`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send<M: Serialize>(&mut self, message: &M) -> Result<(), Error> {
        self.sender.send(message).await
    }

    /// Receives one message; see [`Receiver::recv`].
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    pub async fn recv<M: DeserializeOwned>(&mut self) -> Result<Option<M>, Error> {
        self.receiver.recv().await
    }

    /// The two directions, for two tasks.
    pub fn split(self) -> (Receiver<R>, Sender<W>) {
        (self.receiver, self.sender)
    }
}

/// Takes bytes up to a limit, so that a value that is too large is never encoded whole.
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl io::Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The sending direction.
#[derive(Debug)]
pub struct Sender<W = WriteHalf> {
    writer: W,
    sealer: Sealer,
    message_bytes_max: usize,
    /// Encoded messages; before `taken` they are sealed already.
    plain: Vec<u8>,
    taken: usize,
    /// Where the packets of `plain` end. A packet is one large or several small messages.
    ends: VecDeque<usize>,
    /// Where the last packet begins.
    last_begin: usize,
    /// Sealed frames; before `written` they are written already.
    sealed: Vec<u8>,
    written: usize,
    ended: bool,
}

impl Sender {
    /// Whether the other machine has acknowledged everything that was ever written, where nothing but the network is
    /// between this end and `far_view`, the address from which the other end sees it come. `None`: that cannot be known.
    pub fn has_all_arrived(&self, far_view: &str) -> Option<bool> {
        let (bytes, own) = self.writer.unacknowledged()?;
        let direct = far_view.parse().is_ok_and(|seen: std::net::SocketAddr| same_place(seen, own));
        direct.then_some(bytes == 0 && self.written == self.sealed.len() && self.queued_bytes() == 0)
    }
}

/// Whether two forms of an address, of which one may be IPv4 within IPv6, mean the same.
fn same_place(one: std::net::SocketAddr, two: std::net::SocketAddr) -> bool {
    one.ip().to_canonical() == two.ip().to_canonical() && one.port() == two.port()
}

impl<W: AsyncWrite + Unpin> Sender<W> {
    fn new(writer: W, sealer: Sealer, message_bytes_max: usize) -> Self {
        Sender {
            writer,
            sealer,
            message_bytes_max,
            plain: Vec::new(),
            taken: 0,
            ends: VecDeque::new(),
            last_begin: 0,
            sealed: Vec::new(),
            written: 0,
            ended: false,
        }
    }

    /// Encodes a message and keeps it until the next [`Sender::flush`]. The caller bounds how
    /// much it queues, by [`Sender::queued_bytes`].
    ///
    /// # Errors
    /// [`Error::MessageTooLarge`] and [`Error::Encode`]: the message is dropped, the connection and
    /// everything queued before stay good.
    pub fn queue<M: Serialize>(&mut self, message: &M) -> Result<(), Error> {
        let begin = self.plain.len();
        let mut out = Bounded { out: &mut self.plain, left: self.message_bytes_max };
        if let Err(error) = ciborium::into_writer(message, &mut out) {
            self.plain.truncate(begin);
            let too_large = matches!(&error, ciborium::ser::Error::Io(io)
                if io.kind() == io::ErrorKind::FileTooLarge);
            return Err(match too_large {
                true => Error::MessageTooLarge { bytes_max: self.message_bytes_max },
                false => Error::Encode { reason: error.to_string() },
            });
        }
        let end = self.plain.len();
        let packet_bytes_max = CHUNK_BYTES_MAX.min(self.message_bytes_max);
        let shares = self.taken <= self.last_begin && end - self.last_begin <= packet_bytes_max;
        match self.ends.back_mut() {
            Some(last) if shares => *last = end,
            _ => {
                self.last_begin = begin;
                self.ends.push_back(end);
            }
        }
        Ok(())
    }

    /// Bytes of messages that were queued and not yet sealed.
    pub fn queued_bytes(&self) -> usize {
        self.plain.len().saturating_sub(self.taken)
    }

    /// Writes everything that was queued. Dropping the call loses nothing: the next one goes on.
    ///
    /// # Errors
    /// [`Error::Cut`], [`Error::Io`] and [`Error::Exhausted`]; the connection is of no use then.
    pub async fn flush(&mut self) -> Result<(), Error> {
        loop {
            while let Some(rest) = self.sealed.get(self.written..).filter(|rest| !rest.is_empty()) {
                match self.writer.write(rest).await.map_err(read_error)? {
                    0 => return Err(Error::Cut),
                    written => self.written += written,
                }
            }
            self.sealed.clear();
            self.written = 0;
            if self.ends.is_empty() {
                break;
            }
            self.seal_some()?;
        }
        self.plain.clear();
        self.plain.shrink_to(IDLE_BYTES_MAX);
        (self.taken, self.last_begin) = (0, 0);
        self.writer.flush().await.map_err(read_error)
    }

    /// Seals the next frames of `plain`, as many as may be kept ahead of the writer.
    fn seal_some(&mut self) -> Result<(), Error> {
        while let Some(&end) = self.ends.front()
            && self.sealed.len() < SEALED_AHEAD_BYTES
        {
            let to = end.min(self.taken.saturating_add(CHUNK_BYTES_MAX));
            let mark = if to == end { Mark::Last } else { Mark::More };
            let chunk = self.plain.get(self.taken..to).unwrap_or_default();
            self.sealer.seal(mark, chunk, &mut self.sealed)?;
            self.taken = to;
            if mark == Mark::Last {
                self.ends.pop_front();
            }
        }
        Ok(())
    }

    /// Queues and writes one message.
    ///
    /// # Errors
    /// As [`Sender::queue`] and [`Sender::flush`].
    pub async fn send<M: Serialize>(&mut self, message: &M) -> Result<(), Error> {
        self.queue(message)?;
        self.flush().await
    }

    /// Writes several messages, as many as fit in each frame.
    ///
    /// # Errors
    /// As [`Sender::queue`] and [`Sender::flush`]; the messages before a bad one stay queued.
    pub async fn send_batch<M: Serialize>(&mut self, messages: &[M]) -> Result<(), Error> {
        for message in messages {
            self.queue(message)?;
            if self.queued_bytes() >= BATCH_BYTES {
                self.flush().await?;
            }
        }
        self.flush().await
    }

    /// Writes everything, says that this was the end, and closes this direction.
    ///
    /// # Errors
    /// As [`Sender::flush`].
    pub async fn finish(&mut self) -> Result<(), Error> {
        self.flush().await?;
        if !self.ended {
            self.sealer.seal(Mark::End, &[], &mut self.sealed)?;
            self.ended = true;
        }
        self.flush().await?;
        self.writer.shutdown().await.map_err(read_error)
    }
}

/// The receiving direction.
#[derive(Debug)]
pub struct Receiver<R = ReadHalf> {
    reader: R,
    buffer: FrameBuffer,
    opener: Opener,
    message_bytes_max: usize,
    /// One packet: a CBOR sequence of messages, complete when `whole`; before `taken` it was
    /// handed out.
    packet: Vec<u8>,
    whole: bool,
    taken: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The peer said that it had nothing more to say.
    Ended,
    /// Something was wrong; the bytes that follow mean nothing.
    Broken,
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    fn new(reader: R, buffer: FrameBuffer, opener: Opener, message_bytes_max: usize) -> Self {
        let (packet, whole, taken, state) = (Vec::new(), false, 0, State::Open);
        Receiver { reader, buffer, opener, message_bytes_max, packet, whole, taken, state }
    }

    /// The next message, or `None` after the peer's end mark. Dropping the call loses nothing.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a well-formed message that is no `M`: it is skipped, and receiving
    /// may go on. After every other error the connection is of no use: [`Error::Cut`],
    /// [`Error::Io`], [`Error::Forged`], [`Error::FrameTooLarge`], [`Error::MessageTooLarge`],
    /// [`Error::Malformed`], [`Error::Exhausted`].
    pub async fn recv<M: DeserializeOwned>(&mut self) -> Result<Option<M>, Error> {
        loop {
            if let Some(message) = self.try_recv()? {
                return Ok(Some(message));
            }
            if self.state == State::Ended {
                return Ok(None);
            }
            let read = self.reader.read_buf(self.buffer.space()).await.map_err(read_error);
            match read {
                Ok(bytes) if bytes > 0 => {}
                failed => {
                    self.state = State::Broken;
                    return Err(failed.err().unwrap_or(Error::Cut));
                }
            }
        }
    }

    /// A message that has arrived already, so that a burst can be taken in one turn; `None` when
    /// more bytes are needed, and after the end.
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    pub fn try_recv<M: DeserializeOwned>(&mut self) -> Result<Option<M>, Error> {
        if self.state == State::Broken {
            return Err(Error::Cut);
        }
        let message = self.assemble().and_then(|whole| match whole {
            true => self.decode().map(Some),
            false => Ok(None),
        });
        if !matches!(message, Ok(_) | Err(Error::Unknown { .. })) {
            self.state = State::Broken;
        }
        message
    }

    /// Opens frames until there is a packet with something left in it.
    fn assemble(&mut self) -> Result<bool, Error> {
        if self.whole && self.taken >= self.packet.len() {
            self.packet.clear();
            self.packet.shrink_to(IDLE_BYTES_MAX);
            (self.whole, self.taken) = (false, 0);
        }
        while !self.whole && self.state == State::Open {
            let Some(body) = self.buffer.next_frame()? else {
                return Ok(false);
            };
            let chunk_bytes = body.len().saturating_sub(TAG_BYTES + 1);
            if self.packet.len().saturating_add(chunk_bytes) > self.message_bytes_max {
                return Err(Error::MessageTooLarge { bytes_max: self.message_bytes_max });
            }
            match self.opener.open(body, &mut self.packet)? {
                Mark::End if self.packet.is_empty() => self.state = State::Ended,
                Mark::Last if !self.packet.is_empty() => self.whole = true,
                Mark::More if chunk_bytes > 0 => {}
                _ => {
                    return Err(Error::Malformed { what: "order of frames" });
                }
            }
        }
        Ok(self.whole)
    }

    fn decode<M: DeserializeOwned>(&mut self) -> Result<M, Error> {
        let item = self.packet.get(self.taken..).unwrap_or_default();
        let mut rest = item;
        let memory = limits::MESSAGE_MEMORY_BYTES_MIN.saturating_add(limits::MESSAGE_MEMORY_FACTOR * item.len());
        let decoded = within_memory(memory, || {
            let decoded: Result<Metered<M>, _> = ciborium::from_reader(&mut rest);
            decoded.map(|message| message.0).map_err(|error| Error::unknown(&error))
        });
        if decoded.is_err() {
            // The decoder stopped somewhere inside; only a well-formed item can be skipped.
            rest = item;
            let skipped: Result<IgnoredAny, _> = ciborium::from_reader(&mut rest);
            skipped.map_err(|_| Error::Malformed { what: "message" })?;
        }
        self.taken += item.len() - rest.len();
        decoded
    }
}
