//! Rejecting and unblocking, and the check of the lifetime, as scripts.
//!
//! The totals of the server are what the scripts assume; the agent knows better.
//!
//! What holds: see `blocked.rs`.

use super::tests::{NOW, agent, assign, at, check, desc, exited, key, spawned, words};
use super::*;
use crate::attempt::{AssignedTask, Assignment, SharedDesc};
use crate::id::{AttemptId, Epoch, TaskId};
use crate::resource::{Amount, Policy, Pool, PoolKind, WorkerResources};
use crate::retry::FailureCause;
use crate::time::{Span, Time};
use crate::worker::OnServerLost;
use std::sync::Arc;

/// A worker with two groups of three CPUs.
pub(super) fn two_groups() -> Agent {
    let groups = PoolKind::Groups(["012", "345"].map(|group| group.chars().map(String::from).collect()).into());
    let pools = vec![Pool { name: "cpus".into(), kind: groups }];
    Agent::new(AgentConfig {
        resources: WorkerResources { pools, ..Default::default() },
        on_server_lost: OnServerLost::Stop,
        time_limit: None,
        retract_check: Span::from_secs(30),
    })
}

/// A task with two CPUs of one group.
fn strict() -> Option<SharedDesc> {
    let mut shared = desc(2 * Amount::UNIT, None, 0);
    let desc = Arc::make_mut(&mut shared.desc);
    desc.request.variants[0].entries[0].policy = Policy::ForceCompact;
    Some(shared)
}

#[test]
fn a_fraction_that_is_there_in_total_only_goes_back() {
    check(
        &mut agent(2),
        vec![
            (
                assign(1, Some(desc(6_000, None, 0)), &[(0, 0), (1, 0), (2, 0)]),
                &["rejected 1@2", "spawn 1@0", "spawn 1@1"],
            ),
            (spawned(at(1, 0)), &["started 1@0"]),
            (spawned(at(1, 1)), &["started 1@1"]),
            (exited(at(1, 0), ProcessStatus::Code(0)), &["finished 1@0", "unblocked 1@2"]),
            (assign(1, None, &[(2, 0)]), &["spawn 1@2"]),
            (exited(at(1, 1), ProcessStatus::Code(0)), &["finished 1@1"]),
        ],
    );
}

#[test]
fn tasks_beyond_the_totals_stay() {
    // Four lie here; the totals let the server count on one more than fits, so that one goes back.
    check(
        &mut two_groups(),
        vec![
            (
                assign(1, strict(), &[(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]),
                &["rejected 1@2", "spawn 1@0", "spawn 1@1"],
            ),
            (spawned(at(1, 0)), &["started 1@0"]),
            (spawned(at(1, 1)), &["started 1@1"]),
            // The next one starts from what lies here; the server knows that no more can.
            (exited(at(1, 0), ProcessStatus::Code(0)), &["finished 1@0", "spawn 1@3"]),
            (exited(at(1, 1), ProcessStatus::Code(0)), &["finished 1@1", "spawn 1@4"]),
            (spawned(at(1, 3)), &["started 1@3"]),
            (exited(at(1, 3), ProcessStatus::Code(0)), &["finished 1@3", "unblocked 1@2"]),
        ],
    );
}

#[test]
fn what_comes_for_a_class_that_was_rejected_goes_back_as_well() {
    check(
        &mut two_groups(),
        vec![
            (assign(1, strict(), &[(0, 0), (1, 0), (2, 0)]), &["rejected 1@2", "spawn 1@0", "spawn 1@1"]),
            (assign(1, None, &[(3, 0)]), &["rejected 1@3"]),
            // Another kind is not concerned.
            (assign(2, Some(desc(10_000, None, 0)), &[(0, 0)]), &["spawn 2@0"]),
            (
                AgentCommand::SpawnFailed { attempt: at(1, 0), text: "no".into(), cause: FailureCause::Start, at: NOW },
                &["failed 1@0 no", "unblocked 1@2"],
            ),
        ],
    );
}

#[test]
fn what_was_cancelled_and_has_not_ended_is_no_surprise_later() {
    check(
        &mut two_groups(),
        vec![
            (
                assign(1, Some(desc(10_000, None, 0)), &[(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]),
                &["spawn 1@0", "spawn 1@1", "spawn 1@2", "spawn 1@3", "spawn 1@4", "spawn 1@5"],
            ),
            (spawned(at(1, 2)), &["started 1@2"]),
            (spawned(at(1, 3)), &["started 1@3"]),
            (AgentCommand::Cancel(vec![at(1, 2), at(1, 3)]), &["ask 1@2", "arm grace", "ask 1@3", "arm grace"]),
            // For the server two are free by now, for the worker none.
            (assign(2, strict(), &[(0, 0)]), &[]),
            (exited(at(1, 2), ProcessStatus::Signal(2, "SIGINT")), &["canceled 1@2", "disarm grace"]),
            // They are in two groups.
            (exited(at(1, 3), ProcessStatus::Signal(2, "SIGINT")), &["canceled 1@3", "rejected 2@0", "disarm grace"]),
            (spawned(at(1, 1)), &["started 1@1"]),
            (exited(at(1, 1), ProcessStatus::Code(0)), &["finished 1@1", "unblocked 2@0"]),
        ],
    );
}

#[test]
fn a_server_that_comes_back_hears_it_again() {
    let mut agent = two_groups();
    agent.handle(NOW, assign(1, strict(), &[(0, 0), (1, 0), (2, 0), (3, 0)]));
    let effects = agent.handle(NOW, AgentCommand::Registered { drop: vec![] });
    assert_eq!(words(&effects), ["rejected 1@3"]);
    agent.audit().unwrap();
}

fn timed(seconds: u64) -> Option<SharedDesc> {
    let mut shared = desc(Amount::UNIT, None, 0);
    Arc::make_mut(&mut shared.desc).request.variants[0].min_time = Span::from_secs(seconds);
    Some(shared)
}

#[test]
fn nothing_starts_that_asks_for_more_time_than_is_left() {
    let mut limited = agent(1);
    limited.config.time_limit = Some(Span::from_secs(100));
    let later = |seconds: u64| Time(NOW.0 + seconds * 1_000_000);
    assert_eq!(words(&limited.handle(NOW, AgentCommand::Registered { drop: vec![] })), ["arm lifetime", "arm check"]);
    assert_eq!(words(&limited.handle(later(1), assign(1, timed(100), &[(0, 0)]))), ["rejected 1@0"]);
    assert_eq!(words(&limited.handle(later(1), assign(2, timed(99), &[(0, 0), (1, 0)]))), ["spawn 2@0"]);
    assert_eq!(words(&limited.handle(later(1), assign(3, timed(50), &[(0, 0)]))), Vec::<String>::new());
    // Queued ones are looked at from time to time.
    let checked = limited.handle(later(30), AgentCommand::TimerExpired(Timer::RetractCheck));
    assert_eq!(words(&checked), ["rejected 2@1", "arm check"]);
    // A wait changes nothing for what has started, and right before a start it is looked at in any case.
    let failed =
        AgentCommand::SpawnFailed { attempt: at(2, 0), text: "no".into(), cause: FailureCause::Start, at: later(51) };
    assert_eq!(words(&limited.handle(later(51), failed)), ["failed 2@0 no", "rejected 3@0"]);
    limited.audit().unwrap();
}

#[test]
fn a_multi_node_task_takes_nothing() {
    let mut shared = desc(Amount::UNIT, None, 0);
    let desc = Arc::make_mut(&mut shared.desc);
    desc.request.variants[0].entries.clear();
    desc.request.variants[0].nodes = 2;
    let tasks = vec![AssignedTask { task: TaskId(0), attempt: AttemptId(0), entry: None }];
    let nodes = vec!["a".to_owned(), "b".to_owned()];
    let assignment = Assignment { key: key(1), epoch: Epoch(1), variant: 0, tasks, nodes: nodes.clone() };
    let effects = agent(1).handle(NOW, AgentCommand::Assign { shared: Some(shared), assignment });
    let [AgentEffect::Spawn(order)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((order.nodes.as_slice(), order.labels.as_slice()), (nodes.as_slice(), [].as_slice()));
}
