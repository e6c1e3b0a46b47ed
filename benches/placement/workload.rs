//! Workloads for the simulation, with what no schedule can beat.
//!
//! The bound of a workload is the largest of: the work of each resource over all there is of it, the longest chain of
//! tasks, and, where all tasks are alike, the number of rounds that they need.
//!
//! Holds: everything is a function of the numbers here; the sizes of nodes are such that all of them are needed.

use super::simulate::{Durations, Node, Scenario};
use hq_core::id::{TaskId, TaskRef};
use hq_core::idset::IdSet;
use hq_core::resource::{Amount, Policy, RequestEntry, ResourceRequest, Variant};
use hq_core::task::{Condition, Dependency, SubmitDesc, SubmitRequest, TaskDesc};
use hq_core::time::Span;
use std::sync::{Arc, LazyLock};

/// A scenario with its bound.
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// What is simulated.
    pub scenario: Scenario,
    /// Seconds that no schedule can beat.
    pub bound: f64,
    /// Share of the work over what all nodes can do in the time of the bound: how full they could be.
    pub work: f64,
    /// Seconds of the longest task in its slowest form.
    pub longest: f64,
    /// The ratio of makespan to bound that is wanted.
    pub target: f64,
}

/// SplitMix64 (Steele, Lea, Flood, 2014): a number that looks random, from a task.
fn scatter(task: TaskRef) -> u64 {
    let mut z =
        (u64::from(task.job.0) << 32 | u64::from(task.task.0)).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Between `low` and `high` milliseconds.
fn between(task: TaskRef, low: u64, high: u64) -> Span {
    Span::from_ms(low + scatter(task) % (high - low + 1))
}

fn alike(_: TaskRef, _: u32) -> Span {
    Span::from_ms(10_000)
}

fn varied(task: TaskRef, _: u32) -> Span {
    between(task, 5_000, 15_000)
}

/// The form on a GPU is four times as fast.
fn by_variant(task: TaskRef, variant: u32) -> Span {
    let base = between(task, 5_000, 15_000);
    if variant == 0 { base } else { Span(base.0 * 4) }
}

/// One in ten takes ten times as long.
fn long_and_short(task: TaskRef, _: u32) -> Span {
    if scatter(task).is_multiple_of(10) { between(task, 20_000, 30_000) } else { between(task, 1_000, 3_000) }
}

/// One kind of task of a campaign.
struct Kind {
    /// Of a thousand tasks.
    share: u32,
    cpus: u32,
    gpus: u32,
    /// Least and most milliseconds.
    lasts: (u64, u64),
}

/// The kinds of `campaign.txt`; each is one job, in this order.
static CAMPAIGN: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let lines = include_str!("campaign.txt").lines().filter(|line| !line.starts_with('#'));
    let kind = |line: &str| {
        let numbers: Vec<u32> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [share, cpus, gpus, least, most] = numbers[..] else { panic!("five numbers are wanted: {line}") };
        Kind { share, cpus, gpus, lasts: (u64::from(least) * 1_000, u64::from(most) * 1_000) }
    };
    lines.map(kind).collect()
});

/// By the kind, which is the job.
fn of_campaign(task: TaskRef, _: u32) -> Span {
    let (least, most) = CAMPAIGN[task.job.0 as usize - 1].lasts;
    between(task, least, most)
}

fn form(needs: &[(&str, u32)]) -> Variant {
    let entry = |(name, units): &(&str, u32)| RequestEntry {
        resource: (*name).to_owned(),
        amount: Amount::units(*units),
        policy: Policy::Compact,
    };
    Variant { entries: needs.iter().map(entry).collect(), ..Variant::default() }
}

fn array(tasks: u32, variants: Vec<Variant>, priority: i32) -> SubmitRequest {
    let desc =
        TaskDesc { args: vec!["true".into()], request: ResourceRequest { variants }, priority, ..TaskDesc::default() };
    let ids = IdSet::range(0, tasks.max(1) - 1);
    let submit = SubmitDesc { ids, descs: vec![Arc::new(desc)], ..SubmitDesc::default() };
    SubmitRequest { name: "job".into(), max_fails: None, submit: Arc::new(submit), ..SubmitRequest::default() }
}

/// Layers of tasks, each of which waits for three of the layer before.
fn layers(layers: u32, width: u32) -> SubmitRequest {
    let mut request = array(layers * width, vec![form(&[("cpus", 1)])], 0);
    let submit = Arc::make_mut(&mut request.submit);
    for layer in 1..layers {
        for column in 0..width {
            for other in 0..3 {
                let on = TaskRef::new(0, (layer - 1) * width + (column + other * 7) % width);
                let task = TaskId(layer * width + column);
                if !submit.deps.iter().rev().take(3).any(|dep| dep.task == task && dep.on == on) {
                    submit.deps.push(Dependency { task, on, condition: Condition::Ok });
                }
            }
        }
    }
    submit.desc_of = vec![0; (layers * width) as usize];
    submit.graph = true;
    request
}

fn nodes(count: u32, pools: &[(&'static str, u32)]) -> Vec<Node> {
    vec![Node { pools: pools.to_vec(), group: "default" }; count as usize]
}

fn seconds(span: Span) -> f64 {
    span.0 as f64 / 1e6
}

/// Work of all tasks in units times seconds, and the longest task.
fn work(submits: &[SubmitRequest], durations: Durations, units: impl Fn(&SubmitRequest) -> f64) -> (f64, f64) {
    let (mut sum, mut longest) = (0.0, 0.0f64);
    for (job, submit) in (1u32..).zip(submits) {
        for task in submit.submit.ids.iter() {
            let lasts = seconds(durations(TaskRef::new(job, task), 0));
            sum += lasts * units(submit);
            longest = longest.max(lasts);
        }
    }
    (sum, longest)
}

fn units_of(submit: &SubmitRequest, name: &str) -> f64 {
    let variant = submit.submit.descs.first().and_then(|desc| desc.request.variants.first());
    let entry = variant.and_then(|variant| variant.entries.iter().find(|entry| entry.resource == name));
    entry.map_or(0.0, |entry| entry.amount.0 as f64 / Amount::UNIT as f64)
}

/// A workload whose only scarce resource are CPUs.
fn on_cpus(
    name: &'static str,
    (workers, cpus): (u32, u32),
    submits: Vec<SubmitRequest>,
    durations: Durations,
    (floor, target): (f64, f64),
) -> Workload {
    let (sum, longest) = work(&submits, durations, |submit| units_of(submit, "cpus"));
    let bound = (sum / f64::from(workers * cpus)).max(longest).max(floor);
    let work = sum / f64::from(workers * cpus);
    let scenario = Scenario { nodes: nodes(workers, &[("cpus", cpus)]), submits, durations };
    Workload { name, scenario, bound, work, longest, target }
}

/// All workloads of about `tasks` tasks on so many workers.
pub fn all(tasks: u32, workers: u32) -> Vec<Workload> {
    // Nodes as large as leaves several rounds for every worker.
    let cpus = (tasks / workers).clamp(8, 64);
    let one = || vec![form(&[("cpus", 1)])];
    let single = |cpus| vec![form(&[("cpus", cpus)])];
    let rounds = f64::from(tasks.div_ceil(workers * (cpus / 8).max(1))) * 10.0;
    let mix = || [1, 2, 4, 8].map(|cpus| array(tasks / 4, single(cpus), 0)).to_vec();
    let odd = || [1, 2, 3, 5, 7].map(|cpus| array(tasks / 5, single(cpus), 0)).to_vec();
    let depth = 10;
    let longest_chain = |durations: Durations, request: &SubmitRequest| {
        let mut ends: Vec<f64> = Vec::new();
        let mut deps = request.submit.deps.iter().peekable();
        for task in request.submit.ids.iter() {
            let mut start = 0.0f64;
            while let Some(dep) = deps.next_if(|dep| dep.task.0 == task) {
                start = start.max(ends.get(dep.on.task.0 as usize).copied().unwrap_or(0.0));
            }
            ends.push(start + seconds(durations(TaskRef::new(1, task), 0)));
        }
        ends.into_iter().fold(0.0, f64::max)
    };
    let graph = layers(depth, tasks / depth);
    let chain = longest_chain(varied, &graph);
    let mut workloads = vec![
        on_cpus("homogeneous", (workers, (cpus / 8).max(1)), vec![array(tasks, one(), 0)], alike, (rounds, 1.02)),
        on_cpus("1/2/4/8 cpus", (workers, cpus), mix(), varied, (0.0, 1.10)),
        on_cpus("1/2/3/5/7 cpus", (workers, cpus), odd(), varied, (0.0, 1.10)),
        on_cpus(
            "long + short",
            (workers, (cpus / 8).max(1)),
            vec![array(tasks, one(), 0)],
            long_and_short,
            (0.0, 1.10),
        ),
        on_cpus("layers", (workers, (cpus / 8).max(1)), vec![graph], varied, (chain, 1.10)),
    ];
    workloads.push(gpus(tasks, workers, cpus));
    workloads.push(campaign(tasks, workers, cpus));
    if workers >= 8 {
        workloads.push(multi_node(tasks, workers, (cpus / 8).max(1)));
    }
    workloads
}

/// Tasks that run on a GPU and one CPU, or four times as long on four CPUs.
fn gpus(tasks: u32, workers: u32, cpus: u32) -> Workload {
    let per_node = (cpus / 8).max(1);
    let forms = vec![form(&[("cpus", 1), ("gpus", 1)]), form(&[("cpus", 4)])];
    let submits = vec![array(tasks, forms, 0)];
    let (sum, longest) = work(&submits, by_variant, |_| 1.0);
    // GPUs are four times as fast and take a quarter of the CPUs: the most work is done with all of them.
    let rate = f64::from(per_node) + f64::from(cpus - per_node) / 4.0 / 4.0;
    let bound = (sum / (f64::from(workers) * rate)).max(longest);
    let scenario =
        Scenario { nodes: nodes(workers, &[("cpus", cpus), ("gpus", per_node)]), submits, durations: by_variant };
    let work = sum / (f64::from(workers) * rate);
    // In the slower form.
    let longest = 4.0 * longest;
    Workload { name: "gpu or cpus", scenario, bound, work, longest, target: 1.10 }
}

/// The campaign of `campaign.txt`, on nodes with two GPUs.
fn campaign(tasks: u32, workers: u32, cpus: u32) -> Workload {
    let job = |kind: &Kind| {
        let needs = [("cpus", kind.cpus), ("gpus", kind.gpus)];
        let needs: Vec<(&str, u32)> = needs.into_iter().filter(|(_, units)| *units > 0).collect();
        array((tasks * kind.share / 1_000).max(1), vec![form(&needs)], 0)
    };
    let submits: Vec<SubmitRequest> = CAMPAIGN.iter().map(job).collect();
    let share = |name: &str, units: u32| {
        let (sum, longest) = work(&submits, of_campaign, |submit| units_of(submit, name));
        (sum / f64::from(workers * units), longest)
    };
    let ((work, longest), (on_gpus, _)) = (share("cpus", cpus), share("gpus", 2));
    let scenario = Scenario { nodes: nodes(workers, &[("cpus", cpus), ("gpus", 2)]), submits, durations: of_campaign };
    let work = work.max(on_gpus);
    Workload { name: "campaign.txt", scenario, bound: work.max(longest), work, longest, target: 1.10 }
}

/// One task in a hundred takes four whole nodes.
fn multi_node(tasks: u32, workers: u32, cpus: u32) -> Workload {
    let gangs = (tasks / 100).max(1);
    let gang = vec![Variant { nodes: 4, ..Variant::default() }];
    let submits = vec![array(tasks - gangs, vec![form(&[("cpus", 1)])], 0), array(gangs, gang, 0)];
    let units = |submit: &SubmitRequest| {
        let nodes = submit.submit.descs.first().and_then(|desc| desc.request.variants.first()).map_or(0, |v| v.nodes);
        if nodes > 0 { f64::from(nodes * cpus) } else { 1.0 }
    };
    let (sum, longest) = work(&submits, varied, units);
    let work = sum / f64::from(workers * cpus);
    let scenario = Scenario { nodes: nodes(workers, &[("cpus", cpus)]), submits, durations: varied };
    Workload { name: "multi-node + single", scenario, bound: work.max(longest), work, longest, target: 1.10 }
}
