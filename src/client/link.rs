//! The connection of a command to the server: find the access file, dial, ask.
//!
//! Commands are straight lines of questions and answers, so this side blocks; the wire below is asynchronous.
//!
//! Holds: a refusal of the server and a lost connection are always errors, never an answer.

use super::arguments::GlobalOptions;
use super::error::Error;
use super::task_pages::TaskPages;
use crate::access::{self, PeerAccess};
use crate::platform::host;
use crate::wire::message::{
    AttemptsRequest, Empty, FollowRequest, Request, Response, Selector, SelectorKind, TaskPageRequest,
};
use crate::wire::{self, Connection};
use hq_core::id::{JobId, TaskId};
use hq_core::idset::IdSet;
use hq_core::view::{AttemptView, JobDetail, TaskPage, TaskState, TaskView};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio::runtime::Runtime;

/// Tasks asked for at once; the server may give fewer.
const PAGE_TASKS: u32 = 10_000;

/// Attempts of tasks, those of one task in the order in which they ended.
pub type AttemptsByTask = BTreeMap<TaskId, Vec<AttemptView>>;

/// A connection to the server.
pub struct Link {
    runtime: Runtime,
    connection: Connection,
}

/// The server directory that the options name, absolute.
///
/// # Errors
/// [`Error::Access`] when none is given and there is no home; [`Error::System`] without a current directory.
pub fn server_dir(global: &GlobalOptions) -> Result<PathBuf, Error> {
    match &global.server_dir {
        Some(dir) => {
            std::path::absolute(dir).map_err(|source| Error::System { doing: "find the current directory", source })
        }
        None => Ok(access::default_server_dir(host::home())?),
    }
}

impl Link {
    /// Connects to the server of the server directory.
    ///
    /// # Errors
    /// [`Error::Access`], [`Error::Unreachable`], [`Error::System`].
    pub fn open(global: &GlobalOptions) -> Result<Self, Error> {
        let found = access::load_client(&server_dir(global)?, crate::VERSION)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| Error::System { doing: "start the network", source })?;
        let connection = runtime.block_on(dial(&found))?;
        Ok(Self { runtime, connection })
    }

    /// Asks and waits for the answer, for as long as it takes.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Lost`], [`Error::Message`].
    pub fn ask(&mut self, request: &Request) -> Result<Response, Error> {
        self.send(request)?;
        self.receive()
    }

    /// Asks without waiting.
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Message`] for a request that is too large.
    pub fn send(&mut self, request: &Request) -> Result<(), Error> {
        self.runtime.block_on(self.connection.send(request)).map_err(broken)
    }

    /// Waits for the next answer.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Lost`], [`Error::Message`].
    pub fn receive(&mut self) -> Result<Response, Error> {
        match self.runtime.block_on(self.connection.recv()).map_err(broken)? {
            Some(Response::Refused(text)) => Err(Error::Refused(text)),
            Some(response) => Ok(response),
            None => Err(Error::Lost { source: None }),
        }
    }

    /// The selected jobs in the order of the selector, and the ids that are none.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub fn job_details(&mut self, selector: Selector) -> Result<(Vec<JobDetail>, Vec<JobId>), Error> {
        match self.ask(&Request::JobDetails(selector))? {
            Response::JobDetails(answer) => Ok(answer),
            _ => Err(Error::Unexpected),
        }
    }

    /// Passes all chosen tasks of a job to `page`, page by page, ascending; false when there is no such job.
    ///
    /// # Errors
    /// As [`Link::ask`], and the first one of `page`.
    pub fn tasks(
        &mut self,
        job: JobId,
        ids: Option<&IdSet>,
        states: &[TaskState],
        page: &mut dyn FnMut(TaskPage) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        TaskPages::new(Vec::new(), ids, states).of(self, job, page)
    }

    /// As [`Link::tasks`], with all attempts of the tasks of each page.
    ///
    /// # Errors
    /// As [`Link::tasks`].
    pub fn tasks_with_attempts(
        &mut self,
        job: JobId,
        ids: &IdSet,
        page: &mut dyn FnMut(TaskPage, &AttemptsByTask) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut from = Some(TaskId(0));
        while let Some(start) = from {
            let chosen = TaskPageRequest { job, ids: Some(ids.clone()), from: start, ..TaskPageRequest::default() };
            let Some(answer) = self.task_page(chosen)? else { return Ok(false) };
            from = answer.next;
            // The others were never given to a worker.
            let tried =
                |task: &&TaskView| task.started.is_some() || task.attempt.0 > 0 || task.state == TaskState::Failed;
            let tried: Vec<u32> = answer.tasks.iter().filter(tried).map(|task| task.id.0).collect();
            let mut attempts = AttemptsByTask::new();
            if !tried.is_empty() {
                self.attempts(job, Some(&IdSet::from_sorted(tried)), &mut |told| {
                    told.into_iter().for_each(|attempt| attempts.entry(attempt.task).or_default().push(attempt));
                    Ok(())
                })?;
            }
            page(answer, &attempts)?;
        }
        Ok(true)
    }

    /// One page of tasks, as large as can be.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub fn task_page(&mut self, chosen: TaskPageRequest) -> Result<Option<TaskPage>, Error> {
        let from = chosen.from;
        match self.ask(&Request::Tasks(TaskPageRequest { limit: PAGE_TASKS, ..chosen }))? {
            // A server that does not advance would keep us here for ever.
            Response::Tasks(Some(page)) if page.next.is_some_and(|next| next <= from) => Err(Error::Unexpected),
            Response::Tasks(answer) => Ok(answer),
            _ => Err(Error::Unexpected),
        }
    }

    /// Passes all attempts of chosen tasks of a job to `page`, page by page, in the order in which they ended.
    ///
    /// # Errors
    /// As [`Link::ask`], and the first one of `page`.
    pub fn attempts(
        &mut self,
        job: JobId,
        tasks: Option<&IdSet>,
        page: &mut dyn FnMut(Vec<AttemptView>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.send(&Request::Attempts(AttemptsRequest { job, tasks: tasks.cloned() }))?;
        loop {
            match self.receive()? {
                Response::Attempts(attempts) if attempts.is_empty() => return Ok(()),
                Response::Attempts(attempts) => page(attempts)?,
                Response::Noted(text) => log::warn!("{text}"),
                _ => return Err(Error::Unexpected),
            }
        }
    }

    /// Waits until the selected jobs are completed; `without_close`: open ones until nothing of them is left to do.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub fn wait(&mut self, selector: Selector, without_close: bool) -> Result<(), Error> {
        let request = match without_close {
            true => Request::Follow(FollowRequest { selector, without_close, ..FollowRequest::default() }),
            false => Request::Wait(selector),
        };
        match self.ask(&request)? {
            Response::Waited(Empty {}) => Ok(()),
            _ => Err(Error::Unexpected),
        }
    }
}

async fn dial(found: &PeerAccess) -> Result<Connection, Error> {
    let (host, port) = (&found.endpoint.host, found.endpoint.port);
    if found.endpoint.key.is_absent() {
        log::warn!("No client key: Unauthenticated and unencrypted connection to server");
    }
    let dialled = wire::dial_any(&found.endpoint.hosts(), port, &found.identity(crate::VERSION)).await;
    dialled.map_err(|source| Error::Unreachable { host: host.clone(), port, source })
}

fn broken(error: wire::Error) -> Error {
    match error {
        wire::Error::MessageTooLarge { .. } | wire::Error::Unknown { .. } | wire::Error::Encode { .. } => {
            Error::Message(error)
        }
        lost => Error::Lost { source: Some(lost) },
    }
}

/// The selector as it travels.
pub fn selector(selector: impl Into<crate::grammar::selector::Selector>) -> Selector {
    use crate::grammar::selector::Selector as Typed;
    match selector.into() {
        Typed::All => Selector { kind: SelectorKind::All, ids: IdSet::default() },
        Typed::Last => Selector { kind: SelectorKind::Last, ids: IdSet::default() },
        Typed::Ids(ids) => Selector { kind: SelectorKind::Ids, ids },
    }
}

/// The selector of one job.
pub fn one_job(job: JobId) -> Selector {
    Selector { kind: SelectorKind::Ids, ids: IdSet::single(job.0) }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
