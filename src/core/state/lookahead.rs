//! Where tasks lie ahead of free resources, by queue, and who should have more of them.
//!
//! Placing asks in every turn whether anything of it has to change; so it looks at the queues that have tasks ahead and
//! at the workers that want some, and not at all workers.
//!
//! **Invariant:** this says of each worker what the worker itself says (checked by `audit`, but for who wants more,
//! which rests on observations).

use super::ready::Level;
use super::workers::Worker;
use crate::id::WorkerId;
use std::collections::{BTreeMap, BTreeSet};

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Lookahead {
    holders: BTreeMap<Level, BTreeSet<WorkerId>>,
    levels: BTreeMap<WorkerId, Vec<Level>>,
    hungry: BTreeSet<WorkerId>,
}

impl Lookahead {
    /// Notes what a worker has ahead now, and whether it should have more.
    pub fn refresh(&mut self, worker: &Worker) {
        if worker.wants_ahead() > 0 {
            self.hungry.insert(worker.id);
        } else if !self.hungry.is_empty() {
            self.hungry.remove(&worker.id);
        }
        let known = self.levels.get(&worker.id);
        if known.map_or(worker.ahead.is_empty(), |known| worker.ahead.levels().eq(known.iter().copied())) {
            return;
        }
        self.forget_levels(worker.id);
        for level in worker.ahead.levels() {
            self.holders.entry(level).or_default().insert(worker.id);
            self.levels.entry(worker.id).or_default().push(level);
        }
    }

    /// Forgets a worker.
    pub fn remove(&mut self, worker: WorkerId) {
        self.hungry.remove(&worker);
        self.forget_levels(worker);
    }

    fn forget_levels(&mut self, worker: WorkerId) {
        for level in self.levels.remove(&worker).unwrap_or_default() {
            let Some(holders) = self.holders.get_mut(&level) else { continue };
            holders.remove(&worker);
            if holders.is_empty() {
                self.holders.remove(&level);
            }
        }
    }

    /// The queues that have tasks ahead, each with the workers on which they lie.
    pub fn holders(&self) -> &BTreeMap<Level, BTreeSet<WorkerId>> {
        &self.holders
    }

    /// Workers that should have more tasks ahead.
    pub fn hungry(&self) -> &BTreeSet<WorkerId> {
        &self.hungry
    }
}
