//! The agent against scripts that read as data, and against random histories.
//!
//! A history plays server, processes and clock; the bookkeeping beside it knows only what was assigned and what came
//! back.
//!
//! What holds: the sentences at the top of the module; each has a test here.

use super::held::HeldState;
use super::*;
use crate::attempt::{AssignedTask, Assignment, Attempt, DescKey, Ending, Outcome, SharedDesc};
use crate::id::{AttemptId, Epoch, JobId, TaskId};
use crate::limits;
use crate::resource::{Amount, Pool, PoolKind, ResourceRequest, WorkerResources};
use crate::task::TaskDesc;
use crate::time::{Span, Time};
use crate::worker::{LostReason, OnServerLost};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const NOW: Time = Time(1_000_000);

fn agent_with(cpus: u32, on_server_lost: OnServerLost) -> Agent {
    let pools = vec![Pool { name: "cpus".into(), kind: PoolKind::range(0, cpus - 1) }];
    Agent::new(AgentConfig { resources: WorkerResources { pools }, on_server_lost, time_limit: None })
}

fn agent(cpus: u32) -> Agent {
    agent_with(cpus, OnServerLost::Stop)
}

fn desc(cpus_parts: u64, time_limit: Option<Span>, priority: i32) -> SharedDesc {
    let request = ResourceRequest::cpus(Amount(cpus_parts));
    let desc = TaskDesc { args: vec!["true".into()], request, time_limit, priority, ..TaskDesc::default() };
    SharedDesc { desc: Arc::new(desc), ..SharedDesc::default() }
}

fn key(job: u32) -> DescKey {
    DescKey { job: JobId(job), ..DescKey::default() }
}

fn assign(job: u32, shared: Option<SharedDesc>, tasks: &[(u32, u32)]) -> AgentCommand {
    let task = |(task, attempt): &(u32, u32)| AssignedTask {
        task: TaskId(*task),
        attempt: AttemptId(*attempt),
        ..AssignedTask::default()
    };
    let tasks = tasks.iter().map(task).collect();
    AgentCommand::Assign { shared, assignment: Assignment { key: key(job), epoch: Epoch(1), variant: 0, tasks } }
}

fn at(job: u32, task: u32) -> Attempt {
    Attempt::new(job, task, 1, 0)
}

fn exited(attempt: Attempt, status: ProcessStatus) -> AgentCommand {
    let end = ProcessEnd { status, error: None, cpu_us: 1, memory_kib: 2 };
    AgentCommand::Exited { attempt, end, at: NOW }
}

fn spawned(attempt: Attempt) -> AgentCommand {
    AgentCommand::SpawnSucceeded { attempt, at: NOW }
}

/// The effects in short words.
fn words(effects: &[AgentEffect]) -> Vec<String> {
    let mut words = Vec::new();
    for effect in effects {
        match effect {
            AgentEffect::Spawn(order) => words.push(format!("spawn {}", order.attempt.task)),
            AgentEffect::Kill { attempt, kind } => words.push(format!("{kind:?} {}", attempt.task).to_lowercase()),
            AgentEffect::Report(report) => {
                words.extend(report.started.iter().map(|started| format!("started {}", started.attempt.task)));
                let ended =
                    |o: &Outcome| format!("{:?} {} {}", o.ending, o.attempt.task, o.error).trim().to_lowercase();
                words.extend(report.ended.iter().map(ended));
                words.extend(report.returned.iter().map(|attempt| format!("returned {}", attempt.task)));
            }
            AgentEffect::ArmTimer { timer, .. } => words.push(format!("arm {}", timer_word(timer))),
            AgentEffect::DisarmTimer(timer) => words.push(format!("disarm {}", timer_word(timer))),
            AgentEffect::ForgetDesc(key) => words.push(format!("forget {}", key.job)),
            AgentEffect::Exit { code, leaving } => words.push(format!("exit {code} {leaving:?}").to_lowercase()),
        }
    }
    words
}

fn timer_word(timer: &Timer) -> &'static str {
    match timer {
        Timer::TimeLimit(_) => "limit",
        Timer::KillGrace(_) => "grace",
        Timer::Lease(_) => "lease",
        Timer::Lifetime => "lifetime",
        Timer::Shutdown => "shutdown",
    }
}

/// Runs a script: each command with the effects it shall have.
fn check(agent: &mut Agent, script: Vec<(AgentCommand, &[&str])>) {
    for (command, expected) in script {
        let shown = format!("{command:?}");
        let effects = agent.handle(NOW, command);
        assert_eq!(words(&effects), expected, "after {shown}");
        agent.audit().unwrap();
    }
}

#[test]
fn the_next_task_starts_in_the_turn_in_which_another_ended() {
    let whole = || Some(desc(Amount::UNIT, None, 0));
    check(
        &mut agent(1),
        vec![
            (AgentCommand::Registered { drop: vec![] }, &[]),
            (assign(1, whole(), &[(0, 0), (1, 0)]), &["spawn 1@0"]),
            (spawned(at(1, 0)), &["started 1@0"]),
            (exited(at(1, 0), ProcessStatus::Code(0)), &["finished 1@0", "spawn 1@1"]),
            (spawned(at(1, 1)), &["started 1@1"]),
            (exited(at(1, 1), ProcessStatus::Code(3)), &["failed 1@1 program terminated with exit code 3."]),
            (assign(1, None, &[(2, 0)]), &["spawn 1@2"]),
            (AgentCommand::SpawnFailed { attempt: at(1, 2), text: "no".into(), at: NOW }, &["failed 1@2 no"]),
        ],
    );
}

#[test]
fn what_can_never_run_here_goes_back() {
    check(
        &mut agent(2),
        vec![
            (assign(1, Some(desc(30_000, None, 0)), &[(0, 0)]), &["returned 1@0"]),
            (assign(2, None, &[(0, 0)]), &["returned 2@0"]),
            (assign(3, Some(desc(20_000, None, 0)), &[(0, 0), (1, 0)]), &["spawn 3@0"]),
            (AgentCommand::Retract(vec![at(3, 0), at(3, 1), at(3, 2)]), &["returned 3@1"]),
        ],
    );
}

#[test]
fn cancelling() {
    check(
        &mut agent(1),
        vec![
            (assign(1, Some(desc(10_000, None, 0)), &[(0, 0), (1, 0), (2, 0)]), &["spawn 1@0"]),
            (AgentCommand::Cancel(vec![at(1, 1)]), &["canceled 1@1"]),
            (AgentCommand::Cancel(vec![at(1, 0)]), &[]),
            (spawned(at(1, 0)), &["started 1@0", "ask 1@0", "arm grace"]),
            (AgentCommand::Cancel(vec![at(1, 0)]), &[]),
            (AgentCommand::TimerExpired(Timer::KillGrace(at(1, 0))), &["kill 1@0"]),
            (exited(at(1, 0), ProcessStatus::Signal(9, "SIGKILL")), &["canceled 1@0", "disarm grace", "spawn 1@2"]),
        ],
    );
}

#[test]
fn a_time_limit_fails_the_task() {
    check(
        &mut agent(1),
        vec![
            (assign(1, Some(desc(10_000, Some(Span::from_ms(5)), 0)), &[(0, 0), (1, 0)]), &["spawn 1@0"]),
            (spawned(at(1, 0)), &["started 1@0", "arm limit"]),
            (AgentCommand::TimerExpired(Timer::TimeLimit(at(1, 0))), &["disarm limit", "ask 1@0", "arm grace"]),
            (exited(at(1, 0), ProcessStatus::Code(0)), &["failed 1@0 time limit reached", "disarm grace", "spawn 1@1"]),
            (spawned(at(1, 1)), &["started 1@1", "arm limit"]),
            (exited(at(1, 1), ProcessStatus::Code(0)), &["finished 1@1", "disarm limit"]),
            (AgentCommand::TimerExpired(Timer::TimeLimit(at(1, 1))), &[]),
        ],
    );
}

#[test]
fn a_newer_fence_kills_the_older_attempt_without_a_word() {
    check(
        &mut agent(2),
        vec![
            (assign(1, Some(desc(10_000, None, 0)), &[(0, 1)]), &["spawn 1@0"]),
            (spawned(Attempt::new(1, 0, 1, 1)), &["started 1@0"]),
            (assign(1, None, &[(0, 0), (0, 1)]), &[]),
            (AgentCommand::Cancel(vec![at(1, 0)]), &[]),
            (assign(1, None, &[(0, 2)]), &["ask 1@0", "arm grace", "spawn 1@0"]),
            (exited(Attempt::new(1, 0, 1, 1), ProcessStatus::Code(0)), &["disarm grace"]),
        ],
    );
}

#[test]
fn a_large_task_is_not_starved_by_small_ones() {
    let mut agent = agent(2);
    agent.handle(NOW, assign(1, Some(desc(10_000, None, 0)), &[(0, 0), (1, 0)]));
    agent.handle(NOW, assign(2, Some(desc(20_000, None, 0)), &[(0, 0)]));
    let small: Vec<(u32, u32)> = (2..300).map(|task| (task, 0)).collect();
    agent.handle(NOW, assign(1, None, &small));
    let mut running = vec![at(1, 0), at(1, 1)];
    let mut started = 0;
    while let Some(attempt) = running.pop() {
        agent.handle(NOW, spawned(attempt));
        for effect in agent.handle(NOW, exited(attempt, ProcessStatus::Code(0))) {
            if let AgentEffect::Spawn(order) = effect {
                started += 1;
                if order.attempt == at(2, 0) {
                    assert!(started < 100, "{started} small tasks went first");
                    return;
                }
                running.insert(0, order.attempt);
            }
        }
    }
    panic!("the large task never started");
}

#[test]
fn priority_goes_first() {
    check(
        &mut agent(1),
        vec![
            (assign(1, Some(desc(10_000, None, 0)), &[(0, 0), (1, 0)]), &["spawn 1@0"]),
            (assign(2, Some(desc(10_000, None, 5)), &[(0, 0)]), &[]),
            (spawned(at(1, 0)), &["started 1@0"]),
            (exited(at(1, 0), ProcessStatus::Code(0)), &["finished 1@0", "spawn 2@0"]),
        ],
    );
}

#[test]
fn leaving_interrupts_and_tells_last() {
    check(
        &mut agent(1),
        vec![
            (assign(1, Some(desc(10_000, None, 0)), &[(0, 0), (1, 0)]), &["spawn 1@0"]),
            (spawned(at(1, 0)), &["started 1@0"]),
            (AgentCommand::Leave(LostReason::Stopped), &["arm shutdown", "ask 1@0", "arm grace"]),
            (assign(1, None, &[(2, 0)]), &[]),
            (AgentCommand::Leave(LostReason::Stopped), &["kill 1@0"]),
            (
                exited(at(1, 0), ProcessStatus::Signal(2, "SIGINT")),
                &["interrupted 1@0", "returned 1@1", "returned 1@2", "disarm grace", "exit 0 some(stopped)"],
            ),
            (assign(1, None, &[(3, 0)]), &[]),
        ],
    );
}

#[test]
fn an_idle_worker_leaves_at_once() {
    check(&mut agent(1), vec![(AgentCommand::Leave(LostReason::Stopped), &["exit 0 some(stopped)"])]);
    let mut limited = agent(1);
    limited.config.time_limit = Some(Span::from_secs(5));
    check(
        &mut limited,
        vec![
            (AgentCommand::Registered { drop: vec![] }, &["arm lifetime"]),
            (AgentCommand::ServerLost, &["arm lease"]),
            (AgentCommand::Registered { drop: vec![] }, &["disarm lease"]),
            (AgentCommand::TimerExpired(Timer::Lifetime), &["exit 0 some(timelimitreached)"]),
        ],
    );
}

#[test]
fn tasks_go_on_without_a_server_until_the_lease_ends() {
    for (policy, last) in [(OnServerLost::Stop, true), (OnServerLost::FinishRunning, false)] {
        let mut agent = agent_with(1, policy);
        check(
            &mut agent,
            vec![
                (assign(1, Some(desc(10_000, None, 0)), &[(0, 0), (1, 0), (2, 0)]), &["spawn 1@0"]),
                (spawned(at(1, 0)), &["started 1@0"]),
                (AgentCommand::ServerLost, &["arm lease"]),
                (exited(at(1, 0), ProcessStatus::Code(0)), &["finished 1@0", "spawn 1@1"]),
                (spawned(at(1, 1)), &["started 1@1"]),
                (AgentCommand::TimerExpired(Timer::Lease(7)), &[]),
            ],
        );
        let (held, outbox) = agent.holdings();
        assert_eq!(held.iter().map(|held| held.started).collect::<Vec<_>>(), vec![Some(NOW), None]);
        assert_eq!(
            outbox.iter().map(|outcome| (outcome.number, outcome.ending)).collect::<Vec<_>>(),
            vec![(1, Ending::Finished)]
        );
        let expired = words(&agent.handle(NOW, AgentCommand::TimerExpired(Timer::Lease(1))));
        assert_eq!(expired.contains(&"ask 1@1".to_owned()), last);
        let ended = words(&agent.handle(NOW, exited(at(1, 1), ProcessStatus::Code(0))));
        assert!(ended.contains(&"exit 1 none".to_owned()), "{ended:?}");
        assert!(ended.contains(&"returned 1@2".to_owned()), "{ended:?}");
    }
}

#[test]
fn outcomes_stay_until_they_are_durable() {
    let mut agent = agent(4);
    agent.handle(NOW, assign(1, Some(desc(10_000, None, 0)), &[(0, 0), (1, 0), (2, 0)]));
    for task in 0..3 {
        agent.handle(NOW, spawned(at(1, task)));
        agent.handle(NOW, exited(at(1, task), ProcessStatus::Code(0)));
    }
    let numbers = |agent: &Agent| agent.holdings().1.iter().map(|outcome| outcome.number).collect::<Vec<_>>();
    assert_eq!(numbers(&agent), vec![1, 2, 3]);
    agent.handle(NOW, AgentCommand::Acknowledge(2));
    assert_eq!(numbers(&agent), vec![3]);
    agent.handle(NOW, AgentCommand::Disowned);
    assert!(agent.is_idle());
}

#[test]
fn descriptions_go_when_nobody_needs_them() {
    check(
        &mut agent(1),
        vec![
            (assign(1, Some(desc(10_000, None, 0)), &[(0, 0), (1, 0)]), &["spawn 1@0"]),
            (AgentCommand::Forget(vec![key(1), key(2)]), &[]),
            (spawned(at(1, 0)), &["started 1@0"]),
            (exited(at(1, 0), ProcessStatus::Code(0)), &["finished 1@0", "spawn 1@1", "forget 1"]),
            (assign(1, None, &[(2, 0)]), &["returned 1@2"]),
        ],
    );
}

#[test]
fn long_error_texts_are_cut() {
    let mut agent = agent(1);
    agent.handle(NOW, assign(1, Some(desc(10_000, None, 0)), &[(0, 0)]));
    let text = "ä".repeat(limits::ERROR_BYTES_MAX);
    agent.handle(NOW, AgentCommand::SpawnFailed { attempt: at(1, 0), text, at: NOW });
    assert_eq!(agent.holdings().1[0].error.len(), limits::ERROR_BYTES_MAX);
}

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
        1 => prop_oneof![9 => Just(Move::Lost), 1 => Just(Move::Disown), 1 => Just(Move::Leave)],
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
    exited: bool,
}

impl World {
    fn command(&mut self, command: AgentCommand) {
        let effects = self.agent.handle(NOW, command);
        for effect in effects {
            assert!(!self.exited, "{effect:?} after the exit");
            match effect {
                AgentEffect::Spawn(order) => {
                    assert!(self.open.contains(&order.attempt), "started without an assignment");
                    self.ordered.push(order.attempt);
                }
                AgentEffect::Kill { attempt, .. } => assert!(self.running.contains(&attempt)),
                AgentEffect::Report(report) => {
                    for outcome in report.ended {
                        assert!(self.open.remove(&outcome.attempt), "a second end of {outcome:?}");
                        assert_eq!(outcome.number, self.last_number + 1);
                        self.last_number = outcome.number;
                    }
                    for attempt in report.returned {
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
                AgentEffect::Exit { .. } => self.exited = true,
            }
        }
        self.agent.audit().unwrap();
    }

    fn held_of(&self, job: u32, task: u32) -> Option<Attempt> {
        self.agent.held.keys().rev().find(|held| (held.task.job.0, held.task.task.0) == (job, task)).copied()
    }

    fn assign(&mut self, job: u32, tasks: Vec<(u32, u32)>) {
        if self.exited {
            return;
        }
        let shared = self.known.insert(job).then(|| {
            let limit = (job == 2).then(|| Span::from_ms(1));
            desc([5_000, 10_000, 20_000, 25_000][job as usize - 1], limit, job as i32 % 2)
        });
        let mut seen = BTreeMap::new();
        for (task, attempt) in &tasks {
            let new = Attempt::new(job, *task, 1, *attempt);
            let newest = self.held_of(job, *task).max(seen.get(task).copied());
            if newest.is_none_or(|newest| newest < new) {
                self.open.retain(|open| open.task != new.task);
                self.open.insert(new);
                seen.insert(*task, new);
            }
        }
        self.command(assign(job, shared, &tasks));
    }

    fn step(&mut self, step: Move) {
        match step {
            Move::Assign { job, tasks } => {
                // A task that goes back within the same message could be named again; servers do not do that.
                let once: BTreeMap<u32, u32> = tasks.into_iter().collect();
                self.assign(job, once.into_iter().collect());
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
                    self.command(AgentCommand::SpawnFailed { attempt, text: "no".into(), at: NOW });
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
            Move::Leave => self.command(AgentCommand::Leave(LostReason::Stopped)),
            Move::Spawned(..) | Move::Exited(..) | Move::Timer(_) => {}
        }
    }

    /// Lets everything end that was begun.
    fn drain(&mut self) {
        while !self.exited && !(self.ordered.is_empty() && self.running.is_empty()) {
            self.step(Move::Spawned(0, true));
            self.step(Move::Exited(0, 0));
        }
    }
}

proptest! {
    #[test]
    fn every_attempt_ends_once(cpus in 1u32..5, moves in proptest::collection::vec(a_move(), 0..120)) {
        let mut world = World {
            agent: agent(cpus), open: BTreeSet::new(), ordered: vec![], running: vec![], timers: BTreeSet::new(),
            known: BTreeSet::new(), last_number: 0, exited: false,
        };
        moves.into_iter().for_each(|step| world.step(step));
        world.drain();
        let queued = world.agent.held.values().any(|held| matches!(held.state, HeldState::Queued { .. }));
        prop_assert!(!queued || world.exited, "a task waits on an idle worker");
        prop_assert!(world.exited || world.open.is_empty(), "without an end: {:?}", world.open);
        prop_assert!(world.exited || world.agent.held.is_empty());
        prop_assert!(world.exited || world.agent.allocator.is_idle());
    }
}
