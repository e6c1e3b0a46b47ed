//! `hq journal flush`: waits until everything so far is on disk.
//!
//! Holds: it succeeds only when that is so, or when the server keeps no journal.

use crate::client::error::Error;
use crate::client::link::Link;
use crate::wire::message::{Empty, Request, Response};

/// Runs the command.
///
/// # Errors
/// Those of the link; the server's refusal when the journal cannot be written.
pub fn flush(link: &mut Link) -> Result<(), Error> {
    match link.ask(&Request::Flush(Empty {}))? {
        Response::Flushed(Empty {}) => Ok(()),
        _ => Err(Error::Unexpected),
    }
}
