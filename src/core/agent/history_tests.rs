//! The agent against random histories.
//!
//! A history plays server, processes and clock; the bookkeeping beside it knows only what was assigned and what came
//! back.
//!
//! What holds: whatever happens in whatever order, each attempt has one end and the books agree with the attempts.

use super::blocked_tests::two_groups;
use super::held::HeldState;
use super::tests::{NOW, agent, assign, at, desc, exited, key, spawned};
use super::*;
use crate::attempt::Attempt;
use crate::resource::{Amount, Policy};
use crate::retry::FailureCause;
use crate::task::{StopPlan, Warning};
use crate::time::Span;
use crate::worker::LostReason;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a random history may do next; numbers are reduced to what exists.
#[derive(Debug, Clone)]
enum Move {
    Assign { job: u32, tasks: Vec<(u32, u32)> },
    Cancel(u32, u32),
    Retract(u32, u32),
    Spawned(usize, bool),
    Exited(usize, i32),
    Timer(usize),
    Lost,
    Back(Option<usize>),
    Acknowledge(u64),
    Forget(u32),
    Disown,
    Leave,
    Drain,
}

fn a_move() -> impl Strategy<Value = Move> {
    let task = (0u32..6, 0u32..4);
    prop_oneof![
        6 => (1u32..5, proptest::collection::vec(task, 1..5)).prop_map(|(job, tasks)| Move::Assign { job, tasks }),
        2 => (1u32..5, 0u32..6).prop_map(|(job, task)| Move::Cancel(job, task)),
        2 => (1u32..5, 0u32..6).prop_map(|(job, task)| Move::Retract(job, task)),
        8 => (any::<usize>(), prop::bool::weighted(0.9)).prop_map(|(at, ok)| Move::Spawned(at, ok)),
        8 => (any::<usize>(), 0i32..2).prop_map(|(at, code)| Move::Exited(at, code)),
        2 => any::<usize>().prop_map(Move::Timer),
        1 => Just(Move::Lost),
        1 => any::<Option<usize>>().prop_map(Move::Back),
        1 => (0u64..20).prop_map(Move::Acknowledge),
        1 => (1u32..5).prop_map(Move::Forget),
        1 => prop_oneof![9 => Just(Move::Lost), 1 => Just(Move::Disown), 1 => prop_oneof![Just(Move::Leave), Just(Move::Drain)]],
    ]
}

/// Server, processes and clock of a history, and what they expect.
struct World {
    agent: Agent,
    /// Assigned and without an end so far.
    open: BTreeSet<Attempt>,
    ordered: Vec<Attempt>,
    running: Vec<Attempt>,
    timers: BTreeSet<Timer>,
    known: BTreeSet<u32>,
    last_number: u64,
    drains: bool,
    exited: bool,
    /// Jobs of which a task was rejected and not yet called placeable.
    blocked: BTreeSet<u32>,
}

/// What one task of each job needs, in 1/10000.
const NEEDS: [u64; 4] = [5_000, 10_000, 20_000, 25_000];

impl World {
    fn new(agent: Agent) -> Self {
        Self {
            agent,
            open: BTreeSet::new(),
            ordered: vec![],
            running: vec![],
            timers: BTreeSet::new(),
            known: BTreeSet::new(),
            last_number: 0,
            drains: false,
            exited: false,
            blocked: BTreeSet::new(),
        }
    }

    fn command(&mut self, command: AgentCommand) {
        let effects = self.agent.handle(NOW, command);
        for effect in effects {
            assert!(!self.exited, "{effect:?} after the exit");
            match effect {
                AgentEffect::Spawn(order) => {
                    assert!(self.open.contains(&order.attempt), "started without an assignment");
                    self.ordered.push(order.attempt);
                }
                AgentEffect::Kill { attempt, .. } | AgentEffect::Warn { attempt, .. } => {
                    assert!(self.running.contains(&attempt));
                }
                AgentEffect::Report(report) => {
                    for outcome in report.ended {
                        assert!(self.open.remove(&outcome.attempt), "a second end of {outcome:?}");
                        assert_eq!(outcome.number, self.last_number + 1);
                        self.last_number = outcome.number;
                    }
                    self.blocked.extend(report.rejected.iter().map(|attempt| attempt.task.job.0));
                    for like in report.unblocked {
                        assert!(self.blocked.remove(&like.task.job.0), "{like:?} was not blocked");
                    }
                    for attempt in report.returned.into_iter().chain(report.rejected) {
                        assert!(self.open.remove(&attempt), "a second end of {attempt:?}");
                    }
                }
                AgentEffect::ArmTimer { timer, .. } => assert!(self.timers.insert(timer), "{timer:?} armed twice"),
                AgentEffect::DisarmTimer(timer) => {
                    self.timers.remove(&timer);
                }
                AgentEffect::ForgetDesc(key) => {
                    self.known.remove(&key.job.0);
                }
                AgentEffect::Draining => assert!(!std::mem::replace(&mut self.drains, true), "told twice"),
                AgentEffect::Awaits(_) => {}
                AgentEffect::Exit { .. } => self.exited = true,
            }
        }
        self.agent.audit().unwrap();
    }

    fn held_of(&self, job: u32, task: u32) -> Option<Attempt> {
        self.agent.held.keys().rev().find(|held| (held.task.job.0, held.task.task.0) == (job, task)).copied()
    }

    fn assign(&mut self, job: u32, tasks: &[(u32, u32)]) {
        if self.exited {
            return;
        }
        let shared = self.known.insert(job).then(|| {
            let limit = (job == 2).then(|| Span::from_secs(2));
            let mut shared = desc(NEEDS[job as usize - 1], limit, job as i32 % 2);
            if job == 2 {
                let warning = Some(Warning { signal: 10, before: Span(1) });
                let stop = StopPlan { warning, signal: 15, grace: Some(Span::from_ms(2)) };
                Arc::make_mut(&mut shared.desc).stop = Some(Box::new(stop));
            }
            if job == 3 {
                // Says nothing where there are no groups.
                let desc = Arc::make_mut(&mut shared.desc);
                desc.request.variants[0].entries[0].policy = Policy::ForceCompact;
            }
            shared
        });
        let mut seen = BTreeMap::new();
        for (task, attempt) in tasks {
            let new = Attempt::new(job, *task, 1, *attempt);
            let newest = self.held_of(job, *task).max(seen.get(task).copied());
            if newest.is_none_or(|newest| newest < new) {
                self.open.retain(|open| open.task != new.task);
                self.open.insert(new);
                seen.insert(*task, new);
            }
        }
        self.command(assign(job, shared, tasks));
    }

    fn step(&mut self, step: Move) {
        match step {
            Move::Assign { job, tasks } => {
                // A task that goes back within the same message could be named again; servers do not do that.
                let once: BTreeMap<u32, u32> = tasks.into_iter().collect();
                self.assign(job, &once.into_iter().collect::<Vec<_>>());
            }
            Move::Cancel(job, task) => {
                let attempt = self.held_of(job, task).unwrap_or(at(job, task));
                self.command(AgentCommand::Cancel(vec![attempt]));
            }
            Move::Retract(job, task) => {
                let attempt = self.held_of(job, task).unwrap_or(at(job, task));
                self.command(AgentCommand::Retract(vec![attempt]));
            }
            Move::Spawned(index, ok) if !self.ordered.is_empty() => {
                let attempt = self.ordered.swap_remove(index % self.ordered.len());
                if ok {
                    self.running.push(attempt);
                    self.command(spawned(attempt));
                } else {
                    self.command(AgentCommand::SpawnFailed {
                        attempt,
                        text: "no".into(),
                        cause: FailureCause::Start,
                        at: NOW,
                    });
                }
            }
            Move::Exited(index, code) if !self.running.is_empty() => {
                let attempt = self.running.swap_remove(index % self.running.len());
                self.command(exited(attempt, ProcessStatus::Code(code)));
            }
            Move::Timer(index) if !self.timers.is_empty() => {
                let timer = *self.timers.iter().nth(index % self.timers.len()).unwrap();
                self.timers.remove(&timer);
                self.command(AgentCommand::TimerExpired(timer));
            }
            Move::Back(dropped) => {
                let (held, _) = self.agent.holdings();
                let which = dropped.and_then(|index| held.get(index % held.len().max(1)));
                let drop: Vec<Attempt> = which.map(|held| held.attempt).into_iter().collect();
                self.open.retain(|open| !drop.contains(open));
                self.blocked.clear();
                self.command(AgentCommand::Registered { drop });
            }
            Move::Disown => {
                self.open.clear();
                self.command(AgentCommand::Disowned);
            }
            Move::Lost => self.command(AgentCommand::ServerLost),
            Move::Acknowledge(number) => self.command(AgentCommand::Acknowledge(number)),
            Move::Forget(job) => {
                self.known.remove(&job);
                self.command(AgentCommand::Forget(vec![key(job)]));
            }
            Move::Drain => self.command(AgentCommand::Drain),
            Move::Leave => self.command(AgentCommand::Leave(LostReason::Stopped)),
            Move::Spawned(..) | Move::Exited(..) | Move::Timer(_) => {}
        }
    }

    /// Lets everything end that was begun.
    fn drain(&mut self) {
        while !(self.exited || self.ordered.is_empty() && self.running.is_empty()) {
            self.step(Move::Spawned(0, true));
            self.step(Move::Exited(0, 0));
        }
    }
}

/// Plays a history to its end and looks at what is left.
fn play(agent: Agent, cpus: u64, moves: Vec<Move>) {
    let mut world = World::new(agent);
    moves.into_iter().for_each(|step| world.step(step));
    world.drain();
    if world.exited {
        return;
    }
    let queued = world.agent.held.values().any(|held| matches!(held.state, HeldState::Queued { .. }));
    assert!(!queued, "a task waits on an idle worker");
    assert!(world.open.is_empty(), "without an end: {:?}", world.open);
    assert!(world.agent.held.is_empty() && world.agent.allocator.is_idle());
    // What is too large stays blocked.
    world.blocked.retain(|job| NEEDS[*job as usize - 1].div_ceil(Amount::UNIT) <= cpus);
    assert!(world.blocked.is_empty() || world.drains, "blocked on an idle worker: {:?}", world.blocked);
}

proptest! {
    #[test]
    fn every_attempt_ends_once(cpus in 1u32..5, moves in proptest::collection::vec(a_move(), 0..120)) {
        play(agent(cpus), u64::from(cpus), moves);
    }

    #[test]
    fn every_attempt_ends_once_with_groups(moves in proptest::collection::vec(a_move(), 0..120)) {
        play(two_groups(), 6, moves);
    }
}
