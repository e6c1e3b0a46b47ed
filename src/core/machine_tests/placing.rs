//! Who gets what: priorities, gaps, weights, bounds to the utilization, time requests and variants, each by its
//! worked examples.

use super::gangs::gang;
use super::scene::*;
use crate::attempt::{Ending, TaskVariant, WorkerReport};
use crate::command::Command;
use crate::id::{JobId, WorkerId};
use crate::idset::IdSet;
use crate::resource::{Amount, Policy, Pool, PoolKind, RequestEntry, ResourceRequest, Variant, WorkerResources};
use crate::task::{SubmitDesc, SubmitRequest, TaskDesc};
use crate::time::Span;
use crate::worker::WorkerConfig;
use std::sync::Arc;

/// One form of a request: resources with their amounts, 0 for all there is.
fn form(needs: &[(&str, f64)]) -> Variant {
    let entry = |(name, amount): &(&str, f64)| RequestEntry {
        resource: (*name).to_owned(),
        amount: Amount((amount * 10_000.0) as u64),
        policy: if *amount == 0.0 { Policy::All } else { Policy::Compact },
    };
    Variant { entries: needs.iter().map(entry).collect(), ..Variant::default() }
}

fn cpus(amount: f64) -> Variant {
    form(&[("cpus", amount)])
}

fn weighted(amount: f64, weight: f64) -> Variant {
    Variant { weight_parts: (weight * 10_000.0) as u32, ..cpus(amount) }
}

fn job(scene: &mut Scene, tasks: u32, variants: Vec<Variant>, priority: i32) -> JobId {
    let request = ResourceRequest { variants };
    let desc = TaskDesc { args: vec!["true".into()], request, priority, ..TaskDesc::default() };
    let submit = SubmitDesc { ids: IdSet::range(0, tasks - 1), descs: vec![Arc::new(desc)], ..SubmitDesc::default() };
    scene.submit(SubmitRequest {
        name: "job".into(),
        max_fails: None,
        submit: Arc::new(submit),
        ..SubmitRequest::default()
    })
}

fn with(pools: &[(&str, u32)]) -> Box<WorkerConfig> {
    let pool = |(name, units): &(&str, u32)| Pool { name: (*name).into(), kind: PoolKind::Sum(Amount::units(*units)) };
    let resources = WorkerResources { pools: pools.iter().map(pool).collect(), ..Default::default() };
    Box::new(WorkerConfig { resources, ..*config(1) })
}

/// How many tasks of a job each worker has.
fn on(scene: &Scene, job: JobId) -> Vec<(u32, usize)> {
    let count = |worker: &WorkerId| {
        let held = scene.held.get(worker).map_or(&[][..], Vec::as_slice);
        held.iter().filter(|(attempt, _)| attempt.task.job == job).count()
    };
    let workers = scene.machine.state().workers.keys();
    workers.map(|worker| (worker.0, count(worker))).filter(|(_, count)| *count > 0).collect()
}

fn count(scene: &Scene, job: JobId) -> usize {
    on(scene, job).iter().map(|(_, count)| count).sum()
}

#[test]
fn load_is_packed_on_the_oldest_workers() {
    let mut scene = Scene::new();
    for _ in 0..8 {
        scene.connect(4);
    }
    let tasks = job(&mut scene, 8, vec![cpus(1.0)], 0);
    assert_eq!(on(&scene, tasks), [(1, 4), (2, 4)]);
}

#[test]
fn one_worker_is_reserved_for_each_task_that_comes_first() {
    let mut scene = Scene::new();
    let first = scene.connect(3);
    let busy = [job(&mut scene, 1, vec![cpus(2.0)], 0), job(&mut scene, 1, vec![cpus(1.0)], 0)];
    scene.connect(3);
    let third = job(&mut scene, 1, vec![cpus(1.0)], 0);
    scene.end(first, 0, Ending::Finished);
    assert_eq!((on(&scene, busy[1]), on(&scene, third)), (vec![(1, 1)], vec![(2, 1)]), "each has one cpu busy");
    let high = job(&mut scene, 1, vec![cpus(3.0)], 1);
    let low = job(&mut scene, 2, vec![cpus(2.0)], 0);
    assert_eq!((count(&scene, high), count(&scene, low)), (0, 1));
    let reserved = if on(&scene, low) == [(1, 1)] { WorkerId(2) } else { WorkerId(1) };
    scene.end(reserved, 0, Ending::Finished);
    assert_eq!(on(&scene, high), [(reserved.0, 1)]);
}

#[test]
fn what_waiting_tasks_can_never_use_stays_open() {
    let mut scene = Scene::new();
    scene.connect(8);
    let high = job(&mut scene, 4, vec![cpus(3.0)], 1);
    let low = job(&mut scene, 6, vec![cpus(1.0)], 0);
    assert_eq!((count(&scene, high), count(&scene, low)), (2, 2));
}

#[test]
fn the_gap_is_that_of_each_resource() {
    let mut scene = Scene::new();
    scene.connect_with(with(&[("cpus", 8), ("foo", 4)]));
    let high = job(&mut scene, 4, vec![form(&[("cpus", 1.0), ("foo", 2.0)])], 0);
    assert_eq!(count(&scene, high), 2);
    let low = job(&mut scene, 1, vec![cpus(2.0)], -1);
    assert_eq!(count(&scene, low), 1, "foo limits the others, not the cpus");
}

#[test]
fn workers_that_cannot_run_the_waiting_task_are_not_touched() {
    let mut scene = Scene::new();
    scene.connect(2);
    let high = job(&mut scene, 3, vec![cpus(4.0)], 9);
    let gpu = job(&mut scene, 3, vec![form(&[("cpus", 1.0), ("gpus", 1.0)])], 9);
    let late = job(&mut scene, 1, vec![Variant { min_time: Span::from_secs(60), ..cpus(1.0) }], 9);
    scene.connect_with(Box::new(WorkerConfig { time_limit: Some(Span::from_secs(30)), ..*config(1) }));
    let low = job(&mut scene, 3, vec![cpus(1.0)], 0);
    assert_eq!((count(&scene, high), count(&scene, gpu), count(&scene, late)), (0, 0, 1));
    assert_eq!(on(&scene, low), [(1, 1), (2, 1)]);
}

#[test]
fn a_multi_node_task_that_no_group_can_hold_stops_nobody() {
    let mut scene = Scene::new();
    for _ in 0..2 {
        scene.connect(1);
    }
    scene.submit(gang(1, 10, 10));
    let low = scene.submit(array(IdSet::range(0, 3), 1, 0));
    assert_eq!(count(&scene, low), 2);
}

#[test]
fn vacant_workers_accumulate_for_a_multi_node_task_that_comes_first() {
    let mut scene = Scene::new();
    let workers = [scene.connect(1), scene.connect(1)];
    let low = scene.submit(array(IdSet::range(0, 9), 1, 0));
    scene.submit(gang(1, 2, 1));
    scene.end(workers[0], 0, Ending::Finished);
    assert_eq!(count(&scene, low), 1, "the first vacant worker waits for the second");
    scene.end(workers[1], 0, Ending::Finished);
    assert_eq!(count(&scene, low), 0);
    assert_eq!(scene.machine.state().workers.values().filter(|worker| worker.gang.is_some()).count(), 2);
}

#[test]
fn lower_multi_node_tasks_use_groups_that_are_too_small_for_a_higher_one() {
    let mut scene = Scene::new();
    let in_group = |group: &str| Box::new(WorkerConfig { group: group.into(), ..*config(1) });
    let large: Vec<WorkerId> = (0..3).map(|_| scene.connect_with(in_group("large"))).collect();
    let busy = scene.submit(array(IdSet::range(0, 0), 1, 0));
    let high = scene.submit(gang(1, 3, 5));
    scene.connect_with(in_group("small"));
    let low = scene.submit(gang(2, 1, 0));
    assert_eq!((on(&scene, busy), count(&scene, high)), (vec![(1, 1)], 0));
    assert_eq!(on(&scene, low), [(4, 1)]);
    scene.end(large[0], 0, Ending::Finished);
    assert_eq!((on(&scene, high), on(&scene, low)), (vec![(1, 1)], vec![(4, 1)]));
}

#[test]
fn at_one_priority_multi_node_and_other_tasks_take_turns() {
    let mut scene = Scene::new();
    let workers = [scene.connect(2), scene.connect(2)];
    let single = scene.submit(array(IdSet::range(0, 99), 1, 0));
    let multi = scene.submit(gang(10, 2, 0));
    let mut order = Vec::new();
    for _ in 0..60 {
        let gang_runs = scene.machine.state().workers.values().any(|worker| worker.gang.is_some());
        if order.last() != Some(&gang_runs) {
            order.push(gang_runs);
        }
        let worker = workers.iter().find(|worker| scene.held.get(*worker).is_some_and(|held| !held.is_empty()));
        let worker = *worker.unwrap();
        scene.begin(worker, 0);
        scene.now = scene.now.after(Span::from_secs(1));
        scene.end(worker, 0, Ending::Finished);
    }
    assert!(scene.counts(single).finished >= 20 && scene.counts(multi).finished >= 5, "{order:?}");
    assert!(order.len() >= 10, "they alternate: {order:?}");
}

#[test]
fn a_higher_priority_takes_back_what_lies_ahead() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let low = scene.submit(array(IdSet::range(0, 99), 1, 0));
    for _ in 0..3 {
        scene.end(worker, 0, Ending::Finished);
    }
    assert!(count(&scene, low) > 1, "short tasks lie ahead");
    let high = scene.submit(array(IdSet::range(0, 0), 1, 5));
    assert_eq!(scene.asked.iter().map(|(_, attempts)| attempts.len()).sum::<usize>(), count(&scene, low) - 1);
    scene.give_back();
    assert_eq!(scene.held[&worker][1].0.task.job, high, "it is the next one now, and the others come after it");
}

#[test]
fn weights_decide_between_tasks_that_do_not_fit_together() {
    for (weight, expected) in [(1.49, (1, 0)), (1.51, (0, 1))] {
        let mut scene = Scene::new();
        let (large, small) =
            (job(&mut scene, 1, vec![cpus(3.0)], 0), job(&mut scene, 1, vec![weighted(2.0, weight)], 0));
        scene.connect(4);
        assert_eq!((count(&scene, large), count(&scene, small)), expected, "{weight}");
    }
    let mut scene = Scene::new();
    let light = job(&mut scene, 1, vec![cpus(6.0)], 0);
    let heavy = job(&mut scene, 1, vec![weighted(2.0, 3.0)], 0);
    scene.connect(7);
    assert_eq!(count(&scene, light) + count(&scene, heavy), 1, "6 cpus of weight 1 are worth 2 of weight 3");
}

#[test]
fn a_bound_to_the_utilization_is_reached_or_nothing_starts() {
    let demanding = |parts| Box::new(WorkerConfig { min_utilization_parts: parts, ..*config(12) });
    type Load = (u32, Variant);
    let cases: [(u32, Vec<Load>, Vec<usize>); 6] = [
        (5_000, vec![(2, cpus(3.0))], vec![2]),
        (5_100, vec![(2, cpus(3.0))], vec![0]),
        (10_000, vec![(3, cpus(3.0)), (1, cpus(0.0))], vec![0, 1]),
        (10_000, vec![(3, weighted(3.0, 2.0)), (1, cpus(0.0))], vec![0, 1]),
        (10_000, vec![(4, weighted(3.0, 2.0)), (1, cpus(0.0))], vec![4, 0]),
        (10_000, vec![(3, weighted(3.0, 2.0)), (3, cpus(6.0))], vec![2, 1]),
    ];
    for (parts, load, expected) in cases {
        let mut scene = Scene::new();
        let jobs: Vec<JobId> =
            load.iter().map(|(tasks, form)| job(&mut scene, *tasks, vec![form.clone()], 0)).collect();
        scene.connect_with(demanding(parts));
        let counts: Vec<usize> = jobs.iter().map(|job| count(&scene, *job)).collect();
        assert_eq!(counts, expected, "{parts} {load:?}");
    }
    let mut scene = Scene::new();
    let worker = scene.connect_with(demanding(5_000));
    let tasks = job(&mut scene, 3, vec![cpus(3.0)], 0);
    assert_eq!(count(&scene, tasks), 3);
    scene.end(worker, 0, Ending::Finished);
    let more = job(&mut scene, 1, vec![cpus(1.0)], 0);
    assert_eq!(count(&scene, more), 1, "what runs already counts");
}

#[test]
fn a_time_request_wants_a_worker_that_lives_so_long() {
    let mut scene = Scene::new();
    for limit in [Some(2), Some(4), Some(10), None] {
        scene.connect_with(Box::new(WorkerConfig { time_limit: limit.map(Span::from_secs), ..*config(2) }));
    }
    let timed = job(&mut scene, 8, vec![Variant { min_time: Span::from_secs(5), ..cpus(1.0) }], 0);
    assert_eq!(on(&scene, timed), [(3, 2), (4, 2)]);
    let mut scene = Scene::new();
    scene.connect_with(Box::new(WorkerConfig { time_limit: Some(Span::from_secs(3_600)), ..*config(2) }));
    let hour = job(&mut scene, 1, vec![Variant { min_time: Span::from_secs(3_600), ..cpus(1.0) }], 0);
    assert_eq!(count(&scene, hour), 0, "its life is a bit shorter already");
}

#[test]
fn variants_take_what_is_free_and_the_largest_when_alone() {
    let mut scene = Scene::new();
    scene.connect_with(with(&[("cpus", 8), ("gpus", 2)]));
    let forms = || vec![form(&[("cpus", 1.0), ("gpus", 1.0)]), cpus(2.0)];
    let both = job(&mut scene, 20, forms(), 0);
    assert_eq!(count(&scene, both), 5, "two with a gpu, three without");
    let variants: Vec<u32> = scene
        .machine
        .state()
        .job(both)
        .unwrap()
        .tasks
        .live
        .values()
        .filter_map(|live| match live.place {
            crate::state::tasks::Place::Assigned { variant, .. } => Some(variant),
            _ => None,
        })
        .collect();
    assert_eq!(variants.iter().filter(|variant| **variant == 0).count(), 2);
    let mut scene = Scene::new();
    scene.connect(8);
    let alone = job(&mut scene, 1, vec![cpus(1.0), cpus(8.0)], 0);
    let next = job(&mut scene, 1, vec![cpus(1.0)], 0);
    assert_eq!((count(&scene, alone), count(&scene, next)), (1, 0));
}

#[test]
fn a_worker_that_rejects_a_request_is_not_tried_until_it_says_so() {
    let mut scene = Scene::new();
    let workers = [scene.connect(2), scene.connect(2)];
    let tasks = job(&mut scene, 3, vec![cpus(0.6)], 0);
    assert_eq!(on(&scene, tasks), [(1, 3)], "the totals of the first worker hold three");
    let (attempt, _) = scene.held.get_mut(&workers[0]).unwrap().pop().unwrap();
    let report = WorkerReport { rejected: vec![attempt], ..WorkerReport::default() };
    scene.run(Command::Report { worker: workers[0], report });
    assert_eq!(on(&scene, tasks), [(1, 2), (2, 1)]);
    let other = job(&mut scene, 1, vec![cpus(0.5)], 0);
    assert_eq!(on(&scene, other), [(1, 1)], "other requests are not concerned");
    scene.end(workers[0], 0, Ending::Finished);
    let unblocked = vec![TaskVariant { task: attempt.task, variant: 0 }];
    let report = WorkerReport { unblocked, ..WorkerReport::default() };
    scene.run(Command::Report { worker: workers[0], report });
    let again = job(&mut scene, 1, vec![cpus(0.6)], 0);
    assert_eq!(on(&scene, again), [(1, 1)]);
}

#[test]
fn what_cannot_run_anywhere_holds_up_nobody() {
    let mut scene = Scene::new();
    scene.connect(4);
    for number in 0..3_000u32 {
        scene.submit_quietly(array(IdSet::range(0, 0), 100 + number, 9));
    }
    let low = scene.submit(array(IdSet::range(0, 9), 1, -5));
    assert_eq!(count(&scene, low), 4);
}

#[test]
fn resources_beyond_those_of_the_index_are_placed_as_well() {
    let mut scene = Scene::new();
    let names: Vec<String> = (0..40).map(|number| format!("r{number}")).collect();
    let pools: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 2)).chain([("cpus", 4)]).collect();
    scene.connect_with(with(&pools));
    let tasks = job(&mut scene, 4, vec![form(&[("cpus", 1.0), ("r39", 1.0)])], 0);
    assert_eq!(count(&scene, tasks), 2);
    let all = job(&mut scene, 2, vec![form(&[("cpus", 1.0), ("r38", 0.0)])], 0);
    assert_eq!(count(&scene, all), 1);
}

#[test]
fn more_tasks_than_one_turn_places_follow_at_once() {
    let mut scene = Scene::new();
    for number in 0..1_200u32 {
        scene.submit_quietly(array(IdSet::range(0, 0), 20_000 + number, 9));
    }
    for priority in [0, -1] {
        scene.submit_quietly(array(IdSet::range(0, 5_999), 1, priority));
    }
    scene.connect(12_000);
    assert_eq!(scene.held.values().map(Vec::len).sum::<usize>(), 12_000);
}
