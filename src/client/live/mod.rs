//! The output of an attempt as it grows: from its file, or from the stream directory of its submit.
//!
//! Where the output lies, the client knows from what the job was submitted with; it reads it itself.
//!
//! Holds: bytes are passed on unchanged and in order; nothing waits here.

mod extract;
mod tail;

use super::arguments::Channel;
use super::error::Error;
use super::paths::{self, Output};
use crate::grammar::placeholder;
pub use extract::{Extract, Streams};
use hq_core::id::AttemptId;
use hq_core::view::{JobDetail, TaskView};
pub use tail::Tail;

/// Takes what was read.
pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Error> + 'a;

/// Where an attempt writes one of its outputs.
#[derive(Debug)]
pub enum Source {
    /// Nowhere.
    Nothing,
    /// Into a file.
    File(Tail),
    /// Into a stream directory.
    Stream(Extract),
}

/// The newest attempt of the task that has started.
pub fn newest_attempt(task: &TaskView) -> Option<AttemptId> {
    match task.started {
        Some(_) => Some(task.attempt),
        // What is told of a task that waits is the number that comes next.
        None => task.attempt.0.checked_sub(1).map(AttemptId),
    }
}

impl Source {
    /// The output of an attempt that has started.
    pub fn of(job: &JobDetail, task: &TaskView, channel: Channel, attempt: AttemptId, streams: &Streams) -> Self {
        let of = |attempt| {
            let paths = paths::of_task(job, &TaskView { attempt, ..task.clone() })?;
            Some(if channel == Channel::Stdout { paths.stdout } else { paths.stderr })
        };
        match of(attempt) {
            None | Some(Output::Discarded) => Self::Nothing,
            Some(Output::File(path)) => {
                // A file with the name of the next attempt's was put aside when that one started.
                let next = AttemptId(attempt.0.saturating_add(1));
                let has_next = newest_attempt(task).is_some_and(|newest| newest > attempt);
                let is_aside = has_next && of(next) == Some(Output::File(path.clone()));
                let path = if is_aside { placeholder::attempt_path(&path, attempt) } else { path };
                Self::File(Tail::new(path.into()))
            }
            Some(Output::Streamed) => streams.extract(job, task, channel, attempt).map_or(Self::Nothing, Self::Stream),
        }
    }

    /// Passes on what is new; `true`: there is more at once.
    ///
    /// # Errors
    /// Those of `sink`. What cannot be read yet is tried again the next time.
    pub fn read_new(&mut self, sink: &mut Sink<'_>) -> Result<bool, Error> {
        match self {
            Self::Nothing => Ok(false),
            Self::File(tail) => tail.read_new(sink),
            Self::Stream(extract) => extract.read_new(sink),
        }
    }

    /// Passes on all that is left of an attempt that has ended.
    ///
    /// # Errors
    /// Those of `sink`; what cannot be read is a log line.
    pub fn read_rest(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        match self {
            Self::Nothing => Ok(()),
            Self::File(tail) => tail.read_rest(sink),
            Self::Stream(extract) => extract.read_rest(sink),
        }
    }

    /// The next attempt has started, whose output is `next`: passes on what is left of this one.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn continue_with(&mut self, next: Self, sink: &mut Sink<'_>) -> Result<(), Error> {
        match (&mut *self, next) {
            (Self::File(tail), Self::File(next)) if tail.path == next.path => tail.begin_again(sink),
            (Self::File(tail), next) => {
                tail.copy_all(sink)?;
                *self = next;
                Ok(())
            }
            (Self::Stream(extract), next) => {
                extract.read_rest(sink)?;
                *self = next;
                Ok(())
            }
            (Self::Nothing, next) => {
                *self = next;
                Ok(())
            }
        }
    }
}
