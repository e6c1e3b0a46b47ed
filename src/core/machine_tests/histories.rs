//! Random histories: replay equals live, the audit holds after every command, and everything ends.

use super::after::{each, on_job, on_tasks};
use super::modifies::modification;
use super::open_jobs;
use super::order;
use super::recalls;
use super::reference::Reference;
use super::retries;
use super::scene::*;
use crate::act::{Action, CancelAction, HoldAction, ReleaseAction, RetryAction};
use crate::after::AfterRequest;
use crate::attempt::{Ending, TaskVariant, WorkerReport};
use crate::audit::audit;
use crate::command::Command;
use crate::id::{JobId, WorkerId};
use crate::idset::IdSet;
use crate::retry::RetryPolicy;
use crate::state::State;
use crate::task::{Condition, SubmitRequest};
use crate::time::Span;
use crate::view::{JobState, TaskState};
use crate::worker::LostReason;

use proptest::prelude::*;

const CONDITIONS: [Condition; 3] = [Condition::Ok, Condition::Any, Condition::Failed];

#[derive(Debug, Clone)]
enum Step {
    Submit(u32, u32, i32),
    Gang(u32, u32, i32),
    Graph(u32, Vec<(u32, u32, u8)>),
    /// Tasks, a graph of them or not, and what they wait for: job, condition, shape, tasks behind it.
    Behind(u32, bool, Vec<(u32, u8, u8, Option<u32>)>),
    Connect(u32),
    Begin(usize, usize),
    End(usize, usize, u8),
    Return(usize, usize),
    Cancel(u32),
    Open,
    Attach(u32, u32, u32, bool),
    AttachGraph(u32, u32, Vec<(u32, u32, u8)>),
    Close(u32),
    Forget(u32),
    Act(u32, Option<(u32, u32)>, Action),
    Disconnect(usize),
    ComeBack(usize),
    Silent(usize),
    Stop(usize),
    Drain(usize, u64),
    Announce(usize),
    Wait(u64),
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => Just(Action::Hold(HoldAction {})),
        2 => Just(Action::Release(ReleaseAction {})),
        1 => Just(Action::Cancel(CancelAction { reason: Some("enough".into()) })),
        3 => (proptest::option::of(-1i32..2), proptest::option::of(1u32..5), proptest::option::of(0u32..6))
            .prop_map(|(priority, cpus, max_fails)| Action::Modify(modification(priority, cpus, max_fails))),
        3 => proptest::collection::vec(ended_state(), 0..3).prop_map(|states| Action::Retry(RetryAction { states })),
    ]
}

fn ended_state() -> impl Strategy<Value = TaskState> {
    proptest::sample::select(vec![TaskState::Finished, TaskState::Failed, TaskState::Canceled, TaskState::Aborted])
}

/// Failures of every other kind of task are followed by another attempt, at once or later.
fn with_retries(request: SubmitRequest, number: u32) -> SubmitRequest {
    match number % 4 {
        1 => retries::with_policy(request, &retries::any(2)),
        3 => {
            let (delay, delay_max) = (Span::from_ms(700), Span::from_ms(2_000));
            retries::with_policy(request, &RetryPolicy { delay, delay_max, ..retries::any(3) })
        }
        _ => request,
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u32..20, 1u32..4, -1i32..2).prop_map(|(n, cpus, priority)| Step::Submit(n, cpus, priority)),
        1 => (1u32..4, 1u32..4, -1i32..2).prop_map(|(n, nodes, priority)| Step::Gang(n, nodes, priority)),
        2 => (2u32..8, proptest::collection::vec((0u32..8, 0u32..8, 0u8..3), 0..8)).prop_map(|(n, d)| Step::Graph(n, d)),
        3 => (1u32..8, any::<bool>(), proptest::collection::vec(gate(), 1..4)).prop_map(|(n, g, a)| Step::Behind(n, g, a)),
        2 => (1u32..5).prop_map(Step::Connect),
        6 => (0usize..4, 0usize..8).prop_map(|(w, p)| Step::Begin(w, p)),
        12 => (0usize..4, 0usize..8, 0u8..8).prop_map(|(w, p, e)| Step::End(w, p, e)),
        2 => (0usize..4, 0usize..8).prop_map(|(w, p)| Step::Return(w, p)),
        1 => (1u32..6).prop_map(Step::Cancel),
        1 => Just(Step::Open),
        3 => (0u32..4, 0u32..12, 1u32..5, any::<bool>()).prop_map(|(j, f, n, free)| Step::Attach(j, f, n, free)),
        1 => (0u32..4, 2u32..5, proptest::collection::vec((0u32..5, 0u32..16, 0u8..3), 0..5))
            .prop_map(|(j, n, deps)| Step::AttachGraph(j, n, deps)),
        1 => (1u32..8).prop_map(Step::Close),
        1 => (1u32..8).prop_map(Step::Forget),
        3 => (1u32..6, proptest::option::of((0u32..12, 0u32..6)), action()).prop_map(|(j, t, a)| Step::Act(j, t, a)),
        1 => (0usize..4).prop_map(Step::Disconnect),
        2 => (0usize..4).prop_map(Step::ComeBack),
        1 => (0usize..4).prop_map(Step::Silent),
        1 => (0usize..4).prop_map(Step::Stop),
        1 => (0usize..4, 0u64..3_000).prop_map(|(w, ms)| Step::Drain(w, ms)),
        1 => (0usize..4).prop_map(Step::Announce),
        1 => (0u64..5_000).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

fn gate() -> impl Strategy<Value = (u32, u8, u8, Option<u32>)> {
    (0u32..8, 0u8..3, 0u8..3, proptest::option::of(0u32..8))
}

/// Submits tasks behind gates on jobs that there are.
fn submit_behind(scene: &mut Scene, count: u32, is_graph: bool, gates: &[(u32, u8, u8, Option<u32>)]) {
    let mut request = if is_graph {
        graph(count, &[(count - 1, 0, Condition::Any)][..usize::from(count > 1)])
    } else {
        array(IdSet::range(0, count - 1), 1, 0)
    };
    for (back, condition, shape, only) in gates {
        let state = scene.machine.state();
        let Some(job) = state.last_job.0.checked_sub(*back).filter(|job| *job > 0).map(JobId) else { continue };
        let Some(last) = state.job(job).and_then(|job| job.tasks.max_id()) else { continue };
        let condition = CONDITIONS[*condition as usize];
        let mut tasks = only.map_or_else(IdSet::default, |only| IdSet::single(only % count));
        let spec = match shape {
            0 => on_job(condition, job),
            1 => on_tasks(condition, job, IdSet::range(0, last.min(3))),
            _ => {
                if tasks.is_empty() && last + 1 < count {
                    tasks = IdSet::range(0, last);
                }
                each(condition, job)
            }
        };
        request.after.push(AfterRequest { tasks, spec });
    }
    // Half of those that can be are added to an open job.
    let open = scene.machine.state().jobs.values().rev().find(|job| job.is_open).map(|job| job.id);
    if let Some(open) = open.filter(|_| count.is_multiple_of(2)) {
        (request.job, request.free_ids_from) = (Some(open), Some(0));
    }
    // What a gate on tasks that are not there makes of it is a refusal.
    scene.run(Command::Submit(request));
}

fn nth_worker(scene: &Scene, position: usize) -> Option<WorkerId> {
    let ids: Vec<WorkerId> = scene.machine.state().workers.keys().copied().collect();
    (!ids.is_empty()).then(|| ids[position % ids.len()])
}

fn play_worker(scene: &mut Scene, step: &Step, worker: WorkerId) {
    match step {
        Step::Begin(_, position) => scene.begin(worker, *position),
        Step::End(_, position, ending) => {
            let endings = [Ending::Finished, Ending::Failed, Ending::Canceled, Ending::Interrupted];
            scene.end(worker, *position, endings[ending.saturating_sub(4) as usize]);
        }
        Step::Return(_, position) => {
            let held = scene.held.entry(worker).or_default();
            if !held.is_empty() {
                let (attempt, _) = held.remove(position % held.len());
                let like = TaskVariant { task: attempt.task, variant: 0 };
                let (returned, rejected) =
                    if position % 2 == 0 { (vec![attempt], vec![]) } else { (vec![], vec![attempt]) };
                let unblocked = if position % 3 == 0 { vec![like] } else { vec![] };
                let report = WorkerReport { returned, rejected, unblocked, ..WorkerReport::default() };
                scene.run(Command::Report { worker, report });
            }
        }
        Step::Disconnect(_) => {
            scene.run(Command::Disconnected { worker });
        }
        Step::ComeBack(_) => {
            scene.come_back(worker);
        }
        Step::Silent(_) => {
            scene.run(Command::HeartbeatLost { worker });
            scene.held.remove(&worker);
        }
        Step::Drain(_, ms) => {
            let timeout = (ms % 3 > 0).then(|| Span::from_ms(*ms));
            scene.run(Command::DrainWorkers { workers: vec![worker], timeout });
        }
        Step::Announce(_) => {
            scene.run(Command::Draining { worker });
        }
        Step::Stop(_) => {
            scene.run(Command::StopWorkers { workers: vec![worker] });
            scene.run(Command::Leaving { worker, reason: LostReason::Stopped });
            scene.held.remove(&worker);
        }
        _ => {}
    }
}

/// The open job at a position; a refusal is as good as a submit, and both are tried.
fn nth_open(scene: &Scene, position: u32) -> JobId {
    let open: Vec<JobId> = scene.machine.state().jobs.values().filter(|job| job.is_open).map(|job| job.id).collect();
    open.get(position as usize).copied().unwrap_or(JobId(position))
}

fn play_open(scene: &mut Scene, step: &Step) {
    match step {
        Step::Open => {
            open_jobs::open(scene);
        }
        Step::Attach(job, first, count, free) => {
            let request = array(IdSet::range(*first, first + count - 1), 1, 0);
            let request = open_jobs::into(nth_open(scene, *job), free.then_some(*first), request);
            scene.run(Command::Submit(request));
        }
        Step::AttachGraph(job, count, deps) => {
            let conditions = [Condition::Ok, Condition::Any, Condition::Failed];
            // Numbers beyond its own are those of earlier submits, if they are there.
            let deps = deps.iter().map(|(task, on, c)| (task % count, *on, conditions[*c as usize]));
            let deps: Vec<(u32, u32, Condition)> = deps.filter(|(task, on, _)| on < task || on >= count).collect();
            let request = open_jobs::into(nth_open(scene, *job), Some(0), graph(*count, &deps));
            scene.run(Command::Submit(request));
        }
        Step::Close(job) => {
            scene.run(Command::Close { jobs: vec![JobId(*job)] });
        }
        Step::Forget(job) => {
            let states = vec![JobState::Finished, JobState::Failed, JobState::Canceled, JobState::Aborted];
            scene.run(Command::Forget { jobs: vec![JobId(*job), JobId(job + 1)], states });
        }
        _ => {}
    }
}

fn play(scene: &mut Scene, step: &Step) {
    match step {
        Step::Submit(count, cpus, priority) => {
            scene.submit(with_retries(array(IdSet::range(0, count - 1), *cpus, *priority), *count));
        }
        Step::Gang(count, nodes, priority) => {
            scene.submit(super::gangs::gang(*count, *nodes, *priority));
        }
        Step::Graph(count, deps) => {
            let deps: Vec<(u32, u32, Condition)> = deps
                .iter()
                .map(|(a, b, c)| (a % count, b % count, CONDITIONS[*c as usize]))
                .filter(|(a, b, _)| b < a)
                .collect();
            scene.submit(with_retries(graph(*count, &deps), *count));
        }
        Step::Behind(count, is_graph, gates) => submit_behind(scene, *count, *is_graph, gates),
        Step::Connect(cpus) => {
            scene.connect(*cpus);
        }
        Step::Cancel(job) => {
            scene.run(Command::Cancel { jobs: vec![JobId(*job)], reason: None });
        }
        Step::Open | Step::Attach(..) | Step::AttachGraph(..) | Step::Close(_) | Step::Forget(_) => {
            play_open(scene, step);
        }
        Step::Act(job, tasks, action) => {
            let tasks = tasks.map(|(first, more)| IdSet::range(first, first + more));
            scene.run(Command::Act { jobs: vec![JobId(*job)], tasks, action: action.clone(), restored: vec![] });
        }
        Step::Wait(ms) => {
            scene.now = scene.now.after(Span::from_ms(*ms));
            scene.run(Command::Tick);
        }
        Step::Restart => scene.restart(),
        Step::Begin(worker, _)
        | Step::End(worker, _, _)
        | Step::Return(worker, _)
        | Step::Disconnect(worker)
        | Step::ComeBack(worker)
        | Step::Silent(worker)
        | Step::Drain(worker, _)
        | Step::Announce(worker)
        | Step::Stop(worker) => {
            if let Some(worker) = nth_worker(scene, *worker) {
                play_worker(scene, step, worker);
            }
        }
    }
}

/// Ends whatever is on the workers, until nothing comes any more.
fn run_all(scene: &mut Scene, workers: &[WorkerId]) {
    for _ in 0..2_000 {
        let busy = workers.iter().find(|id| scene.held.get(*id).is_some_and(|held| !held.is_empty()));
        match (busy, scene.machine.state().delayed.first().map(|(until, _)| *until)) {
            (Some(worker), _) => scene.end(*worker, 0, Ending::Finished),
            (None, Some(until)) => {
                scene.now = scene.now.max(until);
                scene.run(Command::Tick);
            }
            (None, None) => break,
        }
    }
}

proptest! {
    /// Replaying the events gives the state that ran, to the byte, at every point of a random history; so does
    /// the image. The audit runs after every command.
    #[test]
    fn replay_equals_live(steps in proptest::collection::vec(step(), 1..60)) {
        let mut scene = Scene::new();
        let mut reference = Reference::default();
        for (number, step) in steps.iter().enumerate() {
            play(&mut scene, step);
            prop_assert_eq!(reference.check(scene.machine.state()), Ok(()));
            if number % 5 == 0 {
                prop_assert!(scene.replayed().canonical_bytes() == scene.machine.state().canonical_bytes());
            }
        }
        let replayed = scene.replayed();
        prop_assert_eq!(audit(&replayed), Ok(()));
        prop_assert!(replayed.canonical_bytes() == scene.machine.state().canonical_bytes());
        let again = State::from_image(replayed.image());
        prop_assert!(again.canonical_bytes() == replayed.canonical_bytes());
        prop_assert_eq!(recalls::check(&replayed), Ok(()));
        prop_assert_eq!(order::check(&scene.log), Ok(()));
    }

    /// Whatever happened before: with a worker that runs everything, every job ends.
    #[test]
    fn everything_ends_once_faults_end(steps in proptest::collection::vec(step(), 1..40)) {
        let mut scene = Scene::new();
        for step in &steps {
            play(&mut scene, step);
        }
        for worker in scene.machine.state().workers.keys().copied().collect::<Vec<_>>() {
            scene.run(Command::HeartbeatLost { worker });
            scene.held.remove(&worker);
        }
        let jobs = scene.machine.state().jobs.keys().copied().collect();
        scene.run(Command::Act { jobs, tasks: None, action: Action::Release(ReleaseAction {}), restored: vec![] });
        // Three workers, since the largest multi-node tasks take three.
        let workers = [scene.connect(4), scene.connect(4), scene.connect(4)];
        run_all(&mut scene, &workers);
        for job in scene.machine.state().jobs.values() {
            prop_assert_eq!(job.completed.is_none(), job.is_open || job.counts.unfinished() > 0);
        }
        // Until then some may wait for open jobs to be completed.
        let jobs = scene.machine.state().jobs.keys().copied().collect();
        scene.run(Command::Close { jobs });
        run_all(&mut scene, &workers);
        for job in scene.machine.state().jobs.values() {
            prop_assert_eq!(job.counts.unfinished(), 0, "job {} of {:?}", job.id, steps);
            prop_assert!(job.completed.is_some());
        }
    }
}
