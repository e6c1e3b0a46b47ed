//! Whether every command is in a session.
//!
//! Holds: a command that is added without a line in a session fails a test, unless it stands here with a reason.

use crate::{SESSIONS, session};
use clap::{Command, CommandFactory};
use hyperqueue::client::arguments::Cli;
use std::collections::BTreeSet;

/// Commands in no session, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("generate-completion", "thousands of lines made by clap_complete; see completions_for_all_shells"),
    ("worker hwdetect", "says what this machine has; see tests/cli/hardware.rs"),
    ("journal info", "sizes and times of this run; see tests/cli/journal_inspect.rs"),
    ("journal repair", "damage is made by hand; see tests/cli/journal_repair.rs"),
    ("journal verify", "how many events a run has differs; see tests/cli/journal_inspect.rs"),
    ("journal stream", "ends with the server; see tests/cli/journal_stream.rs"),
    ("worker deploy-ssh", "needs an ssh; see tests/cli/worker.rs and tests/network"),
];

/// The command that words name, such as `job list`; as far as it is known, for words that are wrong.
pub fn command_of(words: &[String]) -> String {
    let mut command = Cli::command();
    command.build();
    let mut path = Vec::new();
    for word in words {
        if let Some(inner) = command.find_subcommand(word).cloned() {
            path.push(inner.get_name().to_owned());
            command = inner;
        } else if command.get_subcommands().next().is_none() {
            break;
        }
    }
    path.join(" ")
}

fn leaves(command: &Command, path: &str, found: &mut BTreeSet<String>) {
    for inner in command.get_subcommands() {
        let path = format!("{path} {}", inner.get_name()).trim().to_owned();
        match inner.get_subcommands().next() {
            Some(_) => leaves(inner, &path, found),
            None => drop(found.insert(path)),
        }
    }
}

#[test]
fn every_command_is_in_a_session() {
    let mut missing = BTreeSet::new();
    leaves(&Cli::command(), "", &mut missing);
    let all = missing.clone();
    for name in SESSIONS {
        for step in session::steps(name, "cli") {
            if let session::Step::Shown(words) = step {
                missing.remove(&command_of(&words));
            }
        }
    }
    for (command, why) in ELSEWHERE {
        assert!(all.contains(*command), "`{command}` is no command");
        assert!(missing.remove(*command), "`{command}` is in a session: it is no exception ({why})");
    }
    assert!(missing.is_empty(), "add lines for these commands to tests/golden/sessions: {missing:?}");
}

#[test]
fn every_session_is_played() {
    let dir = format!("{}/tests/golden/sessions", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(dir).expect("the sessions");
    let mut files: Vec<String> =
        entries.map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned()).collect();
    files.sort();
    let mut names: Vec<String> = SESSIONS.iter().map(|name| format!("{name}.session")).collect();
    names.sort();
    assert_eq!(files, names);
}
