//! Why a task waits. The answer asks the same questions as placing, in the same order.

use super::order;
use super::reserve::{Draft, may_reserve};
use crate::id::{TaskRef, WorkerId};
use crate::limits;
use crate::resource::{Amount, CPUS, Policy, Variant};
use crate::state::State;
use crate::state::classes::{Class, ClassVariant, Need, ResourceIndex};
use crate::state::ready::Level;
use crate::state::tasks::{Place, TaskStatus};
use crate::state::workers::{Link, Worker};
use crate::time::Time;
use crate::view::{
    AfterState, AfterView, ExplainedItem, ExplainedNodes, ExplainedResource, ExplainedTime, ExplainedVariant,
    ExplainedWorker, TaskExplanation, TaskState,
};

/// Explains a task that waits or runs.
///
/// # Errors
/// A sentence for the user when there is nothing to explain.
pub fn explain(state: &State, now: Time, task: TaskRef) -> Result<TaskExplanation, String> {
    let job = state.job(task.job).ok_or("Job not found")?;
    let ordinal = job.tasks.ordinal(task.task).ok_or("Task not found")?;
    let status = job.tasks.status(task.task).ok_or("Task not found")?;
    if status.state().is_final() {
        let word = status.state().word().to_uppercase();
        return Err(format!("Task {task} is {word}; explain works only for tasks that are WAITING or RUNNING"));
    }
    let level = job.level_of(ordinal).ok_or("Task not found")?;
    let class = state.classes.get(level.class).ok_or("Task not found")?;
    let (deps, waiting_deps) = dependencies(state, task, ordinal);
    let (after, closed) = gates(state, task);
    let is_held = job.is_held(ordinal);
    let is_ready = !is_held
        && closed.is_empty()
        && match status {
            TaskStatus::Untouched => true,
            TaskStatus::Live(live) => live.place == Place::Ready,
            _ => false,
        };
    let draft = is_ready.then(|| reserved(state, now, level));
    let mut workers = Vec::new();
    for worker in state.workers.values() {
        let variants: Vec<ExplainedVariant> = class
            .request
            .variants
            .iter()
            .map(|variant| ExplainedVariant { items: items(state, now, worker, variant) })
            .collect();
        let mut explained = ExplainedWorker { id: worker.id, variants, hindrance: String::new() };
        if let Some((draft, above)) = draft.as_ref().filter(|_| explained.runnable() > 0) {
            explained.hindrance = hindrance(state, now, worker, level, class, (draft, *above)).unwrap_or_default();
        }
        workers.push(explained);
    }
    let mut facts: Vec<String> = closed.iter().map(|text| format!("It {text}.")).collect();
    if let TaskStatus::Live(live) = status {
        facts.extend(whereabouts(state, task, live.place));
    }
    if is_held {
        facts.push("The task is held: it does not start until it is released.".to_owned());
    }
    if is_ready {
        facts.extend(standing(state, task, ordinal, level, class));
    }
    let (deps, waiting_deps) = (deps + after, waiting_deps + closed.len() as u64);
    Ok(TaskExplanation { task, deps, waiting_deps, workers, facts })
}

/// How many dependencies the task has, and how many of these have not ended.
fn dependencies(state: &State, task: TaskRef, ordinal: u32) -> (u64, u64) {
    let submit = state.job(task.job).and_then(|job| job.submit_of(ordinal));
    let (mut all, mut waiting) = (0, 0);
    for dependency in submit.iter().flat_map(|(_, submit)| &submit.desc.deps).filter(|dep| dep.task == task.task) {
        let job = if dependency.on.job.0 == 0 { task.job } else { dependency.on.job };
        let on = TaskRef { job, task: dependency.on.task };
        all += 1;
        waiting += u64::from(state.task_state(on).is_some_and(|state| !TaskState::is_final(state)));
    }
    (all, waiting)
}

/// How many dependencies on jobs and on tasks of others concern a task, and what it still waits for of them.
fn gates(state: &State, task: TaskRef) -> (u64, Vec<String>) {
    let after = state.job(task.job).map(|job| state.after_of_task(job, task.task)).unwrap_or_default();
    let closed = after.iter().filter(|after| after.state != AfterState::Met).map(gate_text).collect();
    (after.len() as u64, closed)
}

/// What a task waits for beside other tasks of its job, as the end of a sentence.
fn gate_text(view: &AfterView) -> String {
    let AfterView { after, left, .. } = view;
    let on = after.on;
    match (&after.on_tasks, left) {
        (None, _) if after.each => format!("waits for the task of the same id of job {on} ({after})"),
        (Some(_), 1) => format!("waits for 1 task of job {on} ({after})"),
        (Some(_), _) => format!("waits for {left} tasks of job {on} ({after})"),
        (None, 0) => format!("waits for job {on} to be closed ({after})"),
        (None, 1) => format!("waits for job {on}, of which 1 task has not ended ({after})"),
        (None, _) => format!("waits for job {on}, of which {left} tasks have not ended ({after})"),
    }
}

/// What a variant asks for beside what the worker has.
fn items(state: &State, now: Time, worker: &Worker, variant: &Variant) -> Vec<ExplainedItem> {
    let mut items = Vec::new();
    if variant.min_time.0 > 0 {
        let (min_time, remaining) = (variant.min_time, worker.remaining(now));
        items.push(ExplainedItem::Time(ExplainedTime { min_time, remaining }));
    }
    if variant.nodes > 0 {
        let size = state.groups.get(&worker.config.group).map_or(0, |group| group.members.len());
        let group_size = u32::try_from(size).unwrap_or(u32::MAX);
        items.push(ExplainedItem::Nodes(ExplainedNodes { nodes: variant.nodes, group_size }));
        return items;
    }
    let mut entries: Vec<_> = variant.entries.iter().collect();
    entries.sort_by_key(|entry| (entry.resource != CPUS, state.classes.find_resource(&entry.resource)));
    items.extend(entries.into_iter().map(|entry| {
        let requested = if entry.policy == Policy::All { Amount(1) } else { entry.amount };
        let provided = worker.config.resources.size_of(&entry.resource);
        ExplainedItem::Resource(ExplainedResource { resource: entry.resource.clone(), requested, provided })
    }));
    items
}

/// What the queues that come first keep, and how many they are.
fn reserved(state: &State, now: Time, level: Level) -> (Draft, usize) {
    let mut draft = Draft::new(state);
    let above: Vec<Level> = state
        .ready
        .levels_from(None)
        .take(limits::TURN_LEVELS_MAX)
        .take_while(|other| other.priority() > level.priority())
        .collect();
    for (count, other) in above.iter().enumerate() {
        if may_reserve(count) {
            draft.reserve(state, now, *other);
        }
    }
    (draft, above.len())
}

/// What keeps a task of the class from starting on a worker that could run it.
fn hindrance(
    state: &State,
    now: Time,
    worker: &Worker,
    level: Level,
    class: &Class,
    (draft, above): (&Draft, usize),
) -> Option<String> {
    if let Some(text) = closed(worker) {
        return Some(text);
    }
    let kept = || format!("it is kept for tasks of higher priority ({above} such requests wait)");
    if class.nodes().is_some() {
        if !worker.tasks.is_empty() {
            return Some(format!("{} tasks are on it, and a multi-node task wants it vacant", worker.tasks.len()));
        }
        return draft.closed.contains_key(&worker.id).then(kept);
    }
    let forms = (0u32..).zip(&class.variants).filter(|(_, form)| worker.is_eligible(form, now));
    let open: Vec<&ClassVariant> =
        forms.filter(|(variant, _)| !worker.is_blocked(level.class, *variant)).map(|(_, form)| form).collect();
    if open.is_empty() {
        return Some("it has said that its free indices do not allow such a request now".to_owned());
    }
    let lacks = open.iter().map(|form| lacking(state, worker, form)).min_by_key(|lacks| lacks.len())?;
    if !lacks.is_empty() {
        return Some(lacks.join(", "));
    }
    if worker.config.min_utilization_parts > 0 {
        let percent = f64::from(worker.config.min_utilization_parts) / 100.0;
        return Some(format!("it takes tasks only if they make it use {percent}% of its cpus"));
    }
    let variants: Vec<ClassVariant> = open.into_iter().cloned().collect();
    (draft.open.first(&variants, worker.id, now) != Some(worker.id)).then(kept)
}

/// Why a worker takes nothing at all.
fn closed(worker: &Worker) -> Option<String> {
    if worker.link != Link::Connected {
        return Some("its connection is broken; it may come back".to_owned());
    }
    if worker.stopping.is_some() {
        return Some("it is ending".to_owned());
    }
    if worker.draining.is_some() {
        return Some("it drains: what runs there goes on, and nothing new starts".to_owned());
    }
    if let Some(task) = worker.gang {
        return Some(format!("the multi-node task {task} has it for itself"));
    }
    if worker.room() == 0 {
        return Some(format!("{} tasks lie on it, which is the most that a worker gets", limits::WORKER_TASKS_MAX));
    }
    (!worker.accepts()).then(|| "it takes no new tasks".to_owned())
}

/// What is not free of what a form needs, in words.
fn lacking(state: &State, worker: &Worker, form: &ClassVariant) -> Vec<String> {
    let amount = |parts: i64| Amount(u64::try_from(parts).unwrap_or(0));
    let lack = |(resource, need): &(ResourceIndex, Need)| {
        let (free, all) = (worker.free(*resource), worker.capacity(*resource));
        let name = state.classes.resource_name(*resource);
        let (needed, word) = match need {
            Need::Parts(parts) => (*parts, Amount(*parts).to_string()),
            Need::All => (all, "all".to_owned()),
        };
        let fits = i64::try_from(needed).is_ok_and(|needed| free >= needed);
        (!fits).then(|| format!("{} of {} {name} are free, {word} needed", amount(free), Amount(all)))
    };
    form.needs.iter().filter_map(lack).collect()
}

/// Where a task is that is on a worker.
fn whereabouts(state: &State, task: TaskRef, place: Place) -> Option<String> {
    let nodes = state.job(task.job).and_then(|job| job.tasks.nodes.get(&task.task));
    let on = |worker: WorkerId| match nodes {
        Some(nodes) => {
            let ids: Vec<String> = nodes.iter().map(ToString::to_string).collect();
            format!("workers {}", ids.join(", "))
        }
        None => format!("worker {worker}"),
    };
    match place {
        Place::Running { worker, .. } => Some(format!("The task runs on {}.", on(worker))),
        Place::Assigned { worker, ahead: false, .. } => Some(format!("The task was given to {}.", on(worker))),
        Place::Assigned { worker, .. } => {
            Some(format!("The task lies on worker {worker}, to start there as soon as a task like it ends."))
        }
        Place::Blocked { .. } | Place::Ready | Place::Delayed { .. } => None,
    }
}

/// Who comes before a task that is ready.
fn standing(state: &State, task: TaskRef, ordinal: u32, level: Level, class: &Class) -> Vec<String> {
    let mut facts = Vec::new();
    let mut before = 0u64;
    for run in state.ready.runs(level).take(limits::PAGE_SCAN_TASKS_MAX) {
        if (run.job, run.first) > (task.job, ordinal) {
            break;
        }
        before += if run.job == task.job && run.last >= ordinal { u64::from(ordinal - run.first) } else { run.len() };
    }
    if before > 0 {
        facts.push(format!("{before} tasks with the same request and priority come before it."));
    }
    let levels = state.ready.levels_from(None).take(limits::TURN_LEVELS_MAX);
    let (mut higher, mut richer) = (0u32, 0u32);
    let own = order::value(state, class);
    for other in levels.filter(|other| *other != level) {
        let is_richer = || state.classes.get(other.class).is_some_and(|other| order::value(state, other) > own);
        higher += u32::from(other.priority() > level.priority());
        richer += u32::from(other.priority() == level.priority() && is_richer());
    }
    if higher > 0 {
        facts.push(format!("{higher} other requests of higher priority wait."));
    }
    if richer > 0 {
        facts.push(format!("{richer} other requests of the same priority want more and are placed first."));
    }
    if let Some(nodes) = class.nodes() {
        let most = state.groups.iter().map(|(_, group)| group.vacant.len()).max().unwrap_or(0);
        facts.push(format!("At most {most} workers of one group are vacant now; {nodes} are needed."));
    }
    facts
}
