//! What clients ask, answered from the state or turned into commands.

mod jobs;

use super::dump;
use crate::wire::message::{
    ActRequest, DrainRequest, ExplainRequest, ForgetResult, JobCancelResult, Request, Response, Selector, SelectorKind,
    TaskPageRequest, WhyRequest, WorkerStopResult, WorkerStopStatus,
};
use hq_core::act::{Action, RetryAction};
use hq_core::command::{Command, Reply, WorkerStop};
use hq_core::id::{JobId, TaskId, TaskRef, WorkerId};
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::machine::Machine;
use hq_core::state::State;
use hq_core::time::Time;
use hq_core::view::{JobState, TaskState, WhyView};
use serde_bytes::ByteBuf;
use std::collections::BTreeSet;

/// Largest number of ids that a selector may name one by one.
const SELECTOR_IDS_MAX: u64 = 1_000_000;

/// How a request is to be handled.
pub enum Plan {
    /// The answer, from the state alone.
    Answer(Response),
    /// A command for the machine.
    Command(Command),
    /// Wait for these jobs.
    Watch(Vec<JobId>, Watch),
    /// A command that makes a job, to be waited for from its beginning.
    CommandWatched(Command, Watch),
    /// Explain a task, as placing sees it.
    Explain(TaskRef),
    /// Say why these jobs, or one task of the only one of them, are where they are.
    Why(Vec<JobId>, Option<TaskId>),
    /// Make everything so far durable.
    Flush,
    /// Have the journal pruned.
    Prune,
    /// End the server.
    Stop,
    /// Not for the turn: the session answers it itself.
    Session,
}

/// What to do about a request.
pub fn plan(state: &State, request: Request) -> Plan {
    match request {
        Request::Submit(request) => Plan::Command(Command::Submit(request)),
        Request::JobList(_) => Plan::Answer(Response::Jobs(state.view_jobs())),
        Request::JobDetails(selector) => Plan::Answer(job_details(state, &selector)),
        Request::Tasks(request) => Plan::Answer(tasks(state, &request)),
        Request::Cancel(request) => cancel(state, &request.selector, request.reason),
        Request::SubmitFollowed((request, follow)) => {
            Plan::CommandWatched(Command::Submit(request), jobs::wishes(&follow))
        }
        Request::Wait(selector) => watch(state, &selector, Watch::default()),
        Request::Progress(selector) => watch(state, &selector, Watch { progress: true, ..Watch::default() }),
        Request::Follow(request) => jobs::follow(state, &request),
        Request::FindJobs(query) => Plan::Answer(jobs::find(state, &query)),
        Request::TaskIds(request) => Plan::Answer(jobs::task_ids(state, &request)),
        Request::OpenJob(request) => jobs::open(request),
        Request::CloseJobs(selector) => jobs::close(state, &selector),
        Request::Forget(request) => jobs::forget(state, request),
        Request::Explain(request) => explain(state, &request),
        Request::Why(request) => why(state, &request),
        Request::Workers(selector) => Plan::Answer(workers(state, &selector)),
        Request::StopWorkers(selector) => ordered(state, &selector, |workers| Command::StopWorkers { workers }),
        Request::DrainWorkers(DrainRequest { selector, timeout }) => {
            ordered(state, &selector, |workers| Command::DrainWorkers { workers, timeout })
        }
        Request::Prune(_) => Plan::Prune,
        Request::StopServer(_) => Plan::Stop,
        Request::DebugDump(_) => Plan::Answer(Response::Dumped(ByteBuf::from(dump::state(state)))),
        Request::Act(request) => act(state, request),
        Request::Attempts(_) => Plan::Answer(Response::Refused("this server cannot do that".to_owned())),
        Request::Flush(_) => Plan::Flush,
        Request::ServerInfo(_)
        | Request::History(_)
        | Request::Stream(_)
        | Request::JournalInfo(_)
        | Request::JournalVerify(_) => Plan::Session,
    }
}

/// The answer that the machine's reply amounts to.
pub fn response(reply: Reply) -> Response {
    match reply {
        Reply::Submitted(job) => Response::Submitted(job),
        Reply::Refused(reason) => Response::Refused(reason),
        Reply::Canceled(results) => Response::Canceled(
            results
                .into_iter()
                .map(|result| JobCancelResult {
                    job: result.job,
                    found: result.found,
                    canceled: result.canceled,
                    already_ended: result.already_ended,
                })
                .collect(),
        ),
        Reply::WorkersStopped(results) => Response::WorkersStopped(
            results
                .into_iter()
                .map(|(worker, status)| WorkerStopResult {
                    worker,
                    status: match status {
                        WorkerStop::Stopped => WorkerStopStatus::Stopped,
                        WorkerStop::AlreadyStopped => WorkerStopStatus::AlreadyStopped,
                        WorkerStop::NotFound => WorkerStopStatus::NotFound,
                    },
                })
                .collect(),
        ),
        Reply::Acted(acted) => Response::Acted(acted),
        Reply::Closed(results) => jobs::closed(results),
        Reply::Forgotten(forgotten, ignored) => Response::Forgotten(ForgetResult { forgotten, ignored }),
        Reply::None | Reply::Registered { .. } | Reply::DetailsForgotten(_) => {
            Response::Refused("the server has no answer to this".to_owned())
        }
    }
}

/// What a client that waits for jobs wants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch {
    /// To be told of each change.
    pub progress: bool,
    /// To be told of each message of their tasks.
    pub notices: bool,
    /// Whether an open job without anything to do counts as done.
    pub without_close: bool,
}

/// Jobs some of whose tasks could run again.
#[derive(Debug, Clone, Default)]
pub struct Retryable {
    /// Those that lack nothing for it, those without such tasks and unknown ids included.
    pub whole: Vec<JobId>,
    /// Those that dropped what their tasks need.
    pub slim: Vec<JobId>,
}

/// Sorts the selected jobs by whether their tasks could run again from what the state has.
///
/// # Errors
/// A selector that names too many.
pub fn retryable(state: &State, selector: &Selector, action: &RetryAction) -> Result<Retryable, String> {
    let mut found = Retryable::default();
    for id in jobs(state, selector, |_| true)? {
        let lacks = state.job(id).is_some_and(|job| {
            let counts = job.counts;
            let usual = counts.failed + counts.canceled + counts.aborted > 0;
            let finished = counts.finished > 0 && action.states.contains(&TaskState::Finished);
            (usual || finished) && job.submits.iter().any(|submit| submit.desc.is_slim)
        });
        if lacks { found.slim.push(id) } else { found.whole.push(id) }
    }
    Ok(found)
}

/// The jobs that a selector means; `all` are those for which `fits` holds.
fn jobs(state: &State, selector: &Selector, fits: impl Fn(JobState) -> bool) -> Result<Vec<JobId>, String> {
    match selector.kind {
        SelectorKind::All => {
            let fitting = state.jobs.values().filter(|job| fits(job.counts.job_state(job.is_open)));
            Ok(fitting.map(|job| job.id).collect())
        }
        SelectorKind::Last if state.last_job.0 == 0 => Ok(Vec::new()),
        SelectorKind::Last => Ok(vec![state.last_job]),
        SelectorKind::Ids => ids(selector).map(|ids| ids.into_iter().map(JobId).collect()),
    }
}

fn ids(selector: &Selector) -> Result<Vec<u32>, String> {
    let count = selector.ids.len();
    if count > SELECTOR_IDS_MAX {
        return Err(format!("{count} ids are too many for one command; at most {SELECTOR_IDS_MAX} are allowed"));
    }
    // An id that is named twice means the same once.
    let mut seen = BTreeSet::new();
    Ok(selector.ids.iter().filter(|id| seen.insert(*id)).collect())
}

fn job_details(state: &State, selector: &Selector) -> Response {
    let selected = match jobs(state, selector, |_| true) {
        Ok(selected) => selected,
        Err(reason) => return Response::Refused(reason),
    };
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for id in selected {
        match state.view_job(id) {
            Some(detail) => found.push(detail),
            None => missing.push(id),
        }
    }
    Response::JobDetails((found, missing))
}

fn tasks(state: &State, request: &TaskPageRequest) -> Response {
    let many = |ids: &&IdSet| ids.len() > limits::PAGE_SCAN_TASKS_MAX as u64;
    if let Some(ids) = request.ids.as_ref().filter(many) {
        let max = limits::PAGE_RANGES_MAX;
        if ids.ranges.len() > max {
            return Response::Refused(format!("a selection of many tasks may have {max} ranges; ask for parts of it"));
        }
        if let Err(range) = ids.check() {
            return Response::Refused(format!("the tasks {range} overlap with others of the selection"));
        }
    }
    Response::Tasks(state.view_task_pages(request))
}

fn cancel(state: &State, selector: &Selector, reason: Option<String>) -> Plan {
    if let Err(refused) = check_reason(reason.as_deref()) {
        return Plan::Answer(Response::Refused(refused));
    }
    let unfinished = |state| matches!(state, JobState::Waiting | JobState::Running);
    match jobs(state, selector, unfinished) {
        Ok(jobs) => Plan::Command(Command::Cancel { jobs, reason }),
        Err(reason) => Plan::Answer(Response::Refused(reason)),
    }
}

fn check_reason(reason: Option<&str>) -> Result<(), String> {
    let max = limits::CANCEL_REASON_BYTES_MAX;
    if reason.is_some_and(|reason| reason.len() > max) {
        return Err(format!("the reason is too long; at most {max} bytes are allowed"));
    }
    Ok(())
}

/// Acts on tasks; `all` are the jobs in which there may be something to act on.
fn act(state: &State, request: ActRequest) -> Plan {
    let ActRequest { selector, tasks, action } = request;
    let checked = match &action {
        Action::Cancel(cancel) => check_reason(cancel.reason.as_deref()),
        Action::Hold(_) | Action::Release(_) | Action::Modify(_) | Action::Retry(_) => Ok(()),
    };
    let reruns = matches!(action, Action::Retry(_));
    let fits = |state| {
        let unfinished = matches!(state, JobState::Waiting | JobState::Running | JobState::Opened);
        reruns || unfinished
    };
    match checked.and_then(|()| jobs(state, &selector, fits)) {
        Ok(jobs) => Plan::Command(Command::Act { jobs, tasks, action, restored: Vec::new() }),
        Err(refused) => Plan::Answer(Response::Refused(refused)),
    }
}

fn explain(state: &State, request: &ExplainRequest) -> Plan {
    match jobs(state, &request.job, |_| false) {
        Ok(jobs) => match jobs.as_slice() {
            [job] => Plan::Explain(TaskRef { job: *job, task: request.task }),
            _ => Plan::Answer(Response::Refused("Job not found".to_owned())),
        },
        Err(reason) => Plan::Answer(Response::Refused(reason)),
    }
}

fn why(state: &State, request: &WhyRequest) -> Plan {
    let unfinished = |state| matches!(state, JobState::Waiting | JobState::Running | JobState::Opened);
    let max = limits::WHY_JOBS_MAX;
    match jobs(state, &request.selector, unfinished) {
        Ok(jobs) if jobs.len() > max => Plan::Answer(Response::Refused(format!(
            "{} jobs are too many to say why they are where they are; at most {max} are allowed",
            jobs.len()
        ))),
        Ok(jobs) => Plan::Why(jobs, request.task),
        Err(reason) => Plan::Answer(Response::Refused(reason)),
    }
}

/// Why jobs, or a task of one job, are where they are; a job that is not there has an empty sentence.
pub fn say_why(machine: &Machine, now: Time, jobs: &[JobId], task: Option<TaskId>) -> Response {
    let Some(task) = task else {
        let missing = |job: JobId| WhyView { job, ..WhyView::default() };
        let why = |job: &JobId| machine.why_job(now, *job).unwrap_or_else(|| missing(*job));
        return Response::Why(jobs.iter().map(why).collect());
    };
    let [job] = jobs else { return Response::Refused("Job not found".to_owned()) };
    match machine.why_task(now, TaskRef { job: *job, task }) {
        Ok(why) => Response::Why(vec![why]),
        Err(reason) => Response::Refused(reason),
    }
}

fn watch(state: &State, selector: &Selector, watch: Watch) -> Plan {
    match jobs(state, selector, |_| true) {
        Ok(jobs) => Plan::Watch(jobs, watch),
        Err(reason) => Plan::Answer(Response::Refused(reason)),
    }
}

fn workers(state: &State, selector: &Selector) -> Response {
    let wanted = match selector.kind {
        SelectorKind::All => return Response::Workers((state.view_workers(), Vec::new())),
        SelectorKind::Last if state.last_worker.0 == 0 => Vec::new(),
        SelectorKind::Last => vec![state.last_worker.0],
        SelectorKind::Ids => match ids(selector) {
            Ok(ids) => ids,
            Err(reason) => return Response::Refused(reason),
        },
    };
    let mut wanted: Vec<WorkerId> = wanted.into_iter().map(WorkerId).collect();
    wanted.sort_unstable();
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for id in wanted {
        match state.view_worker(id) {
            Some(view) => found.push(view),
            None => missing.push(id),
        }
    }
    Response::Workers((found, missing))
}

/// A command for the workers that a selector means; `all` are those that have not ended.
fn ordered(state: &State, selector: &Selector, command: impl FnOnce(Vec<WorkerId>) -> Command) -> Plan {
    let workers = match selector.kind {
        SelectorKind::All => state.workers.keys().copied().collect(),
        SelectorKind::Last if state.last_worker.0 == 0 => Vec::new(),
        SelectorKind::Last => vec![state.last_worker],
        SelectorKind::Ids => match ids(selector) {
            Ok(ids) => ids.into_iter().map(WorkerId).collect(),
            Err(reason) => return Plan::Answer(Response::Refused(reason)),
        },
    };
    Plan::Command(command(workers))
}
