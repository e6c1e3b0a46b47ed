//! `hq journal prune`: has the server take out of its journal what nobody needs any more.
//!
//! Holds: it says nothing but what goes wrong.

use crate::client::error::Error;
use crate::client::link::Link;
use crate::wire::message::{Empty, Request, Response};

/// Runs the command.
///
/// # Errors
/// Those of the link; the server's refusal when the journal could not be pruned.
pub fn prune(link: &mut Link) -> Result<(), Error> {
    match link.ask(&Request::Prune(Empty {}))? {
        Response::Pruned(_) => Ok(()),
        _ => Err(Error::Unexpected),
    }
}
