//! How good placing is, on small workloads in virtual time, and that nothing is parked while another worker idles.
//!
//! The full measurement is `cargo bench --bench placement`; what is here would show that it has become worse.
//!
//! Holds: no time is measured, and every history is the same in every run.

#[path = "../benches/placement/simulate.rs"]
#[allow(dead_code)]
mod simulate;
#[path = "../benches/placement/workload.rs"]
#[allow(dead_code)]
mod workload;

use hq_core::audit::audit;
use hq_core::command::Command;
use hq_core::id::{TaskRef, WorkerId};
use hq_core::idset::IdSet;
use hq_core::resource::{Amount, Policy, RequestEntry, ResourceRequest, Variant};
use hq_core::task::{SubmitDesc, SubmitRequest, TaskDesc};
use hq_core::time::{Span, Time};
use proptest::prelude::*;
use simulate::{Node, Simulation, WAY};
use std::collections::BTreeMap;
use std::sync::Arc;

#[test]
fn makespans_are_near_what_no_schedule_can_beat() {
    for workers in [1, 4, 8] {
        for workload in workload::all(1_000, workers) {
            let figures = simulate::run(&workload.scenario);
            let ratio = figures.makespan.0 as f64 / 1e6 / workload.bound;
            assert!(ratio >= 0.999, "{} on {workers}: the bound is wrong, ratio {ratio}", workload.name);
            // Where the end of the last tasks is a large part of the whole, that part alone can be judged.
            let is_long = workload.bound > 8.0 * workload.longest;
            let target = workload.target * 1.01;
            assert!(!is_long || ratio <= target, "{} on {workers}: {ratio} above {target}", workload.name);
            let tail = (figures.makespan.0 as f64 / 1e6 - workload.bound) / workload.longest;
            assert!(tail <= 1.0, "{} on {workers}: a tail of {tail} longest tasks", workload.name);
        }
    }
}

/// Between 1 ms and 100 ms: such tasks are given ahead.
fn short(task: TaskRef, _: u32) -> Span {
    Span::from_ms(1 + u64::from(task.job.0 * 31 + task.task.0 * 17) % 100)
}

fn submit(tasks: u32, variants: Vec<Variant>, priority: i32) -> SubmitRequest {
    let request = ResourceRequest { variants };
    let desc = TaskDesc { args: vec!["true".into()], request, priority, ..TaskDesc::default() };
    let ids = IdSet::range(0, tasks - 1);
    let submit = SubmitDesc { ids, descs: vec![Arc::new(desc)], ..SubmitDesc::default() };
    SubmitRequest { name: "job".into(), max_fails: None, submit: Arc::new(submit), ..SubmitRequest::default() }
}

fn form(cpus: u32, gpus: u32, nodes: u32) -> Variant {
    let entry = |name: &str, units: u32| RequestEntry {
        resource: name.to_owned(),
        amount: Amount::units(units),
        policy: if units == 0 { Policy::All } else { Policy::Compact },
    };
    let mut entries = vec![entry("cpus", cpus)];
    entries.extend((gpus > 0).then(|| entry("gpus", gpus)));
    Variant { nodes, entries, ..Variant::default() }
}

#[derive(Debug, Clone)]
enum Step {
    Submit(u32, Vec<(u32, u32)>, i32),
    Gang(u32, u32, i32),
    Connect(u32, u32, bool),
    Cancel(u32),
    Run(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let forms = proptest::collection::vec((0u32..5, 0u32..3), 1..3);
    prop_oneof![
        4 => (1u32..40, forms, -1i32..2).prop_map(|(tasks, forms, priority)| Step::Submit(tasks, forms, priority)),
        1 => (1u32..3, 1u32..4, -1i32..2).prop_map(|(tasks, nodes, priority)| Step::Gang(tasks, nodes, priority)),
        2 => (1u32..5, 0u32..3, any::<bool>()).prop_map(|(cpus, gpus, group)| Step::Connect(cpus, gpus, group)),
        1 => (1u32..6).prop_map(Step::Cancel),
        6 => (1u16..200).prop_map(Step::Run),
    ]
}

/// Watches that no task stays parked on a worker while another one could start it.
#[derive(Default)]
struct Watch {
    /// Since when a task that lies on a worker could start on another one.
    since: BTreeMap<(WorkerId, WorkerId), Time>,
}

/// A word to the server, its answer, what was asked for going back, and the task going out again.
const ROUND_TRIP: Span = Span(4 * WAY.0);

impl Watch {
    fn look(&mut self, simulation: &Simulation) -> Result<(), TestCaseError> {
        let state = simulation.machine.state();
        // What waits for more important tasks is kept free on purpose.
        let nothing_else_waits = state.ready.is_empty();
        let mut parked = BTreeMap::new();
        for (holder, _, form) in simulation.parked() {
            let Some(form) = form.filter(|_| nothing_else_waits) else { continue };
            for idle in simulation.workers().filter(|idle| *idle != holder) {
                let usable = state.workers.get(&idle).is_some_and(|worker| worker.accepts() && worker.tasks.is_empty());
                if usable && simulation.could_start(idle, form) {
                    parked.insert((holder, idle), simulation.now);
                }
            }
        }
        self.since.retain(|pair, _| parked.contains_key(pair));
        for (pair, now) in parked {
            let since = *self.since.entry(pair).or_insert(now);
            prop_assert!(now.since(since) <= ROUND_TRIP, "{pair:?} since {since:?}, now {now:?}");
        }
        Ok(())
    }
}

fn play(simulation: &mut Simulation, watch: &mut Watch, step: &Step) -> Result<(), TestCaseError> {
    match step {
        Step::Submit(tasks, forms, priority) => {
            let forms = forms.iter().map(|(cpus, gpus)| form(*cpus, *gpus, 0)).collect();
            simulation.command(Command::Submit(submit(*tasks, forms, *priority)));
        }
        Step::Gang(tasks, nodes, priority) => {
            simulation.command(Command::Submit(submit(*tasks, vec![form(1, 0, *nodes)], *priority)));
        }
        Step::Connect(cpus, gpus, group) => {
            let mut pools = vec![("cpus", *cpus)];
            pools.extend((*gpus > 0).then_some(("gpus", *gpus)));
            simulation.connect(&Node { pools, group: if *group { "a" } else { "b" } });
        }
        Step::Cancel(job) => {
            simulation.command(Command::Cancel { jobs: vec![hq_core::id::JobId(*job)], reason: None });
        }
        Step::Run(count) => {
            for _ in 0..*count {
                simulation.step();
                watch.look(simulation)?;
            }
            return Ok(());
        }
    }
    simulation.place();
    Ok(())
}

/// Few histories, since each is long, unless more are asked for.
fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if asked { default.cases } else { 32 }, ..default }
}

proptest! {
    #![proptest_config(cases())]

    /// Over random histories of workers with delays: what lies ahead is taken back while a fitting worker idles, each
    /// task goes only to workers that can run it, and once everything can run somewhere, everything ends.
    #[test]
    fn nothing_is_parked_while_a_fitting_worker_idles(steps in proptest::collection::vec(step(), 1..40)) {
        let mut simulation = Simulation::new(&[], short);
        let mut watch = Watch::default();
        for step in &steps {
            play(&mut simulation, &mut watch, step)?;
            prop_assert_eq!(audit(simulation.machine.state()), Ok(()));
        }
        // Three workers of one group that can run everything.
        for _ in 0..3 {
            simulation.connect(&Node { pools: vec![("cpus", 4), ("gpus", 2)], group: "large" });
        }
        while simulation.step() {
            watch.look(&simulation)?;
        }
        prop_assert_eq!(audit(simulation.machine.state()), Ok(()));
        let left: u64 = simulation.machine.state().jobs.values().map(|job| job.counts.unfinished()).sum();
        prop_assert_eq!(left, 0, "of {:?}", steps);
    }
}
