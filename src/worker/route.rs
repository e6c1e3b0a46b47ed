//! The ways from a worker to its server: straight, dialled by the server, or through the user's ssh.
//!
//! Compute nodes are often behind networks that let connections through in one direction only.
//!
//! What holds: whatever the way, the worker begins the handshake and proves its key; a tunnel ends with the connection
//! that it carries.

use super::error::Error;
use super::options::WorkerOptions;
use crate::access::{PeerAccess, reverse::PostedCall};
use crate::platform::host;
use crate::wire::{self, Connection};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::net::UnixStream;

/// How long a server may take to dial, before it is looked whether it is another one now.
const CALL_SPAN: Duration = Duration::from_secs(3);

/// The way that the options ask for.
#[derive(Debug)]
pub(super) enum Route {
    /// The server is dialled.
    Straight,
    /// The server dials.
    Reverse { listener: TcpListener, posted: Option<PostedCall> },
    /// ssh to this host leads to the server.
    Ssh { host: String, tunnel: Option<Tunnel> },
}

/// An ssh process.
#[derive(Debug)]
pub(super) struct Tunnel(Child);

impl Drop for Tunnel {
    fn drop(&mut self) {
        // It ends by itself when its standard input does; but its own network may be stuck.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

impl Route {
    /// Prepares the way; has to be called within the runtime.
    ///
    /// # Errors
    /// [`Error::System`] when no port can be had.
    pub(super) fn new(options: &WorkerOptions) -> Result<Self, Error> {
        if let Some(host) = &options.via_ssh {
            return Ok(Route::Ssh { host: host.clone(), tunnel: None });
        }
        if options.reverse {
            let listener = wire::listen(0).map_err(Error::system("opening a port"))?;
            return Ok(Route::Reverse { listener, posted: None });
        }
        Ok(Route::Straight)
    }

    /// A proven connection to the server of the access file.
    ///
    /// # Errors
    /// [`Error::Dial`], [`Error::Access`], [`Error::System`].
    pub(super) async fn connect(
        &mut self,
        options: &WorkerOptions,
        token: &str,
        access: &PeerAccess,
    ) -> Result<Connection, Error> {
        let identity = access.identity(&options.version);
        let (endpoint, port) = (&access.endpoint, access.endpoint.port);
        match self {
            Route::Straight => wire::dial_any(&endpoint.hosts(), port, &identity).await.map_err(Error::Dial),
            Route::Reverse { listener, posted } => {
                if !posted.as_ref().is_some_and(|posted| posted.is_current(&options.server_dir)) {
                    *posted = None;
                    let system = Error::system("asking for the addresses of this machine");
                    let own = listener.local_addr().map_err(Error::system("opening a port"))?.port();
                    let mut addresses = host::addresses().map_err(system)?;
                    addresses.push(std::net::Ipv4Addr::LOCALHOST.into());
                    let fresh = PostedCall::post(&options.server_dir, token, &addresses, own);
                    *posted = Some(fresh.map_err(Error::Access)?);
                }
                wire::accept_server(listener, &identity, CALL_SPAN).await.map_err(Error::Dial)
            }
            Route::Ssh { host, tunnel } => {
                *tunnel = None;
                let to = wire::dial::place(&endpoint.host, port);
                let (child, stream) = start_ssh(host, &to).map_err(Error::system("starting ssh"))?;
                *tunnel = Some(Tunnel(child));
                wire::over_tunnel(stream, &identity).await.map_err(Error::Dial)
            }
        }
    }
}

/// An ssh that passes its standard streams on to `to`, as seen from `host`.
fn start_ssh(host: &str, to: &str) -> std::io::Result<(Child, UnixStream)> {
    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    near.set_nonblocking(true)?;
    let output = far.try_clone()?;
    let mut ssh = Command::new("ssh");
    // Nobody is there to be asked; and a dead network has to be noticed.
    ssh.args(["-o", "BatchMode=yes", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3", "-W", to]);
    ssh.arg(host).stdin(Stdio::from(OwnedFd::from(far))).stdout(Stdio::from(OwnedFd::from(output)));
    let child = ssh.spawn()?;
    Ok((child, UnixStream::from_std(near)?))
}
