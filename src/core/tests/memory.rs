//! What the state keeps in memory of what has ended, in bytes asked of the allocator.
//!
//! Completed jobs and finished tasks stay until they are forgotten, and there may be millions of them: nothing else of what
//! a server holds grows with them.
//!
//! Holds: the bytes are counted, not guessed from the sizes of types, so the figures are the same on each run. The test is
//! alone in its process, since others would be counted with it.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use hq_core::cbor;
use hq_core::event::{Event, JobChanged, JobSubmitted, Stamped, TasksAssigned, TasksFinished, TasksStarted};
use hq_core::event::{ServerStarted, WorkerConnected};
use hq_core::id::{JobId, TaskId, WorkerId};
use hq_core::idset::IdSet;
use hq_core::resource::{Amount, ResourceRequest};
use hq_core::state::State;
use hq_core::task::{SubmitDesc, TaskDesc};
use hq_core::time::Time;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Most bytes of a completed job of one task.
const COMPLETED_JOB_BYTES_MAX: usize = 1_600;
/// Most bytes of a finished task of an array.
const FINISHED_TASK_BYTES_MAX: usize = 24;
/// Tasks that are told of together.
const BATCH: u32 = 64;

fn bytes_in_use() -> usize {
    let stats = COUNTED.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A state with a server and a worker.
fn started() -> State {
    let mut state = State::default();
    let worker = WorkerConnected { worker: WorkerId(1), ..WorkerConnected::default() };
    for event in [Event::ServerStarted(ServerStarted::default()), Event::WorkerConnected(worker)] {
        state.apply(&Stamped { at: Time(1), event });
    }
    state
}

/// The events of a job whose tasks all finish, the submit as it comes over the network.
fn life(job: JobId, tasks: u32) -> Vec<Stamped> {
    let request = ResourceRequest::cpus(Amount::units(1));
    let desc = TaskDesc { args: vec!["/usr/bin/true".into(), job.to_string()], request, ..TaskDesc::default() };
    let (ids, descs) = (IdSet::range(0, tasks - 1), vec![Arc::new(desc)]);
    let submit = SubmitDesc { ids, descs, submit_dir: "/home/user/project".into(), ..SubmitDesc::default() };
    let submit: SubmitDesc = cbor::decode(&cbor::encode(&submit)).expect("what was encoded");
    let name = "true".to_owned();
    let mut events =
        vec![Event::JobSubmitted(JobSubmitted { job, name, submit: Arc::new(submit), ..JobSubmitted::default() })];
    let worker = WorkerId(1);
    for first in (0..tasks).step_by(BATCH as usize) {
        let last = (first + BATCH).min(tasks) - 1;
        let named: Vec<TaskId> = (first..=last).map(TaskId).collect();
        let tasks = IdSet::range(first, last);
        events.push(Event::TasksAssigned(TasksAssigned { job, worker, tasks, ..TasksAssigned::default() }));
        events.push(Event::TasksStarted(TasksStarted { job, worker, tasks: named.clone(), ..TasksStarted::default() }));
        events.push(Event::TasksFinished(TasksFinished { job, worker, tasks: named, ..TasksFinished::default() }));
    }
    events.push(Event::JobCompleted(JobChanged { job }));
    events.into_iter().zip(0..).map(|(event, at)| Stamped { at: Time(u64::from(job.0) * 1_000 + at), event }).collect()
}

/// Bytes that the state has more after jobs of so many tasks each.
fn grown(state: &mut State, jobs: std::ops::Range<u32>, tasks: u32) -> usize {
    let before = bytes_in_use();
    jobs.clone().flat_map(|job| life(JobId(job), tasks)).for_each(|stamped| state.apply(&stamped));
    for job in jobs {
        assert_eq!(state.job(JobId(job)).map(|job| job.counts.finished), Some(u64::from(tasks)));
    }
    bytes_in_use() - before
}

#[test]
fn what_has_ended_takes_little_memory() {
    let mut state = started();
    let jobs = 2_000;
    let job = grown(&mut state, 1..jobs + 1, 1) / jobs as usize;
    assert!(job <= COMPLETED_JOB_BYTES_MAX, "{job} bytes of a completed job of one task");
    let before = bytes_in_use();
    let again = State::from_image(state.image());
    let restored = (bytes_in_use() - before) / jobs as usize;
    assert!(restored <= COMPLETED_JOB_BYTES_MAX, "{restored} bytes of a completed job after a restart");
    drop((state, again));
    let tasks = 200_000;
    let task = grown(&mut started(), 1..2, tasks) / tasks as usize;
    assert!(task <= FINISHED_TASK_BYTES_MAX, "{task} bytes of a finished task");
}
