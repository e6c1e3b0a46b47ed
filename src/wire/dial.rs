//! Dialling a server: resolve, connect, shake hands.
//!
//! Clients and workers reach the server by the host name of the access file, which may have several
//! addresses, some of them dead.
//!
//! What holds: every address is tried, each with a limit in time; the error says which of three
//! things is wrong: the way to the server, its patience, or our right to talk to it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::error::Error;
use super::handshake::{Identity, initiate};
use super::limits::CONNECT_MS_MAX;

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
                write!(f, "Cannot connect to {host}:{port}")
            }
            DialError::Timeout { host, port } => {
                write!(f, "Cannot connect to {host}:{port}: no answer in time")
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
            DialError::Rejected(error) | DialError::Broken(error) => error.source(),
            DialError::Timeout { .. } | DialError::Version { .. } => None,
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

fn is_own_name(host: &str) -> bool {
    nix::unistd::gethostname().is_ok_and(|own| own.to_str() == Some(host))
}

async fn dial_host(host: &str, port: u16, identity: &Identity) -> Result<Connection, DialError> {
    let unreachable = |source| DialError::Unreachable { host: host.to_owned(), port, source };
    let late = || DialError::Timeout { host: host.to_owned(), port };
    let limit = Duration::from_millis(CONNECT_MS_MAX);
    let found = timeout(limit, lookup_host((host, port))).await.map_err(|_| late())?;
    let mut last = unreachable(io::Error::other("the host name has no address"));
    for address in found.map_err(unreachable)? {
        let result = dial_address(address, identity).await;
        last = match result {
            Ok(connection) => return Ok(connection),
            Err(None) => late(),
            Err(Some(Error::Io { source, .. })) => unreachable(source),
            Err(Some(Error::Timeout { .. })) => late(),
            Err(Some(Error::Version { expected, got })) => DialError::Version { expected, got },
            Err(Some(error)) if error.is_rejection() => DialError::Rejected(error),
            Err(Some(error)) => DialError::Broken(error),
        };
        // Another address of the same server would say the same.
        if matches!(last, DialError::Version { .. } | DialError::Rejected(_)) {
            break;
        }
    }
    Err(last)
}

/// `Err(None)` stands for a connect that took too long.
async fn dial_address(address: SocketAddr, identity: &Identity) -> Result<Connection, Option<Error>> {
    let failed = |source| Some(Error::Io { doing: "connect", source });
    let limit = Duration::from_millis(CONNECT_MS_MAX);
    let mut retry = Duration::from_millis(RETRY_MS_MIN);
    let mut tries = 1;
    loop {
        let stream = timeout(limit, TcpStream::connect(address)).await.map_err(|_| None)?;
        let stream = stream.map_err(failed)?;
        // Without it a small request waits for the acknowledgement of the one before.
        stream.set_nodelay(true).map_err(failed)?;
        let (reader, writer) = stream.into_split();
        match initiate(reader, writer, identity).await {
            Err(Error::Cut) if tries < TRIES_MAX => {
                sleep(retry).await;
                retry *= 2;
                tries += 1;
            }
            result => return result.map_err(Some),
        }
    }
}
