//! `hq output-log`: what tasks wrote into a stream directory.
//!
//! Works on the files alone, also while workers write them; the index of each file makes one task quick to find.
//!
//! Holds: what is damaged is a log line and costs only itself, and the exit code says so at the end; memory does not
//! grow with the number of tasks.

mod cat;
mod choose;
mod compact;
mod export;
mod follow;
mod grep;
mod json_text;
mod lines;
mod show;
mod summary;

use crate::client::arguments::{OutputLogArgs, OutputLogCommand};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::render::gauge::Pulse;
use hq_journal::reading::RealDisk;
use hq_journal::stream::{StreamDir, StreamError};
use std::io;
use std::sync::Arc;

/// Runs the command.
///
/// # Errors
/// See [`Error`]; [`Error::Stream`] at the end, when something was damaged.
pub fn run(args: &OutputLogArgs, console: &mut Console) -> Result<(), Error> {
    if let OutputLogCommand::Grep(grep) = &args.command {
        return match search(args, grep, console) {
            Err(error @ (Error::NoMatch | Error::Output(_))) => Err(error),
            Err(error) => Err(Error::Search(Box::new(error))),
            Ok(()) => Ok(()),
        };
    }
    match &args.command {
        OutputLogCommand::Compact(wanted) => return compact::run(args, wanted, console),
        OutputLogCommand::Cat(wanted) if wanted.follow => return follow::cat(args, wanted, console),
        _ => {}
    }
    let pulse = Pulse::new("Reading the streams");
    let mut dir = Directory::open(args)?;
    match &args.command {
        OutputLogCommand::Summary => summary::print(&args.path.display().to_string(), &dir, pulse, console)?,
        OutputLogCommand::Jobs => {
            console.is_raw();
            let jobs = dir.streams.jobs().map_err(broken)?;
            drop(pulse);
            for job in jobs {
                console.text(&format!("{job}\n"))?;
            }
        }
        OutputLogCommand::Show(wanted) => {
            let lines = show::run(&mut dir, wanted, pulse, console)?;
            if wanted.follow {
                let server_uid = args.server_uid.as_ref().map(|uid| uid.0.as_str());
                follow::show(&mut dir, wanted, lines, server_uid, console)?;
            }
        }
        OutputLogCommand::Cat(args) => cat::run(&mut dir, args, pulse, console)?,
        OutputLogCommand::Export(args) => export::run(&mut dir, args, pulse, console)?,
        // Told apart above.
        OutputLogCommand::Grep(_) | OutputLogCommand::Compact(_) => {}
    }
    dir.end()
}

fn search(
    args: &OutputLogArgs,
    grep: &crate::client::arguments::StreamGrepArgs,
    console: &mut Console,
) -> Result<(), Error> {
    let pattern = grep::pattern(grep)?;
    let pulse = Pulse::new("Reading the streams");
    let mut dir = Directory::open(args)?;
    drop(pulse);
    let any = grep::run(&mut dir, grep, &pattern, console)?;
    dir.end()?;
    if any { Ok(()) } else { Err(Error::NoMatch) }
}

/// An open directory, and how much of it was found to be damaged.
struct Directory {
    streams: StreamDir,
    damaged: u64,
}

/// # Errors
/// [`Error::Stream`] when something was damaged.
fn verdict(damaged: u64) -> Result<(), Error> {
    match damaged {
        0 => Ok(()),
        1 => Err(Error::Stream("1 place in the stream is damaged; all other output was read".to_owned())),
        many => Err(Error::Stream(format!("{many} places in the stream are damaged; all other output was read"))),
    }
}

fn opening(error: &StreamError) -> Error {
    Error::Stream(format!("Error: {error}"))
}

impl Directory {
    fn open(args: &OutputLogArgs) -> Result<Self, Error> {
        Self::streams(args).map(Self::opened).map_err(|error| opening(&error))
    }

    /// As [`Self::open`]; `None` if there is no stream yet.
    fn open_if_there(args: &OutputLogArgs) -> Result<Option<Self>, Error> {
        match Self::streams(args) {
            Err(StreamError::NoFiles) => Ok(None),
            Err(StreamError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            streams => streams.map(|streams| Some(Self::opened(streams))).map_err(|error| opening(&error)),
        }
    }

    fn streams(args: &OutputLogArgs) -> Result<StreamDir, StreamError> {
        let server_uid = args.server_uid.as_ref().map(|uid| uid.0.as_str());
        StreamDir::open(Arc::new(RealDisk), &args.path, server_uid)
    }

    fn opened(streams: StreamDir) -> Self {
        for skipped in streams.skipped() {
            log::debug!("{} is no stream file and was skipped", skipped.display());
        }
        for note in streams.notes() {
            log::warn!("{note}");
        }
        Self { streams, damaged: 0 }
    }

    /// Names what was found to be damaged since the last call.
    fn name_damage(&mut self) {
        for sentence in self.streams.take_damage() {
            log::error!("{sentence}");
            self.damaged += 1;
        }
    }

    /// # Errors
    /// [`Error::Stream`] when something was damaged.
    fn end(mut self) -> Result<(), Error> {
        self.name_damage();
        verdict(self.damaged)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is used to map errors")]
fn broken(error: StreamError) -> Error {
    Error::Stream(error.to_string())
}

/// Takes what became of a chunk that was handed on; the reading goes on if that went well.
type Verdict<'a> = dyn FnMut(Result<(), Error>) -> io::Result<()> + 'a;

/// Reads with a sink whose own errors are kept.
///
/// # Errors
/// The sink's error, or that of the reading.
fn passing<T>(read: impl FnOnce(&mut Verdict<'_>) -> Result<T, StreamError>) -> Result<T, Error> {
    let mut failure = None;
    let done = read(&mut |result| {
        result.map_err(|error| {
            failure = Some(error);
            io::ErrorKind::Other.into()
        })
    });
    match failure {
        Some(error) => Err(error),
        None => done.map_err(broken),
    }
}
