//! From the events of a job to the attempts of its tasks.
//!
//! Holds: an attempt is told once, when it ends, or as running when the events end.

use hq_core::event::{Event, Stamped, TaskFailed, TasksStarted};
use hq_core::id::{AttemptId, TaskId};
use hq_core::idset::IdSet;
use hq_core::retry::{FailureCause, Usage};
use hq_core::state::tasks::TaskTable;
use hq_core::time::{Span, Time};
use hq_core::view::{AttemptView, TaskState};
use std::collections::BTreeMap;

/// Kind of the records with submits.
pub(super) const KIND_JOB_SUBMITTED: u16 = 20;
/// Kinds of records that say something of attempts.
const KINDS: &[u16] = &[14, KIND_JOB_SUBMITTED, 42, 43, 44, 45, 46, 47, 48, 53];
/// Reruns whose times are remembered, the last ones.
const RERUNS_MAX: usize = 64;

/// Whether records of this kind have to be read.
pub(super) fn is_of_interest(kind: u16) -> bool {
    KINDS.contains(&kind)
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Fold {
    /// Only these tasks; none: all.
    wanted: Option<TaskTable>,
    /// Tasks of all submits, and the time of each submit.
    submitted: TaskTable,
    submit_times: Vec<Time>,
    reruns: Vec<(TaskTable, Time)>,
    /// Attempts that run.
    open: BTreeMap<TaskId, AttemptView>,
    /// Attempts whose worker went away: the task may fail by that, or run again.
    lost: BTreeMap<TaskId, AttemptView>,
    /// Since when tasks wait whose last attempt has ended.
    waiting: BTreeMap<TaskId, Time>,
}

fn table(ids: &IdSet) -> TaskTable {
    let mut table = TaskTable::default();
    table.add(ids, 0);
    table
}

fn before(at: Time, ago_us: Option<&u64>) -> Time {
    Time(at.0.saturating_sub(ago_us.copied().unwrap_or(0)))
}

fn usage_at(cpu_ms: &[u64], memory_kib: &[u64], position: usize) -> Option<Usage> {
    Some(Usage { cpu_ms: *cpu_ms.get(position)?, memory_kib: *memory_kib.get(position)? })
}

fn fill(attempt: &mut AttemptView, at: Time, failed: &TaskFailed) {
    attempt.ended = Some(before(at, Some(&failed.ago_us)));
    attempt.cause = failed.cause;
    attempt.error.clone_from(&failed.error);
    attempt.exit_code = failed.exit_code;
    attempt.signal = failed.signal;
    attempt.usage = failed.usage;
}

/// The attempts among `missing` whose end an event tells; they are taken out.
pub(super) fn ends_of(stamped: &Stamped, missing: &mut BTreeMap<TaskId, AttemptView>) -> Vec<AttemptView> {
    let mut ended = Vec::new();
    match &stamped.event {
        Event::TasksFinished(event) => {
            for (position, task) in event.tasks.iter().enumerate() {
                if let Some(mut attempt) = missing.remove(task) {
                    attempt.usage = usage_at(&event.cpu_ms, &event.memory_kib, position);
                    attempt.exit_code = Some(0);
                    ended.push(attempt);
                }
            }
        }
        Event::TaskFailed(event) => {
            if let Some(mut attempt) = missing.remove(&event.task) {
                fill(&mut attempt, stamped.at, event);
                ended.push(attempt);
            }
        }
        _ => {}
    }
    ended
}

impl Fold {
    /// For these tasks, or for all.
    pub(super) fn new(wanted: Option<&IdSet>) -> Self {
        Self { wanted: wanted.map(table), ..Self::default() }
    }

    /// Takes an event; attempts that it ends are added to `ended`.
    pub(super) fn take(&mut self, stamped: &Stamped, ended: &mut Vec<AttemptView>) {
        let at = stamped.at;
        match &stamped.event {
            Event::JobSubmitted(event) => {
                let number = u32::try_from(self.submit_times.len()).unwrap_or(u32::MAX);
                self.submitted.add(&event.submit.ids, number);
                self.submit_times.push(at);
            }
            Event::TasksStarted(event) => self.started(at, event, ended),
            Event::TasksFinished(event) => {
                for (position, task) in event.tasks.iter().enumerate() {
                    if let Some(mut attempt) = self.open.remove(task) {
                        attempt.state = TaskState::Finished;
                        attempt.ended = Some(before(at, event.ago_us.get(position)));
                        attempt.exit_code = Some(0);
                        attempt.usage = usage_at(&event.cpu_ms, &event.memory_kib, position);
                        ended.push(attempt);
                    }
                }
            }
            Event::TaskFailed(event) => self.failed(at, event, TaskState::Failed, ended),
            Event::TaskRetried(event) => self.failed(at, &event.failed, TaskState::Waiting, ended),
            Event::TasksReturned(event) => {
                let tasks = table(&event.tasks);
                self.interrupt(at, |attempt| tasks.ordinal(attempt.task).is_some());
            }
            // A multi-node task goes on without a worker that is not its root.
            Event::WorkerLost(event) => self.interrupt(at, |attempt| attempt.workers.first() == Some(&event.worker)),
            Event::TasksCanceled(event) => self.end(at, &event.tasks, TaskState::Canceled, &event.reason, ended),
            Event::TasksAborted(event) => self.end(at, &event.tasks, TaskState::Aborted, &event.reason, ended),
            Event::TasksRerun(event) => {
                if self.reruns.len() >= RERUNS_MAX {
                    self.reruns.remove(0);
                }
                self.reruns.push((table(&event.tasks), at));
            }
            _ => {}
        }
    }

    /// What is not told yet when the events end: attempts that were interrupted, and those that run.
    pub(super) fn rest(self) -> impl Iterator<Item = AttemptView> {
        self.lost.into_values().chain(self.open.into_values())
    }

    fn is_wanted(&self, task: TaskId) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.ordinal(task).is_some())
    }

    fn started(&mut self, at: Time, event: &TasksStarted, ended: &mut Vec<AttemptView>) {
        for (position, task) in event.tasks.iter().enumerate() {
            if !self.is_wanted(*task) {
                continue;
            }
            let started = before(at, event.ago_us.get(position));
            let attempt = AttemptView {
                task: *task,
                attempt: event.attempts.get(position).copied().unwrap_or(AttemptId(0)),
                workers: if event.nodes.is_empty() { vec![event.worker] } else { event.nodes.clone() },
                started: Some(started),
                state: TaskState::Running,
                waited: self.waited(*task, started),
                ..AttemptView::default()
            };
            ended.extend(self.lost.remove(task));
            // The end of the one before is not in the history of the job, as in journals of before.
            if let Some(lost) = self.open.insert(*task, attempt) {
                ended.push(AttemptView { state: TaskState::Waiting, cause: FailureCause::Node, ..lost });
            }
        }
    }

    /// From when the attempt was wanted to its start.
    fn waited(&mut self, task: TaskId, started: Time) -> Option<Span> {
        let ordinal = self.submitted.ordinal(task);
        let submit = ordinal.and_then(|ordinal| self.submitted.submit_of(ordinal));
        let submitted = submit.and_then(|number| self.submit_times.get(number as usize)).copied();
        let rerun = self.reruns.iter().rev().find(|(tasks, _)| tasks.ordinal(task).is_some()).map(|(_, at)| *at);
        let since = [submitted, rerun, self.waiting.remove(&task)].into_iter().flatten().max()?;
        Some(started.since(since))
    }

    fn failed(&mut self, at: Time, failed: &TaskFailed, state: TaskState, ended: &mut Vec<AttemptView>) {
        if !self.is_wanted(failed.task) {
            return;
        }
        let lost = self.lost.remove(&failed.task);
        let (same, other): (Option<_>, Option<_>) =
            if lost.as_ref().is_some_and(|lost| lost.attempt == failed.attempt) { (lost, None) } else { (None, lost) };
        ended.extend(other);
        let unstarted = AttemptView { task: failed.task, attempt: failed.attempt, ..AttemptView::default() };
        let mut attempt = self.open.remove(&failed.task).or(same).unwrap_or(unstarted);
        fill(&mut attempt, at, failed);
        attempt.state = state;
        if state == TaskState::Waiting {
            self.waiting.extend(attempt.ended.map(|end| (failed.task, end)));
        }
        ended.push(attempt);
    }

    /// Ends attempts whose worker went away.
    fn interrupt(&mut self, at: Time, goes: impl Fn(&AttemptView) -> bool) {
        let gone: Vec<TaskId> =
            self.open.values().filter(|attempt| goes(attempt)).map(|attempt| attempt.task).collect();
        for task in gone {
            let Some(attempt) = self.open.remove(&task) else { continue };
            self.waiting.insert(task, at);
            let error = "The worker ended before the task did.".to_owned();
            let (state, cause) = (TaskState::Waiting, FailureCause::Node);
            self.lost.insert(task, AttemptView { state, cause, ended: Some(at), error, ..attempt });
        }
    }

    fn end(&mut self, at: Time, tasks: &IdSet, state: TaskState, reason: &str, ended: &mut Vec<AttemptView>) {
        let tasks = table(tasks);
        let gone: Vec<TaskId> = self.open.keys().copied().filter(|task| tasks.ordinal(*task).is_some()).collect();
        for attempt in gone.iter().filter_map(|task| self.open.remove(task)) {
            ended.push(AttemptView { state, ended: Some(at), error: reason.to_owned(), ..attempt });
        }
        let lost: Vec<TaskId> = self.lost.keys().copied().filter(|task| tasks.ordinal(*task).is_some()).collect();
        ended.extend(lost.iter().filter_map(|task| self.lost.remove(task)));
        self.waiting.retain(|task, _| tasks.ordinal(*task).is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::event::{JobSubmitted, TaskRetried, TasksEnded, TasksFinished, TasksNamed, WorkerLost};
    use hq_core::id::{JobId, WorkerId};
    use hq_core::task::SubmitDesc;
    use std::sync::Arc;

    fn told(wanted: Option<&IdSet>, events: Vec<(u64, Event)>) -> Vec<AttemptView> {
        let (mut fold, mut ended) = (Fold::new(wanted), Vec::new());
        for (secs, event) in events {
            assert!(is_of_interest(event.kind()), "{event:?}");
            fold.take(&Stamped { at: Time(secs * 1_000_000), event }, &mut ended);
        }
        ended.extend(fold.rest());
        ended
    }

    fn submitted(last: u32) -> Event {
        let submit = Arc::new(SubmitDesc { ids: IdSet::range(0, last), ..SubmitDesc::default() });
        Event::JobSubmitted(JobSubmitted { job: JobId(1), submit, ..JobSubmitted::default() })
    }

    fn started(task: u32, attempt: u32, worker: u32) -> Event {
        Event::TasksStarted(TasksStarted {
            worker: WorkerId(worker),
            tasks: vec![TaskId(task)],
            attempts: vec![AttemptId(attempt)],
            ..TasksStarted::default()
        })
    }

    fn finished(task: u32) -> Event {
        let (cpu_ms, memory_kib) = (vec![7], vec![9]);
        Event::TasksFinished(TasksFinished {
            tasks: vec![TaskId(task)],
            cpu_ms,
            memory_kib,
            ..TasksFinished::default()
        })
    }

    fn failed(task: u32, attempt: u32) -> TaskFailed {
        TaskFailed {
            task: TaskId(task),
            attempt: AttemptId(attempt),
            cause: FailureCause::Exit,
            exit_code: Some(3),
            ..TaskFailed::default()
        }
    }

    fn short(attempts: &[AttemptView]) -> Vec<(u32, u32, TaskState, Option<u64>)> {
        let secs = |span: Span| span.0 / 1_000_000;
        attempts.iter().map(|a| (a.task.0, a.attempt.0, a.state, a.waited.map(secs))).collect()
    }

    #[test]
    fn each_attempt_is_told_once() {
        let named = |task| TasksNamed { job: JobId(1), tasks: IdSet::single(task) };
        let attempts = told(
            None,
            vec![
                (1, submitted(9)),
                (3, started(0, 0, 1)),
                (4, Event::TaskRetried(TaskRetried { failed: failed(0, 0), delay: Span::default() })),
                (9, started(0, 1, 1)),
                (10, Event::TaskFailed(failed(0, 1))),
                (20, Event::TasksRerun(named(0))),
                (22, started(0, 2, 2)),
                (24, Event::WorkerLost(WorkerLost { worker: WorkerId(2), ..WorkerLost::default() })),
                (26, started(0, 3, 3)),
                (27, finished(0)),
                (27, started(1, 0, 3)),
                (27, Event::WorkerLost(WorkerLost { worker: WorkerId(3), ..WorkerLost::default() })),
                (27, Event::TaskFailed(failed(1, 0))),
                // One that could not be started.
                (28, Event::TaskFailed(failed(2, 5))),
                (30, started(3, 0, 3)),
            ],
        );
        use TaskState::{Failed, Finished, Running, Waiting};
        let expected = [
            (0, 0, Waiting, Some(2)),
            (0, 1, Failed, Some(5)),
            (0, 2, Waiting, Some(2)),
            (0, 3, Finished, Some(2)),
            // The loss of its worker was its failure.
            (1, 0, Failed, Some(26)),
            (2, 5, Failed, None),
            (3, 0, Running, Some(29)),
        ];
        assert_eq!(short(&attempts), expected);
        assert_eq!((attempts[1].exit_code, attempts[2].cause), (Some(3), FailureCause::Node));
        assert_eq!(attempts[3].usage, Some(Usage { cpu_ms: 7, memory_kib: 9 }));
    }

    #[test]
    fn a_multi_node_task_goes_on_without_another_of_its_workers() {
        let Event::TasksStarted(event) = started(0, 0, 1) else { unreachable!() };
        let root_and_more = TasksStarted { nodes: vec![WorkerId(1), WorkerId(2)], ..event };
        let lost = |worker| Event::WorkerLost(WorkerLost { worker: WorkerId(worker), ..WorkerLost::default() });
        let events = vec![(1, submitted(0)), (2, Event::TasksStarted(root_and_more)), (3, lost(2))];
        let mut then_finished = events.clone();
        then_finished.extend([(4, finished(0)), (5, lost(1))]);
        assert_eq!(short(&told(None, then_finished)), [(0, 0, TaskState::Finished, Some(1))]);
        let then_lost = events.into_iter().chain([(4, lost(1))]).collect();
        assert_eq!(short(&told(None, then_lost)), [(0, 0, TaskState::Waiting, Some(1))]);
    }

    #[test]
    fn only_wanted_tasks_are_told() {
        let ended = TasksEnded { job: JobId(1), tasks: IdSet::range(0, 9), reason: "enough".into() };
        let attempts = told(
            Some(&IdSet::range(3, 4)),
            vec![
                (1, submitted(9)),
                (2, started(3, 0, 1)),
                (2, started(5, 0, 1)),
                (3, Event::TaskFailed(failed(5, 0))),
                (4, Event::TasksCanceled(ended)),
            ],
        );
        assert_eq!(short(&attempts), [(3, 0, TaskState::Canceled, Some(1))]);
        assert_eq!((attempts[0].error.as_str(), attempts[0].ended), ("enough", Some(Time(4_000_000))));
    }
}
