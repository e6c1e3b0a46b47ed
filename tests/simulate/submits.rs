//! What clients submit: arrays, graphs, multi-node tasks, tasks behind gates, tasks for open jobs.

use crate::dice::Dice;
use crate::world::World;
use hq_core::after::{AfterRequest, AfterSpec, AfterTarget};
use hq_core::id::{JobId, TaskId, TaskRef};
use hq_core::idset::{IdRange, IdSet};
use hq_core::resource::{Amount, Policy, RequestEntry, ResourceRequest, Variant};
use hq_core::retry::{RetryOn, RetryPolicy};
use hq_core::task::{Condition, CrashLimit, Dependency, Entries, SubmitDesc, SubmitRequest, TaskDesc};
use hq_core::time::Span;
use std::sync::Arc;

fn condition(dice: &mut Dice) -> Condition {
    dice.pick(&[Condition::Ok, Condition::Ok, Condition::Any, Condition::Failed]).copied().unwrap_or_default()
}

fn entry(name: &str, units: u64) -> RequestEntry {
    RequestEntry { resource: name.to_owned(), amount: Amount::units(units as u32), policy: Policy::Compact }
}

fn request(dice: &mut Dice) -> ResourceRequest {
    if dice.permille(60) {
        let nodes = dice.within(1, 3) as u32;
        return ResourceRequest { variants: vec![Variant { nodes, ..Variant::default() }] };
    }
    let mut entries = vec![entry("cpus", dice.span(1, 8))];
    entries.extend(dice.permille(80).then(|| entry("gpus", dice.within(1, 2))));
    entries.extend(dice.permille(80).then(|| entry("mem", dice.within(1, 4))));
    let min_time = if dice.permille(80) { Span::from_ms(dice.span(100, 60_000)) } else { Span::default() };
    let mut variants = vec![Variant { entries, min_time, ..Variant::default() }];
    if dice.permille(100) {
        variants.push(Variant { entries: vec![entry("cpus", dice.within(1, 4))], ..Variant::default() });
    }
    ResourceRequest { variants }
}

fn desc(dice: &mut Dice, retries: u64) -> Arc<TaskDesc> {
    let retry = dice.permille(retries).then(|| {
        let delay = if dice.permille(500) { Span::default() } else { Span::from_ms(dice.span(10, 5_000)) };
        let on = RetryOn { any: dice.permille(700), node: dice.permille(500), ..RetryOn::default() };
        Box::new(RetryPolicy { max: dice.within(1, 3) as u32, on, delay, delay_max: Span::from_secs(20) })
    });
    let crash_limit = match dice.below(10) {
        0 => CrashLimit::Never,
        1 => CrashLimit::Unlimited,
        2..5 => CrashLimit::Max(dice.within(1, 3) as u32),
        _ => CrashLimit::default(),
    };
    let crash_limit =
        if retry.is_some() && crash_limit == CrashLimit::Unlimited { CrashLimit::Max(2) } else { crash_limit };
    Arc::new(TaskDesc {
        args: vec!["true".into()],
        request: request(dice),
        priority: dice.below(3) as i32 - 1,
        time_limit: dice.permille(100).then(|| Span::from_ms(dice.span(10, 20_000))),
        crash_limit,
        retry,
        ..TaskDesc::default()
    })
}

impl World {
    pub fn random_submit(&mut self) -> SubmitRequest {
        let name = self.name();
        let attached = self.dice.permille(200).then(|| self.some_open_job()).flatten();
        let after = if self.dice.permille(200) { self.some_after() } else { Vec::new() };
        let (dice, retries) = (&mut self.dice, self.settings.retries);
        let mut submit = if dice.permille(300) { graph(dice, retries) } else { array(dice, retries) };
        submit.submit_dir = "/home/u".into();
        let max_fails = dice.permille(200).then(|| dice.below(4) as u32);
        let free_ids_from = attached.map(|_| 0);
        SubmitRequest {
            name,
            max_fails: max_fails.filter(|_| attached.is_none()),
            submit: Arc::new(submit),
            job: attached,
            free_ids_from,
            after,
            ..SubmitRequest::default()
        }
    }

    fn some_open_job(&mut self) -> Option<JobId> {
        let jobs = self.machine().map(|machine| &machine.state().jobs)?;
        let open: Vec<JobId> = jobs.values().filter(|job| job.is_open).map(|job| job.id).collect();
        self.dice.pick(&open).copied()
    }

    fn some_after(&mut self) -> Vec<AfterRequest> {
        let jobs = self.machine().map(|machine| machine.state().jobs.keys().map(|job| job.0).collect::<Vec<u32>>());
        let jobs = jobs.unwrap_or_default();
        let dice = &mut self.dice;
        let count = dice.within(1, 2);
        (0..count)
            .filter_map(|_| {
                let recent = &jobs[jobs.len().saturating_sub(8)..];
                let on = *dice.pick(recent)?;
                let each = dice.permille(200);
                let first = dice.below(6) as u32;
                let on_tasks = dice.permille(300).then(|| IdSet::range(first, first + dice.below(3) as u32));
                let spec = AfterSpec {
                    condition: condition(dice),
                    each,
                    target: AfterTarget::Ids,
                    jobs: IdSet::single(on),
                    on_tasks: on_tasks.filter(|_| !each),
                    ..AfterSpec::default()
                };
                Some(AfterRequest { tasks: IdSet::default(), spec })
            })
            .collect()
    }
}

fn array(dice: &mut Dice, retries: u64) -> SubmitDesc {
    let count = dice.span(1, 40) as u32;
    let step = if dice.permille(100) { 3 } else { 1 };
    let ids = IdSet { ranges: vec![IdRange::stepped(0, (count - 1) * step, step)] };
    let entries = match dice.permille(150) {
        true => Entries::pack((0..count).map(|_| b"entry".as_slice())),
        false => Entries::default(),
    };
    SubmitDesc { ids, descs: vec![desc(dice, retries)], entries, ..SubmitDesc::default() }
}

fn graph(dice: &mut Dice, retries: u64) -> SubmitDesc {
    let count = dice.span(2, 20) as u32;
    let kinds = dice.within(1, 3);
    let descs = (0..kinds).map(|_| desc(dice, retries)).collect();
    let desc_of = (0..count).map(|_| dice.below(kinds) as u32).collect();
    let mut deps = Vec::new();
    for task in 1..count {
        for _ in 0..dice.below(3) {
            let on = TaskRef::new(0, dice.below(u64::from(task)) as u32);
            deps.push(Dependency { task: TaskId(task), on, condition: condition(dice) });
        }
    }
    SubmitDesc { ids: IdSet::range(0, count - 1), descs, desc_of, deps, graph: true, ..SubmitDesc::default() }
}
