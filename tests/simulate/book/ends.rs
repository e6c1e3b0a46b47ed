//! What the journal says about ends: each attempt has one, each task one that counts, and another only when it runs again.

use super::Book;
use hq_core::agent::ProcessStatus;
use hq_core::attempt::Attempt;
use hq_core::event::{Event, Stamped, TaskFailed};
use hq_core::id::{AttemptId, Fence, JobId, TaskId, TaskRef};
use hq_core::retry::FailureCause;
use hq_core::view::TaskState;

impl Book {
    pub(super) fn judge_ends(&mut self, stamped: &Stamped) -> Result<(), String> {
        match &stamped.event {
            Event::TasksFinished(event) => {
                for id in &event.tasks {
                    let entry = self.entry(event.job, id.0)?;
                    if entry.on != Some(event.worker) || entry.state != TaskState::Running {
                        return Err(format!("task {id} finishes where it does not run"));
                    }
                    if self.program(event.job, *id)? != Some(Some(ProcessStatus::Code(0))) {
                        return Err(format!("task {id} is finished, and its program is not"));
                    }
                    self.end(event.job, id.0, TaskState::Finished)?;
                }
            }
            Event::TaskFailed(event) => {
                self.fails(event)?;
                self.end(event.job, event.task.0, TaskState::Failed)?;
                let sheet = self.sheet(event.job)?;
                let failed = sheet.tasks.values().filter(|task| task.state == TaskState::Failed).count();
                sheet.is_over = sheet.max_fails.is_some_and(|max| failed as u64 > u64::from(max));
            }
            Event::TasksCanceled(event) | Event::TasksAborted(event) => {
                let is_cancel = matches!(stamped.event, Event::TasksCanceled(_));
                let state = if is_cancel { TaskState::Canceled } else { TaskState::Aborted };
                for id in event.tasks.iter() {
                    self.end(event.job, id, state)?;
                }
            }
            Event::TaskRetried(event) => {
                self.fails(&event.failed)?;
                let entry = self.entry(event.failed.job, event.failed.task.0)?;
                if entry.state.is_final() {
                    return Err("tried again and final".to_owned());
                }
                (entry.state, entry.on) = (TaskState::Waiting, None);
                entry.due = (event.delay.0 > 0).then(|| stamped.at.after(event.delay));
            }
            Event::TasksRerun(event) => {
                self.let_go(event.job);
                for id in event.tasks.iter() {
                    let entry = self.entry(event.job, id)?;
                    if !entry.state.is_final() {
                        return Err(format!("task {id} runs again and is not final"));
                    }
                    (entry.state, entry.crashes, entry.is_free) = (TaskState::Waiting, 0, false);
                }
                let sheet = self.sheet(event.job)?;
                (sheet.is_completed, sheet.is_over) = (false, false);
            }
            _ => {}
        }
        Ok(())
    }

    /// What became of the program that a running task has: none has started, it runs, or its end.
    fn program(&mut self, job: JobId, task: TaskId) -> Result<Option<Option<ProcessStatus>>, String> {
        let entry = self.entry(job, task.0)?;
        let fence = Fence { epoch: entry.epoch, attempt: AttemptId(entry.attempt) };
        let is_running = entry.state == TaskState::Running;
        let attempt = Attempt { task: TaskRef { job, task }, fence };
        Ok(self.programs.get(&attempt).filter(|_| is_running).copied())
    }

    /// An attempt fails once, and not while its program runs, unless its worker is gone.
    fn fails(&mut self, failed: &TaskFailed) -> Result<(), String> {
        let task = TaskRef { job: failed.job, task: failed.task };
        if failed.cause != FailureCause::Node && self.program(failed.job, failed.task)? == Some(None) {
            return Err(format!("{task} has failed, and its program runs"));
        }
        let is_new = self.failed.insert((task, failed.attempt.0));
        if is_new { Ok(()) } else { Err(format!("attempt {} of {task} fails twice", failed.attempt)) }
    }

    fn end(&mut self, job: JobId, id: u32, state: TaskState) -> Result<(), String> {
        let entry = self.entry(job, id)?;
        if entry.state.is_final() {
            return Err(format!("task {id} ends as {state:?} and had ended as {:?}", entry.state));
        }
        (entry.state, entry.on, entry.due, entry.held) = (state, None, None, false);
        self.ended.insert((TaskRef { job, task: TaskId(id) }, state));
        *self.tally.entry((job, state)).or_default() += 1;
        self.outcomes += 1;
        self.open_gates(job, false);
        Ok(())
    }
}
