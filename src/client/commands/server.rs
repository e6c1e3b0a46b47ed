//! `hq server info` and `hq server stop`.
//!
//! The record is what the running server says of itself, not what its access file says.
//!
//! Holds: stopping returns as soon as the server has taken the order.

use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::Link;
use crate::client::render::{OutputMode, server};
use crate::wire::message::{Empty, Request, Response};

/// Runs `hq server info`.
///
/// # Errors
/// See [`Error`].
pub fn info(link: &mut Link, console: &mut Console) -> Result<(), Error> {
    let Response::Server(view) = link.ask(&Request::ServerInfo(Empty {}))? else { return Err(Error::Unexpected) };
    match console.mode() {
        OutputMode::Cli => {
            let text = server::table(&view, None, console.palette());
            console.text(&text)
        }
        OutputMode::Json => console.json(&server::to_json(&view, None)),
        OutputMode::Quiet => Ok(()),
    }
}

/// Runs `hq server stop`.
///
/// # Errors
/// See [`Error`].
pub fn stop(link: &mut Link) -> Result<(), Error> {
    log::info!("Stopping server");
    match link.ask(&Request::StopServer(Empty {})) {
        // A server that ends may close the connection before its answer is through.
        Ok(Response::Stopping(_)) | Err(Error::Lost { .. }) => Ok(()),
        Ok(_) => Err(Error::Unexpected),
        Err(error) => Err(error),
    }
}
