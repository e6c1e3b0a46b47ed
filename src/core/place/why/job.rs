//! Why a job is where it is: its tasks in groups of one cause each.
//!
//! What holds: the work is bounded by queues, by entries looked at, and by what of the job is more than a member of a
//! waiting range; tasks that wait alike are not walked over.

use super::{NAMED_MAX, why_task};
use crate::id::{JobId, TaskId, TaskRef};
use crate::limits;
use crate::state::State;
use crate::state::jobs::Job;
use crate::state::tasks::Place;
use crate::time::Time;
use crate::view::{JobState, TaskState, WhyView};

/// Tasks that wait for the same.
struct Group {
    tasks: u64,
    /// Whether there may be more.
    at_least: bool,
    /// One of them.
    like: TaskId,
}

/// Why a job is where it is; none when there is no such job.
pub fn why_job(state: &State, now: Time, id: JobId) -> Option<WhyView> {
    let job = state.job(id)?;
    let counts = job.counts;
    let total = counts.total();
    let found = counts.job_state(job.is_open);
    let mut details = Vec::new();
    let causes = causes(state, now, job);
    let tasks = |count: u64| if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") };
    let sentence = match found {
        JobState::Waiting => match causes.as_slice() {
            [only] => only.1.clone(),
            [(group, cause), ..] => format!("{} of {}: {cause}", group, tasks(total)),
            [] => "it is about to start".to_owned(),
        },
        JobState::Running if counts.waiting > 0 => {
            format!("{} of {} run, {} wait", counts.running, tasks(total), counts.waiting)
        }
        JobState::Running => format!("{} of {} run", counts.running, tasks(total)),
        JobState::Failed => format!("{} of {} failed", counts.failed, tasks(total)),
        JobState::Aborted => format!("{} of {} were aborted", counts.aborted, tasks(total)),
        JobState::Canceled => format!("{} of {} were canceled", counts.canceled, tasks(total)),
        JobState::Opened => format!("nothing is left to do; it is open for further tasks until `hq job close {id}`"),
        JobState::Finished => format!("all of its {} finished", tasks(total)),
    };
    if causes.len() > 1 || found != JobState::Waiting {
        details.extend(causes.into_iter().map(|(group, cause)| format!("{group} waiting: {cause}")));
    }
    for state in [TaskState::Failed, TaskState::Aborted, TaskState::Canceled] {
        details.extend(first_ended(job, state));
    }
    let sentence = format!("{}: {sentence}", found.word());
    Some(WhyView { job: id, task: None, sentence, details })
}

/// The first task that ended in a way and has an error or a reason, with it.
fn first_ended(job: &Job, became: TaskState) -> Option<String> {
    if job.counts.of(became) == 0 {
        return None;
    }
    let untouched = job.tasks.ended.iter().find(|(_, run)| run.state == became && run.reason > 0);
    let untouched = untouched.map(|(first, run)| (*first, run.reason));
    let touched = job.tasks.done.iter().find(|(_, done)| done.state == became && done.error > 0);
    let (ordinal, reference) =
        touched.map(|(ordinal, done)| (ordinal, done.error)).into_iter().chain(untouched).min()?;
    let task = job.tasks.id(ordinal)?;
    let text = job.errors.get(reference)?;
    Some(format!("{} {}, among them task {task}: {text}", job.counts.of(became), became.word()))
}

/// What the waiting tasks wait for, the largest group first: how many, and the cause.
fn causes(state: &State, now: Time, job: &Job) -> Vec<(String, String)> {
    let mut groups = groups(state, job);
    groups.sort_by_key(|group| std::cmp::Reverse(group.tasks));
    let rest: u64 = groups.iter().skip(NAMED_MAX).map(|group| group.tasks).sum();
    let named = groups.iter().take(NAMED_MAX).filter_map(|group| {
        let why = why_task(state, now, TaskRef { job: job.id, task: group.like }).ok()?;
        let cause = why.sentence.strip_prefix("waiting: ").unwrap_or(&why.sentence).to_owned();
        let least = if group.at_least { "at least " } else { "" };
        Some((format!("{least}{}", group.tasks), cause))
    });
    let mut causes: Vec<(String, String)> = named.collect();
    if rest > 0 {
        causes.push((rest.to_string(), "for other reasons".to_owned()));
    }
    causes
}

fn groups(state: &State, job: &Job) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for level in job.levels().into_iter().take(limits::TURN_LEVELS_MAX) {
        let mut runs = state.ready.runs_of(level, job.id);
        let like = runs.next().and_then(|run| Some((run.len(), job.tasks.id(run.first)?)));
        if let Some((first, like)) = like {
            let further: u64 = runs.by_ref().take(limits::PAGE_SCAN_TASKS_MAX).map(|run| run.len()).sum();
            groups.push(Group { tasks: first + further, at_least: runs.next().is_some(), like });
        }
    }
    let last = job.last_ordinal().filter(|_| job.hold || !job.held.is_empty());
    let withheld = last.into_iter().flat_map(|last| job.tasks.queueable(0, last));
    let held: Vec<(u32, u32)> = withheld.flat_map(|(first, last)| job.held_within(first, last)).collect();
    groups.extend(of_parts(job, &held));
    let last = job.last_ordinal().filter(|_| state.gates.of_job(job.id).next().is_some());
    let queueable = last.into_iter().flat_map(|last| job.tasks.queueable(0, last));
    let gated: Vec<(u32, u32)> = queueable.flat_map(|(first, last)| state.gated_within(job, first, last)).collect();
    groups.extend(of_parts(job, &gated));
    groups.extend(elsewhere(job));
    groups
}

/// The tasks of some runs of ordinals, if there are any.
fn of_parts(job: &Job, parts: &[(u32, u32)]) -> Option<Group> {
    let like = job.tasks.id(parts.first()?.0)?;
    let tasks = parts.iter().map(|(first, last)| u64::from(*last) - u64::from(*first) + 1).sum();
    Some(Group { tasks, at_least: false, like })
}

/// Waiting tasks with an entry that are in no queue: blocked, delayed, given to workers.
fn elsewhere(job: &Job) -> impl Iterator<Item = Group> {
    let mut kinds: [Option<Group>; 3] = [None, None, None];
    let at_least = job.tasks.live.len() > limits::PAGE_SCAN_TASKS_MAX;
    for (task, live) in job.tasks.live.iter().take(limits::PAGE_SCAN_TASKS_MAX) {
        let kind = match live.place {
            Place::Blocked { .. } => 0,
            Place::Delayed { .. } => 1,
            Place::Assigned { .. } => 2,
            Place::Ready | Place::Running { .. } => continue,
        };
        if let Some(slot) = kinds.get_mut(kind) {
            slot.get_or_insert(Group { tasks: 0, at_least, like: *task }).tasks += 1;
        }
    }
    kinds.into_iter().flatten()
}
