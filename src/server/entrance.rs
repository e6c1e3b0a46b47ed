//! The two ports of a server: where they listen, what opens them, and what the access file says about it.
//!
//! Options beat a prepared access file, and that beats the defaults; keys come from the prepared file alone.
//!
//! What holds: a port without a key is reached from this machine only, unless the user names the addresses; a prepared
//! file that names host and port as they are is written again unchanged.

use super::Error;
use super::start::ServerOptions;
use crate::access::{AccessFile, Endpoint};
use crate::platform::host;
use crate::wire::{self, Role, SecretKey, ServerUid};
use std::net::{IpAddr, Ipv4Addr};
use tokio::net::TcpListener;

/// Both ports, listening.
pub(super) struct Entrance {
    pub(super) clients: Vec<TcpListener>,
    pub(super) workers: Vec<TcpListener>,
    pub(super) access: AccessFile,
}

/// One of the two ports in the making.
struct Door {
    role: Role,
    key: SecretKey,
    /// Of a prepared access file.
    prepared: Option<Endpoint>,
}

impl Door {
    fn new(options: &ServerOptions, role: Role, prepared: Option<&AccessFile>) -> Result<Self, Error> {
        let disabled = match role {
            Role::Client => options.keyless_clients,
            Role::Worker => options.keyless_workers,
        };
        let prepared = prepared.map(|file| match role {
            Role::Client => file.client.clone(),
            Role::Worker => file.worker.clone(),
        });
        let key = match &prepared {
            Some(endpoint) => endpoint.key.clone(),
            None if disabled => SecretKey::absent(),
            None => SecretKey::random().map_err(|error| Error::Inconsistent(error.to_string()))?,
        };
        if disabled && !key.is_absent() {
            log::warn!("The access file has a {} key, so that connections are protected all the same", word(role));
        }
        Ok(Door { role, key, prepared })
    }

    fn listen(&self, options: &ServerOptions) -> Result<Vec<TcpListener>, Error> {
        let given = match self.role {
            Role::Client => options.client_port,
            Role::Worker => options.worker_port,
        };
        let port = given.or(self.prepared.as_ref().map(|endpoint| endpoint.port)).unwrap_or(0);
        let addresses = match options.listen.as_slice() {
            [] if self.key.is_absent() => vec![IpAddr::from(Ipv4Addr::LOCALHOST)],
            [] => vec![IpAddr::from(Ipv4Addr::UNSPECIFIED)],
            given => given.to_vec(),
        };
        if self.key.is_absent() {
            warn_unprotected(self.role, &addresses);
        }
        let what = word(self.role);
        wire::listen_on(&addresses, port).map_err(|cause| Error::Listen { what, port, cause })
    }

    /// What the access file says about the port.
    fn endpoint(self, options: &ServerOptions, listeners: &[TcpListener]) -> Result<Endpoint, Error> {
        let io = |cause| Error::Io { what: "find out about this machine", cause };
        let bound: Result<Vec<_>, _> = listeners.iter().map(TcpListener::local_addr).collect();
        let bound = bound.map_err(io)?;
        let port = bound.first().map_or(0, std::net::SocketAddr::port);
        let local = bound.iter().all(|address| address.ip().is_loopback());
        let Door { key, prepared, .. } = self;
        if let Some(mut endpoint) = prepared {
            endpoint.port = port;
            if let Some(host) = &options.host {
                endpoint.host.clone_from(host);
                endpoint.addresses.clear();
            }
            return Ok(endpoint);
        }
        let host = match &options.host {
            Some(host) => host.clone(),
            None if local => "localhost".to_owned(),
            None => host::name().map_err(io)?,
        };
        // A host that was chosen is meant; otherwise its name may not be known everywhere.
        let listed = options.listen.iter().any(|address| !address.is_unspecified());
        let addresses = match (listed, options.host.is_some() || local) {
            (true, _) => bound.iter().map(|address| address.ip()).collect(),
            (false, true) => Vec::new(),
            (false, false) => reachable(&bound.iter().map(|address| address.ip()).collect::<Vec<_>>()),
        };
        let addresses = addresses.iter().map(IpAddr::to_string).filter(|address| *address != host).collect();
        Ok(Endpoint { host, addresses, port, key })
    }
}

/// The addresses of this machine over which a socket at `bound` can be reached.
fn reachable(bound: &[IpAddr]) -> Vec<IpAddr> {
    let covers = |address: &IpAddr| bound.iter().any(|it| it.is_ipv6() || address.is_ipv4());
    // Without an answer the name has to do.
    host::addresses().unwrap_or_default().into_iter().filter(covers).take(wire::limits::ADDRESSES_MAX - 1).collect()
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Worker => "worker",
    }
}

fn warn_unprotected(role: Role, addresses: &[IpAddr]) {
    let places: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    let what = match role {
        Role::Client => "submit jobs, which run as you",
        Role::Worker => "take your tasks, with all they know",
    };
    let frame = "=".repeat(76);
    log::warn!("{frame}");
    log::warn!("Server is started with unprotected {} connections", word(role));
    log::warn!("Whoever reaches port and address ({}) can {what}", places.join(", "));
    log::warn!("{frame}");
}

/// The prepared access file, if there is one.
pub(super) fn prepared(options: &ServerOptions) -> Result<Option<AccessFile>, Error> {
    let read = |path| AccessFile::read(path, &options.version).map_err(Error::from);
    options.access_file.as_deref().map(read).transpose()
}

/// Listens at both ports, the one for clients first.
///
/// # Errors
/// [`Error::Listen`], and what the system refuses.
pub(super) fn open(
    options: &ServerOptions,
    prepared: Option<&AccessFile>,
    server_uid: &str,
) -> Result<Entrance, Error> {
    let client = Door::new(options, Role::Client, prepared)?;
    let worker = Door::new(options, Role::Worker, prepared)?;
    let clients = client.listen(options)?;
    let workers = worker.listen(options)?;
    let server_uid = ServerUid::parse(server_uid).map_err(|error| Error::Inconsistent(error.to_string()))?;
    if prepared.is_some_and(|file| !file.server_uid.is_any() && file.server_uid != server_uid) {
        log::warn!("The journal belongs to server {server_uid}, so that the uid of the access file does not count");
    }
    let access = AccessFile {
        version: options.version.clone(),
        server_uid,
        client: client.endpoint(options, &clients)?,
        worker: worker.endpoint(options, &workers)?,
        passphrase: prepared.and_then(|file| file.passphrase.clone()),
    };
    Ok(Entrance { clients, workers, access })
}
