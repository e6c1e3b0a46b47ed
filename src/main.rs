//! The program `hq`: arguments to mode to exit code.
//!
//! One binary is client, server and worker, so that a user installs one file.
//!
//! Holds: a wrong command line ends with exit code 2 before anything else happens.

use clap::Parser;
use hyperqueue::client;
use hyperqueue::client::arguments::Cli;
use hyperqueue::client::render::log;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    log::init(&log::LogOptions::from_env(cli.global.debug));
    match client::run(&cli.global, &cli.command) {
        Some(code) => code,
        None => ExitCode::FAILURE,
    }
}
