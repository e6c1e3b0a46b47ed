//! `hq generate-man`: the pages that `man hq-submit` shows.
//!
//! They are made from the definition of the command line itself, so they cannot be out of date.
//!
//! Holds: one page for each command and each group of commands that help shows.

use crate::client::arguments::{Cli, ManArgs};
use crate::client::error::Error;
use crate::client::render::escape;
use clap::{Arg, Command, CommandFactory};
use clap_mangen::Man;
use std::io;
use std::path::Path;

/// Runs the command.
///
/// # Errors
/// [`Error::File`] when the directory cannot be made or written.
pub fn run(args: &ManArgs) -> Result<(), Error> {
    let failed = |source| Error::File { doing: "write manual pages into", path: args.dir.clone(), source };
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    // The name of the program is also that of the first page.
    let mut root = Cli::command().name("hq").mut_args(explained);
    root.build();
    let count = write(&root, &args.dir).map_err(failed)?;
    log::info!("{count} manual pages are in {}", escape::path(&args.dir));
    Ok(())
}

/// What only `--help` shows, the generator leaves out unless it is a long text.
fn explained(arg: Arg) -> Arg {
    match (arg.get_long_help(), arg.get_help().cloned()) {
        (None, Some(help)) => arg.long_help(help),
        _ => arg,
    }
}

fn write(command: &Command, dir: &Path) -> io::Result<usize> {
    // Where every option has its paragraph, a synopsis that repeats them all says nothing.
    let usage = command.clone().render_usage().to_string();
    let page = command.clone().override_usage(usage.trim_start_matches("Usage: ").to_owned());
    Man::new(page).source(format!("hq {}", crate::VERSION)).generate_to(dir)?;
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| write(command, dir)).try_fold(1, |sum, count| Ok(sum + count?))
}
