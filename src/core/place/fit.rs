//! Fitting one queue into what is free.
//!
//! Workers are filled in the order of their ids: load is packed on the oldest ones, so that young ones run empty
//! and can end. On each worker the first variant that fits is taken, since variants are listed by preference.

use crate::id::{JobId, WorkerId};
use crate::idset::IdSet;
use crate::limits;
use crate::state::State;
use crate::state::ready::Level;
use crate::time::Time;

/// Tasks of one job that go to one worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Assign {
    /// The job.
    pub job: JobId,
    /// The tasks.
    pub tasks: IdSet,
    /// Where.
    pub worker: WorkerId,
    /// Index of the variant.
    pub variant: u32,
    /// Whether they lie ahead of free resources.
    pub ahead: bool,
    /// For a multi-node task: its workers, the root first; otherwise empty.
    pub nodes: Vec<WorkerId>,
}

/// The next tasks of a queue for the first worker, from `from` on, that can start some of them now.
pub fn fit(state: &State, now: Time, level: Level, from: WorkerId) -> Option<Vec<Assign>> {
    let class = state.classes.get(level.class)?;
    state.ready.head(level)?;
    for id in state.open_workers.candidates(class, from) {
        let Some(worker) = state.workers.get(&id) else { continue };
        for (variant, needs) in (0u32..).zip(&class.variants) {
            if !worker.is_eligible(needs, now) || worker.is_blocked(level.class, variant) {
                continue;
            }
            let count = worker.fits(needs, worker.room().min(limits::TURN_ASSIGNMENTS_MAX as u32));
            if count > 0 {
                return Some(head_tasks(state, level, count, id, variant, false));
            }
        }
    }
    None
}

/// The first `count` tasks of a queue, for one worker.
pub(super) fn head_tasks(
    state: &State,
    level: Level,
    count: u32,
    worker: WorkerId,
    variant: u32,
    ahead: bool,
) -> Vec<Assign> {
    let mut assigns: Vec<Assign> = Vec::new();
    let mut wanted = u64::from(count);
    for run in state.ready.runs(level) {
        if wanted == 0 {
            break;
        }
        let Some(job) = state.job(run.job) else { continue };
        let take = run.len().min(wanted);
        wanted -= take;
        let ranges = job.tasks.ids_of_run(run.first, run.first + (take - 1) as u32);
        match assigns.last_mut() {
            Some(last) if last.job == run.job => last.tasks.ranges.extend(ranges),
            _ => assigns.push(Assign {
                job: run.job,
                tasks: IdSet { ranges },
                worker,
                variant,
                ahead,
                nodes: Vec::new(),
            }),
        }
    }
    assigns
}
