//! The placing part of a turn: what was handled is placed once, however much it was.
//!
//! Queues are served band by band, a band being one priority. Before a lower band takes anything, what the queues above
//! it could not place is reserved. What then remains decides about tasks ahead.

use super::{Machine, Turn};
use crate::command::{Effect, Output};
use crate::event::Event;
use crate::id::{TaskId, WorkerId};
use crate::limits;
use crate::place::{self, Band, Draft};
use crate::state::State;
use crate::state::ready::Level;
use crate::state::tasks::Place;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};

/// What placing remembers from turn to turn. None of it is in the journal: after a restart it starts anew.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Where the walk over very many queues goes on.
    cursor: Option<Level>,
    /// Where the look at hungry workers goes on.
    hungry_from: WorkerId,
    /// By priority: when a multi-node task and when another task was placed last while both kinds waited.
    served: BTreeMap<i64, Served>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Served {
    gang: Option<Time>,
    single: Option<Time>,
}

/// The state of one call of [`Machine::place`].
struct Placing<'t, 'm> {
    turn: &'t mut Turn<'m>,
    budget: u64,
    steps: u32,
    draft: Option<Draft>,
    /// Queues that were served and still have tasks, in the order of the walk.
    leftover: Vec<Level>,
    /// How many of these have reserved.
    reserved: usize,
}

impl Machine {
    /// Places what is ready. Also says whether a place after this one would find more to do.
    pub fn place(&mut self, now: Time) -> (Output, bool) {
        if !self.stirred {
            return (Output::default(), false);
        }
        if self.state.ready.is_empty() && self.state.lookahead.holders().is_empty() {
            self.stirred = false;
            return (Output::default(), false);
        }
        let unsettled = self.unsettled();
        self.state.ready.hide(unsettled);
        let walk = place::walk(&self.state, self.placed.cursor);
        if walk.next.is_none() {
            let with_gangs = |priority: &i64| walk.bands.iter().any(|b| b.priority == *priority && !b.gangs.is_empty());
            self.placed.served.retain(|priority, _| with_gangs(priority));
        }
        let mut turn = Turn::new(self, now);
        let mut placing = Placing {
            turn: &mut turn,
            budget: limits::TURN_ASSIGNMENTS_MAX as u64,
            steps: limits::TURN_SEARCH_STEPS_MAX,
            draft: None,
            leftover: Vec::new(),
            reserved: 0,
        };
        for band in walk.bands {
            if placing.budget > 0 {
                placing.band(band);
            }
        }
        // What was asked back could not be given to others yet.
        if unsettled.is_none() {
            placing.demanding();
            if placing.budget > 0 {
                placing.look_ahead();
            }
        }
        let is_spent = placing.budget == 0;
        turn.machine.state.ready.hide(None);
        let more = is_spent || walk.next.is_some();
        // What was not reached is looked at again; something was placed, so this comes to an end.
        if !is_spent {
            turn.machine.placed.cursor = walk.next;
        }
        // Who is hungry and was not looked at is looked at in the next turn, which need not be at once.
        let hungry = turn.machine.state.lookahead.hungry().len();
        turn.machine.stirred = more || hungry > limits::TURN_HUNGRY_WORKERS_MAX;
        (turn.output, more)
    }
}

/// Whether an event could let placing find more. Half of all events are starts of tasks that hold their resources
/// already. The passing of time alone never does: lives only become shorter.
pub(super) fn matters(state: &State, event: &Event) -> bool {
    let started = match event {
        Event::TasksStarted(started) => started,
        Event::WorkerOverview(_) | Event::JobIdle(_) => return false,
        Event::JobCompleted(completed) => return state.gates.is_watched(completed.job),
        _ => return true,
    };
    let Some(job) = state.job(started.job) else { return false };
    let holds = |task: &TaskId| {
        let place = job.tasks.live.get(task).map(|live| live.place);
        matches!(place, Some(Place::Assigned { ahead: false, variant, .. }) if variant == started.variant)
    };
    !started.tasks.iter().all(holds)
}

impl Placing<'_, '_> {
    fn band(&mut self, band: Band) {
        let Band { priority, gangs, singles } = band;
        self.reserve_for_higher(&gangs, &singles);
        let served = self.turn.machine.placed.served.get(&priority).copied().unwrap_or_default();
        // Who was served longer ago comes first; who was never served before who was.
        let gangs_first = served.gang <= served.single;
        let both = !gangs.is_empty() && !singles.is_empty();
        if gangs_first {
            self.gangs(priority, &gangs, both);
            let waiting = gangs.iter().copied().find(|level| self.waits(*level));
            if let Some(level) = waiting.filter(|_| both) {
                let (state, now) = (&self.turn.machine.state, self.turn.now);
                self.draft.get_or_insert_with(|| Draft::new(state)).close_for_next(state, now, level);
            }
        }
        self.singles(priority, &singles, both);
        if !gangs_first {
            self.gangs(priority, &gangs, both);
        }
        let ready = &self.turn.machine.state.ready;
        self.leftover.extend(gangs.into_iter().chain(singles).filter(|level| ready.head(*level).is_some()));
    }

    fn waits(&self, level: Level) -> bool {
        self.turn.machine.state.ready.head(level).is_some()
    }

    /// What is left for the decisions about tasks ahead, with what was reserved taken away.
    fn rest(&self) -> place::Rest<'_> {
        static NOTHING: BTreeMap<WorkerId, i64> = BTreeMap::new();
        let (open, closed) = match &self.draft {
            Some(draft) => (&draft.open, &draft.closed),
            None => (&self.turn.machine.state.open_workers, &NOTHING),
        };
        place::Rest { leftover: &self.leftover, open, closed }
    }

    /// Reserves for what is left of the bands above, if a queue of this band could start something.
    fn reserve_for_higher(&mut self, gangs: &[Level], singles: &[Level]) {
        if self.reserved >= self.leftover.len() {
            return;
        }
        let (state, now) = (&self.turn.machine.state, self.turn.now);
        let open = self.rest().open;
        let could_start = |level: &Level| {
            let class = state.classes.get(level.class);
            class.is_some_and(|class| open.first(&class.variants, WorkerId(0), now).is_some())
        };
        let any_gang = || gangs.iter().any(|level| place::fit_gang(state, now, *level, |_| false).is_some());
        if singles.iter().any(could_start) || any_gang() {
            self.reserve_all();
        }
    }

    fn reserve_all(&mut self) {
        let (state, now) = (&self.turn.machine.state, self.turn.now);
        let draft = self.draft.get_or_insert_with(|| Draft::new(state));
        for level in self.leftover.iter().skip(self.reserved).filter(|_| place::may_reserve(self.reserved)) {
            draft.reserve(state, now, *level);
        }
        self.reserved = self.leftover.len();
    }

    fn gangs(&mut self, priority: i64, levels: &[Level], both: bool) {
        for level in levels {
            while self.budget > 0 {
                let closed = self.draft.as_ref().map(|draft| &draft.closed);
                let is_kept = |id| closed.and_then(|closed| closed.get(&id)).is_some_and(|below| priority < *below);
                let (state, now) = (&self.turn.machine.state, self.turn.now);
                let Some(assigns) = place::fit_gang(state, now, *level, is_kept) else { break };
                self.assign(assigns);
                if both {
                    self.turn.machine.placed.served.entry(priority).or_default().gang = Some(now);
                }
            }
        }
    }

    /// Serves queues of one band: the most valuable ones together, the rest one by one.
    fn singles(&mut self, priority: i64, levels: &[Level], both: bool) {
        let mut served = false;
        let mut waiting = levels.iter().copied();
        let mut active: Vec<Level> = waiting.by_ref().take(limits::TURN_FILL_LEVELS_MAX).collect();
        while !active.is_empty() {
            served |= self.fill(&mut active);
            active = waiting.next().into_iter().collect();
        }
        if served && both {
            self.turn.machine.placed.served.entry(priority).or_default().single = Some(self.turn.now);
        }
    }

    /// Fills one worker after the other with tasks of the queues; those that run empty leave the list.
    fn fill(&mut self, levels: &mut Vec<Level>) -> bool {
        let (mut served, mut from) = (false, WorkerId(0));
        while self.budget > 0 {
            levels.retain(|level| self.waits(*level));
            let (state, now) = (&self.turn.machine.state, self.turn.now);
            let open = self.draft.as_ref().map_or(&state.open_workers, |draft| &draft.open);
            let Some((worker, assigns)) = place::fit(state, now, levels, open, from, &mut self.steps) else { break };
            self.assign(assigns);
            served = true;
            from = worker;
        }
        served
    }

    /// Serves workers that set a bound to their utilization; all queues together, since each may be needed to reach it.
    fn demanding(&mut self) {
        let workers: Vec<WorkerId> = self.turn.machine.state.demanding.iter().copied().collect();
        for id in workers {
            let closed = self.draft.as_ref().is_some_and(|draft| draft.closed.contains_key(&id));
            if self.budget == 0 || self.leftover.is_empty() || closed {
                continue;
            }
            let (state, now) = (&self.turn.machine.state, self.turn.now);
            let Some(worker) = state.workers.get(&id) else { continue };
            let assigns = place::fit_demanding(state, now, &self.leftover, worker, &mut self.steps);
            if !assigns.is_empty() {
                self.assign(assigns);
                let ready = &self.turn.machine.state.ready;
                self.leftover.retain(|level| ready.head(*level).is_some());
            }
        }
    }

    fn assign(&mut self, assigns: Vec<place::Assign>) {
        let workers: BTreeSet<WorkerId> =
            assigns.iter().flat_map(|a| a.nodes.iter().copied().chain([a.worker])).collect();
        self.budget = self.budget.saturating_sub(self.turn.assign(assigns));
        if let Some(draft) = &mut self.draft {
            workers.into_iter().for_each(|worker| draft.refresh(&self.turn.machine.state, worker));
        }
    }

    /// Gives tasks of queues for which nothing is free ahead, and asks back what lies in the wrong place.
    fn look_ahead(&mut self) {
        let state = &self.turn.machine.state;
        let is_gang = |level: &&Level| state.classes.get(level.class).is_some_and(|class| class.nodes().is_some());
        if self.leftover.iter().skip(self.reserved).any(|level| is_gang(&level)) {
            self.reserve_all();
        }
        self.give_ahead();
        let state = &self.turn.machine.state;
        let wanted = place::retractions(state, self.turn.now, self.rest(), &self.turn.machine.asked_back);
        for retraction in wanted {
            self.turn.machine.asked_back.extend(retraction.attempts.iter().copied());
            let effect = Effect::Retract { worker: retraction.worker, attempts: retraction.attempts };
            self.turn.output.effects.push(effect);
        }
    }

    fn give_ahead(&mut self) {
        if self.leftover.is_empty() {
            return;
        }
        let hungry = self.turn.machine.state.lookahead.hungry();
        let from = self.turn.machine.placed.hungry_from;
        let rotated = hungry.range(from..).chain(hungry.range(..from));
        let looked: Vec<WorkerId> = rotated.copied().take(limits::TURN_HUNGRY_WORKERS_MAX).collect();
        self.turn.machine.placed.hungry_from = looked.last().map_or(from, |last| WorkerId(last.0.saturating_add(1)));
        for worker in looked {
            if self.budget == 0 {
                return;
            }
            let state = &self.turn.machine.state;
            let assigns = place::ahead(state, self.turn.now, self.rest(), worker);
            self.assign(assigns);
        }
    }
}
