//! `hq worker deploy-ssh`: starts a worker on each machine of a list, by the user's ssh.
//!
//! Workers on machines without a batch manager would have to be started one by one.
//!
//! Holds: nothing is started unless the whole list and the options of the workers can be read; when this command ends,
//! so do the ssh processes, and with their terminals the workers.

use crate::client::arguments::{Cli, Command, DeploySshArgs, GlobalOptions, WorkerCommand};
use crate::client::error::Error;
use crate::client::link;
use crate::platform::{host, signal};
use clap::Parser;
use std::path::PathBuf;
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::time::Duration;

/// Pause between two looks at the processes.
const LOOK_SPAN: Duration = Duration::from_millis(50);
/// Machines of one list.
const HOSTS_MAX: usize = 10_000;

/// One machine.
#[derive(Debug, PartialEq, Eq)]
struct Host {
    name: String,
    port: Option<u16>,
}

/// Reads a host file.
fn hosts(text: &str) -> Result<Vec<Host>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let hosts: Vec<Host> = lines.map(parse_host).collect::<Result<_, _>>()?;
    match hosts.len() {
        0 => Err("The provided hostname is empty".to_owned()),
        1..=HOSTS_MAX => Ok(hosts),
        count => Err(format!("The host file has {count} hosts; at most {HOSTS_MAX} are allowed")),
    }
}

fn parse_host(line: &str) -> Result<Host, String> {
    let bad_port = |port: &str| format!("Invalid port `{port}` of host `{line}`; a port is a number from 1 to 65535");
    let (name, port) = match line.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((name, ""))) => (name, None),
        Some(Some((name, rest))) => (name, Some(rest.strip_prefix(':').ok_or_else(|| bad_port(rest))?)),
        Some(None) => return Err(format!("Host `{line}` has an opening bracket without a closing one")),
        // More than one colon is an IPv6 address, which has no room for a port.
        None => match line.split_once(':') {
            Some((name, port)) if !port.contains(':') => (name, Some(port)),
            _ => (line, None),
        },
    };
    let read = |port: &str| port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| bad_port(port));
    // ssh would take it for an option.
    if name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace) {
        return Err(format!("`{line}` is no host"));
    }
    Ok(Host { name: name.to_owned(), port: port.map(read).transpose()? })
}

/// A word as the shell of the other machine has to see it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,./:@%^".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// What is started on the other machines.
fn remote_words(global: &GlobalOptions, args: &DeploySshArgs) -> Result<Vec<String>, Error> {
    let line = ["hq", "worker", "start"].map(str::to_owned).into_iter().chain(args.worker_args.iter().cloned());
    let cli = match Cli::try_parse_from(line) {
        Ok(cli) => cli,
        // Usage, or the help that was asked for.
        Err(error) => error.exit(),
    };
    if !matches!(&cli.command, Command::Worker(group) if matches!(group.command, WorkerCommand::Start(_))) {
        return Err(Error::Invalid("Only options of `hq worker start` can be given to workers".to_owned()));
    }
    let program = host::executable().map_err(|source| Error::System { doing: "find this program", source })?;
    let path = |path: PathBuf| {
        path.into_os_string().into_string().map_err(|_| Error::Invalid("A path is no valid UTF-8".to_owned()))
    };
    let mut words = vec![path(program)?, "worker".to_owned(), "start".to_owned()];
    words.extend(without_server_dir(&args.worker_args));
    // Given among the words it counts more than what was given before them, or by the environment.
    let among = without_server_dir(&args.worker_args).len() < args.worker_args.len();
    let chosen = if among { cli.global } else { global.clone() };
    if chosen.server_dir.is_some() {
        words.extend(["--server-dir".to_owned(), path(link::server_dir(&chosen)?)?]);
    }
    Ok(words.iter().map(|word| quoted(word)).collect())
}

/// The words without the server directory, which is handed on as an absolute path.
fn without_server_dir(words: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--server-dir" => drop(words.next()),
            word if word.starts_with("--server-dir=") => {}
            word => kept.push(word.to_owned()),
        }
    }
    kept
}

fn start(host: &Host, words: &[String], show_output: bool) -> Result<Child, Error> {
    let output = || if show_output { Stdio::inherit() } else { Stdio::null() };
    let mut ssh = Process::new("ssh");
    ssh.arg(&host.name).args(["-t", "-t"]);
    if let Some(port) = host.port {
        ssh.args(["-p", &port.to_string()]);
    }
    ssh.arg("--").args(words).stdin(Stdio::null()).stdout(output()).stderr(output());
    ssh.spawn().map_err(|source| Error::System { doing: "start ssh", source })
}

/// The ssh processes; those that still run are killed when this is dropped.
struct Running(Vec<(String, Child)>);

impl Drop for Running {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            // One that has ended meanwhile cannot be killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn report(host: &str, status: ExitStatus) -> bool {
    match status.code() {
        Some(0) => log::info!("Worker at `{host}` has ended successfully"),
        Some(code) => log::error!("Worker at `{host}` has ended with an error: Worker exited with code {code}"),
        None => log::error!("Worker at `{host}` has ended with an error: ssh was ended by a signal"),
    }
    status.success()
}

/// Runs `hq worker deploy-ssh`.
///
/// # Errors
/// See [`Error`]; also when a worker ended with an error.
pub fn run(global: &GlobalOptions, args: &DeploySshArgs) -> Result<(), Error> {
    let words = remote_words(global, args)?;
    let text = std::fs::read_to_string(&args.hostfile);
    let text = text.map_err(|source| Error::File { doing: "read", path: args.hostfile.clone(), source })?;
    let hosts = hosts(&text).map_err(Error::Invalid)?;
    let system = |source| Error::System { doing: "listen to signals", source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    runtime.block_on(async {
        let mut signals = signal::Termination::listen().map_err(system)?;
        let mut running = Running(Vec::new());
        for host in &hosts {
            running.0.push((host.name.clone(), start(host, &words, args.show_output)?));
            log::info!("Started worker process at `{}`", host.name);
        }
        let mut all_well = true;
        while !running.0.is_empty() {
            tokio::select! {
                request = signals.next() => {
                    log::info!("{} received, closing workers", request.name());
                    return Err(Error::Invalid("Some workers were closed".to_owned()));
                }
                () = tokio::time::sleep(LOOK_SPAN) => {}
            }
            running.0.retain_mut(|(host, child)| match child.try_wait() {
                Ok(None) => true,
                Ok(Some(status)) => {
                    all_well &= report(host, status);
                    false
                }
                Err(error) => {
                    log::error!("Worker at `{host}` has ended with an error: {error}");
                    all_well = false;
                    false
                }
            });
        }
        log::info!("All workers have finished");
        if all_well { Ok(()) } else { Err(Error::Invalid("Some workers have ended with an error".to_owned())) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_files() {
        let host = |name: &str, port| Host { name: name.to_owned(), port };
        let text = " node1 \n\nnode2:2222\n[::1]:22\n[fd00::2]\nfd00::3\n10.0.0.1:1\n";
        let expected = [
            host("node1", None),
            host("node2", Some(2222)),
            host("::1", Some(22)),
            host("fd00::2", None),
            host("fd00::3", None),
            host("10.0.0.1", Some(1)),
        ];
        assert_eq!(hosts(text).unwrap(), expected);
        for (text, part) in [
            ("", "The provided hostname is empty"),
            (" \n\n", "The provided hostname is empty"),
            ("a:b", "Invalid port `b`"),
            ("a:0", "Invalid port `0`"),
            ("a:70000", "Invalid port `70000`"),
            ("[::1]22", "Invalid port `22`"),
            ("[::1", "closing"),
            (":22", "no host"),
            ("-oProxyCommand=x", "no host"),
            ("a b", "no host"),
        ] {
            let error = hosts(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn words_survive_the_other_shell() {
        for plain in ["--cpus", "--cpus=2x4", "/opt/hq", "10m", "a:b@c,d%e+f"] {
            assert_eq!(quoted(plain), plain);
        }
        assert_eq!(quoted("[[0,1],[2]]"), "'[[0,1],[2]]'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        let words = ["--server-dir", "x", "--cpus", "1", "--server-dir=y"].map(str::to_owned);
        assert_eq!(without_server_dir(&words), ["--cpus", "1"]);
    }
}
