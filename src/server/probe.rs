//! Whether a server of the same directory already runs.
//!
//! A second one would point clients and workers away from the first and its jobs.
//!
//! What holds: a server that answers is never shadowed, whatever its version; one that cannot be reached from here is
//! named, since only its journal's lock can tell whether it still runs.

use super::Error;
use super::start::ServerOptions;
use crate::access;
use crate::wire::{self, DialError, Role};
use std::time::Duration;

/// Time for an answer.
const PROBE_SPAN: Duration = Duration::from_secs(5);

/// Refuses to start where a server answers.
///
/// # Errors
/// [`Error::Online`].
pub(super) async fn probe(options: &ServerOptions) -> Result<(), Error> {
    let dir = std::path::absolute(&options.server_dir).unwrap_or_else(|_| options.server_dir.clone());
    if let Ok((peer, version)) = access::load_any_version(&dir, Role::Client) {
        let identity = peer.identity(&options.version);
        let (hosts, port) = (peer.endpoint.hosts(), peer.endpoint.port);
        match tokio::time::timeout(PROBE_SPAN, wire::dial_any(&hosts, port, &identity)).await {
            Ok(Ok(_)) => {
                let version = Some(version).filter(|version| *version != options.version);
                return Err(Error::Online { dir, version });
            }
            // It speaks our protocol in another version, and has the place of the one in the access file.
            Ok(Err(DialError::Version { .. })) => return Err(Error::Online { dir, version: Some(version) }),
            // Nobody listens there any more, or somebody else does.
            Ok(Err(DialError::Unreachable { source, .. }))
                if source.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Ok(Err(DialError::Rejected(_) | DialError::Broken(_))) => {}
            Ok(Err(DialError::Unreachable { .. } | DialError::Timeout { .. })) | Err(_) => log::warn!(
                "The server of {} at {} cannot be reached from here; if it still runs, it is not found any more now",
                dir.display(),
                wire::dial::place(&peer.endpoint.host, port)
            ),
        }
    }
    log::info!("No online server found, starting a new server");
    Ok(())
}
