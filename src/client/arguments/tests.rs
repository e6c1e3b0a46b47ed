//! The command line: what is accepted, what is refused, and how.

use super::*;
use crate::client::render::OutputMode;
use crate::client::render::color::ColorPolicy;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

/// Parses as the program does, with an environment that says nothing.
fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
    let words = std::iter::once("hq").chain(line.iter().copied());
    let mut command = without_environment(Cli::command());
    let matches = command.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches(&matches)
}

fn without_environment(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| arg.env(None))
}

fn submit(line: &[&str]) -> Box<SubmitArgs> {
    let words: Vec<&str> = std::iter::once("submit").chain(line.iter().copied()).collect();
    match parse(&words).unwrap().command {
        Command::Submit(args) => args,
        other => panic!("{other:?}"),
    }
}

fn refusal(line: &[&str]) -> String {
    let error = parse(line).expect_err(&format!("{line:?} was accepted"));
    assert!(error.use_stderr() && error.exit_code() == 2, "{line:?}");
    error.to_string()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn words_of_the_command_belong_to_the_task() {
    assert_eq!(submit(&["echo", "--name", "x", "--", "-h"]).command, ["echo", "--name", "x", "--", "-h"]);
    assert_eq!(submit(&["--name=a", "--", "--odd", "--", "b"]).command, ["--odd", "--", "b"]);
    assert_eq!(submit(&["--wait", "date", "--progress"]).command, ["date", "--progress"]);
    assert!(submit(&["--wait", "date", "--progress"]).wait);
}

#[test]
fn values_of_submit() {
    let options = |line: &[&str]| submit(line).options;
    let args = options(&["--array=1-5:2,9", "--priority=-1", "--time-limit=5", "--env", "A=b=c", "--env=D", "x"]);
    assert_eq!(args.array.unwrap().to_string(), "1-5:2,9");
    assert_eq!((args.priority, args.time_limit.unwrap().as_secs()), (Some(-1), 5));
    assert_eq!(args.env, [("A".to_owned(), "b=c".to_owned()), ("D".to_owned(), String::new())]);
    assert_eq!(options(&["x"]).priority, None);
}

#[test]
fn wrong_values_are_usage_errors() {
    for line in [
        &["submit"][..],
        &["submit", "--array=1,1", "x"],
        &["submit", "--array=", "x"],
        &["submit", "--priority", "-1", "x"],
        &["submit", "--priority=2147483648", "x"],
        &["submit", "--cwd=", "x"],
        &["submit", "--stream=", "x"],
        &["submit", "--env=", "x"],
        &["submit", "--cpus=0", "x"],
        &["submit", "--resource=x", "x"],
        &["submit", "--resource=a_b=1", "x"],
        &["submit", "--resource=x=0", "x"],
        &["submit", "--resource=x=1 scatter!", "x"],
        &["submit", "--nodes=2", "--cpus=2", "x"],
        &["submit", "--nodes=2", "--pin=omp", "x"],
        &["submit", "--nodes=-1", "x"],
        &["submit", "--pin=none", "x"],
        &["submit", "--time-request=1x", "x"],
        &["submit", "--weight=0", "x"],
        &["submit", "--cpus=1.00001", "x"],
        &["submit", "--crash-limit=0", "x"],
        &["submit", "--stdout=a:b", "x"],
        &["submit", "--name=a", "--name=b", "x"],
        &["submit", "--wait", "--progress", "x"],
        &["submit", "--each-line=a", "--from-json=b", "x"],
        &["job", "list", "--all", "--filter=failed"],
        &["job", "list", "--filter=lost"],
        &["job", "cat", "all", "stdout"],
        &["job", "cat", "1", "output"],
        &["job", "info", "last,3"],
        &["job", "info"],
        &["worker", "list", "--all", "--filter=running"],
        &["worker", "start", "--on-server-lost=wait"],
        &["worker", "start", "--heartbeat=100ms"],
        &["worker", "start", "--heartbeat=2h"],
        &["worker", "start", "--heartbeat=x"],
        &["worker", "start", "--detect-resources=cpus", "--no-detect-resources"],
        &["server", "start", "--journal=a", "--no-journal"],
        &["server", "start", "--client-port=65536"],
        &["--server-dir=", "job", "list"],
        &["--output-mode=xml", "job", "list"],
        &["output-log", "dir", "cat", "1", "both"],
        &["output-log", "dir", "cat", "1", "stdout", "--task=3-4,4"],
    ] {
        refusal(line);
    }
    let reason = format!("--reason={}", "x".repeat(201));
    refusal(&["job", "cancel", "1", &reason]);
    assert!(parse(&["job", "cancel", "1", &reason[..reason.len() - 1]]).is_ok());
    assert!(refusal(&["submit", "--cpus=0", "x"]).contains("Zero resources cannot be requested"));
    for weight in ["0", "-1", "nan", "0.00001"] {
        let text = refusal(&["submit", &format!("--weight={weight}"), "x"]);
        assert!(text.contains("Resource weight has to be positive number"), "{text}");
    }
    let text = refusal(&["submit", "--resource=gpus=2 compakt", "x"]);
    assert!(text.contains("\n  gpus=2 compakt\n         ^^^^^^^"), "{text}");
    assert!(refusal(&["submit", "--time-limit=5x", "x"]).contains("Could not parse PBS walltime"));
    let text = refusal(&["submit", "--crash-limit=x", "x"]);
    assert!(text.starts_with("error: invalid value 'x' for '--crash-limit <LIMIT>': "), "{text}");
}

#[test]
fn what_does_not_exist_is_unknown() {
    for option in ["--bar=x", "--foo"] {
        let name = option.split('=').next().unwrap();
        let text = refusal(&["submit", option, "x"]);
        assert!(text.contains(&format!("unexpected argument '{name}' found")), "{text}");
    }
    for line in [
        &["help"][..],
        &["job", "help"],
        &["progress"],
        &["alloc"],
        &["job", "timeline"],
        &["job", "reopen"],
        &["job", "forget"],
        &["submit", "--job=last", "x"],
        &["submit", "--tag=x", "x"],
        &["job", "forget", "1", "--filter=running"],
        &["worker", "address", "last"],
        &["server", "restart"],
        &["journal", "rewind"],
        &["output-log", "dir", "tail", "1"],
        &["jo", "list"],
        &["worker", "start", "--resource=a=1"],
        &["worker", "start", "--max-parallel-downloads=4"],
        &["job", "-V"],
    ] {
        refusal(line);
    }
}

#[test]
fn global_options_stand_anywhere() {
    for line in [
        &["--output-mode=json", "worker", "info", "1"][..],
        &["worker", "--output-mode", "json", "info", "1"],
        &["worker", "info", "1", "--output-mode", "json"],
    ] {
        assert_eq!(parse(line).unwrap().global.output_mode, OutputMode::Json, "{line:?}");
    }
    let global = parse(&["job", "--debug", "list", "--server-dir", "d", "--colors=never"]).unwrap().global;
    assert!(global.debug);
    assert_eq!((global.server_dir, global.colors), (Some("d".into()), ColorPolicy::Never));
    assert!(parse(&["output-log", "--server-uid=a", "dir", "summary"]).is_ok());
    assert!(parse(&["output-log", "dir", "--server-uid=a", "summary"]).is_ok());
}

#[test]
fn help_and_version() {
    let error = parse(&["-V"]).unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::DisplayVersion, 0));
    assert_eq!(error.to_string(), format!("hyperqueue {}\n", crate::VERSION));
    for (line, global) in [(&["job", "list", "-h"], false), (&["job", "list", "--help"], true)] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 0);
        assert_eq!(error.to_string().contains("GLOBAL OPTIONS"), global, "{error}");
        assert_eq!(error.to_string().contains("--output-mode"), global, "{error}");
        assert!(error.to_string().contains("Usage: hq job list"), "{error}");
    }
    for line in [&[][..], &["job"], &["task"], &["server"], &["worker"], &["journal"]] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, "{line:?}");
        assert!(error.use_stderr() && error.exit_code() == 2);
    }
}
