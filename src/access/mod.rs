//! The server directory: where a server leaves what clients and workers need to find and trust it.
//!
//! It holds secrets on a machine with other users, so reading is as careful as writing.
//!
//! What holds:
//! * Directories of ours have mode 0700, access files 0400, whatever the umask.
//! * Nothing is read from a directory or file that another user owns or could have changed.
//! * A file that is sealed under a passphrase is of no use to whoever copies it.
//! * `hq-current` changes by one rename, and only the server it points to takes it away.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod directory;
pub mod error;
mod guard;
pub mod record;
pub mod reverse;
pub mod sealed;
pub mod sign;

#[cfg(test)]
mod tests;

pub use directory::{ServerDir, default_server_dir};
pub use error::Error;
pub use record::{AccessFile, Endpoint, PeerAccess, load_any_version, load_client, load_worker};
pub use sealed::Passphrase;
pub use sign::{Sign, SignWriter, read_sign};
