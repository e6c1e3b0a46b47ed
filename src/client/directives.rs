//! Options that a script carries in lines `#HQ`, and how they join those of the command line.
//!
//! A script is submitted without remembering its options; what is typed still wins.
//!
//! Holds: only options that describe the job are taken from a script; where to wait and what to print is the caller's.

use super::arguments::{DirectivesWord, JobOptions, SubmitArgs};
use super::error::Error;
use super::render::escape;
use crate::grammar::directive::{self, Header};
use clap::Parser;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What a submit comes to when its script was asked.
#[derive(Debug, Clone)]
pub struct Directed {
    /// The command, with the interpreter of the script in front.
    pub command: Vec<String>,
    /// The options of both.
    pub options: JobOptions,
}

/// The lines of a script as a command line.
#[derive(Debug, Parser)]
#[command(name = "#HQ", no_binary_name = true, disable_help_flag = true)]
struct Lines {
    #[command(flatten)]
    options: JobOptions,
}

/// Reads the script that `args` name, if any, and merges. `stdin` is what was read for the tasks, if that was asked for.
///
/// # Errors
/// [`Error::File`] for a script that cannot be read; [`Error::Invalid`] for one with wrong directives, and without
/// `--stdin` where the directives are to be there.
pub fn apply(args: &SubmitArgs, stdin: Option<&[u8]>) -> Result<Directed, Error> {
    let script = args.command.first().map(Path::new).unwrap_or(Path::new(""));
    let is_shell_script = args.command.first().is_some_and(|word| word.ends_with(".sh"));
    let (header, source) = match (args.directives, stdin) {
        (DirectivesWord::Auto, _) if is_shell_script => (read(script)?, escape::path(script)),
        (DirectivesWord::File, _) => (read(script)?, escape::path(script)),
        (DirectivesWord::Stdin, Some(bytes)) => (parse(bytes, "the standard input")?, "the standard input".to_owned()),
        (DirectivesWord::Stdin, None) => {
            return Err(Error::Invalid("You have to use `--stdin` when you specify `--directives=stdin`".to_owned()));
        }
        (DirectivesWord::Auto | DirectivesWord::Off, _) => (Header::default(), String::new()),
    };
    // With `--stdin` the script's own file is not what is run.
    let interpreter = if stdin.is_none() { header.shebang } else { Vec::new() };
    let lines = options(&header.words, &source)?;
    Ok(Directed {
        command: interpreter.into_iter().chain(args.command.iter().cloned()).collect(),
        options: merge(args.options.clone(), lines),
    })
}

fn read(path: &Path) -> Result<Header, Error> {
    let unreadable = |source| Error::File { doing: "read directives from", path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // One byte more shows whether the last line is whole.
    let file = File::open(path).map_err(unreadable)?;
    file.take(directive::SCAN_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    parse(&bytes, &escape::path(path))
}

fn parse(bytes: &[u8], source: &str) -> Result<Header, Error> {
    directive::scan(bytes).map_err(|error| Error::Invalid(format!("Cannot read directives from {source}: {error}")))
}

fn options(words: &[String], source: &str) -> Result<JobOptions, Error> {
    let parsed = Lines::try_parse_from(words).map_err(|error| {
        let usage = error.render().to_string();
        Error::Invalid(format!("Cannot use the directives (lines `#HQ`) of {source}: {}", usage.trim_end()))
    })?;
    Ok(parsed.options)
}

/// Joins the options: what is typed wins, lists are joined with what was typed first, and the three options that choose
/// the tasks are taken from one of both.
fn merge(typed: JobOptions, lines: JobOptions) -> JobOptions {
    let chooses = typed.each_line.is_some() || typed.from_json.is_some() || typed.array.is_some();
    let tasks = if chooses { &typed } else { &lines };
    let (array, each_line, from_json) = (tasks.array.clone(), tasks.each_line.clone(), tasks.from_json.clone());
    // The last value of a variable counts, so what was typed comes last, and replaces without a warning.
    let is_typed = |key: &String| typed.env.iter().any(|(typed, _)| typed == key);
    let is_tagged = |key: &String| typed.tag.iter().any(|(typed, _)| typed == key);
    let env = lines.env.into_iter().filter(|(key, _)| !is_typed(key)).chain(typed.env.iter().cloned()).collect();
    JobOptions {
        name: typed.name.or(lines.name),
        cwd: typed.cwd.or(lines.cwd),
        env,
        stdout: typed.stdout.or(lines.stdout),
        stderr: typed.stderr.or(lines.stderr),
        array,
        each_line,
        from_json,
        cpus: typed.cpus.or(lines.cpus),
        resource: typed.resource.into_iter().chain(lines.resource).collect(),
        nodes: typed.nodes.or(lines.nodes),
        time_request: typed.time_request.or(lines.time_request),
        weight: typed.weight.or(lines.weight),
        pin: typed.pin.or(lines.pin),
        task_dir: typed.task_dir || lines.task_dir,
        priority: typed.priority.or(lines.priority),
        time_limit: typed.time_limit.or(lines.time_limit),
        signal: typed.signal.or(lines.signal),
        kill_signal: typed.kill_signal.or(lines.kill_signal),
        grace: typed.grace.or(lines.grace),
        max_fails: typed.max_fails.or(lines.max_fails),
        crash_limit: typed.crash_limit.or(lines.crash_limit),
        tag: typed.tag.iter().cloned().chain(lines.tag.into_iter().filter(|(key, _)| !is_tagged(key))).collect(),
        after: typed.after.into_iter().chain(lines.after).collect(),
        retries: typed.retries.or(lines.retries),
        retry_on: if typed.retry_on.is_empty() { lines.retry_on } else { typed.retry_on },
        retry_delay: typed.retry_delay.or(lines.retry_delay),
        // From here on the directory has one name; the older one stays only to be told about.
        stream: typed.stream.or(typed.log.clone()).or(lines.stream).or(lines.log.clone()),
        stream_on_error: typed.stream_on_error.or(lines.stream_on_error),
        log: typed.log.or(lines.log),
    }
}
