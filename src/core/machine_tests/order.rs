//! The order of events that consumers rely on, for each random history: a second interpreter that knows nothing of the state.
//!
//! Holds: one rule of the order is one error of the check.

use super::scene::{Scene, array};
use crate::attempt::{Ending, WorkerReport};
use crate::command::Command;
use crate::event::{Event, JobChanged, JobOpened, Stamped, TasksFinished};
use crate::id::{AttemptId, JobId, TaskId, WorkerId};
use crate::idset::IdSet;
use crate::task::SubmitRequest;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
struct Told {
    started: Option<AttemptId>,
    /// Of a multi-node task the root: it goes on without another of its workers.
    runs_on: Option<WorkerId>,
    is_final: bool,
}

#[derive(Debug, Default)]
struct Order {
    at: Time,
    made: BTreeSet<JobId>,
    completed: BTreeSet<JobId>,
    /// Jobs whose tasks have to be canceled next.
    canceled: BTreeSet<JobId>,
    tasks: BTreeMap<(JobId, TaskId), Told>,
}

/// The first event that comes too early or too late.
pub(super) fn check(log: &[Stamped]) -> Result<(), String> {
    let mut order = Order::default();
    log.iter().try_for_each(|stamped| order.event(stamped).map_err(|why| format!("{why}: {stamped:?}")))
}

impl Order {
    fn event(&mut self, stamped: &Stamped) -> Result<(), &'static str> {
        if stamped.at < self.at {
            return Err("times decrease");
        }
        self.at = stamped.at;
        if let Some(job) = stamped.event.job() {
            self.of_job(job, &stamped.event)?;
        }
        match &stamped.event {
            Event::WorkerLost(event) => self.tasks.values_mut().for_each(|task| {
                if task.runs_on == Some(event.worker) {
                    task.runs_on = None;
                }
            }),
            Event::JobCanceled(event) => drop(self.canceled.insert(event.job)),
            Event::JobCompleted(event) => drop(self.completed.insert(event.job)),
            Event::TasksRerun(event) => {
                self.completed.remove(&event.job);
                for id in event.tasks.iter() {
                    self.tasks.entry((event.job, TaskId(id))).or_default().is_final = false;
                }
            }
            Event::TasksStarted(event) => {
                for (position, id) in event.tasks.iter().enumerate() {
                    let attempt = event.attempts.get(position).copied().unwrap_or_default();
                    let task = self.tasks.entry((event.job, *id)).or_default();
                    if task.is_final || task.runs_on.is_some() {
                        return Err("it runs, or has ended");
                    }
                    if task.started.is_some_and(|before| before >= attempt) {
                        return Err("its number is not larger than the one before");
                    }
                    task.started = Some(attempt);
                    task.runs_on = Some(event.worker);
                }
            }
            // A worker that ends gives back what it runs before it is lost.
            Event::TasksReturned(event) => {
                for id in event.tasks.iter() {
                    let task = self.tasks.entry((event.job, TaskId(id))).or_default();
                    if task.is_final {
                        return Err("it comes back, and has ended");
                    }
                    task.runs_on = None;
                }
            }
            Event::TaskRetried(event) => {
                self.tasks.entry((event.failed.job, event.failed.task)).or_default().runs_on = None;
            }
            Event::TasksFinished(event) => {
                for id in &event.tasks {
                    self.end(event.job, *id, |task| task.runs_on.is_some())?;
                }
            }
            Event::TaskFailed(event) => {
                self.end(event.job, event.task, |_| true)?;
            }
            Event::TasksCanceled(event) | Event::TasksAborted(event) => {
                for id in event.tasks.iter() {
                    self.end(event.job, TaskId(id), |_| true)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What holds for every event of a job.
    fn of_job(&mut self, job: JobId, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::JobOpened(_) => drop(self.made.insert(job)),
            Event::JobSubmitted(event) if !event.attached => drop(self.made.insert(job)),
            _ => {}
        }
        if !self.made.contains(&job) {
            return Err("nothing made its job");
        }
        let is_told_of_completed =
            matches!(event, Event::JobForgotten(_) | Event::JobRestored(_) | Event::TasksRerun(_));
        if self.completed.contains(&job) && !is_told_of_completed {
            return Err("its job was completed");
        }
        if self.canceled.remove(&job) && !matches!(event, Event::TasksCanceled(_)) {
            return Err("it comes between a cancellation and what that cancels");
        }
        Ok(())
    }

    fn end(&mut self, job: JobId, id: TaskId, may: impl Fn(&Told) -> bool) -> Result<(), &'static str> {
        let task = self.tasks.entry((job, id)).or_default();
        if task.is_final || !may(task) {
            return Err("it has ended, or did not run");
        }
        task.is_final = true;
        task.runs_on = None;
        Ok(())
    }
}

#[test]
fn what_is_out_of_order_is_an_error() {
    let at = |at: u64, event: Event| Stamped { at: Time(at), event };
    let opened = || Event::JobOpened(JobOpened { job: JobId(1), ..JobOpened::default() });
    let completed = || Event::JobCompleted(JobChanged { job: JobId(1) });
    let finished = || {
        let (job, tasks) = (JobId(1), vec![TaskId(0)]);
        Event::TasksFinished(TasksFinished { job, tasks, ..TasksFinished::default() })
    };
    assert_eq!(check(&[at(1, opened()), at(1, completed())]), Ok(()));
    for (log, why) in [
        (vec![at(2, opened()), at(1, completed())], "times decrease"),
        (vec![at(1, completed())], "nothing made its job"),
        (vec![at(1, opened()), at(2, completed()), at(3, completed())], "its job was completed"),
        (vec![at(1, opened()), at(2, finished())], "it has ended, or did not run"),
    ] {
        let said = check(&log).unwrap_err();
        assert!(said.starts_with(why), "{said}");
    }
}

/// A failure ends the job; in the same breath its worker gives back another task of it.
#[test]
fn what_a_failure_has_ended_does_not_come_back() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    let job = scene.submit(SubmitRequest { max_fails: Some(0), ..array(IdSet::range(0, 1), 1, 0) });
    (0..2).for_each(|position| scene.begin(worker, position));
    let ended = [Ending::Interrupted, Ending::Failed].map(|ending| scene.outcome(worker, 0, ending).unwrap());
    scene.run(Command::Report { worker, report: WorkerReport { ended: ended.to_vec(), ..WorkerReport::default() } });
    assert_eq!((scene.counts(job).failed, scene.counts(job).aborted), (1, 1));
    assert_eq!(check(&scene.log), Ok(()));
}
