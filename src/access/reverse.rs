//! Where workers listen that cannot reach the server, so that the server reaches them.
//!
//! Some networks let connections out of the login node only. Such a worker puts its address into the server directory,
//! which both see, and the server dials it.
//!
//! What holds: only who can write to the directory is dialled, and proves the worker's key like any other worker; an
//! address that cannot be understood is left out.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::directory::current_dir;
use super::error::Error;
use super::guard;

/// Name of the directory in a numbered directory.
const REVERSE_DIR_NAME: &str = "reverse";
/// Workers that are listed; further ones are left out.
pub const CALLS_MAX: usize = 4_096;
/// Addresses of one worker.
const ADDRESSES_MAX: usize = 16;

/// A worker that wants to be dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Name of its file, another one for each worker.
    pub name: String,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
}

/// A worker's address in the server directory; gone when this is dropped.
#[derive(Debug)]
pub struct PostedCall {
    path: PathBuf,
}

impl PostedCall {
    /// Puts an address where the active server of `server_dir` finds it, with mode 0600. `name` has letters and digits.
    ///
    /// # Errors
    /// As reading an access file; [`Error::Io`].
    pub fn post(server_dir: &Path, name: &str, addresses: &[IpAddr], port: u16) -> Result<Self, Error> {
        let (_, dir) = current_dir(server_dir)?;
        let dir = dir.join(REVERSE_DIR_NAME);
        guard::create_dir(&dir)?;
        let path = dir.join(format!("{name}.json"));
        let failed = |source| Error::io("write", &path, source);
        // Renamed into its place, so that the server never reads a part of it.
        let fresh = dir.join(format!("{name}.new"));
        let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        let text = json!({"addresses": addresses, "port": port}).to_string();
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
        std::fs::rename(&fresh, &path).map_err(failed)?;
        Ok(PostedCall { path })
    }

    /// Whether it still is where the active server looks.
    pub fn is_current(&self, server_dir: &Path) -> bool {
        current_dir(server_dir).is_ok_and(|(_, dir)| self.path.starts_with(dir) && self.path.exists())
    }
}

impl Drop for PostedCall {
    fn drop(&mut self) {
        // The directory may be gone with the server.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The workers that want to be dialled by the server of the numbered directory `dir`.
///
/// # Errors
/// [`Error::Io`] and what makes the directory untrustworthy; without such workers there are none.
pub fn calls(dir: &Path) -> Result<Vec<Call>, Error> {
    let path = dir.join(REVERSE_DIR_NAME);
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::io("list", &path, source)),
    };
    let opened = guard::open_dir(&path, guard::Trust::Within)?;
    let mut calls = Vec::new();
    for entry in entries.flatten().take(CALLS_MAX) {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.ends_with(".json")) else { continue };
        // One that is taken away at this moment is not there, and one that is none of ours is not read.
        let Ok(Some(text)) = guard::read_in(&opened, name, &entry.path()) else { continue };
        let addresses = parse(&text);
        if !addresses.is_empty() {
            calls.push(Call { name: name.to_owned(), addresses });
        }
    }
    Ok(calls)
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let port = value.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let addresses = value.get("addresses").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let addresses = addresses.iter().filter_map(|address| address.as_str()?.parse::<IpAddr>().ok());
    let port = port.filter(|port| *port > 0);
    port.map_or_else(Vec::new, |port| addresses.take(ADDRESSES_MAX).map(|ip| SocketAddr::new(ip, port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::ServerDir;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_posted_address_is_found_until_it_is_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let dir = ServerDir::create(temp.path()).unwrap();
        dir.publish().unwrap();
        assert_eq!(calls(dir.numbered()).unwrap(), []);
        let addresses = [IpAddr::from([10, 0, 0, 1]), "fd00::1".parse().unwrap()];
        let posted = PostedCall::post(temp.path(), "abc", &addresses, 4_000).unwrap();
        assert_eq!(std::fs::metadata(&posted.path).unwrap().mode() & 0o777, 0o600);
        let found = calls(dir.numbered()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].addresses[1].to_string(), "[fd00::1]:4000");
        assert!(posted.is_current(temp.path()));
        std::fs::write(dir.numbered().join("reverse/bad.json"), "{\"port\":0,\"addresses\":[\"x\"]}").unwrap();
        assert_eq!(calls(dir.numbered()).unwrap().len(), 1);
        let next = ServerDir::create(temp.path()).unwrap();
        next.publish().unwrap();
        assert!(!posted.is_current(temp.path()), "another server looks elsewhere");
        drop(posted);
        assert_eq!(calls(dir.numbered()).unwrap(), []);
    }
}
