//! Dialling a server: resolve, connect, shake hands.
//!
//! Clients and workers reach the server by the host name of the access file and by further addresses beside it, some of
//! them dead or on networks that this machine does not see.
//!
//! What holds: every address is tried, each with a limit in time, the next one soon after the one before (RFC 8305),
//! and the first that proves itself wins; the error says which of three things is wrong: the way to the server, its
//! patience, or our right to talk to it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::error::Error;
use super::handshake::{Identity, initiate};
use super::limits::{ADDRESSES_MAX, ATTEMPT_MS_STEP, CONNECT_MS_MAX};
use super::stream::tcp_halves;

/// Tries at one address that is connected but closes before it answers, as a flooded server does.
const TRIES_MAX: u32 = 6;

/// Waiting time before the second try; doubled for each further one. Milliseconds.
const RETRY_MS_MIN: u64 = 10;

/// Why a server could not be reached.
#[derive(Debug)]
pub enum DialError {
    /// There is no way to the server, or nobody listens there. Worth another try later.
    Unreachable {
        /// The host as given.
        host: String,
        /// The port.
        port: u16,
        /// What the system said about the last address tried.
        source: io::Error,
    },
    /// Something is there, but did not answer in time. Worth another try later.
    Timeout {
        /// The host as given.
        host: String,
        /// The port.
        port: u16,
    },
    /// The peer speaks another version of the protocol.
    Version {
        /// Our version.
        expected: u16,
        /// The server's version.
        got: u16,
    },
    /// The two sides do not belong together: another key, role, or server. Trying again without
    /// reading the access file again is useless.
    Rejected(Error),
    /// The handshake broke off: the server is overloaded or ending, or no hq server at all.
    Broken(Error),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Unreachable { host, port, .. } => {
                write!(f, "Cannot connect to {}", place(host, *port))
            }
            DialError::Timeout { host, port } => {
                write!(f, "Cannot connect to {}: no answer in time", place(host, *port))
            }
            DialError::Version { expected, got } => Error::Version { expected: *expected, got: *got }.fmt(f),
            DialError::Rejected(error) | DialError::Broken(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DialError::Unreachable { source, .. } => Some(source),
            // These say their causes themselves.
            DialError::Rejected(_) | DialError::Broken(_) => None,
            DialError::Timeout { .. } | DialError::Version { .. } => None,
        }
    }
}

/// `host:port` as people write it: a literal IPv6 address stands in brackets.
pub fn place(host: &str, port: u16) -> String {
    let host = bare(host);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A host without the brackets that people put around IPv6 addresses.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl DialError {
    /// Whether the machine at every address that was tried says that nobody listens there.
    pub fn is_refused(&self) -> bool {
        matches!(self, DialError::Unreachable { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// How much the error tells about the server, for the choice among those of several addresses; a refusal is only
    /// what is left when nothing else was heard.
    fn rank(&self) -> u8 {
        match self {
            DialError::Unreachable { .. } if self.is_refused() => 0,
            DialError::Unreachable { .. } => 1,
            DialError::Timeout { .. } => 2,
            DialError::Broken(_) => 3,
            DialError::Version { .. } => 4,
            DialError::Rejected(_) => 5,
        }
    }
}

/// Connects to the server at `host:port` and proves `identity`.
///
/// A host that is this machine's own name and that the system calls unreachable (as on nodes whose
/// name resolves to an address of another network) is tried as `localhost` as well.
///
/// # Errors
/// See [`DialError`].
pub async fn dial(host: &str, port: u16, identity: &Identity) -> Result<Connection, DialError> {
    match dial_host(host, port, identity).await {
        Err(DialError::Unreachable { source, .. })
            if source.kind() == io::ErrorKind::HostUnreachable && is_own_name(host) =>
        {
            dial_host("localhost", port, identity).await
        }
        result => result,
    }
}

/// Connects to the server by the first of several hosts that leads to it; they are tried in this order, each soon after
/// the one before, without waiting for its failure.
///
/// # Errors
/// The one of [`DialError`] that says most about the server.
pub async fn dial_any(hosts: &[&str], port: u16, identity: &Identity) -> Result<Connection, DialError> {
    if let [host] = hosts {
        return dial(host, port, identity).await;
    }
    let tries = hosts.iter().take(ADDRESSES_MAX).map(|host| {
        let (host, identity) = ((*host).to_owned(), identity.clone());
        async move { dial(&host, port, &identity).await }
    });
    let nowhere = || DialError::Broken(Error::Malformed { what: "list of addresses" });
    staggered(tries).await.unwrap_or_else(|| Err(nowhere()))
}

/// Starts one try after the other, each [`ATTEMPT_MS_STEP`] after the one before or as soon as that failed, until one
/// succeeds. `None` without any try.
async fn staggered<T>(tries: impl Iterator<Item = T>) -> Option<Result<Connection, DialError>>
where
    T: Future<Output = Result<Connection, DialError>> + Send + 'static,
{
    let mut tries = tries.peekable();
    let mut running = JoinSet::new();
    let mut worst: Option<DialError> = None;
    loop {
        if let Some(next) = tries.next() {
            running.spawn(next);
        }
        let waits = tries.peek().is_some();
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(Ok(Ok(connection))) => return Some(Ok(connection)),
                Some(Ok(Err(error))) if worst.as_ref().is_none_or(|worst| worst.rank() < error.rank()) => {
                    worst = Some(error);
                }
                Some(_) => {}
                None if !waits => return worst.map(Err),
                None => {}
            },
            () = sleep(Duration::from_millis(ATTEMPT_MS_STEP)), if waits => {}
        }
    }
}

fn is_own_name(host: &str) -> bool {
    nix::unistd::gethostname().is_ok_and(|own| own.to_str() == Some(host))
}

async fn dial_host(host: &str, port: u16, identity: &Identity) -> Result<Connection, DialError> {
    let host = bare(host);
    let unreachable = |source| DialError::Unreachable { host: host.to_owned(), port, source };
    let limit = Duration::from_millis(CONNECT_MS_MAX);
    let late = |_| DialError::Timeout { host: host.to_owned(), port };
    let found = timeout(limit, lookup_host((host, port))).await.map_err(late)?.map_err(unreachable)?;
    let tries = found.take(ADDRESSES_MAX).map(|address| {
        let (host, identity) = (host.to_owned(), identity.clone());
        async move { dial_address(address, &identity).await.map_err(|error| explain(error, host, port)) }
    });
    let tried = staggered(tries).await;
    tried.unwrap_or_else(|| Err(unreachable(io::Error::other("the host name has no address"))))
}

fn explain(error: Option<Error>, host: String, port: u16) -> DialError {
    match error {
        None | Some(Error::Timeout { .. }) => DialError::Timeout { host, port },
        Some(Error::Io { source, .. }) => DialError::Unreachable { host, port, source },
        Some(Error::Version { expected, got }) => DialError::Version { expected, got },
        Some(error) if error.is_rejection() => DialError::Rejected(error),
        Some(error) => DialError::Broken(error),
    }
}

/// `Err(None)` stands for a connect that took too long.
async fn dial_address(address: SocketAddr, identity: &Identity) -> Result<Connection, Option<Error>> {
    let failed = |source| Some(Error::Io { doing: "connect", source });
    let limit = Duration::from_millis(CONNECT_MS_MAX);
    let mut retry = Duration::from_millis(RETRY_MS_MIN);
    let mut tries = 1;
    loop {
        let stream = timeout(limit, TcpStream::connect(address)).await.map_err(|_| None)?;
        let (reader, writer) = tcp_halves(stream.map_err(failed)?);
        match initiate(reader, writer, identity).await {
            Err(Error::Cut | Error::Reset) if tries < TRIES_MAX => {
                sleep(retry).await;
                retry *= 2;
                tries += 1;
            }
            result => return result.map_err(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Role, SecretKey, ServerUid, listen, serve};

    fn identity(key: u8) -> Identity {
        Identity::new(Role::Client, SecretKey::from_bytes([key; 32]), ServerUid::default(), "1")
    }

    #[test]
    fn addresses_are_written_as_people_do() {
        for (host, text) in
            [("login1", "login1:7"), ("::1", "[::1]:7"), ("[::1]", "[::1]:7"), ("10.0.0.1", "10.0.0.1:7")]
        {
            assert_eq!(place(host, 7), text);
        }
        let error = DialError::Timeout { host: "fd00::1".to_owned(), port: 9 };
        assert_eq!(error.to_string(), "Cannot connect to [fd00::1]:9: no answer in time");
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_living_one() {
        let listener = listen(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(serve(listener, 1, identity(1), |peer| async move { drop(peer) }));
        // Nobody answers in the network for documentation (RFC 5737), whether by silence or by an error.
        dial_any(&["192.0.2.1", "no.such.host.invalid", "127.0.0.1"], port, &identity(1)).await.unwrap();
        // What the server said beats what the network said.
        let error = dial_any(&["127.0.0.1", "127.0.0.2:no"], port, &identity(2)).await.unwrap_err();
        assert!(matches!(error, DialError::Rejected(Error::WrongKey)), "{error}");
        server.abort();
    }
}
