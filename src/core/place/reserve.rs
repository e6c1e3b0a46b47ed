//! What is kept free for tasks that wait although they come first.
//!
//! A task of a higher priority that cannot start now reserves one worker that could run it: what it needs is kept free
//! there, so that the worker drains. If more wait than there are such workers, each worker keeps as much as it could
//! ever use for them; what is left besides (the gap) stays open. A multi-node task keeps the whole of every worker of
//! a group that has enough members which live long enough, and of no other group.
//!
//! What holds: workers that can never run the waiting task are not touched; nothing is reserved against tasks of the
//! same priority, but for a multi-node task whose turn it is (see [`Draft::close_for_next`]).

use crate::id::WorkerId;
use crate::limits;
use crate::state::State;
use crate::state::classes::{Class, ClassVariant, Need, ResourceIndex};
use crate::state::groups::Group;
use crate::state::open::OpenWorkers;
use crate::state::ready::Level;
use crate::state::workers::{Link, Worker};
use crate::time::Time;
use std::collections::BTreeMap;

/// What tasks of lower priorities may see of the workers.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Workers with what is free and not kept.
    pub open: OpenWorkers,
    holds: BTreeMap<WorkerId, Vec<(ResourceIndex, i64)>>,
    /// Workers that are kept for a multi-node task, from tasks of priorities below the one given.
    pub closed: BTreeMap<WorkerId, i64>,
}

/// One worker that could run a waiting task.
struct Eligible {
    worker: WorkerId,
    /// What one task needs there.
    needs: Vec<(ResourceIndex, i64)>,
    /// How much of that is not free.
    missing: u64,
    /// How many more tasks of the class the worker could ever run beside those that it runs.
    more: i64,
}

impl Draft {
    /// Nothing is kept.
    pub fn new(state: &State) -> Self {
        Self { open: state.open_workers.clone(), holds: BTreeMap::new(), closed: BTreeMap::new() }
    }

    /// Notes what a worker has free now.
    pub fn refresh(&mut self, state: &State, worker: WorkerId) {
        if let Some(worker) = state.workers.get(&worker) {
            self.open.show(worker, self.holds.get(&worker.id).map_or(&[], Vec::as_slice));
        }
    }

    /// Keeps what the waiting tasks of a queue need.
    pub fn reserve(&mut self, state: &State, now: Time, level: Level) {
        let Some(class) = state.classes.get(level.class) else { return };
        if let Some(nodes) = class.nodes() {
            self.close_groups(state, now, level, class, nodes as usize);
            return;
        }
        let usable = state.workers.values().filter(|worker| worker.accepts());
        let mut eligible: Vec<Eligible> =
            usable.filter_map(|worker| self.eligible(worker, level, class, now)).collect();
        let waiting = state.ready.count(level, eligible.len() as u64);
        let many = waiting >= eligible.len() as u64;
        if !many {
            eligible.sort_by_key(|found| (found.missing, found.worker));
            eligible.truncate(usize::try_from(waiting).unwrap_or(usize::MAX));
        }
        for found in eligible {
            let count = if many { found.more } else { found.more.min(1) };
            if count > 0 {
                let parts = found.needs.iter().map(|(resource, parts)| (*resource, parts.saturating_mul(count)));
                self.hold(state, found.worker, parts, many);
            }
        }
    }

    /// What the worker would need for one task in the form of which it lacks the least.
    fn eligible(&self, worker: &Worker, level: Level, class: &Class, now: Time) -> Option<Eligible> {
        let running = i64::from(worker.in_use(level.class));
        let forms = class.variants.iter().filter(|variant| worker.is_eligible(variant, now));
        let forms = forms.map(|variant| {
            let needs = needs(worker, variant);
            let lacks = needs.iter().map(|(resource, parts)| {
                let free = self.open.free(worker, *resource).0;
                u64::try_from(*parts).unwrap_or(u64::MAX).saturating_sub(free)
            });
            let most = needs.iter().map(|(resource, parts)| {
                i64::try_from(worker.capacity(*resource)).unwrap_or(i64::MAX) / (*parts).max(1)
            });
            let more = most.min().unwrap_or(0).saturating_sub(running);
            Eligible { worker: worker.id, missing: lacks.sum(), more, needs }
        });
        forms.min_by_key(|form| form.missing)
    }

    /// Keeps parts free on a worker: beside what is kept already, or, where each keeps all that it can use, the larger.
    fn hold(
        &mut self,
        state: &State,
        worker: WorkerId,
        parts: impl Iterator<Item = (ResourceIndex, i64)>,
        is_all: bool,
    ) {
        let holds = self.holds.entry(worker).or_default();
        for (resource, parts) in parts {
            match holds.iter_mut().find(|(other, _)| *other == resource) {
                Some((_, held)) if is_all => *held = (*held).max(parts),
                Some((_, held)) => *held = held.saturating_add(parts),
                None => holds.push((resource, parts)),
            }
        }
        self.refresh(state, worker);
    }

    /// Keeps all workers of the groups that are large enough for a multi-node task.
    fn close_groups(&mut self, state: &State, now: Time, level: Level, class: &Class, nodes: usize) {
        for (_, group) in state.groups.iter() {
            let members = members(state, now, group, class);
            if members.len() >= nodes {
                members.iter().for_each(|worker| self.close(state, worker.id, level.priority()));
            }
        }
    }

    /// Keeps as many workers of one group as the next multi-node task of a queue needs: those with the least to do.
    pub fn close_for_next(&mut self, state: &State, now: Time, level: Level) {
        let Some(class) = state.classes.get(level.class) else { return };
        let Some(nodes) = class.nodes().map(|nodes| nodes as usize) else { return };
        let load = |worker: &Worker| worker.tasks.len() + usize::from(worker.gang.is_some());
        let groups = state.groups.iter().filter_map(|(_, group)| {
            let mut members = members(state, now, group, class);
            members.retain(|worker| !self.closed.contains_key(&worker.id));
            if members.len() < nodes {
                return None;
            }
            members.sort_by_key(|worker| (load(worker), worker.id));
            members.truncate(nodes);
            Some(members)
        });
        let chosen = groups.min_by_key(|members| members.iter().map(|worker| load(worker)).sum::<usize>());
        let chosen: Vec<WorkerId> = chosen.into_iter().flatten().map(|worker| worker.id).collect();
        // From tasks of its own priority as well.
        chosen.into_iter().for_each(|worker| self.close(state, worker, level.priority() + 1));
    }

    fn close(&mut self, state: &State, worker: WorkerId, below: i64) {
        let closed = self.closed.entry(worker).or_insert(below);
        *closed = (*closed).max(below);
        let all = (0..self.open.resources()).map(|resource| (ResourceIndex(resource), i64::MAX / 2));
        self.holds.insert(worker, all.collect());
        self.refresh(state, worker);
    }
}

/// Members of a group that could take part in a multi-node task once they are vacant.
fn members<'a>(state: &'a State, now: Time, group: &'a Group, class: &Class) -> Vec<&'a Worker> {
    let min_time_us = class.variants.first().map_or(0, |variant| variant.min_time_us);
    let members = group.members.iter().filter_map(|id| state.workers.get(id));
    let stays = |worker: &&Worker| worker.stopping.is_none() && worker.draining.is_none();
    let usable = members.filter(|worker| worker.link == Link::Connected).filter(stays);
    usable.filter(|worker| worker.lives(min_time_us, now)).collect()
}

/// What one task of a variant takes of a worker, in parts.
fn needs(worker: &Worker, variant: &ClassVariant) -> Vec<(ResourceIndex, i64)> {
    let parts = |need: &Need, resource: ResourceIndex| match need {
        Need::Parts(parts) => *parts,
        Need::All => worker.capacity(resource),
    };
    let needs = variant.needs.iter().map(|(resource, need)| (*resource, parts(need, *resource)));
    needs.map(|(resource, parts)| (resource, i64::try_from(parts).unwrap_or(i64::MAX))).collect()
}

/// Whether a further queue may reserve in this turn, after `count` others.
pub fn may_reserve(count: usize) -> bool {
    count < limits::TURN_RESERVING_LEVELS_MAX
}
