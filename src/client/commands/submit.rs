//! `hq submit`: read what the tasks need, ask the server, and wait if that was wanted.
//!
//! The order of steps is part of what scripts see: the first problem wins, and nothing is submitted on an error.
//!
//! Holds: the job's id is printed before waiting begins.

use crate::client::arguments::{GlobalOptions, JobOptions, SubmitArgs};
use crate::client::commands::on_notify::{self, OnNotify};
use crate::client::commands::progress;
use crate::client::console::Console;
use crate::client::directives;
use crate::client::entries::{self, Chosen};
use crate::client::error::Error;
use crate::client::link::{Link, one_job};
use crate::client::render::OutputMode;
use crate::client::render::color::Color;
use crate::client::submission;
use crate::wire::message::{FollowRequest, Request, Response};
use hq_core::id::JobId;
use hq_core::limits;
use hq_core::task::SubmitRequest;
use serde_json::json;
use std::io::Read;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(global: &GlobalOptions, args: &SubmitArgs, console: &mut Console) -> Result<(), Error> {
    let mut link = Link::open(global)?;
    let stdin = if args.stdin { Some(read_stdin()?) } else { None };
    let directed = directives::apply(args, stdin.as_deref())?;
    let options = &directed.options;
    if args.job.is_some() {
        submission::check_attached(options)?;
    }
    let resources = submission::resources(options)?;
    let chosen = read_entries(options)?;
    for warning in submission::warnings(options, &submission::task_ids(options, chosen.as_ref())) {
        log::warn!("{warning}");
    }
    let mut request = submission::build(&directed, current_dir()?, resources, stdin.unwrap_or_default(), chosen)?;
    request.job = args.job.map(JobId);
    request.free_ids_from = submission::free_ids_from(options);
    if let Some(words) = args.on_notify.as_ref().filter(|_| args.wait || args.progress) {
        return notified(&mut link, request, &words.0, args.progress, console);
    }
    let job = ask(&mut link, &Request::Submit(request), console)?;
    if args.wait {
        link.wait(one_job(job), false)?;
    } else if args.progress {
        progress::run(&mut link, one_job(job), console)?;
    }
    Ok(())
}

/// Submits the job and follows it, from its first message on.
fn notified(
    link: &mut Link,
    request: SubmitRequest,
    words: &[String],
    progress: bool,
    console: &mut Console,
) -> Result<(), Error> {
    let on_notify = OnNotify::start(words)?;
    let follow = FollowRequest { progress, notices: true, ..FollowRequest::default() };
    ask(link, &Request::SubmitFollowed((request, follow)), console)?;
    let done = if progress {
        progress::watch(link, console, &mut |notice| on_notify.tell(notice))
    } else {
        on_notify::wait(link, &on_notify)
    };
    on_notify.finish();
    done
}

/// Submits the job and prints its id.
///
/// # Errors
/// See [`Error`].
pub(super) fn ask(link: &mut Link, request: &Request, console: &mut Console) -> Result<JobId, Error> {
    let job = match link.ask(request)? {
        Response::Submitted(job) => job,
        _ => return Err(Error::Unexpected),
    };
    match console.mode() {
        OutputMode::Cli => {
            let word = console.palette().paint(Color::Green.style(), "successfully").into_owned();
            console.text(&format!("Job submitted {word}, job ID: {job}\n"))?;
        }
        OutputMode::Json => console.json(&json!({"id": job}))?,
        OutputMode::Quiet => console.text(&format!("{job}\n"))?,
    }
    console.flush()?;
    Ok(job)
}

fn read_entries(options: &JobOptions) -> Result<Option<Chosen>, Error> {
    let filter = options.array.as_ref();
    match (&options.each_line, &options.from_json) {
        (Some(path), _) => entries::read_lines(path, filter).map(Some),
        (None, Some(path)) => entries::read_json(path, filter).map(Some),
        (None, None) => Ok(None),
    }
}

fn read_stdin() -> Result<Vec<u8>, Error> {
    log::info!("Reading the standard input to its end, for the standard input of the tasks");
    let limit = limits::TASK_STDIN_BYTES_MAX;
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(limit as u64 + 1).read_to_end(&mut bytes);
    read.map_err(Error::Input)?;
    if bytes.len() > limit {
        return Err(Error::Invalid(format!(
            "The standard input is longer than the {limit} bytes that tasks can be given; put the data into a file"
        )));
    }
    Ok(bytes)
}

/// The current directory, from which relative paths of the job are taken.
///
/// # Errors
/// [`Error::System`], and [`Error::Invalid`] for a path that cannot travel.
pub(super) fn current_dir() -> Result<String, Error> {
    let doing = "find the current directory";
    let dir = std::env::current_dir().map_err(|source| Error::System { doing, source })?;
    dir.into_os_string().into_string().map_err(|dir| {
        let dir = dir.to_string_lossy().into_owned();
        Error::Invalid(format!("The path of the current directory is not UTF-8: {dir}; submit from another directory"))
    })
}
