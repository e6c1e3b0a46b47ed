//! `hq submit --on-notify`: a program is run for each message that a task of the job sends.
//!
//! The messages are taken from the connection as they come and wait here, so that a slow program holds up the server for
//! nobody.
//!
//! Holds: the programs run one after the other, in the order in which the server recorded the messages; the last one has
//! ended before the command returns, also when the connection was lost.

use crate::client::error::Error;
use crate::client::link::Link;
use crate::client::render::escape;
use crate::wire::message::{Response, TaskNotice};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Messages that wait for the program. Beyond it the server waits, for as long as it can.
const WAITING_MAX: usize = 65_536;

/// Runs the program; to be dropped by [`OnNotify::finish`].
pub(super) struct OnNotify {
    messages: SyncSender<TaskNotice>,
    runner: JoinHandle<()>,
}

impl OnNotify {
    /// For these words, to which each message is added as the last one.
    ///
    /// # Errors
    /// [`Error::System`] when there is no thread to be had.
    pub(super) fn start(words: &[String]) -> Result<Self, Error> {
        let (messages, taken) = sync_channel(WAITING_MAX);
        let words = words.to_vec();
        let runner = thread::Builder::new().name("hq-on-notify".into()).spawn(move || run_all(&words, &taken));
        let runner = runner.map_err(|source| Error::System { doing: "start a thread", source })?;
        Ok(Self { messages, runner })
    }

    /// Has the program run for a message.
    pub(super) fn tell(&self, notice: TaskNotice) {
        // The runner takes messages until there are no more.
        drop(self.messages.send(notice));
    }

    /// Waits until the program has run for all messages.
    pub(super) fn finish(self) {
        drop(self.messages);
        if self.runner.join().is_err() {
            log::error!("Not all messages of tasks could be passed to the program");
        }
    }
}

/// Takes messages until the job is completed.
///
/// # Errors
/// As [`Link::receive`].
pub(super) fn wait(link: &mut Link, on_notify: &OnNotify) -> Result<(), Error> {
    loop {
        match link.receive()? {
            Response::Noticed(notice) => on_notify.tell(notice),
            Response::Waited(_) => return Ok(()),
            _ => return Err(Error::Unexpected),
        }
    }
}

fn run_all(words: &[String], messages: &Receiver<TaskNotice>) {
    let Some((program, arguments)) = words.split_first() else { return };
    for TaskNotice { task, worker, message } in messages {
        let shown = escape::line(program);
        log::info!("Running `{shown}` for a message of task {task}");
        let mut command = Command::new(program);
        command.args(arguments).arg(OsStr::from_bytes(&message));
        command.env("HQ_JOB_ID", task.job.to_string());
        command.env("HQ_TASK_ID", task.task.to_string());
        command.env("HQ_WORKER_ID", worker.to_string());
        match command.status() {
            Ok(status) if status.success() => {}
            Ok(status) => log::warn!("`{shown}` failed for a message of task {task}: {status}"),
            Err(error) => log::warn!("`{shown}` cannot be run for a message of task {task}: {error}"),
        }
    }
}
