//! Showing an address to the user by another program.
//!
//! Which program that is belongs to the user's session, not to this one: BROWSER, or what the desktop prefers.

use std::io;
use std::process::{Command, Stdio};

/// What opens an address on a desktop of freedesktop.org.
const OPENER: &str = "xdg-open";

/// Opens an address by the program that the variable BROWSER names, or else by `xdg-open`, and waits for it.
///
/// # Errors
/// The program cannot be started, or says that it failed.
pub fn open(url: &str) -> io::Result<()> {
    let program = std::env::var_os("BROWSER").filter(|name| !name.is_empty()).unwrap_or_else(|| OPENER.into());
    let named = |text: String| format!("{}: {text}", program.to_string_lossy());
    let opened = Command::new(&program).arg(url).stdin(Stdio::null()).status();
    let status = opened.map_err(|error| io::Error::new(error.kind(), named(error.to_string())))?;
    if status.success() { Ok(()) } else { Err(io::Error::other(named(format!("ended with {status}")))) }
}
