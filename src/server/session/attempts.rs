//! The attempts of tasks: what the journal says of them, put together from the records of one job.
//!
//! The state keeps only the last attempt of a task, and neither exit codes nor what was used. The log finds the records of
//! a job by its index, and where tasks had one attempt only, by time.
//!
//! Holds: what is kept in memory is what runs or waits to run again at one moment; attempts are told in pages.

use super::client::{ClientContext, Ended, say};
use crate::eventlog;
use crate::server::turn::{ClientSender, Input};
use crate::wire::Sender;
use crate::wire::message::{AttemptsRequest, Request, Response, TaskPageRequest};
use fold::Fold;
use hq_core::event::Event;
use hq_core::id::{JobId, TaskId};
use hq_core::retention::DetailsGone;
use hq_core::task::SubmitDesc;
use hq_core::time::{Span, Time};
use hq_core::view::{AttemptView, TaskState, TaskView};
use hq_journal::{Reader, ReplayError};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

mod fold;

/// Attempts of one page.
const PAGE_ATTEMPTS: usize = 4_096;
/// Bytes of error texts after which a page ends.
const PAGE_ERROR_BYTES: usize = 1024 * 1024;
/// Tasks that are looked up one by one.
const LOOKUP_TASKS_MAX: u32 = 10_000;

/// Looks for ends that lie far apart.
const LOOKS_MAX: u32 = 16;
/// Ends that are closer together are found by one look.
const LOOK_SPAN: Span = Span::from_secs(5);

type Pages = mpsc::Sender<Result<Vec<AttemptView>, String>>;

/// Answers a request, page by page.
pub(super) async fn answer(
    sender: &mut Sender,
    context: &ClientContext,
    request: AttemptsRequest,
) -> Result<(), Ended> {
    if request.tasks.as_ref().is_some_and(|tasks| tasks.check().is_err()) {
        return say(sender, &Response::Refused("the tasks of the selection overlap".to_owned())).await;
    }
    let Some(reader) = context.reader.clone() else { return from_state(sender, context, &request).await };
    if let Some(gone) = details_gone(context, request.job).await? {
        let (job, cause) = (request.job, gone.cause.words());
        let text = format!(
            "The journal has no details of job {job} any more, since {cause}; of each task only what is known of its \
             last attempt is shown"
        );
        say(sender, &Response::Noted(text)).await?;
        return from_state(sender, context, &request).await;
    }
    let few = request.tasks.as_ref().is_some_and(|tasks| tasks.len() <= u64::from(LOOKUP_TASKS_MAX));
    let known = match few {
        true => page(context, &request, TaskId(0), LOOKUP_TASKS_MAX).await?,
        false => Default::default(),
    };
    // What is not known in full is read in full.
    let known = if known.1.is_none() { known.0 } else { Vec::new() };
    let (to, mut pages) = mpsc::channel(4);
    let reading = tokio::task::spawn_blocking(move || read(&reader, &request, &known, &to));
    while let Some(page) = pages.recv().await {
        let response = page.map_or_else(Response::Refused, Response::Attempts);
        say(sender, &response).await?;
        if matches!(response, Response::Refused(_)) {
            return Ok(());
        }
    }
    drop(reading.await);
    say(sender, &Response::Attempts(Vec::new())).await
}

/// Without a journal: the last attempts, as far as the state knows them.
async fn from_state(sender: &mut Sender, context: &ClientContext, request: &AttemptsRequest) -> Result<(), Ended> {
    let mut from = Some(TaskId(0));
    while let Some(start) = from {
        let (tasks, next) = page(context, request, start, PAGE_ATTEMPTS as u32).await?;
        let attempts: Vec<AttemptView> = tasks.iter().filter_map(last_attempt).collect();
        if !attempts.is_empty() {
            say(sender, &Response::Attempts(attempts)).await?;
        }
        from = next.filter(|next| *next > start);
    }
    say(sender, &Response::Attempts(Vec::new())).await
}

/// When and why the journal was allowed to forget the details of a job, if it was.
async fn details_gone(context: &ClientContext, job: JobId) -> Result<Option<DetailsGone>, Ended> {
    let request = TaskPageRequest { job, limit: 1, ..TaskPageRequest::default() };
    let (to, mut answers): (ClientSender, _) = mpsc::channel(1);
    context.inbox.send(Input::Client { request: Request::Tasks(request), to }).await.map_err(|_| Ended)?;
    Ok(match answers.recv().await.ok_or(Ended)?.into_inner() {
        Response::Tasks(Some(page)) => page.details_gone,
        _ => None,
    })
}

/// A page of the tasks as the state has them, and where the next one starts.
async fn page(
    context: &ClientContext,
    request: &AttemptsRequest,
    from: TaskId,
    limit: u32,
) -> Result<(Vec<TaskView>, Option<TaskId>), Ended> {
    let AttemptsRequest { job, tasks } = request;
    let request = TaskPageRequest { job: *job, ids: tasks.clone(), from, limit, ..TaskPageRequest::default() };
    let (to, mut answers): (ClientSender, _) = mpsc::channel(1);
    context.inbox.send(Input::Client { request: Request::Tasks(request), to }).await.map_err(|_| Ended)?;
    Ok(match answers.recv().await.ok_or(Ended)?.into_inner() {
        Response::Tasks(Some(page)) => (page.tasks, page.next),
        _ => (Vec::new(), None),
    })
}

fn last_attempt(task: &TaskView) -> Option<AttemptView> {
    let started = task.started?;
    Some(AttemptView {
        task: task.id,
        attempt: task.attempt,
        workers: task.workers.clone(),
        started: Some(started),
        ended: task.ended,
        state: task.state,
        error: task.error.clone().unwrap_or_default(),
        ..AttemptView::default()
    })
}

/// Why reading ended before the last record.
#[derive(Debug)]
enum Stop {
    /// Nothing more is wanted.
    Enough,
    /// Nobody takes the pages any more.
    Nobody,
    /// A record is no event.
    Unreadable(String),
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Enough => f.write_str("nothing more is wanted"),
            Self::Nobody => f.write_str("the client has gone"),
            Self::Unreadable(reason) => f.write_str(reason),
        }
    }
}

/// Attempts on their way to the client.
struct Pager<'a> {
    page: Vec<AttemptView>,
    error_bytes: usize,
    to: &'a Pages,
}

impl Pager<'_> {
    fn add(&mut self, attempt: AttemptView) -> Result<(), Stop> {
        self.error_bytes += attempt.error.len();
        self.page.push(attempt);
        if self.page.len() < PAGE_ATTEMPTS && self.error_bytes < PAGE_ERROR_BYTES { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), Stop> {
        self.error_bytes = 0;
        match std::mem::take(&mut self.page) {
            // An empty page would be the end.
            page if page.is_empty() => Ok(()),
            page => self.to.blocking_send(Ok(page)).map_err(|_| Stop::Nobody),
        }
    }
}

/// Reads the attempts into pages.
fn read(reader: &Reader, request: &AttemptsRequest, known: &[TaskView], to: &Pages) {
    let mut pager = Pager { page: Vec::new(), error_bytes: 0, to };
    let told = match single_attempts(reader, request.job, known) {
        Some(attempts) => attempts.into_iter().try_for_each(|attempt| pager.add(attempt)),
        None => read_all(reader, request, &mut pager),
    };
    if let Err(Stop::Unreadable(reason)) = told.and_then(|()| pager.send()) {
        drop(to.blocking_send(Err(reason)));
    }
}

/// The attempts of tasks that ended with their first one, found by the times of their ends; none when one of them is not
/// of that kind or not found.
fn single_attempts(reader: &Reader, job: JobId, known: &[TaskView]) -> Option<Vec<AttemptView>> {
    let is_single = |task: &TaskView| {
        let has_ended = matches!(task.state, TaskState::Finished | TaskState::Failed);
        has_ended && task.attempt.0 == 0 && task.started.is_some()
    };
    if known.is_empty() || !known.iter().all(is_single) {
        return None;
    }
    let mut missing: BTreeMap<TaskId, AttemptView> =
        known.iter().filter_map(last_attempt).map(|attempt| (attempt.task, attempt)).collect();
    let mut found = Vec::new();
    for look in 1..=LOOKS_MAX {
        let next = missing.values().filter_map(|attempt| attempt.ended).min()?;
        let mut until = next.after(LOOK_SPAN);
        let read = reader.history_from(job.0, next.0, &mut |record| {
            let late = Time(record.header.time_us) > until;
            let stamped = eventlog::event(&record).map_err(|error| Stop::Unreadable(error.to_string()))?;
            let ended = fold::ends_of(&stamped, &mut missing);
            let has_found = !ended.is_empty();
            found.extend(ended);
            if has_found && let Some(next) = missing.values().filter_map(|attempt| attempt.ended).min() {
                until = next.after(LOOK_SPAN);
            }
            // What lies far from here is looked for anew, so that nothing in between is read.
            let is_far = late && !found.is_empty() && look < LOOKS_MAX;
            if missing.is_empty() || is_far { Err(Stop::Enough) } else { Ok(()) }
        });
        match read {
            Err(ReplayError::Stopped(Stop::Enough)) if missing.is_empty() => return Some(found),
            Err(ReplayError::Stopped(Stop::Enough)) => {}
            _ => return None,
        }
    }
    None
}

fn read_all(reader: &Reader, request: &AttemptsRequest, pager: &mut Pager<'_>) -> Result<(), Stop> {
    let mut fold = Fold::new(request.tasks.as_ref());
    let mut ended = Vec::new();
    let read = reader.history(request.job.0, &mut |record| {
        if !fold::is_of_interest(record.header.kind) {
            return Ok(());
        }
        let stamped = eventlog::event(&record).map_err(|error| Stop::Unreadable(error.to_string()))?;
        fold.take(&stamped, &mut ended);
        ended.drain(..).try_for_each(|attempt| pager.add(attempt))
    });
    match read {
        Ok(()) => fold.rest().try_for_each(|attempt| pager.add(attempt)),
        Err(ReplayError::Stopped(stop)) => Err(stop),
        Err(error) => Err(Stop::Unreadable(error.to_string())),
    }
}

/// The submits of a job, whole, in their order, as far as the journal has them.
pub fn submits_of(reader: &Reader, job: JobId) -> Vec<Arc<SubmitDesc>> {
    let mut submits = Vec::new();
    let read: Result<(), ReplayError<Stop>> = reader.history(job.0, &mut |record| {
        if record.header.kind == fold::KIND_JOB_SUBMITTED
            && let Ok(stamped) = eventlog::event(&record)
            && let Event::JobSubmitted(submitted) = stamped.event
        {
            submits.push(submitted.submit);
        }
        Ok(())
    });
    if let Err(error) = read {
        log::warn!("The journal cannot be read for job {job}: {error}");
    }
    submits
}
