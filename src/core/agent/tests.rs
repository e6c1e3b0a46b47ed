//! The agent against scripts that read as data.
//!
//! A script is a list of commands, each with the effects that it shall have, in short words.
//!
//! What holds: the sentences at the top of the module; each has a test here.

use super::held::Terms;
use super::*;
use crate::attempt::{AssignedTask, Assignment, Attempt, DescKey, Ending, Outcome, SharedDesc};
use crate::id::{AttemptId, Epoch, JobId, TaskId};
use crate::limits;
use crate::resource::{Amount, Pool, PoolKind, ResourceRequest, WorkerResources};
use crate::retry::FailureCause;
use crate::task::{StopPlan, TaskDesc, Warning};
use crate::time::{Span, Time};
use crate::worker::{LostReason, OnServerLost};
use std::sync::Arc;

pub(super) const NOW: Time = Time(1_000_000);

fn agent_with(cpus: u32, on_server_lost: OnServerLost) -> Agent {
    let pools = vec![Pool { name: "cpus".into(), kind: PoolKind::range(0, cpus - 1) }];
    Agent::new(AgentConfig {
        resources: WorkerResources { pools, ..Default::default() },
        on_server_lost,
        time_limit: None,
        retract_check: Span::from_secs(30),
    })
}

pub(super) fn agent(cpus: u32) -> Agent {
    agent_with(cpus, OnServerLost::Stop)
}

pub(super) fn desc(cpus_parts: u64, time_limit: Option<Span>, priority: i32) -> SharedDesc {
    let request = ResourceRequest::cpus(Amount(cpus_parts));
    let desc = TaskDesc { args: vec!["true".into()], request, time_limit, priority, ..TaskDesc::default() };
    SharedDesc { desc: Arc::new(desc), ..SharedDesc::default() }
}

pub(super) fn key(job: u32) -> DescKey {
    DescKey { job: JobId(job), ..DescKey::default() }
}

pub(super) fn assign(job: u32, shared: Option<SharedDesc>, tasks: &[(u32, u32)]) -> AgentCommand {
    let task = |(task, attempt): &(u32, u32)| AssignedTask {
        task: TaskId(*task),
        attempt: AttemptId(*attempt),
        ..AssignedTask::default()
    };
    let tasks = tasks.iter().map(task).collect();
    AgentCommand::Assign {
        shared,
        assignment: Assignment { key: key(job), epoch: Epoch(1), variant: 0, tasks, nodes: Vec::new() },
    }
}

pub(super) fn at(job: u32, task: u32) -> Attempt {
    Attempt::new(job, task, 1, 0)
}

pub(super) fn exited(attempt: Attempt, status: ProcessStatus) -> AgentCommand {
    let end = ProcessEnd { status, error: None, note: None, cause: None, cpu_us: 1, memory_kib: 2 };
    AgentCommand::Exited { attempt, end, at: NOW }
}

pub(super) fn spawned(attempt: Attempt) -> AgentCommand {
    AgentCommand::SpawnSucceeded { attempt, at: NOW }
}

/// The effects in short words.
pub(super) fn words(effects: &[AgentEffect]) -> Vec<String> {
    let mut words = Vec::new();
    for effect in effects {
        match effect {
            AgentEffect::Spawn(order) => words.push(format!("spawn {}", order.attempt.task)),
            AgentEffect::Kill { attempt, kind: KillKind::Ask { .. } } => words.push(format!("ask {}", attempt.task)),
            AgentEffect::Kill { attempt, kind: KillKind::Kill } => words.push(format!("kill {}", attempt.task)),
            AgentEffect::Warn { attempt, .. } => words.push(format!("warn {}", attempt.task)),
            AgentEffect::Report(report) => {
                words.extend(report.started.iter().map(|started| format!("started {}", started.attempt.task)));
                let ended =
                    |o: &Outcome| format!("{:?} {} {}", o.ending, o.attempt.task, o.error).trim().to_lowercase();
                words.extend(report.ended.iter().map(ended));
                words.extend(report.returned.iter().map(|attempt| format!("returned {}", attempt.task)));
                words.extend(report.rejected.iter().map(|attempt| format!("rejected {}", attempt.task)));
                words.extend(report.unblocked.iter().map(|like| format!("unblocked {}", like.task)));
            }
            AgentEffect::Draining => words.push("draining".to_owned()),
            AgentEffect::Awaits(awaited) => words.push(format!("awaits {awaited:?}").to_lowercase()),
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
        Timer::Warning(_) => "warning",
        Timer::Lease(_) => "lease",
        Timer::Lifetime => "lifetime",
        Timer::RetractCheck => "check",
        Timer::Shutdown => "shutdown",
    }
}

/// Runs a script: each command with the effects it shall have.
pub(super) fn check(agent: &mut Agent, script: Vec<(AgentCommand, &[&str])>) {
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
            (
                AgentCommand::SpawnFailed { attempt: at(1, 2), text: "no".into(), cause: FailureCause::Start, at: NOW },
                &["failed 1@2 no"],
            ),
        ],
    );
}

#[test]
fn what_can_never_run_here_goes_back() {
    check(
        &mut agent(2),
        vec![
            (assign(1, Some(desc(30_000, None, 0)), &[(0, 0)]), &["rejected 1@0"]),
            (assign(2, None, &[(0, 0)]), &["rejected 2@0"]),
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
            (
                AgentCommand::Leave(LostReason::Stopped),
                &["returned 1@1", "draining", "awaits stopping", "arm shutdown", "ask 1@0", "arm grace"],
            ),
            (assign(1, None, &[(2, 0)]), &["returned 1@2"]),
            (AgentCommand::Leave(LostReason::Stopped), &["kill 1@0"]),
            (
                exited(at(1, 0), ProcessStatus::Signal(2, "SIGINT")),
                &["interrupted 1@0", "disarm grace", "exit 0 some(stopped)"],
            ),
            (assign(1, None, &[(3, 0)]), &[]),
        ],
    );
}

#[test]
fn an_idle_worker_leaves_at_once() {
    check(&mut agent(1), vec![(AgentCommand::Leave(LostReason::Stopped), &["draining", "exit 0 some(stopped)"])]);
    let mut limited = agent(1);
    limited.config.time_limit = Some(Span::from_secs(5));
    check(
        &mut limited,
        vec![
            (AgentCommand::Registered { drop: vec![] }, &["arm lifetime", "arm check"]),
            (AgentCommand::ServerLost, &["arm lease"]),
            (AgentCommand::Registered { drop: vec![] }, &["disarm lease"]),
            (AgentCommand::TimerExpired(Timer::Lifetime), &["draining", "exit 0 some(timelimitreached)"]),
        ],
    );
}

#[test]
fn a_draining_worker_lets_run_what_runs() {
    let mut agent = agent(1);
    agent.config.time_limit = Some(Span::from_secs(5));
    check(
        &mut agent,
        vec![
            (AgentCommand::Registered { drop: vec![] }, &["arm lifetime", "arm check"]),
            (assign(1, Some(desc(10_000, None, 0)), &[(0, 0), (1, 0)]), &["spawn 1@0"]),
            (spawned(at(1, 0)), &["started 1@0"]),
            (AgentCommand::Drain, &["returned 1@1", "draining", "awaits finishing"]),
            (AgentCommand::Drain, &[]),
            (assign(1, None, &[(2, 0)]), &["returned 1@2"]),
            (AgentCommand::ServerLost, &["arm lease"]),
            (exited(at(1, 0), ProcessStatus::Code(0)), &["finished 1@0"]),
            (AgentCommand::Registered { drop: vec![] }, &["disarm lease"]),
            (AgentCommand::Acknowledge(1), &["exit 0 some(stopped)"]),
        ],
    );
    // Without a server there is nobody to tell.
    let mut lonely = self::agent(1);
    check(
        &mut lonely,
        vec![
            (assign(1, Some(desc(10_000, None, 0)), &[(0, 0)]), &["spawn 1@0"]),
            (spawned(at(1, 0)), &["started 1@0"]),
            (AgentCommand::Drain, &["draining", "awaits finishing"]),
            (AgentCommand::ServerLost, &["arm lease"]),
            (exited(at(1, 0), ProcessStatus::Code(0)), &["finished 1@0"]),
            (AgentCommand::TimerExpired(Timer::Lease(1)), &["exit 1 none"]),
        ],
    );
    check(&mut self::agent(1), vec![(AgentCommand::Drain, &["draining", "awaits nothing", "exit 0 some(stopped)"])]);
    // Whoever cannot wait says so again, in another way.
    for reason in [LostReason::Stopped, LostReason::TimeLimitReached] {
        check(
            &mut self::agent(1),
            vec![
                (assign(1, Some(desc(10_000, None, 0)), &[(0, 0)]), &["spawn 1@0"]),
                (spawned(at(1, 0)), &["started 1@0"]),
                (AgentCommand::Drain, &["draining", "awaits finishing"]),
                (AgentCommand::Leave(reason), &["awaits stopping", "arm shutdown", "ask 1@0", "arm grace"]),
                (AgentCommand::Leave(reason), &["kill 1@0"]),
            ],
        );
    }
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
            (assign(1, None, &[(2, 0)]), &["rejected 1@2"]),
        ],
    );
}

#[test]
fn a_stop_plan_is_kept() {
    let limit = Span::from_secs(100);
    let mut agent = agent(1);
    let mut shared = desc(10_000, Some(limit), 0);
    let warning = Some(Warning { signal: 10, before: Span::from_secs(30) });
    let plan = StopPlan { warning, signal: 15, grace: Some(Span::from_secs(20)) };
    Arc::make_mut(&mut shared.desc).stop = Some(Box::new(plan));
    agent.handle(NOW, assign(1, Some(shared), &[(0, 0)]));
    let arms = |effects: &[AgentEffect]| {
        let of = |effect: &AgentEffect| match effect {
            AgentEffect::ArmTimer { after, timer } => Some((*after, *timer)),
            _ => None,
        };
        effects.iter().filter_map(of).collect::<Vec<_>>()
    };
    let (first, second) = (Timer::Warning(at(1, 0)), Timer::TimeLimit(at(1, 0)));
    assert_eq!(arms(&agent.handle(NOW, spawned(at(1, 0)))), [(Span::from_secs(70), first), (limit, second)]);
    let warned = agent.handle(NOW, AgentCommand::TimerExpired(first));
    assert_eq!(warned, [AgentEffect::Warn { attempt: at(1, 0), signal: 10 }]);
    assert_eq!(agent.handle(NOW, AgentCommand::TimerExpired(first)), []);
    let asked = agent.handle(NOW, AgentCommand::Leave(LostReason::Stopped));
    let kind = KillKind::Ask { signal: 15, grace: Span::from_secs(20) };
    assert!(asked.contains(&AgentEffect::Kill { attempt: at(1, 0), kind }), "{asked:?}");
    let graces = [(Span::from_secs(24), Timer::Shutdown), (Span::from_secs(20), Timer::KillGrace(at(1, 0)))];
    assert_eq!(arms(&asked), graces);
}

#[test]
fn a_warning_comes_before_the_end_that_comes_first() {
    let terms = |limit: Option<u64>, before: u64| {
        let warning = Some(Warning { signal: 10, before: Span::from_secs(before) });
        let stop = Some(Box::new(StopPlan { warning, ..StopPlan::default() }));
        Terms::of(&TaskDesc { time_limit: limit.map(Span::from_secs), stop, ..TaskDesc::default() })
    };
    let life = |secs| Some(NOW.after(Span::from_secs(secs)));
    for (limit, before, life_end, after) in [
        (Some(100), 30, None, Some(70)),
        (None, 30, life(50), Some(20)),
        (Some(100), 30, life(50), Some(20)),
        (Some(40), 30, life(50), Some(10)),
        // Too late for the whole of it: as soon as a program can hear it.
        (None, 30, life(20), Some(1)),
        (None, 30, life(1), None),
        (None, 30, None, None),
    ] {
        let warning = terms(limit, before).warning(NOW, life_end);
        assert_eq!(warning, after.map(|secs| (10, Span::from_secs(secs))), "{limit:?} {before} {life_end:?}");
    }
}

#[test]
fn long_error_texts_are_cut() {
    let mut agent = agent(1);
    agent.handle(NOW, assign(1, Some(desc(10_000, None, 0)), &[(0, 0)]));
    let text = "ä".repeat(limits::ERROR_BYTES_MAX);
    agent.handle(NOW, AgentCommand::SpawnFailed { attempt: at(1, 0), text, cause: FailureCause::Start, at: NOW });
    assert_eq!(agent.holdings().1[0].error.len(), limits::ERROR_BYTES_MAX);
}

/// The server may have given it to somebody else: it must not have its grace, whatever that is and whoever asked first.
#[test]
fn what_starts_after_the_lease_is_killed_at_once() {
    for asked_before in [false, true] {
        let mut agent = agent(1);
        agent.handle(NOW, assign(1, Some(desc(10_000, None, 0)), &[(0, 0)]));
        if asked_before {
            agent.handle(NOW, AgentCommand::Cancel(vec![at(1, 0)]));
        }
        assert_eq!(words(&agent.handle(NOW, AgentCommand::LeaseOver)), [""; 0]);
        let started = words(&agent.handle(NOW, spawned(at(1, 0))));
        assert_eq!(started, ["started 1@0", "ask 1@0", "arm grace", "kill 1@0"]);
    }
}
