//! The control socket: what tasks say to their worker.
//!
//! Tasks are programs of the same user, started by this worker; everybody else is a stranger, whoever gave the socket to
//! them. There is one request on a connection; its layout is in `wire::notice`.
//!
//! What holds: a peer of another user is not listened to; a request is bounded in bytes and time, connections in number,
//! so that a flood waits in the kernel and costs the worker nothing else.

use super::notices::Refusal;
use super::outbound::Outbound;
use crate::platform::host;
use crate::wire::notice::{ACCEPTED, HEAD_BYTES_MAX, parse_head};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Connections that are served at a time.
const CONNECTIONS_MAX: usize = 64;
/// How long a request may take to arrive, and an answer to leave.
const REQUEST_SPAN: Duration = Duration::from_secs(5);
/// Pause after a failure to accept, lack of descriptors say.
const PAUSE: Duration = Duration::from_millis(100);
/// What a task hears when it has to try again later.
const FULL: &str = "too many notifications wait for the server";

/// Serves the socket for ever.
pub(super) async fn serve(listener: UnixListener, outbound: Arc<Outbound>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let outbound = Arc::clone(&outbound);
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &outbound).await {
                        log::debug!("A connection to the control socket failed: {error}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                log::debug!("Cannot accept on the control socket: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, outbound: &Outbound) -> io::Result<()> {
    if !is_own(stream.peer_cred()?.uid()) {
        log::warn!("Another user wanted to use the control socket of this worker");
        return Ok(());
    }
    let mut stream = BufReader::new(stream);
    let read = timeout(REQUEST_SPAN, read_request(&mut stream)).await;
    let Some((token, message)) = read.map_err(|_| io::ErrorKind::TimedOut)?? else { return Ok(()) };
    let answer = match outbound.notify(&token, &message) {
        Err(Refusal::Stranger) => return Ok(()),
        Err(Refusal::Full) => FULL,
        Ok(arrival) => tokio::select! {
            arrived = arrival => arrived.map(|()| ACCEPTED).map_err(io::Error::other)?,
            // The task does not wait any more: its place is for others. The message is on its way all the same.
            _ = stream.read_u8() => return Ok(()),
        },
    };
    let answer = format!("{answer}\n");
    timeout(REQUEST_SPAN, stream.write_all(answer.as_bytes())).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Whether a user is the one of this process. Not even the superuser has a task here that is not.
fn is_own(uid: u32) -> bool {
    uid == host::user_id()
}

/// Token and message; none where the peer does not keep to the layout.
async fn read_request(stream: &mut BufReader<UnixStream>) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut head = Vec::new();
    (&mut *stream).take(HEAD_BYTES_MAX as u64).read_until(b'\n', &mut head).await?;
    let Some((token, length)) = head.strip_suffix(b"\n").and_then(parse_head) else { return Ok(None) };
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(Some((token.to_owned(), message)))
}
