//! What is said about a task that waits, beside what placing does with it.

use super::gangs::gang;
use super::scene::*;
use crate::attempt::Ending;
use crate::command::Command;
use crate::id::{JobId, TaskRef};
use crate::idset::IdSet;
use crate::task::Condition;
use crate::view::{ExplainedItem, TaskExplanation};

fn explain(scene: &Scene, job: JobId, task: u32) -> TaskExplanation {
    scene.machine.explain(scene.now, TaskRef::new(job.0, task)).unwrap()
}

fn hindrances(explanation: &TaskExplanation) -> Vec<&str> {
    explanation.workers.iter().map(|worker| worker.hindrance.as_str()).collect()
}

#[test]
fn says_what_is_not_free() {
    let mut scene = Scene::new();
    scene.connect(2);
    scene.connect(1);
    let busy = scene.submit(array(IdSet::range(0, 2), 1, 0));
    let job = scene.submit(array(IdSet::range(0, 3), 2, 0));
    let explained = explain(&scene, job, 2);
    assert_eq!(explained.workers.iter().map(|worker| worker.runnable()).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(hindrances(&explained), ["0 of 2 cpus are free, 2 needed", ""]);
    assert_eq!(explained.facts, ["2 tasks with the same request and priority come before it."]);
    let first = explain(&scene, busy, 0);
    assert_eq!(first.facts, ["The task was given to worker 1."]);
}

#[test]
fn says_who_comes_first() {
    let mut scene = Scene::new();
    let worker = scene.connect(3);
    scene.submit(array(IdSet::range(0, 1), 1, 0));
    scene.submit(array(IdSet::range(0, 0), 3, 5));
    scene.end(worker, 0, Ending::Finished);
    let low = scene.submit(array(IdSet::range(0, 0), 1, 0));
    let explained = explain(&scene, low, 0);
    assert_eq!(hindrances(&explained), ["it is kept for tasks of higher priority (1 such requests wait)"]);
    assert_eq!(explained.facts, ["1 other requests of higher priority wait."]);
}

#[test]
fn says_what_a_multi_node_task_waits_for() {
    let mut scene = Scene::new();
    scene.connect(1);
    scene.connect(1);
    scene.submit(array(IdSet::range(0, 0), 1, 0));
    let pair = scene.submit(gang(1, 2, 0));
    let explained = explain(&scene, pair, 0);
    assert_eq!(hindrances(&explained), ["1 tasks are on it, and a multi-node task wants it vacant", ""]);
    assert!(explained.facts.contains(&"At most 1 workers of one group are vacant now; 2 are needed.".to_owned()));
    let trio = scene.submit(gang(1, 3, 0));
    let explained = explain(&scene, trio, 0);
    let items = &explained.workers[0].variants[0].items;
    assert!(matches!(items.as_slice(), [ExplainedItem::Nodes(nodes)] if (nodes.nodes, nodes.group_size) == (3, 2)));
    assert!(explained.workers.iter().all(|worker| worker.runnable() == 0));
}

#[test]
fn says_why_a_worker_takes_nothing() {
    let mut scene = Scene::new();
    let workers = [scene.connect(1), scene.connect(1), scene.connect(1)];
    scene.submit(gang(1, 1, 9));
    scene.run(Command::Disconnected { worker: workers[1] });
    scene.run(Command::StopWorkers { workers: vec![workers[2]] });
    let job = scene.submit(array(IdSet::range(0, 0), 1, 0));
    let expected =
        ["the multi-node task 1@0 has it for itself", "its connection is broken; it may come back", "it is ending"];
    assert_eq!(hindrances(&explain(&scene, job, 0)), expected);
}

#[test]
fn counts_dependencies_and_refuses_what_is_over() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let job = scene.submit(graph(4, &[(3, 0, Condition::Ok), (3, 1, Condition::Ok), (3, 2, Condition::Ok)]));
    scene.end(worker, 0, Ending::Finished);
    let explained = explain(&scene, job, 3);
    assert_eq!((explained.deps, explained.waiting_deps), (3, 2));
    let refused = |task: TaskRef| scene.machine.explain(scene.now, task).unwrap_err();
    assert!(
        refused(TaskRef::new(job.0, 0)).contains("FINISHED; explain works only for tasks that are WAITING or RUNNING")
    );
    assert_eq!(refused(TaskRef::new(9, 0)), "Job not found");
    assert_eq!(refused(TaskRef::new(job.0, 9)), "Task not found");
}
