//! What a decision costs: tasks through the machine, links of a chain, a submit, a replay.
//!
//! Nothing but the core runs here: no journal, no network, no process. The figures are the floor of what a server can do.
//!
//! Each benchmark works off everything it submitted; the element counts make criterion print tasks a second.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hq_core::attempt::{Attempt, Ending, Outcome, Registration, WorkerReport};
use hq_core::command::{Command, Effect, Reply};
use hq_core::event::Stamped;
use hq_core::id::{Epoch, TaskId, TaskRef, WorkerId};
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::machine::Machine;
use hq_core::resource::{Amount, Pool, PoolKind, ResourceRequest, WorkerResources};
use hq_core::state::State;
use hq_core::task::{Condition, Dependency, SubmitDesc, SubmitRequest, TaskDesc};
use hq_core::time::{Span, Time};
use hq_core::worker::WorkerConfig;
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;

/// Outcomes that one worker reports in one message.
const REPORT_OUTCOMES_MAX: usize = 64;

/// A machine with workers that finish at once whatever they are given.
struct Scene {
    machine: Machine,
    now: Time,
    log: Vec<Stamped>,
    given: VecDeque<(WorkerId, Vec<Attempt>)>,
    number: u64,
}

impl Scene {
    fn new(workers: u32, cpus: u32) -> Self {
        let mut scene = Scene {
            machine: Machine::default(),
            now: Time(1_000_000),
            log: Vec::new(),
            given: VecDeque::new(),
            number: 0,
        };
        scene.run(Command::StartServer { server_uid: "abcdef".into(), epoch: Epoch(1), version: "bench".into() });
        for index in 0..workers {
            let pools = vec![Pool { name: "cpus".into(), kind: PoolKind::range(0, cpus - 1) }];
            let config = WorkerConfig {
                resources: WorkerResources { pools },
                hostname: "node".into(),
                heartbeat: limits::HEARTBEAT_DEFAULT,
                ..WorkerConfig::default()
            };
            let token = format!("token-{index}");
            let registration = Registration { token, config: Box::new(config), ..Registration::default() };
            scene.run(Command::Register(Box::new(registration)));
        }
        scene
    }

    /// One command and the placing after it.
    fn run(&mut self, command: Command) -> Reply {
        self.now = self.now.after(Span(50));
        let output = self.machine.handle(self.now, command);
        self.log.extend(output.events);
        self.keep(output.effects);
        loop {
            let (placed, more) = self.machine.place(self.now);
            self.log.extend(placed.events);
            self.keep(placed.effects);
            if !more {
                return output.reply;
            }
        }
    }

    fn keep(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Assign { worker, assignment } = effect {
                let attempts = assignment
                    .tasks
                    .iter()
                    .map(|task| Attempt::new(assignment.key.job.0, task.task.0, assignment.epoch.0, task.attempt.0));
                self.given.push_back((worker, attempts.collect()));
            }
        }
    }

    /// Lets the workers finish everything, which gives them more, until nothing is left.
    fn finish_all(&mut self) {
        while let Some((worker, mut attempts)) = self.given.pop_front() {
            let rest = attempts.split_off(attempts.len().min(REPORT_OUTCOMES_MAX));
            if !rest.is_empty() {
                self.given.push_front((worker, rest));
            }
            let ended = attempts.into_iter().map(|attempt| self.outcome(attempt)).collect();
            self.run(Command::Report { worker, report: WorkerReport { ended, ..WorkerReport::default() } });
        }
    }

    fn outcome(&mut self, attempt: Attempt) -> Outcome {
        self.number += 1;
        let (started, ended, ending) = (Some(self.now), self.now, Ending::Finished);
        Outcome { number: self.number, attempt, started, ended, ending, ..Outcome::default() }
    }
}

fn array(tasks: u32) -> SubmitRequest {
    let desc =
        TaskDesc { args: vec!["true".into()], request: ResourceRequest::cpus(Amount::units(1)), ..TaskDesc::default() };
    let submit = SubmitDesc { ids: IdSet::range(1, tasks), descs: vec![Arc::new(desc)], ..SubmitDesc::default() };
    SubmitRequest { name: "job".into(), max_fails: None, submit: Arc::new(submit) }
}

/// Each task waits for the one before.
fn chain(links: u32) -> SubmitRequest {
    let mut request = array(links);
    let on_before =
        |task: u32| Dependency { task: TaskId(task), on: TaskRef::new(0, task - 1), condition: Condition::Ok };
    let submit = Arc::make_mut(&mut request.submit);
    submit.deps = (2..=links).map(on_before).collect();
    submit.graph = true;
    submit.desc_of = vec![0; links as usize];
    request
}

fn tasks_through(c: &mut Criterion) {
    const TASKS: u32 = 20_000;
    let mut group = c.benchmark_group("tasks");
    group.throughput(Throughput::Elements(u64::from(TASKS))).sample_size(10);
    for (workers, cpus) in [(1, 2), (16, 8), (1_024, 64)] {
        group.bench_function(format!("{workers}x{cpus}"), |bencher| {
            bencher.iter_batched(
                || Scene::new(workers, cpus),
                |mut scene| {
                    scene.run(Command::Submit(array(TASKS)));
                    scene.finish_all();
                    scene
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn links_of_a_chain(c: &mut Criterion) {
    const LINKS: u32 = 5_000;
    let mut group = c.benchmark_group("chain");
    group.throughput(Throughput::Elements(u64::from(LINKS))).sample_size(10);
    group.bench_function("links", |bencher| {
        bencher.iter_batched(
            || Scene::new(1, 2),
            |mut scene| {
                scene.run(Command::Submit(chain(LINKS)));
                scene.finish_all();
                scene
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn submit_of_a_billion(c: &mut Criterion) {
    c.bench_function("submit/1000000000", |bencher| {
        bencher.iter_batched(
            || Scene::new(0, 0),
            |mut scene| {
                black_box(scene.run(Command::Submit(array(1_000_000_000))));
                scene
            },
            BatchSize::PerIteration,
        );
    });
}

fn replay_of_a_journal(c: &mut Criterion) {
    const TASKS: u32 = 100_000;
    let mut scene = Scene::new(16, 8);
    scene.run(Command::Submit(array(TASKS)));
    scene.finish_all();
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(u64::from(TASKS))).sample_size(10);
    group.bench_function("tasks", |bencher| {
        bencher.iter(|| {
            let mut state = State::default();
            scene.log.iter().for_each(|stamped| state.apply(stamped));
            black_box(state)
        });
    });
    group.finish();
}

criterion_group!(benches, tasks_through, links_of_a_chain, submit_of_a_billion, replay_of_a_journal);
criterion_main!(benches);
