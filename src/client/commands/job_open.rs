//! `hq job open`: a job that takes tasks until it is closed.
//!
//! Holds: nothing is printed but the id, in the form of the mode.

use crate::client::arguments::OpenArgs;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::Link;
use crate::client::render::OutputMode;
use crate::client::render::color::Color;
use crate::client::submission;
use crate::grammar::free_text;
use crate::wire::message::{OpenRequest, Request, Response};
use serde_json::json;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(link: &mut Link, args: &OpenArgs, console: &mut Console) -> Result<(), Error> {
    free_text::check_job_name(&args.name).map_err(|error| Error::Invalid(error.to_string()))?;
    let tags = submission::tags(&args.tag)?;
    let request = OpenRequest { name: args.name.clone(), max_fails: args.max_fails, tags };
    let Response::Submitted(job) = link.ask(&Request::OpenJob(request))? else { return Err(Error::Unexpected) };
    match console.mode() {
        OutputMode::Cli => {
            let id = job.to_string();
            let id = console.palette().paint(Color::Green.style(), &id).into_owned();
            console.text(&format!("Job {id} is open.\n"))
        }
        OutputMode::Json => console.json(&json!({"id": job})),
        OutputMode::Quiet => console.text(&format!("{job}\n")),
    }
}
