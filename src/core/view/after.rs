//! Dependencies on jobs and on tasks of others, with what has become of them.

use super::{AfterState, AfterView};
use crate::id::TaskId;
use crate::limits;
use crate::state::State;
use crate::state::gates::{Aim, Gate};
use crate::state::jobs::Job;
use crate::state::runs::Runs;
use crate::task::After;

impl State {
    /// The dependencies of all submits of a job.
    pub(super) fn view_after(&self, job: &Job) -> Vec<AfterView> {
        let submits = (0u32..).zip(&job.submits);
        let all =
            submits.flat_map(|(number, submit)| (0u32..).zip(&submit.desc.after).map(move |after| (number, after)));
        let shown = all.take(limits::SHOWN_GATES_MAX);
        shown.map(|(number, (index, after))| self.view_one_after(job, number, index, after, None)).collect()
    }

    /// The dependencies of the submit of a task on jobs and on tasks of others, as far as they concern the task.
    pub fn after_of_task(&self, job: &Job, task: TaskId) -> Vec<AfterView> {
        let Some((number, submit)) = job.tasks.ordinal(task).and_then(|ordinal| job.submit_of(ordinal)) else {
            return Vec::new();
        };
        let concerns = |after: &After| after.tasks.is_empty() || after.tasks.contains(task.0);
        let after = (0u32..).zip(&submit.desc.after).filter(|(_, after)| concerns(after));
        after.map(|(index, after)| self.view_one_after(job, number, index, after, Some(task))).collect()
    }

    fn view_one_after(&self, job: &Job, submit: u32, index: u32, after: &After, task: Option<TaskId>) -> AfterView {
        let view = AfterView { after: after.clone(), submit, ..AfterView::default() };
        let is_open = job.opened.contains(&(submit, index));
        let Some(gate) = self.closed_gate(job, submit, index, after).filter(|_| !is_open) else {
            return AfterView { state: AfterState::Met, ..view };
        };
        let (left, verdict) = match &gate.aim {
            Aim::Partner => self.partners_left(job, &gate, task),
            Aim::Tasks(_, tally) => (tally.left, self.verdict(&gate)),
            Aim::Job => {
                let left = self.job(gate.on).map_or(0, |target| target.counts.unfinished());
                (left, self.verdict(&gate))
            }
        };
        let state = match verdict {
            None => AfterState::Waiting,
            Some(true) => AfterState::Met,
            Some(false) => AfterState::Broken,
        };
        AfterView { state, left, ..view }
    }

    /// How many partners have not ended, of all tasks or of one; and what that means.
    fn partners_left(&self, job: &Job, gate: &Gate, task: Option<TaskId>) -> (u64, Option<bool>) {
        let own =
            task.and_then(|task| job.tasks.ordinal(task)).map(|ordinal| [(ordinal, ordinal)].into_iter().collect());
        let cover: &Runs = own.as_ref().unwrap_or(&gate.cover);
        let count = |parts: &[(u32, u32)]| -> u64 {
            parts.iter().map(|(first, last)| u64::from(*last) - u64::from(*first) + 1).sum()
        };
        let all: Vec<(u32, u32)> = cover.iter().collect();
        let with = |met| -> u64 { all.iter().map(|run| count(&self.partners_that(job, gate, *run, met))).sum() };
        let (met, broken) = (with(true), with(false));
        let left = count(&all).saturating_sub(met + broken);
        (left, (left == 0).then_some(broken == 0))
    }
}
