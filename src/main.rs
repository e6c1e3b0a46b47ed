//! The program `hq`: arguments to mode to exit code.
//!
//! One binary is client, server and worker, so that a user installs one file.
//!
//! Holds: a wrong command line ends with exit code 2 before anything else happens.

use clap::Parser;
use hyperqueue::client::arguments::{Cli, Command, GlobalOptions, ServerCommand, WorkerCommand};
use hyperqueue::client::render::{OutputMode, log};
use hyperqueue::{client, launch};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let quiet = cli.global.output_mode == OutputMode::Quiet && !cli.command.is_service();
    log::init(&log::LogOptions::from_env(cli.global.debug, quiet));
    match client::run(&cli.global, &cli.command) {
        Some(code) => code,
        None => start(&cli.global, &cli.command),
    }
}

/// The commands that are no client's.
fn start(global: &GlobalOptions, command: &Command) -> ExitCode {
    match command {
        Command::Server(group) => match &group.command {
            ServerCommand::Start(args) => launch::server(global, args),
            _ => ExitCode::FAILURE,
        },
        Command::Worker(group) => match &group.command {
            WorkerCommand::Start(args) => launch::worker(global, args),
            WorkerCommand::HwDetect(args) => launch::hwdetect(global, *args),
            _ => ExitCode::FAILURE,
        },
        _ => ExitCode::FAILURE,
    }
}
