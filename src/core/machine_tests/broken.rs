//! Tasks that can never run, for one reason or for several.

use super::after::{behind, on_job};
use super::scene::*;
use crate::command::Command;
use crate::event::{Event, TasksEnded};
use crate::idset::IdSet;
use crate::task::Condition;

/// Broken by the gate and by a dependency in one submit.
#[test]
fn what_is_broken_for_two_reasons_ends_once() {
    let mut scene = Scene::new();
    let first = scene.submit(array(IdSet::range(0, 0), 1, 0));
    scene.run(Command::Cancel { jobs: vec![first], reason: None });
    let second = scene.submit(behind(graph(2, &[(1, 0, Condition::Ok)]), [on_job(Condition::Ok, first)]));
    let aborted = scene.log.iter().filter_map(|stamped| match &stamped.event {
        Event::TasksAborted(TasksEnded { job, tasks, .. }) if *job == second => Some(tasks.iter().collect::<Vec<_>>()),
        _ => None,
    });
    let mut aborted: Vec<u32> = aborted.flatten().collect();
    aborted.sort_unstable();
    assert_eq!(aborted, [0, 1]);
}
