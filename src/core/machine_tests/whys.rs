//! Why tasks and jobs are where they are: every cause once.

use super::after::{behind, each, on_job};
use super::gangs::gang;
use super::scene::*;
use crate::act::{Action, CancelAction, HoldAction};
use crate::attempt::Ending;
use crate::command::Command;
use crate::id::{JobId, TaskRef};
use crate::idset::IdSet;
use crate::resource::{Amount, Pool, PoolKind};
use crate::task::{Condition, SubmitDesc, SubmitRequest, TaskDesc};
use crate::time::Span;
use crate::view::WhyView;
use std::sync::Arc;

fn why(scene: &Scene, job: JobId, task: u32) -> WhyView {
    scene.machine.why_task(scene.now, TaskRef::new(job.0, task)).unwrap()
}

fn sentence(scene: &Scene, job: JobId, task: u32) -> String {
    why(scene, job, task).sentence
}

fn of_job(scene: &Scene, job: JobId) -> WhyView {
    scene.machine.why_job(scene.now, job).unwrap()
}

/// One task that needs what `change` writes into its description.
fn task_with(change: impl FnOnce(&mut TaskDesc)) -> SubmitRequest {
    let mut task = (*desc(1, 0)).clone();
    change(&mut task);
    let submit = SubmitDesc { ids: IdSet::single(0), descs: vec![Arc::new(task)], ..SubmitDesc::default() };
    SubmitRequest { name: "job".into(), submit: Arc::new(submit), ..SubmitRequest::default() }
}

#[test]
fn too_much_is_asked_for() {
    let mut scene = Scene::new();
    let large = scene.submit(array(IdSet::range(0, 1), 8, 0));
    assert_eq!(sentence(&scene, large, 0), "waiting: no worker is connected");
    scene.connect(2);
    scene.connect_with({
        let mut config = config(4);
        config.time_limit = Some(Span::from_secs(100));
        config
    });
    let needs = "waiting: needs 8 cpus, the largest connected worker has 4";
    assert_eq!(sentence(&scene, large, 1), needs);
    assert_eq!(of_job(&scene, large).sentence, needs);
    let gpu = scene.submit(task_with(|task| {
        let entry = task.request.variants[0].entries[0].clone();
        task.request.variants[0].entries[0].resource = "gpus/nvidia".into();
        task.request.variants[0].entries[0].amount = Amount::units(1);
        task.request.variants.push(crate::resource::Variant { entries: vec![entry], ..Default::default() });
        task.request.variants[1].entries[0].amount = Amount::units(9);
    }));
    assert_eq!(sentence(&scene, gpu, 0), "waiting: needs 1 gpus/nvidia, which no connected worker has");
    assert_eq!(why(&scene, gpu, 0).details, ["variant 1: needs 9 cpus, the largest connected worker has 4"]);
    let nodes = scene.submit(gang(1, 3, 0));
    assert_eq!(sentence(&scene, nodes, 0), "waiting: needs 3 workers of one group, the largest group has 2");
}

#[test]
fn no_worker_lives_long_enough_or_has_all() {
    let mut scene = Scene::new();
    scene.connect_with({
        let mut config = config(4);
        config.time_limit = Some(Span::from_secs(100));
        config
    });
    let long = scene.submit(task_with(|task| task.request.variants[0].min_time = Span::from_secs(3_700)));
    let said = sentence(&scene, long, 0);
    assert!(said.starts_with("waiting: needs a worker with a life of 1h 1m, the longest-lived one has 1m "), "{said}");
    scene.connect_with({
        let mut config = config(1);
        config.resources.pools.push(Pool { name: "fpga".into(), kind: PoolKind::range(0, 0) });
        config
    });
    let both = scene.submit(task_with(|task| {
        let mut entry = task.request.variants[0].entries[0].clone();
        entry.resource = "fpga".into();
        task.request.variants[0].entries.push(entry);
        task.request.variants[0].entries[0].amount = Amount::units(2);
    }));
    assert_eq!(sentence(&scene, both, 0), "waiting: needs 2 cpus, 1 fpga, and no connected worker has all of that");
}

#[test]
fn it_fits_and_not_now() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    let first = scene.submit(array(IdSet::range(0, 9), 2, 0));
    assert_eq!(sentence(&scene, first, 0), "waiting: it was given to worker 1 (node) and is about to start");
    scene.begin(worker, 0);
    scene.now = scene.now.after(Span::from_secs(75));
    assert_eq!(sentence(&scene, first, 0), "running: for 1m 15s on worker 1 (node)");
    let said = why(&scene, first, 3);
    let busy = "waiting: it could run on worker 1 only, and not now: 0 of 2 cpus are free, 2 needed";
    assert_eq!(said.sentence, busy);
    assert!(
        said.details.contains(&"2 tasks with the same request and priority come before it.".to_owned()),
        "{said:?}"
    );
    scene.connect(2);
    let further = scene.submit(array(IdSet::single(0), 2, -1));
    assert_eq!(sentence(&scene, further, 0), "waiting: 2 workers could run it, and not now");
    let job = of_job(&scene, first);
    assert_eq!(job.sentence, "running: 1 of 10 tasks run, 9 wait");
    assert_eq!(job.details[0], "8 waiting: 2 workers could run it, and not now");
}

#[test]
fn held_blocked_and_ended() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let deps = [(2, 0, Condition::Ok), (2, 1, Condition::Ok), (3, 0, Condition::Ok)];
    let job = scene.submit(graph(6, &deps));
    let act = |scene: &mut Scene, tasks: Option<IdSet>, action: Action| {
        scene.run(Command::Act { jobs: vec![job], tasks, action, restored: vec![] });
        scene.give_back();
    };
    assert_eq!(sentence(&scene, job, 2), "waiting: 2 dependencies have not ended");
    assert_eq!(why(&scene, job, 2).details[0], "task 0 of job 1 is waiting; it has to finish");
    act(&mut scene, Some(IdSet::single(4)), Action::Hold(HoldAction {}));
    assert_eq!(sentence(&scene, job, 4), "waiting: it is held; `hq task release 1 4` lets it go on");
    scene.end(worker, 0, Ending::Failed);
    assert_eq!(sentence(&scene, job, 0), "failed: Program terminated with exit code 1.");
    assert!(why(&scene, job, 0).details[0].starts_with("It ran for "));
    assert_eq!(sentence(&scene, job, 2), "aborted: task 0 of job 1 failed");
    assert_eq!(why(&scene, job, 2).details, ["it waited for task 0 of job 1, which is failed"]);
    act(&mut scene, Some(IdSet::single(5)), Action::Cancel(CancelAction::default()));
    assert_eq!(sentence(&scene, job, 5), "canceled: by a user, who gave no reason");
    act(&mut scene, None, Action::Hold(HoldAction {}));
    assert_eq!(sentence(&scene, job, 1), "waiting: job 1 is held; `hq job release 1` lets it go on");
    let said = of_job(&scene, job);
    assert_eq!(said.sentence, "waiting: job 1 is held; `hq job release 1` lets it go on");
    let first = "1 failed, among them task 0: Program terminated with exit code 1.";
    assert_eq!(said.details, [first, "2 aborted, among them task 2: task 0 of job 1 failed"]);
    scene.run(Command::Cancel { jobs: vec![job], reason: Some("enough".into()) });
    assert_eq!(sentence(&scene, job, 1), "canceled: enough");
    assert_eq!(of_job(&scene, job).sentence, "failed: 1 of 6 tasks failed");
    let fine = scene.submit(array(IdSet::single(0), 1, 0));
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(sentence(&scene, fine, 0), "finished: its program ended with exit code 0");
    assert_eq!(of_job(&scene, fine).sentence, "finished: all of its 1 task finished");
    assert_eq!(scene.machine.why_task(scene.now, TaskRef::new(9, 0)).unwrap_err(), "Job not found");
    assert!(scene.machine.why_job(scene.now, JobId(9)).is_none());
}

#[test]
fn a_gate_is_named() {
    let mut scene = Scene::new();
    let first = scene.submit(array(IdSet::range(0, 1), 1, 0));
    let second = scene.submit(behind(array(IdSet::range(0, 9), 1, 0), [on_job(Condition::Ok, first)]));
    assert_eq!(sentence(&scene, second, 3), "waiting: job 1 has to finish first");
    assert_eq!(why(&scene, second, 3).details, ["2 tasks of job 1 that it waits for have not ended"]);
    assert_eq!(of_job(&scene, second).sentence, "waiting: job 1 has to finish first");
    let third = scene.submit(behind(array(IdSet::range(0, 1), 1, 0), [each(Condition::Any, first)]));
    assert_eq!(sentence(&scene, third, 1), "waiting: task 1 of job 1 has to end first");
    let worker = scene.connect(1);
    scene.end(worker, 0, Ending::Failed);
    assert!(sentence(&scene, second, 3).starts_with("aborted: "), "{}", sentence(&scene, second, 3));
}

#[test]
fn a_large_job_is_told_in_groups() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet::range(0, u32::MAX), 1, 0));
    let tasks = Some(IdSet::range(0, 999_999));
    scene.run(Command::Act { jobs: vec![job], tasks, action: Action::Hold(HoldAction {}), restored: vec![] });
    let said = of_job(&scene, job);
    assert_eq!(said.sentence, "waiting: 4293967296 of 4294967296 tasks: no worker is connected");
    assert_eq!(said.details[1], "1000000 waiting: it is held; `hq task release 1 0` lets it go on");
}
