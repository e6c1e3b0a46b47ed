//! The access record: where a server listens and which keys open its ports.
//!
//! The file is copied by hand to other machines and read by other tools, so that its form is fixed:
//! `version`, `server_uid`, `client`, `worker`, in this order, indented by two, no newline at the end.
//!
//! What holds: a record is written whole or not at all, never over another one; readers take only
//! the keys that they need; another version of the program is refused before any connection, and before anybody is
//! asked for a passphrase.

use std::path::Path;

use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use super::directory::{ACCESS_FILE_NAME, current_dir};
use super::error::Error;
use super::guard;
use super::sealed::{self, Passphrase};
use crate::wire::{Identity, Role, SecretKey, ServerUid};

/// One port of the server as its peers see it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Host name or address that peers dial.
    pub host: String,
    /// Further names or addresses, tried after the host in this order.
    pub addresses: Vec<String>,
    /// TCP port.
    pub port: u16,
    /// The secret of the port's role; [`SecretKey::absent`] for a port that is open to everybody.
    pub key: SecretKey,
}

/// A full access record.
#[derive(Clone, Debug)]
pub struct AccessFile {
    /// Exact version of the program that wrote it.
    pub version: String,
    /// Identity of the server.
    pub server_uid: ServerUid,
    /// The port for clients.
    pub client: Endpoint,
    /// The port for workers.
    pub worker: Endpoint,
    /// What the file is sealed with, if it is.
    pub passphrase: Option<Passphrase>,
}

/// Further addresses of one port that are read; the rest is left out.
const ADDRESSES_MAX: usize = 15;

/// What one role needs to know to reach the server.
#[derive(Clone, Debug)]
pub struct PeerAccess {
    /// The role.
    pub role: Role,
    /// Identity of the server; any, where the record does not say.
    pub server_uid: ServerUid,
    /// The port of the role.
    pub endpoint: Endpoint,
}

impl PeerAccess {
    /// The identity to dial with.
    pub fn identity(&self, version: &str) -> Identity {
        Identity::new(self.role, self.endpoint.key.clone(), self.server_uid.clone(), version)
    }
}

/// Finds the access file of a running server and reads what a client needs. `version` is this
/// program's.
///
/// # Errors
/// [`Error::InvalidServerDir`], [`Error::NoServer`], [`Error::VersionMismatch`], and what makes
/// the file untrustworthy or unreadable.
pub fn load_client(server_dir: &Path, version: &str) -> Result<PeerAccess, Error> {
    load(server_dir, Role::Client, version)
}

/// As [`load_client`], for a worker. A worker calls it again before it reconnects, because a server
/// that was started again has new keys.
///
/// # Errors
/// As [`load_client`].
pub fn load_worker(server_dir: &Path, version: &str) -> Result<PeerAccess, Error> {
    load(server_dir, Role::Worker, version)
}

/// As [`load_client`], whatever the version of the program that wrote the file, and which that is: for asking whether
/// anybody is there at all.
///
/// # Errors
/// As [`load_client`], but for the version.
pub fn load_any_version(server_dir: &Path, role: Role) -> Result<(PeerAccess, String), Error> {
    read_current(server_dir, |record| {
        let version = record.version()?;
        let record = record.opened()?;
        Ok((PeerAccess { role, server_uid: record.server_uid()?, endpoint: record.endpoint(role)? }, version))
    })
}

fn load(server_dir: &Path, role: Role, version: &str) -> Result<PeerAccess, Error> {
    read_current(server_dir, |record| {
        record.check_version(version)?;
        let record = record.opened()?;
        Ok(PeerAccess { role, server_uid: record.server_uid()?, endpoint: record.endpoint(role)? })
    })
}

fn read_current<T>(server_dir: &Path, take: impl FnOnce(Record<'_>) -> Result<T, Error>) -> Result<T, Error> {
    let (dir, dir_path) = current_dir(server_dir)?;
    let path = dir_path.join(ACCESS_FILE_NAME);
    let text = guard::read_in(&dir, ACCESS_FILE_NAME, &path)?;
    let text = text.ok_or_else(|| Error::NoServer { server_dir: server_dir.to_owned() })?;
    take(Record::parse(&text, &path)?)
}

impl AccessFile {
    /// A record with fresh keys; host and port of the client's port first.
    ///
    /// # Errors
    /// [`Error::Io`] where the system gives no randomness.
    pub fn generate(
        version: &str,
        server_uid: ServerUid,
        client: (&str, u16),
        worker: (&str, u16),
    ) -> Result<Self, Error> {
        let endpoint = |(host, port): (&str, u16)| {
            let key = SecretKey::random().map_err(|error| {
                Error::io("choose keys for", Path::new(ACCESS_FILE_NAME), std::io::Error::other(error))
            })?;
            Ok(Endpoint { host: host.to_owned(), addresses: Vec::new(), port, key })
        };
        let (client, worker) = (endpoint(client)?, endpoint(worker)?);
        Ok(AccessFile { version: version.to_owned(), server_uid, client, worker, passphrase: None })
    }

    /// Writes the full record to a new file of mode 0400.
    ///
    /// # Errors
    /// [`Error::Io`], also where the file exists.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let uid = ("server_uid", quoted(self.server_uid.as_str()));
        self.write_parts(path, &[uid, ("client", self.client.object()), ("worker", self.worker.object())])
    }

    /// Writes what clients need, to a new file of mode 0400.
    ///
    /// # Errors
    /// As [`AccessFile::write`].
    pub fn write_client(&self, path: &Path) -> Result<(), Error> {
        self.write_parts(path, &[("client", self.client.object())])
    }

    /// Writes what workers need, to a new file of mode 0400.
    ///
    /// # Errors
    /// As [`AccessFile::write`].
    pub fn write_worker(&self, path: &Path) -> Result<(), Error> {
        self.write_parts(path, &[("worker", self.worker.object())])
    }

    fn write_parts(&self, path: &Path, parts: &[(&str, Zeroizing<String>)]) -> Result<(), Error> {
        let mut text = Zeroizing::new(String::with_capacity(8_192));
        text.push_str("{\n  \"version\": ");
        text.push_str(&quoted(&self.version));
        if let Some(passphrase) = &self.passphrase {
            let mut inner = Zeroizing::new(String::with_capacity(8_192));
            for (number, (key, value)) in parts.iter().enumerate() {
                inner.push_str(if number == 0 { "{\"" } else { ",\"" });
                inner.push_str(key);
                inner.push_str("\":");
                inner.push_str(value);
            }
            inner.push('}');
            let sealed = sealed::seal(passphrase, &self.version, &inner)
                .map_err(|reason| Error::Sealed { path: path.to_owned(), reason })?;
            text.push_str(",\n  \"sealed\": ");
            text.push_str(&sealed);
            text.push_str("\n}");
            return guard::create_access(path, &text);
        }
        for (key, value) in parts {
            text.push_str(",\n  \"");
            text.push_str(key);
            text.push_str("\": ");
            text.push_str(value);
        }
        text.push_str("\n}");
        guard::create_access(path, &text)
    }

    /// Reads a full record, as a server needs it that is given one.
    ///
    /// # Errors
    /// [`Error::VersionMismatch`], [`Error::Malformed`] also for a partial record, and what makes
    /// the file untrustworthy or unreadable.
    pub fn read(path: &Path, version: &str) -> Result<Self, Error> {
        let text = guard::read(path)?;
        let record = Record::parse(&text, path)?;
        record.check_version(version)?;
        let record = record.opened()?;
        let server_uid = record.server_uid()?;
        let (client, worker) = (record.endpoint(Role::Client)?, record.endpoint(Role::Worker)?);
        let passphrase = record.passphrase.clone();
        Ok(AccessFile { version: version.to_owned(), server_uid, client, worker, passphrase })
    }

    /// The identity that the server shows on the port of `role`.
    pub fn identity(&self, role: Role) -> Identity {
        let endpoint = match role {
            Role::Client => &self.client,
            Role::Worker => &self.worker,
        };
        Identity::new(role, endpoint.key.clone(), self.server_uid.clone(), &self.version)
    }
}

impl Endpoint {
    fn object(&self) -> Zeroizing<String> {
        let (host, port) = (quoted(&self.host), self.port);
        let mut text = Zeroizing::new(String::with_capacity(4_096));
        text.push_str(&format!("{{\n    \"host\": {},\n    \"port\": {port},\n    \"secret_key\": ", host.as_str()));
        match self.key.is_absent() {
            true => text.push_str("null"),
            false => text.push_str(&quoted(&self.key.to_hex())),
        }
        if !self.addresses.is_empty() {
            let addresses: Vec<String> = self.addresses.iter().map(|address| quoted(address).to_string()).collect();
            text.push_str(&format!(",\n    \"addresses\": [{}]", addresses.join(", ")));
        }
        text.push_str("\n  }");
        text
    }

    /// Everything to be dialled, in order.
    pub fn hosts(&self) -> Vec<&str> {
        std::iter::once(self.host.as_str()).chain(self.addresses.iter().map(String::as_str)).collect()
    }
}

fn quoted(text: &str) -> Zeroizing<String> {
    Zeroizing::new(Value::from(text).to_string())
}

/// A record as it was read; the keys in it are wiped when it is dropped.
struct Record<'a> {
    map: Map<String, Value>,
    path: &'a Path,
    /// What it was sealed with.
    passphrase: Option<Passphrase>,
}

impl<'a> Record<'a> {
    fn parse(text: &str, path: &'a Path) -> Result<Self, Error> {
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Record { map, path, passphrase: None }),
            _ => Err(Error::Malformed { path: path.to_owned(), what: "a JSON object" }),
        }
    }

    fn malformed(&self, what: &'static str) -> Error {
        Error::Malformed { path: self.path.to_owned(), what }
    }

    fn version(&self) -> Result<String, Error> {
        let found = self.map.get("version").and_then(Value::as_str);
        found.map(str::to_owned).ok_or_else(|| self.malformed("`version`"))
    }

    fn check_version(&self, current: &str) -> Result<(), Error> {
        match self.version()? {
            found if found == current => Ok(()),
            found => Err(Error::VersionMismatch { found, current: current.to_owned() }),
        }
    }

    /// The record itself, where this one is sealed.
    fn opened(self) -> Result<Self, Error> {
        let Some(value) = self.map.get("sealed") else { return Ok(self) };
        let failed = |reason| Error::Sealed { path: self.path.to_owned(), reason };
        let passphrase = sealed::known_passphrase(self.path).map_err(failed)?;
        let text = sealed::open(&passphrase, &self.version()?, value).map_err(failed)?;
        let mut inner = Record::parse(&text, self.path)?;
        inner.passphrase = Some(passphrase);
        Ok(inner)
    }

    fn server_uid(&self) -> Result<ServerUid, Error> {
        let Some(value) = self.map.get("server_uid") else { return Ok(ServerUid::default()) };
        let uid = value.as_str().and_then(|text| ServerUid::parse(text).ok());
        uid.ok_or_else(|| self.malformed("`server_uid`"))
    }

    fn endpoint(&self, role: Role) -> Result<Endpoint, Error> {
        let (name, port_name, key_name) = match role {
            Role::Client => ("client", "`client.port`", "`client.secret_key`"),
            Role::Worker => ("worker", "`worker.port`", "`worker.secret_key`"),
        };
        let value = |key: &str| self.map.get(name).and_then(|endpoint| endpoint.get(key));
        let host = value("host").and_then(Value::as_str);
        let host = host.filter(|host| !host.is_empty()).ok_or_else(|| self.malformed(name))?;
        let port = value("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        let port = port.filter(|port| *port > 0).ok_or_else(|| self.malformed(port_name))?;
        let key = match value("secret_key") {
            Some(Value::Null) => Some(SecretKey::absent()),
            key => key.and_then(Value::as_str).and_then(|hex| SecretKey::from_hex(hex).ok()),
        };
        let key = key.ok_or_else(|| self.malformed(key_name))?;
        let addresses = value("addresses").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let addresses = addresses.iter().take(ADDRESSES_MAX).filter_map(|address| address.as_str().map(str::to_owned));
        Ok(Endpoint { host: host.to_owned(), addresses: addresses.collect(), port, key })
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        for role in ["client", "worker"] {
            let endpoint = self.map.get_mut(role).and_then(Value::as_object_mut);
            if let Some(Value::String(key)) = endpoint.and_then(|endpoint| endpoint.get_mut("secret_key")) {
                key.zeroize();
            }
        }
    }
}
