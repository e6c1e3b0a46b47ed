//! `hq job submit-file`: a job from a job file.
//!
//! The file says everything about the job, so there is nothing else to give but the file.
//!
//! Holds: nothing is submitted unless the whole file can be.

use crate::client::arguments::{GlobalOptions, SubmitFileArgs};
use crate::client::commands::submit;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::Link;
use crate::client::render::escape;
use crate::grammar::jobfile;
use crate::wire::message::Request;
use hq_core::id::JobId;
use hq_core::limits;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(global: &GlobalOptions, args: &SubmitFileArgs, console: &mut Console) -> Result<(), Error> {
    let mut link = Link::open(global)?;
    let text = read(&args.path)?;
    let shown = escape::path(&args.path);
    let parse = if args.job.is_some() { jobfile::parse_attached } else { jobfile::parse };
    let mut job = parse(&text, submit::current_dir()?)
        .map_err(|error| Error::Invalid(format!("Deserialization error: {shown}, {error}")))?;
    // The text and what it became need not both be kept.
    drop(text);
    for notice in &job.notices {
        log::warn!("{notice}");
    }
    job.request.job = args.job.map(JobId);
    submit::ask(&mut link, &Request::Submit(job.request), console)?;
    Ok(())
}

fn read(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::File { doing: "read", path: path.to_owned(), source };
    let max = limits::JOB_FILE_BYTES_MAX;
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(max as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > max {
        let shown = escape::path(path);
        return Err(Error::Invalid(format!(
            "Cannot read {shown}: a job file has at most {max} bytes; submit it in parts"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let (shown, at) = (escape::path(path), error.utf8_error().valid_up_to());
        Error::Invalid(format!("Deserialization error: {shown} is not UTF-8: byte {at} is wrong"))
    })
}
