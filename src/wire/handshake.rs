//! The handshake: both sides prove that they hold the key of one role, and get fresh session keys.
//!
//! It is `Noise_NNpsk0_25519_AESGCM_SHA256` (Noise protocol framework, revision 34) with the clear
//! preamble as prologue: forward secrecy by ephemeral keys, mutual proof by the shared secret,
//! roles by different secrets. `docs/decisions/0003-handshake.md` says why.
//!
//! ```text
//! dialling                                      serving
//! frame: preamble, noise message 1   ------->   checks version, role, uid, secret
//!                                    <-------   frame: answer, noise message 2
//!                                    <-------   sealed frame 0: hello
//! sealed frame 0: hello              ------->   only now is the peer known to be alive and no replay
//! ```
//!
//! What holds:
//! * The serving side hands nothing to its caller before the peer's first sealed frame was opened.
//! * One deadline covers the whole handshake on each side.
//! * A refusal is the same frame, at a multiple of one fixed delay, whatever was wrong.

use std::time::Duration;

use snow::HandshakeState;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{Connection, read_error};
use super::error::Error;
use super::frame::{self, FrameBuffer};
use super::hello::Hello;
use super::key::SecretKey;
use super::limits::{
    HANDSHAKE_MS_MAX, Limits, PREAUTH_FRAME_BYTES_MAX, REFUSAL_MS_STEP, REFUSAL_WRITE_MS_MAX, SEALED_FRAME_BYTES_MAX,
};
use super::preamble::{
    ANSWER, PREAMBLE_BYTES, PROTOCOL_VERSION, Preamble, REFUSAL, Role, ServerUid, Side, refusal, refused,
};
use super::seal::{Mark, Opener, Sealer, halves};

/// The handshake pattern and its primitives.
pub(crate) const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";

/// Length of both Noise messages: an ephemeral public key and a tag, with an empty payload.
const NOISE_BYTES: usize = 32 + super::limits::TAG_BYTES;

/// What one side brings to a handshake.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The role that faces the server: of ourselves when dialling, of the peers when serving.
    pub role: Role,
    /// The secret of that role.
    pub key: SecretKey,
    /// The server wanted (may be any), or the server's own uid.
    pub server_uid: ServerUid,
    /// What to say about ourselves in the first sealed message.
    pub hello: Hello,
    /// What the session may carry.
    pub limits: Limits,
}

impl Identity {
    /// An identity with the usual limits of the role; `version` is the program's.
    pub fn new(role: Role, key: SecretKey, server_uid: ServerUid, version: &str) -> Self {
        let hello = Hello { server_uid: server_uid.clone(), ..Hello::new(version) };
        Identity { role, key, server_uid, hello, limits: Limits::of(role) }
    }
}

/// What the serving side tells about a handshake under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The peer's first message was made with the secret. It may still be a replay, so that this allows no more than
    /// patience.
    Proven,
    /// The peer is refused and waits for being told so.
    Refused,
}

/// The dialling side of the handshake.
///
/// # Errors
/// [`Error::Cut`] where the server closed the connection before it answered (it may be flooded:
/// worth another try), [`Error::Timeout`], the refusals ([`Error::is_rejection`]), and what
/// a peer can do wrong.
pub async fn initiate<R, W>(reader: R, writer: W, identity: &Identity) -> Result<Connection<R, W>, Error>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut link = Link::new(reader, writer);
    let (session, hello) = within_deadline(link.initiate(identity)).await?;
    Ok(link.into_connection(session, hello, identity))
}

/// The serving side of the handshake; `watch` is called at each stage.
///
/// # Errors
/// As the peer deserves. When the peer was refused, it has been told so before this returns.
pub async fn respond<R, W>(
    reader: R,
    writer: W,
    identity: &Identity,
    mut watch: impl FnMut(Stage),
) -> Result<Connection<R, W>, Error>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let begun = Instant::now();
    let mut link = Link::new(reader, writer);
    match within_deadline(link.respond(identity, &mut watch)).await {
        Ok((session, hello)) => Ok(link.into_connection(session, hello, identity)),
        Err(error) => {
            if !matches!(error, Error::Cut | Error::Reset | Error::Io { .. }) {
                watch(Stage::Refused);
                link.refuse(identity, begun).await;
            }
            Err(error)
        }
    }
}

async fn within_deadline<T>(handshake: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let limit = Duration::from_millis(HANDSHAKE_MS_MAX);
    let late = Error::Timeout { ms_max: HANDSHAKE_MS_MAX };
    timeout(limit, handshake).await.unwrap_or(Err(late))
}

fn noise(key: &SecretKey, prologue: &[u8], initiator: bool) -> Result<HandshakeState, Error> {
    // These fail only for a pattern or builder misuse, which every test would meet.
    let inside = |_| Error::Malformed { what: "handshake pattern" };
    let params = PATTERN.parse().map_err(inside)?;
    let builder = snow::Builder::new(params).psk(0, key.expose()).map_err(inside)?;
    let builder = builder.prologue(prologue).map_err(inside)?;
    if initiator { builder.build_initiator() } else { builder.build_responder() }.map_err(inside)
}

fn write_noise(state: &mut HandshakeState) -> Result<[u8; NOISE_BYTES], Error> {
    let mut message = [0; NOISE_BYTES];
    match state.write_message(&[], &mut message) {
        Ok(NOISE_BYTES) => Ok(message),
        _ => Err(Error::Random),
    }
}

fn read_noise(state: &mut HandshakeState, message: &[u8]) -> Result<(), Error> {
    if message.len() != NOISE_BYTES {
        return Err(Error::Malformed { what: "handshake message" });
    }
    state.read_message(message, &mut []).map(|_| ()).map_err(|_| Error::WrongKey)
}

fn check_uid(wanted: &ServerUid, own: &ServerUid) -> Result<(), Error> {
    if wanted.is_any() || wanted == own { Ok(()) } else { Err(Error::WrongServer) }
}

/// A connection that is not sealed yet.
struct Link<R, W> {
    reader: R,
    writer: W,
    buffer: FrameBuffer,
}

type Session = (Sealer, Opener);

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Link<R, W> {
    fn new(reader: R, writer: W) -> Self {
        Link { reader, writer, buffer: FrameBuffer::new(PREAUTH_FRAME_BYTES_MAX) }
    }

    async fn initiate(&mut self, identity: &Identity) -> Result<(Session, Hello), Error> {
        let server_uid = identity.server_uid.clone();
        let keyless = identity.key.is_absent();
        let preamble = Preamble { version: PROTOCOL_VERSION, role: identity.role, keyless, server_uid };
        let prologue = preamble.encode();
        let mut state = noise(&identity.key, &prologue, true)?;
        let first = [prologue.as_slice(), &write_noise(&mut state)?].concat();
        self.send(&first).await?;

        let answer = self.read_frame().await?;
        match answer.split_first() {
            Some((&ANSWER, message)) => read_noise(&mut state, message)?,
            Some((&REFUSAL, reason)) => return Err(refused(reason, identity.role, keyless)),
            _ => return Err(Error::Malformed { what: "answer" }),
        }
        let (mut sealer, mut opener) = halves(state, identity.limits.frames_max)?;
        let hello = self.read_hello(&mut opener).await?;
        check_uid(&identity.server_uid, &hello.server_uid)?;
        let own = sealed_hello(&mut sealer, &identity.hello)?;
        self.write(&own).await?;
        Ok(((sealer, opener), hello))
    }

    async fn respond(&mut self, identity: &Identity, watch: &mut impl FnMut(Stage)) -> Result<(Session, Hello), Error> {
        let first = self.read_frame().await?;
        let short = Error::Malformed { what: "preamble" };
        let (prologue, message) = first.split_at_checked(PREAMBLE_BYTES).ok_or(short)?;
        let preamble = Preamble::decode(prologue, identity.role, identity.key.is_absent(), Side::Serving)?;
        check_uid(&preamble.server_uid, &identity.server_uid)?;
        let mut state = noise(&identity.key, prologue, false)?;
        read_noise(&mut state, message)?;
        watch(Stage::Proven);

        let answer = [&[ANSWER], write_noise(&mut state)?.as_slice()].concat();
        let (mut sealer, mut opener) = halves(state, identity.limits.frames_max)?;
        let mut out = Vec::new();
        frame::put(&mut out, &answer, PREAUTH_FRAME_BYTES_MAX)?;
        out.extend(sealed_hello(&mut sealer, &identity.hello)?);
        self.write(&out).await?;
        let hello = self.read_hello(&mut opener).await?;
        Ok(((sealer, opener), hello))
    }

    /// Tells the peer no. Failures to do so are the peer's loss.
    async fn refuse(&mut self, identity: &Identity, begun: Instant) {
        let step = Duration::from_millis(REFUSAL_MS_STEP);
        let steps = begun.elapsed().as_millis() / u128::from(REFUSAL_MS_STEP) + 1;
        sleep_until(begun + step * u32::try_from(steps).unwrap_or(1)).await;
        let write = async {
            let _ = self.send(&refusal(identity.role, identity.key.is_absent())).await;
            let _ = self.writer.shutdown().await;
        };
        let _ = timeout(Duration::from_millis(REFUSAL_WRITE_MS_MAX), write).await;
    }

    async fn read_hello(&mut self, opener: &mut Opener) -> Result<Hello, Error> {
        let body = self.read_frame().await?;
        let mut plain = Vec::new();
        match opener.open(&body, &mut plain)? {
            Mark::Last => Hello::decode(&plain),
            _ => Err(Error::Malformed { what: "hello" }),
        }
    }

    async fn read_frame(&mut self) -> Result<Vec<u8>, Error> {
        loop {
            if let Some(body) = self.buffer.next_frame()? {
                return Ok(body.to_vec());
            }
            let read = self.reader.read_buf(self.buffer.space()).await;
            if read.map_err(read_error)? == 0 {
                return Err(Error::Cut);
            }
        }
    }

    async fn send(&mut self, body: &[u8]) -> Result<(), Error> {
        let mut out = Vec::new();
        frame::put(&mut out, body, PREAUTH_FRAME_BYTES_MAX)?;
        self.write(&out).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.writer.write_all(bytes).await.map_err(read_error)?;
        self.writer.flush().await.map_err(read_error)
    }

    fn into_connection(mut self, session: Session, hello: Hello, own: &Identity) -> Connection<R, W> {
        self.buffer.set_bytes_max(SEALED_FRAME_BYTES_MAX);
        let stream = (self.reader, self.writer, self.buffer);
        Connection::new(stream, session, own.role, hello, own.limits)
    }
}

fn sealed_hello(sealer: &mut Sealer, hello: &Hello) -> Result<Vec<u8>, Error> {
    let plain = hello.encode()?;
    let mut out = Vec::new();
    sealer.seal(Mark::Last, &plain, &mut out)?;
    if out.len() > PREAUTH_FRAME_BYTES_MAX as usize {
        return Err(Error::MessageTooLarge { bytes_max: PREAUTH_FRAME_BYTES_MAX as usize });
    }
    Ok(out)
}
