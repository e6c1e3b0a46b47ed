//! Attempts with which workers came back before what they follow from is known again.
//!
//! A server that died may have given a task away whose dependency was met in its last milliseconds. The worker that has the
//! task comes back first, and for the state the task is blocked. It is neither the worker's yet, since what it waits for
//! may have to run again and fail, nor to be ended, since others would get it while it is being ended.
//!
//! Holds: a claim becomes an adoption before anybody else could be given the task, or it is dropped because the task has
//! ended; its outcome is not acknowledged before that, unless too many others wait behind it. None of it is in the journal: after
//! a restart workers say it again.

use super::Turn;
use crate::attempt::{Attempt, Ending, HeldAttempt, WorkerReport};
use crate::command::Effect;
use crate::decide::register::{self, Claim, Verdict};
use crate::id::WorkerId;
use crate::limits;
use std::collections::BTreeMap;

/// The claims that wait.
#[derive(Debug, Default)]
pub(super) struct Claims {
    waiting: BTreeMap<Attempt, Claim>,
    /// Up to which number outcomes of a worker would be acknowledged, had it no claim.
    withheld: BTreeMap<WorkerId, u64>,
}

impl Claims {
    /// Up to which number of the worker's outcomes can be acknowledged when all up to this one could be.
    pub(super) fn until(&mut self, worker: WorkerId, number: u64) -> Option<u64> {
        let number = number.max(self.withheld.remove(&worker).unwrap_or(0));
        let own = self.waiting.values().filter(|claim| claim.worker == worker);
        let Some(first) = own.filter_map(|claim| Some(claim.outcome.as_ref()?.number)).min() else {
            return Some(number);
        };
        if number.saturating_sub(first) > limits::WITHHELD_OUTCOMES_MAX {
            self.waiting.retain(|_, claim| claim.worker != worker || claim.outcome.is_none());
            return Some(number);
        }
        self.withheld.insert(worker, number);
        Some(number.min(first.saturating_sub(1))).filter(|number| *number > 0)
    }

    /// Whether the worker has any.
    pub(super) fn are_of(&self, worker: WorkerId) -> bool {
        self.waiting.values().any(|claim| claim.worker == worker)
    }

    /// Takes what a worker says about its claims.
    pub(super) fn hear(&mut self, worker: WorkerId, report: &WorkerReport) {
        if self.waiting.is_empty() {
            return;
        }
        let Self { waiting, .. } = self;
        let is_own = |claim: &&mut Claim| claim.worker == worker;
        for started in &report.started {
            if let Some(claim) = waiting.get_mut(&started.attempt).filter(is_own) {
                claim.held.started = Some(started.at);
            }
        }
        for outcome in &report.ended {
            let Some(claim) = waiting.get_mut(&outcome.attempt).filter(is_own) else { continue };
            match outcome.ending {
                Ending::Finished | Ending::Failed => claim.outcome = Some(outcome.clone()),
                Ending::Canceled | Ending::Interrupted => drop(waiting.remove(&outcome.attempt)),
            }
        }
        for attempt in report.returned.iter().chain(&report.rejected) {
            if waiting.get(attempt).is_some_and(|claim| claim.worker == worker) {
                waiting.remove(attempt);
            }
        }
    }
}

impl super::Machine {
    /// Whether a worker has said that it holds this attempt, and that cannot be judged yet.
    pub fn is_claimed(&self, worker: WorkerId, attempt: Attempt) -> bool {
        self.claims.waiting.get(&attempt).is_some_and(|claim| claim.worker == worker)
    }
}

impl Turn<'_> {
    /// The worker says anew what it has, or it is gone.
    pub(super) fn forget_claims(&mut self, worker: WorkerId) {
        let claims = &mut self.machine.claims;
        claims.waiting.retain(|_, claim| claim.worker != worker);
        claims.withheld.remove(&worker);
    }

    /// Judges claims: adopts what is free, and keeps what has to wait. Gives attempts that their workers have to drop.
    pub(super) fn judge_claims(&mut self, claims: Vec<Claim>) -> Vec<(WorkerId, Attempt)> {
        let mut dropped = Vec::new();
        for claim in claims {
            let (worker, attempt) = (claim.worker, claim.held.attempt);
            match register::judge(self.state(), worker, &claim.held) {
                Verdict::Keep => {}
                Verdict::Adopt { from } => {
                    for event in register::adoption(worker, &claim.held, from) {
                        self.emit(event);
                    }
                    let started = HeldAttempt::started(&[claim.held]);
                    let ended = claim.outcome.into_iter().collect();
                    self.take_report(worker, &WorkerReport { started, ended, ..WorkerReport::default() });
                }
                Verdict::Wait => drop(self.machine.claims.waiting.insert(attempt, claim)),
                Verdict::Drop if claim.outcome.is_none() => dropped.push((worker, attempt)),
                Verdict::Drop => {}
            }
        }
        dropped
    }

    /// Judges all claims again after something has happened. Whether there were any.
    pub(super) fn review_claims(&mut self) -> bool {
        if self.machine.claims.waiting.is_empty() || self.output.events.is_empty() {
            return false;
        }
        let waiting = std::mem::take(&mut self.machine.claims.waiting);
        let dropped = self.judge_claims(waiting.into_values().collect());
        for (worker, attempt) in dropped {
            self.output.effects.push(Effect::Cancel { worker, attempts: vec![attempt] });
        }
        let workers: Vec<WorkerId> = self.machine.claims.withheld.keys().copied().collect();
        for worker in workers {
            self.acknowledge(worker, Some(0));
        }
        true
    }
}
