//! `hq generate-completion`: what a shell needs to complete command lines.
//!
//! It is made from the definition of the command line itself, so it cannot be out of date.
//!
//! Holds: nothing but the script gets to the standard output before the end of the command.

use crate::client::arguments::{Cli, CompletionArgs};
use crate::client::console::Console;
use crate::client::error::Error;
use clap::CommandFactory;

/// Runs the command.
///
/// # Errors
/// See [`Console::bytes`].
pub fn run(args: &CompletionArgs, console: &mut Console) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hq", &mut script);
    console.bytes(&script)?;
    console.flush()?;
    log::info!("This is the completion for {}; write it into a file that your shell reads at its start", args.shell);
    Ok(())
}
