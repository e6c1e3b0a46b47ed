//! Why a task that may start does not: what it needs beside what there is.

use super::{NAMED_MAX, Said, plural, span_text, worker_text};
use crate::id::TaskRef;
use crate::place::explain::explain;
use crate::resource::Amount;
use crate::state::State;
use crate::time::{Span, Time};
use crate::view::{ExplainedItem, ExplainedWorker, TaskExplanation};

/// What is to be said about a task that is queued.
pub(super) fn why(state: &State, now: Time, task: TaskRef) -> Said {
    if let Some(said) = unsettled(state, task) {
        return said;
    }
    let Ok(explained) = explain(state, now, task) else { return Said::default() };
    if explained.workers.is_empty() {
        return Said::new("no worker is connected");
    }
    let able: Vec<&ExplainedWorker> = explained.workers.iter().filter(|worker| worker.runnable() > 0).collect();
    if able.is_empty() {
        return too_large(&explained);
    }
    let mut said = Said::new(match able.iter().filter(|worker| worker.hindrance.is_empty()).count() {
        0 => {
            let count = u32::try_from(able.len()).unwrap_or(u32::MAX);
            format!("{} run it, and not now", plural(count, "worker could", "workers could"))
        }
        _ => "it is about to be placed".to_owned(),
    });
    if let [only] = able.as_slice()
        && !only.hindrance.is_empty()
    {
        said.sentence = format!("it could run on worker {} only, and not now: {}", only.id, only.hindrance);
    }
    said.details.extend(explained.facts);
    let hindered = able.iter().filter(|worker| !worker.hindrance.is_empty());
    name_workers(&mut said, hindered.map(|worker| format!("worker {}: {}", worker.id, worker.hindrance)));
    said
}

/// Names the first workers, and says how many more there are.
fn name_workers(said: &mut Said, mut lines: impl Iterator<Item = String>) {
    said.details.extend(lines.by_ref().take(NAMED_MAX));
    let more = lines.count();
    if more > 0 {
        said.details.push(format!("and {more} more workers"));
    }
}

/// Who is missing since the server was started again may run the task already, unless it is newer than that.
fn unsettled(state: &State, task: TaskRef) -> Option<Said> {
    state.job(task.job).filter(|job| job.submitted < state.started)?;
    let count = u32::try_from(state.missing_since_restart().count()).unwrap_or(u32::MAX);
    let missing = plural(count, "worker has", "workers have");
    let mut said = Said::new(format!(
        "the server was started again, and {missing} not come back: one of them may run it already, so it waits until they \
         are back or lost"
    ));
    let missing = state.missing_since_restart();
    name_workers(&mut said, missing.map(|worker| format!("{} is missing", worker_text(state, worker.id))));
    (count > 0).then_some(said)
}

/// No worker has what is asked for, used or not: what the variants lack, the first one in the sentence.
fn too_large(explained: &TaskExplanation) -> Said {
    let variants = explained.workers.iter().map(|worker| worker.variants.len()).max().unwrap_or(0);
    let mut lacks = (0..variants).map(|variant| lack(explained, variant));
    let mut said = Said::new(lacks.next().unwrap_or_default());
    said.details.extend((1u32..).zip(lacks).map(|(number, lack)| format!("variant {number}: {lack}")));
    said
}

/// What keeps a variant from all workers.
fn lack(explained: &TaskExplanation, variant: usize) -> String {
    let lists: Vec<&[ExplainedItem]> =
        explained.workers.iter().filter_map(|worker| Some(worker.variants.get(variant)?.items.as_slice())).collect();
    let Some(wanted) = lists.first() else { return String::new() };
    let at = |place: usize| lists.iter().filter_map(move |items| items.get(place));
    for (place, item) in wanted.iter().enumerate() {
        if !at(place).any(ExplainedItem::is_provided) {
            return missing(item, at(place));
        }
    }
    let all: Vec<String> = wanted.iter().map(needed).collect();
    format!("needs {}, and no connected worker has all of that", all.join(", "))
}

/// What is asked for, in words.
fn needed(item: &ExplainedItem) -> String {
    match item {
        ExplainedItem::Time(time) => format!("a life of {}", span_text(time.min_time)),
        ExplainedItem::Nodes(nodes) => format!("{} workers of one group", nodes.nodes),
        ExplainedItem::Resource(resource) if resource.requested == Amount(1) => format!("all {}", resource.resource),
        ExplainedItem::Resource(resource) => format!("{} {}", resource.requested, resource.resource),
    }
}

/// Something that no worker has enough of, beside the most that one has.
fn missing<'a>(item: &ExplainedItem, there: impl Iterator<Item = &'a ExplainedItem>) -> String {
    let needed = needed(item);
    match item {
        ExplainedItem::Time(_) => {
            let left = there.filter_map(|item| match item {
                ExplainedItem::Time(time) => time.remaining,
                _ => None,
            });
            let most = left.max().unwrap_or(Span(0));
            format!("needs a worker with {needed}, the longest-lived one has {} left", span_text(most))
        }
        ExplainedItem::Nodes(_) => {
            let sizes = there.map(|item| match item {
                ExplainedItem::Nodes(nodes) => nodes.group_size,
                _ => 0,
            });
            format!("needs {needed}, the largest group has {}", sizes.max().unwrap_or(0))
        }
        ExplainedItem::Resource(_) => {
            let amounts = there.map(|item| match item {
                ExplainedItem::Resource(resource) => resource.provided,
                _ => Amount::ZERO,
            });
            match amounts.max().unwrap_or(Amount::ZERO) {
                Amount::ZERO => format!("needs {needed}, which no connected worker has"),
                most => format!("needs {needed}, the largest connected worker has {most}"),
            }
        }
    }
}
