//! Tests of the machine: scripted ones that read as stories, and random histories under which the state must stay
//! consistent and equal to its replay.

use crate::attempt::{Attempt, Ending, HeldAttempt, Outcome, Registration, Started, WorkerReport};
use crate::audit::audit;
use crate::command::{Canceled, Command, Effect, Reply, WorkerStop};
use crate::event::{Event, Stamped};
use crate::id::{Epoch, JobId, TaskId, TaskRef, WorkerId};
use crate::idset::IdSet;
use crate::limits;
use crate::machine::Machine;
use crate::resource::{Amount, Pool, PoolKind, ResourceRequest, WorkerResources};
use crate::state::State;
use crate::task::{Condition, CrashLimit, Dependency, SubmitDesc, SubmitRequest, TaskDesc};
use crate::time::{Span, Time};
use crate::view::TaskCounts;
use crate::worker::{LostReason, WorkerConfig};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn desc(cpus: u32, priority: i32) -> Arc<TaskDesc> {
    Arc::new(TaskDesc {
        args: vec!["true".into()],
        request: ResourceRequest::cpus(Amount::units(cpus)),
        priority,
        ..TaskDesc::default()
    })
}

fn array(ids: IdSet, cpus: u32, priority: i32) -> SubmitRequest {
    let submit = SubmitDesc { ids, descs: vec![desc(cpus, priority)], ..SubmitDesc::default() };
    SubmitRequest { name: "job".into(), max_fails: None, submit: Arc::new(submit) }
}

fn config(cpus: u32) -> Box<WorkerConfig> {
    let pools = vec![Pool { name: "cpus".into(), kind: PoolKind::range(0, cpus - 1) }];
    Box::new(WorkerConfig {
        resources: WorkerResources { pools },
        hostname: "node".into(),
        heartbeat: limits::HEARTBEAT_DEFAULT,
        ..WorkerConfig::default()
    })
}

/// A machine with the workers' side in miniature: what was handed to whom and has not ended.
struct Scene {
    machine: Machine,
    now: Time,
    log: Vec<Stamped>,
    held: BTreeMap<WorkerId, Vec<(Attempt, Option<Time>)>>,
    number: u64,
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self {
            machine: Machine::default(),
            now: Time(1_000_000),
            log: Vec::new(),
            held: BTreeMap::new(),
            number: 0,
        };
        scene.start(1);
        scene
    }

    fn start(&mut self, epoch: u32) {
        let (server_uid, epoch) = ("abcdef".to_owned(), Epoch(epoch));
        self.run(Command::StartServer { server_uid, epoch, version: "test".into() });
    }

    fn run(&mut self, command: Command) -> Reply {
        self.now = self.now.after(Span(1_000));
        let output = self.machine.handle(self.now, command);
        self.log.extend(output.events.iter().cloned());
        self.deliver(output.effects);
        loop {
            let (placed, more) = self.machine.place(self.now);
            self.log.extend(placed.events.iter().cloned());
            self.deliver(placed.effects);
            if !more {
                break;
            }
        }
        assert_eq!(audit(self.machine.state()), Ok(()));
        output.reply
    }

    fn deliver(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Assign { worker, assignment } => {
                    let held = self.held.entry(worker).or_default();
                    held.extend(assignment.tasks.iter().map(|assigned| {
                        let (job, task) = (assignment.key.job.0, assigned.task.0);
                        (Attempt::new(job, task, assignment.epoch.0, assigned.attempt.0), None)
                    }));
                }
                Effect::Cancel { worker, attempts } => {
                    self.held.entry(worker).or_default().retain(|(attempt, _)| !attempts.contains(attempt));
                }
                _ => {}
            }
        }
    }

    fn connect(&mut self, cpus: u32) -> WorkerId {
        let token = format!("token-{}", self.machine.state().last_worker.0 + 1);
        let registration = Registration { token, config: config(cpus), ..Registration::default() };
        match self.run(Command::Register(Box::new(registration))) {
            Reply::Registered { worker, .. } => worker,
            other => panic!("{other:?}"),
        }
    }

    fn submit(&mut self, request: SubmitRequest) -> JobId {
        match self.run(Command::Submit(request)) {
            Reply::Submitted(job) => job,
            other => panic!("{other:?}"),
        }
    }

    fn outcome(&mut self, worker: WorkerId, position: usize, ending: Ending) -> Option<Outcome> {
        let held = self.held.get_mut(&worker)?;
        if held.is_empty() {
            return None;
        }
        let (attempt, started) = held.remove(position % held.len());
        self.number += 1;
        Some(Outcome {
            number: self.number,
            attempt,
            started: Some(started.unwrap_or(self.now)),
            ended: self.now,
            ending,
            error: if ending == Ending::Failed { "Program terminated with exit code 1.".into() } else { String::new() },
            ..Outcome::default()
        })
    }

    fn end(&mut self, worker: WorkerId, position: usize, ending: Ending) {
        if let Some(outcome) = self.outcome(worker, position, ending) {
            let report = WorkerReport { ended: vec![outcome], ..WorkerReport::default() };
            self.run(Command::Report { worker, report });
        }
    }

    fn begin(&mut self, worker: WorkerId, position: usize) {
        let now = self.now;
        let Some(held) = self.held.get_mut(&worker).filter(|held| !held.is_empty()) else { return };
        let position = position % held.len();
        held[position].1 = Some(now);
        let started = Started { attempt: held[position].0, at: now, variant: 0 };
        self.run(Command::Report {
            worker,
            report: WorkerReport { started: vec![started], ..WorkerReport::default() },
        });
    }

    fn counts(&self, job: JobId) -> TaskCounts {
        self.machine.state().job(job).unwrap().counts
    }

    fn replayed(&self) -> State {
        let mut state = State::default();
        self.log.iter().for_each(|stamped| state.apply(stamped));
        state
    }

    fn restart(&mut self) {
        let epoch = self.machine.state().epoch.0 + 1;
        self.machine = Machine::new(self.replayed());
        self.start(epoch);
    }

    fn come_back(&mut self, worker: WorkerId) -> Reply {
        let held = self.held.get(&worker).cloned().unwrap_or_default();
        let registration = Registration {
            token: format!("token-{worker}"),
            config: config(2),
            server_uid: "abcdef".into(),
            held: held
                .iter()
                .map(|(attempt, started)| HeldAttempt { attempt: *attempt, started: *started, variant: 0 })
                .collect(),
            outbox: Vec::new(),
        };
        let reply = self.run(Command::Register(Box::new(registration)));
        if let Reply::Registered { drop, worker: now } = &reply {
            let mut kept = self.held.remove(&worker).unwrap_or_default();
            kept.retain(|(attempt, _)| !drop.contains(attempt));
            self.held.entry(*now).or_default().extend(kept);
        }
        reply
    }
}

#[test]
fn an_array_runs_to_its_end() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet::range(0, 9), 1, 0));
    let worker = scene.connect(2);
    assert_eq!(scene.held[&worker].len(), 2);
    for _ in 0..10 {
        scene.end(worker, 0, Ending::Finished);
    }
    assert_eq!(scene.counts(job), TaskCounts { finished: 10, ..TaskCounts::default() });
    assert!(scene.machine.state().job(job).unwrap().completed.is_some());
    assert_eq!(scene.log.iter().filter(|e| matches!(e.event, Event::JobCompleted(_))).count(), 1);
}

#[test]
fn a_billion_tasks_are_ranges() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet::range(0, u32::MAX), 1, 0));
    let worker = scene.connect(2);
    scene.end(worker, 0, Ending::Finished);
    let reply = scene.run(Command::Cancel { jobs: vec![job, JobId(77)], reason: Some("enough".into()) });
    let expected = Canceled { job, found: true, canceled: (1 << 32) - 1, already_ended: 1 };
    let unknown = Canceled { job: JobId(77), found: false, canceled: 0, already_ended: 0 };
    assert_eq!(reply, Reply::Canceled(vec![expected, unknown]));
    assert_eq!(scene.counts(job).canceled, (1 << 32) - 1);
    assert!(scene.machine.state().job(job).unwrap().completed.is_some());
}

#[test]
fn higher_priorities_go_first() {
    let mut scene = Scene::new();
    let low = scene.submit(array(IdSet::range(0, 3), 1, 0));
    let high = scene.submit(array(IdSet::range(0, 3), 1, 5));
    let worker = scene.connect(4);
    assert_eq!(scene.held[&worker].iter().filter(|(a, _)| a.task.job == high).count(), 4);
    for _ in 0..4 {
        scene.end(worker, 0, Ending::Finished);
    }
    assert_eq!(scene.counts(high).finished, 4);
    assert_eq!(scene.held[&worker].iter().filter(|(a, _)| a.task.job == low).count(), 4);
}

fn graph(count: u32, deps: &[(u32, u32, Condition)]) -> SubmitRequest {
    let deps = deps
        .iter()
        .map(|(task, on, condition)| Dependency {
            task: TaskId(*task),
            on: TaskRef::new(0, *on),
            condition: *condition,
        })
        .collect();
    let submit = SubmitDesc {
        ids: IdSet::range(0, count - 1),
        descs: vec![desc(1, 0)],
        desc_of: vec![0; count as usize],
        deps,
        graph: true,
        ..SubmitDesc::default()
    };
    SubmitRequest { name: "graph".into(), max_fails: None, submit: Arc::new(submit) }
}

#[test]
fn dependents_follow_in_the_same_turn() {
    let mut scene = Scene::new();
    let worker = scene.connect(4);
    let job = scene.submit(graph(3, &[(1, 0, Condition::Ok), (2, 1, Condition::Ok)]));
    for task in 0..3 {
        assert_eq!(scene.held[&worker].iter().map(|(a, _)| a.task.task.0).collect::<Vec<_>>(), vec![task]);
        scene.end(worker, 0, Ending::Finished);
    }
    assert_eq!(scene.counts(job).finished, 3);
}

#[test]
fn a_failure_aborts_what_hoped_for_success_and_frees_what_waited_for_failure() {
    let mut scene = Scene::new();
    let worker = scene.connect(4);
    let deps = [(1, 0, Condition::Ok), (2, 1, Condition::Ok), (3, 0, Condition::Failed), (4, 2, Condition::Any)];
    let job = scene.submit(graph(5, &deps));
    scene.end(worker, 0, Ending::Failed);
    let ids: Vec<u32> = scene.held[&worker].iter().map(|(a, _)| a.task.task.0).collect();
    assert_eq!(ids, vec![3, 4]);
    let order: Vec<u16> = scene.log.iter().map(|e| e.event.kind()).filter(|kind| [45, 47].contains(kind)).collect();
    assert_eq!(order, vec![47, 45], "consumers are aborted before the failure is recorded");
    scene.end(worker, 0, Ending::Finished);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.counts(job), TaskCounts { finished: 2, failed: 1, aborted: 2, ..TaskCounts::default() });
}

#[test]
fn a_success_aborts_what_hoped_for_failure() {
    let mut scene = Scene::new();
    let worker = scene.connect(4);
    let job = scene.submit(graph(2, &[(1, 0, Condition::Failed)]));
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.counts(job), TaskCounts { finished: 1, aborted: 1, ..TaskCounts::default() });
    assert!(scene.machine.state().job(job).unwrap().completed.is_some());
}

#[test]
fn dependencies_across_jobs() {
    let mut scene = Scene::new();
    let worker = scene.connect(4);
    let first = scene.submit(array(IdSet::range(0, 0), 1, 0));
    let mut second = graph(1, &[]);
    let mut submit = (*second.submit).clone();
    submit.deps = vec![Dependency { task: TaskId(0), on: TaskRef::new(first.0, 0), condition: Condition::Ok }];
    second.submit = Arc::new(submit.clone());
    let waiting = scene.submit(second.clone());
    assert_eq!(scene.counts(waiting).waiting, 1);
    assert_eq!(scene.held[&worker].len(), 1);
    scene.run(Command::Cancel { jobs: vec![first], reason: None });
    assert_eq!(scene.counts(waiting).aborted, 1);
    let broken = scene.submit(second);
    assert_eq!(scene.counts(broken).aborted, 1, "a dependency that is already broken aborts at once");
    submit.deps[0].on = TaskRef::new(99, 0);
    let request = SubmitRequest { name: "x".into(), max_fails: None, submit: Arc::new(submit) };
    assert!(matches!(scene.run(Command::Submit(request)), Reply::Refused(text) if text.contains("invalid dependency")));
}

#[test]
fn refusals_change_nothing() {
    let mut scene = Scene::new();
    let before = scene.machine.state().canonical_bytes();
    let cyclic = graph(2, &[(1, 0, Condition::Ok), (0, 1, Condition::Ok)]);
    let mut zero = array(IdSet::range(0, 1), 1, 0);
    let mut desc = TaskDesc::default();
    desc.request = ResourceRequest::cpus(Amount::ZERO);
    Arc::make_mut(&mut zero.submit).descs = vec![Arc::new(desc)];
    let mut named = array(IdSet::range(0, 1), 1, 0);
    named.name = "a\nb".into();
    let mut entries = array(IdSet::range(0, 1), 1, 0);
    Arc::make_mut(&mut entries.submit).entries = crate::task::Entries::pack([&b"x"[..]]);
    let cases = [
        (cyclic, "cycle"),
        (zero, "Zero resources cannot be requested"),
        (named, "newline or a tab"),
        (entries, "do not match"),
        (
            array(IdSet { ranges: vec![crate::idset::IdRange::new(0, 3), crate::idset::IdRange::new(2, 2)] }, 1, 0),
            "overlap",
        ),
    ];
    for (request, text) in cases {
        match scene.run(Command::Submit(request)) {
            Reply::Refused(reason) => assert!(reason.contains(text), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(scene.machine.state().canonical_bytes(), before);
}

#[test]
fn too_many_failures_abort_the_rest() {
    let mut scene = Scene::new();
    let worker = scene.connect(3);
    let mut request = array(IdSet::range(0, 9), 1, 0);
    request.max_fails = Some(1);
    let job = scene.submit(request);
    scene.end(worker, 0, Ending::Failed);
    assert_eq!(scene.counts(job).failed, 1);
    scene.end(worker, 0, Ending::Failed);
    assert_eq!(scene.counts(job), TaskCounts { failed: 2, aborted: 8, ..TaskCounts::default() });
    assert!(scene.held[&worker].is_empty(), "running tasks are killed");
}

#[test]
fn a_lost_worker_gives_its_tasks_back_until_the_crash_limit() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet::range(0, 0), 1, 0));
    for crash in 1..=limits::CRASH_LIMIT_DEFAULT {
        let worker = scene.connect(1);
        scene.begin(worker, 0);
        assert_eq!(scene.held[&worker][0].0.fence.attempt.0, crash - 1);
        scene.run(Command::Disconnected { worker });
        assert_eq!(scene.counts(job).running, 1, "a worker may come back");
        scene.now = scene.now.after(limits::WORKER_AWAY_SPAN);
        scene.run(Command::Tick);
        scene.held.remove(&worker);
    }
    assert_eq!(scene.counts(job).failed, 1);
    let view = scene.machine.state().view_tasks(job, None, &[], TaskId(0), 10).unwrap();
    assert!(view.tasks[0].error.as_ref().unwrap().contains("occurred 5 times"));
}

#[test]
fn a_stopped_worker_is_no_crash_but_ends_what_must_not_restart() {
    let mut scene = Scene::new();
    let mut request = array(IdSet::range(0, 0), 1, 0);
    let mut never = (*desc(1, 0)).clone();
    never.crash_limit = CrashLimit::Never;
    Arc::make_mut(&mut request.submit).descs = vec![Arc::new(never)];
    let never = scene.submit(request);
    let usual = scene.submit(array(IdSet::range(0, 0), 1, 0));
    let worker = scene.connect(2);
    scene.begin(worker, 0);
    scene.begin(worker, 1);
    let reply = scene.run(Command::StopWorkers { workers: vec![worker, WorkerId(9)] });
    let expected = vec![(worker, WorkerStop::Stopped), (WorkerId(9), WorkerStop::NotFound)];
    assert_eq!(reply, Reply::WorkersStopped(expected));
    scene.run(Command::Leaving { worker, reason: LostReason::Stopped });
    assert_eq!(scene.counts(never).failed, 1);
    assert_eq!(scene.counts(usual).waiting, 1);
    let live = scene.machine.state().job(usual).unwrap().tasks.live[&TaskId(0)];
    assert_eq!((live.crashes, live.next_attempt.0), (0, 1));
}

#[test]
fn a_restart_adopts_what_runs() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    let job = scene.submit(array(IdSet::range(0, 5), 1, 0));
    scene.begin(worker, 0);
    scene.begin(worker, 1);
    scene.restart();
    assert_eq!(scene.counts(job).running, 2);
    assert_eq!(scene.held[&worker].len(), 2, "nothing is placed while a worker may come back");
    let reply = scene.come_back(worker);
    assert_eq!(reply, Reply::Registered { worker, drop: vec![] });
    scene.end(worker, 0, Ending::Finished);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.counts(job).finished, 2);
    assert_eq!(scene.held[&worker].len(), 4, "two have started, two lie ahead since tasks are short");
}

#[test]
fn a_lost_assignment_is_adopted() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    let job = scene.submit(array(IdSet::range(0, 5), 1, 0));
    let first = scene.log.iter().position(|e| matches!(e.event, Event::TasksAssigned(_))).unwrap();
    scene.log.truncate(first);
    let now = scene.now;
    scene.held.get_mut(&worker).unwrap()[0].1 = Some(now);
    scene.restart();
    assert_eq!(scene.counts(job).waiting, 6);
    assert_eq!(scene.come_back(worker), Reply::Registered { worker, drop: vec![] });
    assert_eq!(scene.counts(job).running, 1);
    scene.end(worker, 0, Ending::Finished);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.counts(job).finished, 2);
}

#[test]
fn a_stale_word_changes_nothing() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let other = scene.connect(1);
    scene.submit(array(IdSet::range(0, 0), 1, 0));
    let before = scene.machine.state().canonical_bytes();
    let held = scene.held[&worker][0].0;
    let outcome = |attempt| Outcome { number: 1, attempt, ended: Time(1), ..Outcome::default() };
    let stale = Attempt { fence: crate::id::Fence { epoch: Epoch(0), ..held.fence }, ..held };
    for (who, attempt) in [(worker, stale), (other, held), (WorkerId(7), held), (worker, Attempt::new(9, 9, 1, 0))] {
        let report = WorkerReport { ended: vec![outcome(attempt)], ..WorkerReport::default() };
        scene.run(Command::Report { worker: who, report });
        assert_eq!(scene.machine.state().canonical_bytes(), before);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Submit(u32, u32, i32),
    Graph(u32, Vec<(u32, u32, u8)>),
    Connect(u32),
    Begin(usize, usize),
    End(usize, usize, u8),
    Return(usize, usize),
    Cancel(u32),
    Disconnect(usize),
    ComeBack(usize),
    Silent(usize),
    Stop(usize),
    Wait(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u32..20, 1u32..4, -1i32..2).prop_map(|(n, cpus, priority)| Step::Submit(n, cpus, priority)),
        2 => (2u32..8, proptest::collection::vec((0u32..8, 0u32..8, 0u8..3), 0..8)).prop_map(|(n, d)| Step::Graph(n, d)),
        2 => (1u32..5).prop_map(Step::Connect),
        6 => (0usize..4, 0usize..8).prop_map(|(w, p)| Step::Begin(w, p)),
        12 => (0usize..4, 0usize..8, 0u8..8).prop_map(|(w, p, e)| Step::End(w, p, e)),
        2 => (0usize..4, 0usize..8).prop_map(|(w, p)| Step::Return(w, p)),
        1 => (1u32..6).prop_map(Step::Cancel),
        1 => (0usize..4).prop_map(Step::Disconnect),
        2 => (0usize..4).prop_map(Step::ComeBack),
        1 => (0usize..4).prop_map(Step::Silent),
        1 => (0usize..4).prop_map(Step::Stop),
        1 => (0u64..5_000).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
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
                let report = WorkerReport { returned: vec![attempt], ..WorkerReport::default() };
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
        Step::Stop(_) => {
            scene.run(Command::StopWorkers { workers: vec![worker] });
            scene.run(Command::Leaving { worker, reason: LostReason::Stopped });
            scene.held.remove(&worker);
        }
        _ => {}
    }
}

fn play(scene: &mut Scene, step: &Step) {
    match step {
        Step::Submit(count, cpus, priority) => {
            scene.submit(array(IdSet::range(0, count - 1), *cpus, *priority));
        }
        Step::Graph(count, deps) => {
            let conditions = [Condition::Ok, Condition::Any, Condition::Failed];
            let deps: Vec<(u32, u32, Condition)> = deps
                .iter()
                .map(|(a, b, c)| (a % count, b % count, conditions[*c as usize]))
                .filter(|(a, b, _)| b < a)
                .collect();
            scene.submit(graph(*count, &deps));
        }
        Step::Connect(cpus) => {
            scene.connect(*cpus);
        }
        Step::Cancel(job) => {
            scene.run(Command::Cancel { jobs: vec![JobId(*job)], reason: None });
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
        | Step::Stop(worker) => {
            if let Some(worker) = nth_worker(scene, *worker) {
                play_worker(scene, step, worker);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Replaying the events gives the state that ran, to the byte, at every point of a random history; so does
    /// the image. The audit runs after every command.
    #[test]
    fn replay_equals_live(steps in proptest::collection::vec(step(), 1..60)) {
        let mut scene = Scene::new();
        for (number, step) in steps.iter().enumerate() {
            play(&mut scene, step);
            if number % 5 == 0 {
                prop_assert!(scene.replayed().canonical_bytes() == scene.machine.state().canonical_bytes());
            }
        }
        let replayed = scene.replayed();
        prop_assert_eq!(audit(&replayed), Ok(()));
        prop_assert!(replayed.canonical_bytes() == scene.machine.state().canonical_bytes());
        let again = State::from_image(replayed.image());
        prop_assert!(again.canonical_bytes() == replayed.canonical_bytes());
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
        let worker = scene.connect(4);
        for _ in 0..2_000 {
            if scene.held.get(&worker).is_none_or(Vec::is_empty) {
                break;
            }
            scene.end(worker, 0, Ending::Finished);
        }
        for job in scene.machine.state().jobs.values() {
            prop_assert_eq!(job.counts.unfinished(), 0, "job {} of {:?}", job.id, steps);
            prop_assert!(job.completed.is_some());
        }
    }
}
