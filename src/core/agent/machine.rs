//! The agent: takes a command, changes what it holds, says what shall be done.
//!
//! The only place where attempts enter and start; how they end is in `ending.rs`.
//!
//! What holds: see the module above; `audit` checks it after every step of the tests.

use super::allocate::Allocator;
use super::blocked::Blocks;
use super::command::{AgentCommand, Timer};
use super::desc::Descs;
use super::effect::{AgentEffect, KillKind, SpawnOrder};
use super::ending::{Departure, Verdict, verdict_of};
use super::held::{Clocks, Doom, Held, HeldState, Terms};
use super::outbox::Outbox;
use super::queue::Queue;
use crate::attempt::{
    AssignedTask, Assignment, Attempt, Ending, HeldAttempt, Outcome, SharedDesc, Started, WorkerReport,
};
use crate::id::{Fence, TaskRef};
use crate::limits;
use crate::planted::{self, Planted};
use crate::resource::{MEM, WorkerResources};
use crate::retry::FailureCause;
use crate::time::{Span, Time};
use crate::worker::{LostReason, OnServerLost};
use std::collections::BTreeMap;

/// Attempts held at a time; what is assigned beyond it is given back.
const HELD_ATTEMPTS_MAX: usize = 65_536;

/// What an agent has to know about its worker.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// What the worker offers.
    pub resources: WorkerResources,
    /// What it does when the server stays away.
    pub on_server_lost: OnServerLost,
    /// Its lifetime, from the first registration.
    pub time_limit: Option<Span>,
    /// How often queued tasks are looked at for the time that they ask for, if it has a lifetime.
    pub retract_check: Span,
}

/// The worker's machine.
#[derive(Debug, Clone)]
pub struct Agent {
    pub(super) config: AgentConfig,
    pub(super) allocator: Allocator,
    pub(super) queue: Queue,
    pub(super) descs: Descs,
    pub(super) held: BTreeMap<Attempt, Held>,
    /// How many of `held` were ordered to start.
    pub(super) started: usize,
    pub(super) outbox: Outbox,
    pub(super) departure: Option<Departure>,
    pub(super) exited: bool,
    absence: Option<u64>,
    absences: u64,
    /// The end of its lifetime, once it is known.
    pub(super) life_end: Option<Time>,
    pub(super) blocks: Blocks,
}

/// What one command brings about.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) effects: Vec<AgentEffect>,
    pub(super) report: WorkerReport,
}

impl Output {
    /// The report goes first, so that an exit comes after what was reported.
    fn into_effects(self) -> Vec<AgentEffect> {
        if self.report == WorkerReport::default() {
            return self.effects;
        }
        let mut effects = Vec::with_capacity(self.effects.len() + 1);
        effects.push(AgentEffect::Report(self.report));
        effects.extend(self.effects);
        effects
    }
}

impl Agent {
    /// An idle agent that has never seen a server.
    pub fn new(config: AgentConfig) -> Self {
        Self {
            allocator: Allocator::new(&config.resources),
            config,
            queue: Queue::default(),
            descs: Descs::default(),
            held: BTreeMap::new(),
            started: 0,
            outbox: Outbox::default(),
            departure: None,
            exited: false,
            absence: None,
            absences: 0,
            life_end: None,
            blocks: Blocks::default(),
        }
    }

    /// Handles one command. After an [`AgentEffect::Exit`] nothing happens any more.
    pub fn handle(&mut self, now: Time, command: AgentCommand) -> Vec<AgentEffect> {
        let mut out = Output::default();
        if self.exited {
            return out.effects;
        }
        match command {
            AgentCommand::Registered { drop } => self.registered(now, &drop, &mut out),
            AgentCommand::Disowned => self.disowned(now, &mut out),
            AgentCommand::Assign { shared, assignment } => self.assign(now, shared, assignment, &mut out),
            AgentCommand::Cancel(attempts) => {
                attempts.into_iter().for_each(|attempt| self.doom(now, attempt, Doom::Canceled, &mut out));
            }
            AgentCommand::Retract(attempts) => {
                attempts.into_iter().for_each(|attempt| self.retract(attempt, &mut out));
            }
            AgentCommand::Acknowledge(number) => self.outbox.acknowledge(number),
            AgentCommand::Forget(keys) => {
                let gone = keys.into_iter().filter(|key| self.descs.release(key));
                out.effects.extend(gone.map(AgentEffect::ForgetDesc));
            }
            AgentCommand::Leave(reason) => self.leave(now, reason, &mut out),
            AgentCommand::Drain => self.drain(&mut out),
            AgentCommand::LeaseOver => self.lease_over(now, &mut out),
            AgentCommand::ServerLost => self.server_lost(&mut out),
            AgentCommand::SpawnSucceeded { attempt, at } => self.spawn_succeeded(attempt, at, &mut out),
            AgentCommand::SpawnFailed { attempt, text, cause, at } => {
                self.spawn_failed(attempt, Verdict { ending: Ending::Failed, text, cause }, at, &mut out);
            }
            AgentCommand::Exited { attempt, end, at } => self.process_ended(attempt, end, at, &mut out),
            AgentCommand::TimerExpired(timer) => self.timer_expired(now, timer, &mut out),
        }
        self.reject_late(now, &mut out);
        self.start_queued(&mut out);
        if self.departure.is_none() {
            self.settle_blocks(&mut out);
        }
        self.depart_when_done(&mut out);
        out.into_effects()
    }

    /// What a registration has to say: the attempts held, and the outcomes that are not acknowledged.
    pub fn holdings(&self) -> (Vec<HeldAttempt>, Vec<Outcome>) {
        let wanted = self.held.iter().filter(|(_, held)| !held.is_dropped());
        let held = wanted.map(|(attempt, held)| {
            let started = match held.state {
                HeldState::Running { started, .. } => Some(started),
                _ => None,
            };
            HeldAttempt { attempt: *attempt, started, variant: held.variant }
        });
        (held.collect(), self.outbox.waiting().iter().cloned().collect())
    }

    /// What the end of a running attempt means that was asked to end; `None`: nobody asked.
    pub fn early_end(&self, attempt: Attempt) -> Option<(Ending, FailureCause)> {
        let doom = self.held.get(&attempt)?.doom()?;
        let Verdict { ending, cause, .. } = verdict_of(Some(doom), Verdict::default);
        Some((ending, cause))
    }

    /// Whether nothing is held and nothing is left to tell.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty() && self.outbox.waiting().is_empty()
    }

    /// Whether tasks wait here for resources: then nothing stands still while a word to the server waits.
    pub fn has_backlog(&self) -> bool {
        self.queue.len() > 0
    }

    fn registered(&mut self, now: Time, drop: &[Attempt], out: &mut Output) {
        if let Some(absence) = self.absence.take() {
            out.effects.push(AgentEffect::DisarmTimer(Timer::Lease(absence)));
        }
        if self.life_end.is_none()
            && let Some(after) = self.config.time_limit
        {
            self.life_end = Some(now.after(after));
            out.effects.push(AgentEffect::ArmTimer { after, timer: Timer::Lifetime });
            self.check_later(out);
        }
        self.blocks.forget();
        for attempt in drop {
            self.doom(now, *attempt, Doom::Dropped, out);
        }
    }

    fn disowned(&mut self, now: Time, out: &mut Output) {
        let all: Vec<Attempt> = self.held.keys().copied().collect();
        for attempt in all {
            self.doom(now, attempt, Doom::Dropped, out);
        }
        self.outbox.clear();
        out.effects.extend(self.descs.clear().into_iter().map(AgentEffect::ForgetDesc));
    }

    fn server_lost(&mut self, out: &mut Output) {
        if self.absence.is_some() || self.departure.is_some_and(Departure::is_final) {
            return;
        }
        if planted::is(Planted::LoseOutbox) {
            self.outbox.clear();
        }
        self.absences += 1;
        self.absence = Some(self.absences);
        let timer = Timer::Lease(self.absences);
        out.effects.push(AgentEffect::ArmTimer { after: limits::SERVER_LOST_LEASE_SPAN, timer });
    }

    fn timer_expired(&mut self, now: Time, timer: Timer, out: &mut Output) {
        match timer {
            Timer::TimeLimit(attempt) => self.time_limit_reached(now, attempt, out),
            Timer::Warning(attempt) => self.warn(attempt, out),
            Timer::KillGrace(attempt) => self.kill_now(attempt, out),
            Timer::Lease(absence) if self.absence == Some(absence) => self.lease_expired(now, out),
            Timer::Lease(_) => {}
            // Every turn begins with the check itself.
            Timer::RetractCheck => self.check_later(out),
            Timer::Lifetime => self.leave(now, LostReason::TimeLimitReached, out),
            Timer::Shutdown => self.depart(out),
        }
    }

    fn check_later(&self, out: &mut Output) {
        if self.departure.is_none() {
            let after = self.config.retract_check;
            out.effects.push(AgentEffect::ArmTimer { after, timer: Timer::RetractCheck });
        }
    }

    fn assign(&mut self, now: Time, shared: Option<SharedDesc>, assignment: Assignment, out: &mut Output) {
        let Assignment { key, epoch, variant, tasks, nodes } = assignment;
        if let Some(shared) = shared {
            self.descs.learn(key, shared);
        }
        let class = self.descs.class(&key, variant, &self.allocator, &mut self.queue);
        class.iter().for_each(|class| self.blocks.assigned(*class));
        for AssignedTask { task, attempt, entry } in tasks {
            let task = TaskRef { job: key.job, task };
            let attempt = Attempt { task, fence: Fence { epoch, attempt } };
            if !self.supersede(now, attempt, out) {
                continue;
            }
            if self.departure.is_some() {
                out.report.returned.push(attempt);
                continue;
            }
            let is_full = self.held.len() >= HELD_ATTEMPTS_MAX;
            let place = class.filter(|_| !is_full).and_then(|class| self.queue.push(class, attempt));
            if let Some(place) = place {
                self.descs.hold(&key);
                let state = HeldState::Queued { place, key, entry, nodes: nodes.clone() };
                self.held.insert(attempt, Held { variant, state });
                continue;
            }
            out.report.rejected.push(attempt);
            if is_full {
                self.blocks.overfull(attempt.task, variant);
            }
        }
    }

    /// Drops older attempts of the same task. `false`: the attempt itself is the older one, or held already.
    fn supersede(&mut self, now: Time, attempt: Attempt, out: &mut Output) -> bool {
        let first = Attempt { task: attempt.task, fence: Fence::default() };
        let of_task = self.held.range(first..).take_while(|(held, _)| held.task == attempt.task);
        let others: Vec<Attempt> = of_task.map(|(held, _)| *held).collect();
        if others.last().is_some_and(|last| last.fence >= attempt.fence) {
            return false;
        }
        for other in others {
            self.doom(now, other, Doom::Dropped, out);
        }
        true
    }

    /// Gives an attempt back if it has not started.
    pub(super) fn retract(&mut self, attempt: Attempt, out: &mut Output) {
        if let Some(Held { state: HeldState::Queued { .. }, .. }) = self.held.get(&attempt) {
            self.unqueue(attempt, out);
            out.report.returned.push(attempt);
        }
    }

    /// Takes a queued attempt out of everything.
    pub(super) fn unqueue(&mut self, attempt: Attempt, out: &mut Output) {
        if let Some(Held { state: HeldState::Queued { place, key, .. }, .. }) = self.held.remove(&attempt) {
            self.queue.remove(place);
            if self.descs.unhold(&key) {
                out.effects.push(AgentEffect::ForgetDesc(key));
            }
        }
    }

    /// Starts what fits, in order. Nothing new is started by a worker that ends.
    fn start_queued(&mut self, out: &mut Output) {
        while self.departure.is_none()
            && let Some((attempt, allocation)) = self.queue.pop(&mut self.allocator)
        {
            let Some(held) = self.held.get_mut(&attempt) else { continue };
            let HeldState::Queued { key, entry, nodes, .. } = &mut held.state else { continue };
            let (key, entry, nodes, variant) = (*key, entry.take(), std::mem::take(nodes), held.variant);
            let Some(shared) = self.descs.get(&key).cloned() else { continue };
            let labels = self.allocator.labels(&allocation);
            let memory = self.allocator.sum_of(&allocation, MEM);
            let terms = Terms::of(&shared.desc);
            held.state = HeldState::Starting { allocation, terms, doom: None, is_lapsed: false };
            self.started += 1;
            let order = SpawnOrder { attempt, key, shared, entry, variant, labels, memory, nodes };
            out.effects.push(AgentEffect::Spawn(order));
            if self.descs.unhold(&key) {
                out.effects.push(AgentEffect::ForgetDesc(key));
            }
        }
    }

    fn spawn_succeeded(&mut self, attempt: Attempt, at: Time, out: &mut Output) {
        let Some(held) = self.held.get_mut(&attempt) else { return };
        let HeldState::Starting { allocation, terms, doom, is_lapsed } = &held.state else { return };
        let (allocation, terms, doom, is_lapsed) = (allocation.clone(), *terms, *doom, *is_lapsed);
        let warning = terms.warning(at, self.life_end).filter(|_| doom.is_none());
        let limit = terms.time_limit.filter(|_| doom.is_none());
        let clocks = Clocks { limit: limit.is_some(), warning: warning.is_some(), warned: None };
        held.state = HeldState::Running { allocation, started: at, terms, clocks, doom };
        if doom != Some(Doom::Dropped) {
            out.report.started.push(Started { attempt, at, variant: held.variant });
        }
        if doom.is_some() {
            Self::ask_to_end(attempt, &terms, out);
            if is_lapsed {
                self.kill_now(attempt, out);
            }
            return;
        }
        if let Some((_, after)) = warning {
            out.effects.push(AgentEffect::ArmTimer { after, timer: Timer::Warning(attempt) });
        }
        if let Some(after) = limit {
            out.effects.push(AgentEffect::ArmTimer { after, timer: Timer::TimeLimit(attempt) });
        }
    }

    /// The signal, and the time until it is not a request any more.
    pub(super) fn ask_to_end(attempt: Attempt, terms: &Terms, out: &mut Output) {
        let (signal, grace) = (terms.signal(), terms.grace());
        out.effects.push(AgentEffect::Kill { attempt, kind: KillKind::Ask { signal, grace } });
        out.effects.push(AgentEffect::ArmTimer { after: grace, timer: Timer::KillGrace(attempt) });
    }

    /// Checks the invariants that no single function can hold.
    ///
    /// # Errors
    /// The first one that does not hold, in words.
    pub fn audit(&self) -> Result<(), String> {
        let mut rebuilt = Allocator::new(&self.config.resources).free();
        let mut waiting = 0;
        for held in self.held.values() {
            match &held.state {
                HeldState::Queued { .. } => waiting += 1,
                HeldState::Starting { allocation, .. } | HeldState::Running { allocation, .. } => {
                    for (pool, amount) in allocation.amounts() {
                        let Some(free) = rebuilt.get_mut(pool) else { return Err(format!("no pool {pool}")) };
                        free.0 = free.0.checked_sub(amount.0).ok_or("more is handed out than there is")?;
                    }
                }
            }
        }
        if rebuilt != self.allocator.free() {
            return Err(format!("free {:?}, but by the attempts {rebuilt:?}", self.allocator.free()));
        }
        if (waiting, self.held.len() - waiting) != (self.queue.len(), self.started) {
            return Err(format!("{waiting} attempts wait, {} in the queue", self.queue.len()));
        }
        if self.departure.is_none() { self.audit_blocks() } else { Ok(()) }
    }
}
