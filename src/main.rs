//! The program `hq`: arguments to mode to exit code.
//!
//! One binary is client, server and worker, so that a user installs one file.
//!
//! Holds: a wrong command line ends with exit code 2 before anything else happens.

use clap::Parser;
use hyperqueue::client::arguments::{Cli, Command, GlobalOptions, ServerCommand, WorkerCommand};
use hyperqueue::client::render::{OutputMode, escape, gauge, log};
use hyperqueue::{client, launch};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let quiet = cli.global.output_mode == OutputMode::Quiet && !cli.command.is_service();
    log::init(&log::LogOptions::from_env(cli.global.debug, quiet));
    gauge::allow(cli.global.output_mode);
    match client::run(&cli.global, &cli.command) {
        Some(code) => code,
        None => start(&cli.global, &cli.command),
    }
}

/// Prints help, the version, or what is wrong with the command line.
fn usage(error: &clap::Error) -> ExitCode {
    let is_hostile = |word: std::ffi::OsString| escape::line(&word.to_string_lossy()) != word.to_string_lossy();
    if error.use_stderr() && std::env::args_os().any(is_hostile) {
        // The message repeats words that could do something to the terminal, which its colours are no longer told from.
        let text = error.render().to_string();
        let _ = std::io::stderr().write_all(escape::text(&text).as_bytes());
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    error.exit()
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
