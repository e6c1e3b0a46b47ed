//! Why a task or a job is where it is: one sentence that says what would have to change, and what else is known.
//!
//! The sentence begins with the state. What keeps a ready task from workers is asked of `explain`, so that both say the
//! same.

mod job;
mod ready;

pub use job::why_job;

use crate::id::{TaskId, TaskRef};
use crate::state::State;
use crate::state::gates::Aim;
use crate::state::jobs::Job;
use crate::state::tasks::{Live, Place, TaskStatus};
use crate::task::Condition;
use crate::time::{Span, Time};
use crate::view::{TaskState, WhyView};

/// Dependencies, workers and groups of tasks that are named one by one.
const NAMED_MAX: usize = 10;

/// What is to be said: a sentence without the state in front, and details.
#[derive(Debug, Default)]
struct Said {
    sentence: String,
    details: Vec<String>,
}

impl Said {
    fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), details: Vec::new() }
    }
}

/// Why a task is where it is.
///
/// # Errors
/// A sentence for the user when there is no such task.
pub fn why_task(state: &State, now: Time, task: TaskRef) -> Result<WhyView, String> {
    let job = state.job(task.job).ok_or("Job not found")?;
    let ordinal = job.tasks.ordinal(task.task).ok_or("Task not found")?;
    let status = job.tasks.status(task.task).ok_or("Task not found")?;
    let said = match status {
        TaskStatus::Untouched => waiting(state, now, task, ordinal, None),
        TaskStatus::Live(live) => match live.place {
            Place::Running { started, .. } => running(state, now, task, &live, started),
            _ => waiting(state, now, task, ordinal, Some(&live)),
        },
        TaskStatus::Ended(run) => ended(state, job, task, run.state, run.reason),
        TaskStatus::Done(done) => {
            let mut said = ended(state, job, task, done.state, done.error);
            if done.started.is_some() {
                let worker = worker_text(state, done.worker);
                said.details.push(format!("It ran for {} on {worker}.", span_text(done.lasted)));
                if done.attempt.0 > 0 {
                    said.details.push(format!("It was attempt {} of the task.", done.attempt.0));
                }
            }
            said
        }
    };
    let sentence = format!("{}: {}", status.state().word(), said.sentence);
    Ok(WhyView { job: task.job, task: Some(task.task), sentence, details: said.details })
}

fn running(state: &State, now: Time, task: TaskRef, live: &Live, started: Time) -> Said {
    let nodes = state.job(task.job).and_then(|job| job.tasks.nodes.get(&task.task));
    let on = match (nodes, live.on_worker()) {
        (Some(nodes), _) => nodes.iter().map(|id| worker_text(state, *id)).collect::<Vec<_>>().join(", "),
        (None, Some((worker, _))) => worker_text(state, worker),
        (None, None) => String::new(),
    };
    let mut said = Said::new(format!("for {} on {on}", span_text(now.since(started))));
    said.details.extend(tries(live));
    said
}

/// Attempts before the present one.
fn tries(live: &Live) -> Vec<String> {
    let times = |count: u32| if count == 1 { "once".to_owned() } else { format!("{count} times") };
    let mut tries = Vec::new();
    if live.retries > 0 {
        tries.push(format!("It failed {} before and was tried again.", times(live.retries)));
    }
    if live.crashes > 0 {
        tries.push(format!("It lost its worker {} while it ran.", times(live.crashes)));
    }
    tries
}

fn waiting(state: &State, now: Time, task: TaskRef, ordinal: u32, live: Option<&Live>) -> Said {
    let Some(job) = state.job(task.job) else { return Said::default() };
    let place = live.map_or(Place::Ready, |live| live.place);
    let mut said = if job.is_held(ordinal) {
        held(job, task.task)
    } else {
        match place {
            Place::Blocked { unmet } => blocked(state, task, ordinal, unmet),
            Place::Delayed { until } => {
                Said::new(format!("its last attempt failed; the next one may start in {}", span_text(until.since(now))))
            }
            Place::Assigned { worker, ahead: false, .. } => {
                Said::new(format!("it was given to {} and is about to start", worker_text(state, worker)))
            }
            Place::Assigned { worker, .. } => Said::new(format!(
                "it lies on {}, to start there as soon as a task like it ends",
                worker_text(state, worker)
            )),
            Place::Ready | Place::Running { .. } if !state.may_be_queued(job, ordinal) => {
                gated(state, job, task.task, ordinal)
            }
            Place::Ready | Place::Running { .. } => ready::why(state, now, task),
        }
    };
    said.details.extend(live.map(tries).unwrap_or_default());
    said
}

fn held(job: &Job, task: TaskId) -> Said {
    let id = job.id;
    if job.hold {
        Said::new(format!("job {id} is held; `hq job release {id}` lets it go on"))
    } else {
        Said::new(format!("it is held; `hq task release {id} {task}` lets it go on"))
    }
}

/// What the submit has to wait for.
fn gated(state: &State, job: &Job, task: TaskId, ordinal: u32) -> Said {
    let mut said = Said::default();
    for gate in state.gates.of_job(job.id).filter(|gate| gate.cover.contains(ordinal)).take(NAMED_MAX) {
        let on = gate.on;
        let target = state.job(on);
        let (what, left) = match &gate.aim {
            Aim::Job => (format!("job {on}"), target.map_or(0, |job| job.counts.unfinished())),
            Aim::Tasks(_, tally) => (format!("tasks of job {on}"), tally.left),
            Aim::Partner => {
                let partner = TaskRef { job: on, task };
                if state.condition(partner, gate.condition) == Some(true) {
                    continue;
                }
                (format!("task {task} of job {on}"), 1)
            }
        };
        let wanted = match gate.condition {
            Condition::Ok => "to finish",
            Condition::Any => "to end",
            Condition::Failed => "to fail",
        };
        let have = if gate.aim == Aim::Job || gate.aim == Aim::Partner { "has" } else { "have" };
        if said.sentence.is_empty() {
            said.sentence = format!("{what} {have} {wanted} first");
        } else {
            said.details.push(format!("{what} {have} {wanted} too"));
        }
        if gate.aim != Aim::Partner {
            said.details.push(format!("{left} tasks of job {on} that it waits for have not ended"));
        }
    }
    if said.sentence.is_empty() {
        said.sentence = "what its submit waits for has not happened".to_owned();
    }
    said
}

/// Dependencies that have not ended.
fn blocked(state: &State, task: TaskRef, ordinal: u32, unmet: u32) -> Said {
    let submit = state.job(task.job).and_then(|job| job.submit_of(ordinal));
    let deps = submit.into_iter().flat_map(|(_, submit)| &submit.desc.deps).filter(|dep| dep.task == task.task);
    let mut said = Said::default();
    let (mut all, mut unnamed) = (0u32, 0u32);
    for dependency in deps {
        all += 1;
        let job = if dependency.on.job.0 == 0 { task.job } else { dependency.on.job };
        let on = TaskRef { job, task: dependency.on.task };
        let Some(now) = state.task_state(on).filter(|state| !TaskState::is_final(*state)) else { continue };
        if said.details.len() < NAMED_MAX {
            let wanted = match dependency.condition {
                Condition::Ok => "it has to finish",
                Condition::Any => "it has to end",
                Condition::Failed => "it has to fail",
            };
            said.details.push(format!("task {} of job {} is {}; {wanted}", on.task, on.job, now.word()));
        } else {
            unnamed += 1;
        }
    }
    if unnamed > 0 {
        said.details.push(format!("and {unnamed} more"));
    }
    let of = if all > unmet {
        format!("{unmet} of {all} dependencies have")
    } else {
        plural(unmet, "dependency has", "dependencies have")
    };
    said.sentence = format!("{of} not ended");
    said
}

fn plural(count: u32, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// A task that has ended; `reference` is that of its error or reason.
fn ended(state: &State, job: &Job, task: TaskRef, became: TaskState, reference: u32) -> Said {
    let text = job.errors.get(reference);
    match became {
        TaskState::Failed => Said::new(text.unwrap_or("the journal has the error")),
        TaskState::Canceled => Said::new(text.unwrap_or("by a user, who gave no reason")),
        TaskState::Aborted => {
            let mut said = Said::new(text.unwrap_or("by the server"));
            said.details.extend(broken(state, job, task));
            said
        }
        _ => Said::new("its program ended with exit code 0"),
    }
}

/// Dependencies of a task that ended otherwise than it needed.
fn broken(state: &State, job: &Job, task: TaskRef) -> Vec<String> {
    let submit = job.tasks.ordinal(task.task).and_then(|ordinal| job.submit_of(ordinal));
    let deps = submit.into_iter().flat_map(|(_, submit)| &submit.desc.deps).filter(|dep| dep.task == task.task);
    let broken = deps.filter_map(|dependency| {
        let on_job = if dependency.on.job.0 == 0 { task.job } else { dependency.on.job };
        let on = TaskRef { job: on_job, task: dependency.on.task };
        (state.condition(on, dependency.condition) == Some(false)).then_some(on)
    });
    let text = |on: TaskRef| {
        let word = state.task_state(on).map_or("gone", TaskState::word);
        format!("it waited for task {} of job {}, which is {word}", on.task, on.job)
    };
    broken.take(NAMED_MAX).map(text).collect()
}

fn worker_text(state: &State, worker: crate::id::WorkerId) -> String {
    match state.hostname(worker) {
        Some(hostname) => format!("worker {worker} ({hostname})"),
        None => format!("worker {worker}"),
    }
}

/// A span for people: two units, below a minute seconds, below a second milliseconds.
fn span_text(span: Span) -> String {
    let seconds = span.0 / 1_000_000;
    match seconds {
        0 => format!("{}ms", span.0 / 1_000),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}
