//! Multi-node tasks: whom they take, and that they let go of all of them, however they end.

use super::scene::*;
use crate::attempt::Ending;
use crate::command::{Command, Effect, Reply};
use crate::event::Event;
use crate::id::{JobId, TaskId, WorkerId};
use crate::idset::IdSet;
use crate::limits;
use crate::resource::{Amount, ResourceRequest, Variant};
use crate::task::{CrashLimit, SubmitDesc, SubmitRequest, TaskDesc};
use crate::time::Span;
use crate::view::GangRole;
use crate::worker::{LostReason, WorkerConfig};
use std::sync::Arc;

/// An array of tasks that take `nodes` workers each.
pub(super) fn gang(tasks: u32, nodes: u32, priority: i32) -> SubmitRequest {
    let request = ResourceRequest { variants: vec![Variant { nodes, ..Variant::default() }] };
    with(tasks, TaskDesc { args: vec!["mpi".into()], request, priority, ..TaskDesc::default() })
}

fn with(tasks: u32, desc: TaskDesc) -> SubmitRequest {
    let submit = SubmitDesc { ids: IdSet::range(0, tasks - 1), descs: vec![Arc::new(desc)], ..SubmitDesc::default() };
    SubmitRequest { name: "gang".into(), max_fails: None, submit: Arc::new(submit), ..SubmitRequest::default() }
}

fn in_group(scene: &mut Scene, group: &str, hostname: &str) -> WorkerId {
    let config = WorkerConfig { group: group.into(), hostname: hostname.into(), ..*config(4) };
    scene.connect_with(Box::new(config))
}

/// The workers that a multi-node task has for itself.
fn taken(scene: &Scene) -> Vec<u32> {
    let workers = scene.machine.state().workers.values();
    workers.filter(|worker| worker.gang.is_some()).map(|worker| worker.id.0).collect()
}

fn workers_of(scene: &Scene, job: JobId) -> Vec<u32> {
    let page = scene.machine.state().view_tasks(job, None, &[], TaskId(0), 1).unwrap();
    page.tasks[0].workers.iter().map(|worker| worker.0).collect()
}

#[test]
fn takes_vacant_workers_of_one_group() {
    let mut scene = Scene::new();
    for (group, host) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("b", "b2"), ("b", "b3")] {
        in_group(&mut scene, group, host);
    }
    let job = scene.submit(gang(1, 3, 0));
    assert_eq!(taken(&scene), vec![2, 4, 5]);
    let assigned = scene.log.iter().find_map(|stamped| match &stamped.event {
        Event::TasksAssigned(assigned) => Some(assigned.clone()),
        _ => None,
    });
    assert_eq!(assigned.unwrap().nodes, [2, 4, 5].map(WorkerId));
    assert_eq!(scene.held.iter().filter(|(_, held)| !held.is_empty()).count(), 1, "only the root hears of it");
    scene.begin(WorkerId(2), 0);
    assert_eq!(workers_of(&scene, job), vec![2, 4, 5]);
    let started = scene.log.iter().find_map(|stamped| match &stamped.event {
        Event::TasksStarted(started) => Some(started.nodes.clone()),
        _ => None,
    });
    assert_eq!(started.unwrap(), [2, 4, 5].map(WorkerId));
    let roles: Vec<GangRole> = scene.machine.state().view_workers().iter().map(|view| view.gang).collect();
    assert_eq!(roles, [GangRole::None, GangRole::Root, GangRole::None, GangRole::Node, GangRole::Node]);
    let second = scene.submit(gang(1, 2, 0));
    assert_eq!(taken(&scene), vec![1, 2, 3, 4, 5], "several at once, on other workers");
    scene.end(WorkerId(2), 0, Ending::Finished);
    assert_eq!(taken(&scene), vec![1, 3]);
    assert_eq!(workers_of(&scene, job), vec![2, 4, 5], "who ran it stays known");
    assert_eq!(scene.counts(second).waiting, 1);
}

#[test]
fn the_message_names_the_hosts_with_the_root_first() {
    let mut scene = Scene::new();
    in_group(&mut scene, "a", "node7.cluster");
    in_group(&mut scene, "a", "node3.cluster");
    scene.machine.handle(scene.now, Command::Submit(gang(1, 2, 0)));
    let (output, _) = scene.machine.place(scene.now);
    let nodes = output.effects.iter().find_map(|effect| match effect {
        Effect::Assign { assignment, .. } => Some(assignment.nodes.clone()),
        _ => None,
    });
    assert_eq!(nodes.unwrap(), vec!["node7.cluster", "node3.cluster"]);
}

#[test]
fn nobody_else_gets_its_workers() {
    let mut scene = Scene::new();
    let workers = [scene.connect(4), scene.connect(4)];
    scene.submit(gang(1, 2, 0));
    let single = scene.submit(array(IdSet::range(0, 0), 1, 0));
    assert_eq!(scene.counts(single).waiting, 1);
    assert!(scene.held.get(&workers[1]).is_none_or(Vec::is_empty));
    scene.end(workers[0], 0, Ending::Failed);
    assert_eq!(taken(&scene), Vec::<u32>::new());
    assert_eq!(scene.held[&workers[0]].len(), 1);
}

#[test]
fn waits_for_enough_workers_of_one_group_that_live_long_enough() {
    let mut scene = Scene::new();
    let mut desc = TaskDesc { args: vec!["mpi".into()], ..TaskDesc::default() };
    desc.request.variants = vec![Variant { nodes: 2, min_time: Span::from_secs(60), ..Variant::default() }];
    let job = scene.submit(with(1, desc));
    let with_limit = |limit| Box::new(WorkerConfig { time_limit: limit, ..*config(4) });
    in_group(&mut scene, "other", "x");
    scene.connect_with(with_limit(Some(Span::from_secs(30))));
    scene.connect_with(with_limit(Some(Span::from_secs(90))));
    assert_eq!(taken(&scene), Vec::<u32>::new());
    scene.connect_with(with_limit(None));
    assert_eq!(taken(&scene), vec![3, 4]);
    assert_eq!(scene.counts(job).waiting, 1);
}

#[test]
fn a_lost_root_frees_the_others_and_counts_as_a_crash() {
    let mut scene = Scene::new();
    let root = scene.connect(1);
    scene.connect(1);
    let job = scene.submit(gang(1, 2, 0));
    scene.begin(root, 0);
    scene.run(Command::HeartbeatLost { worker: root });
    assert_eq!(taken(&scene), Vec::<u32>::new());
    let live = scene.machine.state().job(job).unwrap().tasks.live[&TaskId(0)];
    assert_eq!((live.crashes, live.next_attempt.0), (1, 1));
    assert_eq!(scene.counts(job).waiting, 1);
    scene.connect(1);
    assert_eq!(taken(&scene), vec![2, 3]);
}

#[test]
fn a_lost_root_fails_a_task_that_must_not_restart() {
    let mut scene = Scene::new();
    let root = scene.connect(1);
    scene.connect(1);
    let mut request = gang(1, 2, 0);
    let mut desc = (*request.submit.descs[0]).clone();
    desc.crash_limit = CrashLimit::Never;
    Arc::make_mut(&mut request.submit).descs = vec![Arc::new(desc)];
    let job = scene.submit(request);
    scene.begin(root, 0);
    scene.run(Command::StopWorkers { workers: vec![root] });
    scene.run(Command::Leaving { worker: root, reason: LostReason::Stopped });
    assert_eq!(scene.counts(job).failed, 1);
    assert_eq!(taken(&scene), Vec::<u32>::new());
}

#[test]
fn a_lost_node_changes_nothing_for_the_task() {
    let mut scene = Scene::new();
    let root = scene.connect(1);
    let node = scene.connect(1);
    let job = scene.submit(gang(1, 2, 0));
    scene.begin(root, 0);
    scene.run(Command::HeartbeatLost { worker: node });
    assert_eq!(scene.counts(job).running, 1);
    assert_eq!(workers_of(&scene, job), vec![1, 2]);
    scene.end(root, 0, Ending::Finished);
    assert_eq!(scene.counts(job).finished, 1);
    assert_eq!(workers_of(&scene, job), vec![1, 2]);
}

#[test]
fn cancel_frees_all_at_once() {
    let mut scene = Scene::new();
    let root = scene.connect(1);
    scene.connect(1);
    let job = scene.submit(gang(1, 2, 0));
    let next = scene.submit(gang(1, 2, 0));
    scene.begin(root, 0);
    scene.run(Command::Cancel { jobs: vec![job], reason: None });
    assert_eq!(taken(&scene), vec![1, 2]);
    assert_eq!(scene.held[&root].len(), 1, "the next one has the workers");
    assert_eq!(scene.held[&root][0].0.task.job, next);
}

#[test]
fn a_restart_keeps_all_its_workers() {
    let mut scene = Scene::new();
    let root = scene.connect(1);
    let node = scene.connect(1);
    let job = scene.submit(gang(1, 2, 0));
    let single = scene.submit(array(IdSet::range(0, 1), 1, 0));
    scene.begin(root, 0);
    scene.restart();
    assert_eq!(scene.come_back(root), Reply::Registered { worker: root, drop: vec![] });
    assert_eq!(scene.come_back(node), Reply::Registered { worker: node, drop: vec![] });
    assert_eq!((taken(&scene), scene.counts(job).running, scene.counts(single).waiting), (vec![1, 2], 1, 2));
    scene.end(root, 0, Ending::Finished);
    assert_eq!(scene.counts(job).finished, 1);
    assert_eq!(scene.held[&root].len() + scene.held[&node].len(), 2);
}

#[test]
fn a_root_that_never_heard_of_it_gives_it_back() {
    let mut scene = Scene::new();
    let root = scene.connect(1);
    scene.connect(1);
    let job = scene.submit(gang(1, 2, 0));
    scene.held.remove(&root);
    scene.run(Command::Disconnected { worker: root });
    scene.come_back(root);
    assert_eq!(scene.held[&root].len(), 1, "it is given again");
    assert_eq!((taken(&scene), scene.counts(job).waiting), (vec![1, 2], 1));
}

#[test]
fn its_workers_do_not_idle_out() {
    let mut scene = Scene::new();
    let impatient = || Box::new(WorkerConfig { idle_timeout: Some(Span::from_secs(5)), ..*config(1) });
    let root = scene.connect_with(impatient());
    scene.connect_with(impatient());
    scene.submit(gang(1, 2, 0));
    scene.begin(root, 0);
    scene.now = scene.now.after(Span::from_secs(60));
    scene.run(Command::Tick);
    assert_eq!(taken(&scene), vec![1, 2]);
    let ended = scene.now;
    scene.end(root, 0, Ending::Finished);
    assert_eq!(scene.machine.next_deadline(), Some(ended.after(Span::from_secs(5))));
    scene.now = scene.now.after(Span::from_secs(5));
    scene.run(Command::Tick);
    assert!(scene.machine.state().workers.is_empty(), "both have been idle since the end of the task");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut scene = Scene::new();
    let cpus = ResourceRequest::cpus(Amount::units(1)).variants.remove(0);
    let nodes = |nodes| Variant { nodes, ..Variant::default() };
    let cases = [
        (vec![nodes(2), cpus.clone()], "cannot be one of several variants"),
        (vec![nodes(2), nodes(3)], "cannot be one of several variants"),
        (vec![nodes(limits::TASK_NODES_MAX + 1)], "nodes for one task are too many"),
        (vec![Variant::default()], "names no resource"),
        (vec![], "is empty"),
    ];
    for (variants, text) in cases {
        let request = ResourceRequest { variants };
        let desc = TaskDesc { args: vec!["x".into()], request, ..TaskDesc::default() };
        match scene.run(Command::Submit(with(1, desc))) {
            Reply::Refused(reason) => assert!(reason.contains(text), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    let extra = Variant { nodes: 1, ..cpus };
    let request = ResourceRequest { variants: vec![extra] };
    scene.submit(with(1, TaskDesc { args: vec!["x".into()], request, ..TaskDesc::default() }));
    scene.connect(2);
    assert_eq!(taken(&scene), vec![1], "further resources do not matter");
}
