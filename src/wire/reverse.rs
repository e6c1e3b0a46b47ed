//! Connections whose ends are found in other ways than by dialling the server: the server dials, or a tunnel leads there.
//!
//! The handshake does not care who opened the stream: the side with the peer's role begins it, and the server answers.
//!
//! What holds: everything that [`dial`](super::dial) and the gate promise about deadlines and proofs.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::Connection;
use super::dial::DialError;
use super::error::Error;
use super::handshake::{Identity, initiate, respond};
use super::limits::CONNECT_MS_MAX;
use super::stream::{tcp_halves, unix_halves};

/// Callers that are looked at together; whoever comes then has to wait.
const CALLERS_MAX: usize = 16;

/// Dials a worker that waits for this server, at the first of its addresses that answers with a proof.
///
/// # Errors
/// What went wrong at the last address.
pub async fn receive(addresses: &[SocketAddr], identity: &Identity) -> Result<(Connection, SocketAddr), Error> {
    let limit = Duration::from_millis(CONNECT_MS_MAX);
    let mut last = Error::Malformed { what: "list of addresses" };
    for address in addresses {
        let stream = match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => {
                last = Error::Io { doing: "connect", source };
                continue;
            }
            Err(_) => {
                last = Error::Timeout { ms_max: CONNECT_MS_MAX };
                continue;
            }
        };
        let (reader, writer) = tcp_halves(stream);
        match respond(reader, writer, identity, |_| ()).await {
            Ok(connection) => return Ok((connection, *address)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Waits for the server to call at `listener`, for at most `span`; strangers who call cost a place for the time of a
/// handshake.
///
/// # Errors
/// [`DialError::Timeout`] when nobody called who is the server, and what the last caller did wrong.
pub async fn accept_server(
    listener: &TcpListener,
    identity: &Identity,
    span: Duration,
) -> Result<Connection, DialError> {
    let end = Instant::now() + span;
    let mut callers: JoinSet<Result<Connection, Error>> = JoinSet::new();
    let mut last = None;
    loop {
        let room = callers.len() < CALLERS_MAX;
        tokio::select! {
            called = timeout_at(end, listener.accept()), if room => match called {
                Ok(Ok((stream, _))) => {
                    let (reader, writer) = tcp_halves(stream);
                    let identity = identity.clone();
                    callers.spawn(async move { initiate(reader, writer, &identity).await });
                }
                Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                // Those who called in time may finish.
                Err(_) if callers.is_empty() => break,
                Err(_) => match callers.join_next().await {
                    Some(Ok(Ok(connection))) => return Ok(connection),
                    Some(Ok(Err(error))) => last = Some(error),
                    _ => {}
                },
            },
            Some(done) = callers.join_next(), if !callers.is_empty() => match done {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => last = Some(error),
                Err(_) => {}
            },
        }
    }
    let host = "the server, which did not call".to_owned();
    let port = listener.local_addr().map_or(0, |address| address.port());
    match last {
        Some(error) => Err(DialError::Broken(error)),
        None => Err(DialError::Timeout { host, port }),
    }
}

/// Proves `identity` to the server at the other end of a tunnel.
///
/// # Errors
/// [`DialError::Rejected`] and [`DialError::Version`] as dialling; [`DialError::Broken`] for a tunnel that leads nowhere.
pub async fn over_tunnel(stream: UnixStream, identity: &Identity) -> Result<Connection, DialError> {
    let (reader, writer) = unix_halves(stream);
    initiate(reader, writer, identity).await.map_err(|error| match error {
        Error::Version { expected, got } => DialError::Version { expected, got },
        error if error.is_rejection() => DialError::Rejected(error),
        Error::Io { source, .. } => {
            DialError::Unreachable { host: "the other end of the tunnel".to_owned(), port: 0, source }
        }
        Error::Cut | Error::Reset => {
            DialError::Broken(Error::Io { doing: "use the tunnel", source: io::ErrorKind::UnexpectedEof.into() })
        }
        error => DialError::Broken(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Role, SecretKey, ServerUid, listen};

    fn identity(key: u8) -> Identity {
        Identity::new(Role::Worker, SecretKey::from_bytes([key; 32]), ServerUid::default(), "1")
    }

    #[tokio::test]
    async fn the_server_calls_and_strangers_do_not_stop_it() {
        let listener = listen(0).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
        // Somebody who says nothing, and somebody with another key.
        let silent = TcpStream::connect(address).await.unwrap();
        let stranger = tokio::spawn(async move { receive(&[address], &identity(2)).await.map(|_| ()) });
        let server = tokio::spawn(async move {
            let dead = SocketAddr::from(([127, 0, 0, 1], 1));
            receive(&[dead, address], &identity(1)).await
        });
        accept_server(&listener, &identity(1), Duration::from_secs(30)).await.unwrap();
        let (connection, from) = server.await.unwrap().unwrap();
        assert_eq!((connection.role(), from), (Role::Worker, address));
        assert!(stranger.await.unwrap().is_err());
        drop(silent);
    }

    #[tokio::test]
    async fn a_tunnel_that_leads_nowhere_is_an_error() {
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        assert!(over_tunnel(near, &identity(1)).await.is_err());
        let (near, far) = UnixStream::pair().unwrap();
        let (reader, writer) = unix_halves(far);
        let server = identity(1);
        let (one, two) = tokio::join!(over_tunnel(near, &server), respond(reader, writer, &server, |_| ()));
        one.unwrap();
        two.unwrap();
    }
}
