//! `hq task explain` as text and JSON.
//!
//! First what programs read: one line about the dependencies, one about the workers, a table. What a person wants to know
//! beside it comes after.
//!
//! Holds: the lines, the table and the known keys of the JSON have a fixed form; further facts only follow them.

use super::color::Palette;
use super::escape;
use super::table::{Cell, Column, Table};
use crate::grammar::duration;
use hq_core::idset::IdSet;
use hq_core::time::Span;
use hq_core::view::{ExplainedItem, ExplainedVariant, ExplainedWorker, TaskExplanation};
use serde_json::{Value, json};

/// The text.
pub fn text(explanation: &TaskExplanation, palette: Palette) -> String {
    let mut text = format!("{}\n{}\n", dependencies_line(explanation), workers_line(explanation));
    if !explanation.workers.is_empty() {
        text.push_str(&table(&explanation.workers, palette));
    }
    for fact in &explanation.facts {
        text.push_str(&format!("{}\n", escape::line(fact)));
    }
    for worker in explanation.workers.iter().filter(|worker| !worker.hindrance.is_empty()) {
        let hindrance = escape::line(&worker.hindrance);
        text.push_str(&format!("It does not start on worker {} now: {hindrance}.\n", worker.id));
    }
    text
}

fn dependencies_line(explanation: &TaskExplanation) -> String {
    let TaskExplanation { task, deps, waiting_deps, .. } = explanation;
    match (*deps, *waiting_deps) {
        (0, _) => format!("Task {task} is ready to run because it has no dependencies."),
        (_, 0) => format!("Task {task} is ready to run because its all {deps} dependencies are finished."),
        _ => format!("Task {task} is not ready to run, because {waiting_deps}/{deps} dependencies are not finished."),
    }
}

fn workers_line(explanation: &TaskExplanation) -> String {
    let fitting: Vec<u32> =
        explanation.workers.iter().filter(|worker| worker.runnable() > 0).map(|worker| worker.id.0).collect();
    let word = match fitting.len() {
        0 => return "There is no worker where the task can run.".to_owned(),
        1 => "worker",
        _ => "workers",
    };
    let ids = IdSet::from_sorted(fitting.iter().copied());
    format!("The task can run on {} {word}: {ids}", fitting.len())
}

fn table(workers: &[ExplainedWorker], palette: Palette) -> String {
    let titles = ["Worker Id", "Runnable", "Variant", "Type", "Provides", "Request"];
    let mut table = Table::horizontal(titles.map(Column::left));
    for worker in workers {
        for (index, variant) in worker.variants.iter().enumerate() {
            let (id, runnable) =
                if index == 0 { (worker.id.to_string(), runnable(worker)) } else { Default::default() };
            let [kinds, provided, requested] = stacked(variant);
            table.row([id, runnable, index.to_string(), kinds, provided, requested].map(Cell::from));
        }
    }
    table.render(palette)
}

fn runnable(worker: &ExplainedWorker) -> String {
    match (worker.runnable(), worker.variants.len()) {
        (0, _) => "No".to_owned(),
        (_, 1) => "Yes".to_owned(),
        (fitting, all) => format!("Yes ({fitting}/{all})"),
    }
}

/// The kinds of the items, what the worker has of each, and what is asked for, each in lines.
fn stacked(variant: &ExplainedVariant) -> [String; 3] {
    let rows = variant.items.iter().map(|item| match item {
        ExplainedItem::Time(time) => {
            let remaining = |left: Span| duration::makespan(left.to_duration());
            let provided = time.remaining.map_or_else(|| "unknown".to_owned(), remaining);
            ["time".to_owned(), provided, duration::full(time.min_time.to_duration())]
        }
        ExplainedItem::Resource(resource) => {
            [resource.resource.clone(), resource.provided.to_string(), resource.requested.to_string()]
        }
        ExplainedItem::Nodes(nodes) => {
            ["nodes".to_owned(), format!("group size {}", nodes.group_size), nodes.nodes.to_string()]
        }
    });
    let rows: Vec<[String; 3]> = rows.collect();
    let column = |at: usize| rows.iter().filter_map(|row| row.get(at).map(String::as_str)).collect::<Vec<_>>();
    [column(0).join("\n"), column(1).join("\n"), column(2).join("\n")]
}

/// The object.
pub fn to_json(explanation: &TaskExplanation) -> Value {
    let worker = |worker: &ExplainedWorker| {
        let variants = worker.variants.iter().map(|variant| variant.items.iter().map(item).collect::<Vec<_>>());
        json!({
            "worker_id": worker.id,
            "variants": variants.collect::<Vec<_>>(),
            "hindrance": Some(&worker.hindrance).filter(|text| !text.is_empty()),
        })
    };
    json!({
        "task_id": {"job_id": explanation.task.job, "job_task_id": explanation.task.task},
        "explanation": {
            "n_task_deps": explanation.deps,
            "n_waiting_deps": explanation.waiting_deps,
            "workers": explanation.workers.iter().map(worker).collect::<Vec<_>>(),
            "facts": explanation.facts,
        },
    })
}

fn item(item: &ExplainedItem) -> Value {
    match item {
        ExplainedItem::Time(time) => json!({"Time": {
            "min_time": parts(time.min_time),
            "remaining_time": time.remaining.map(parts),
        }}),
        ExplainedItem::Resource(resource) => json!({"Resources": {
            "resource": resource.resource,
            "request_amount": resource.requested.0,
            "worker_amount": resource.provided.0,
        }}),
        ExplainedItem::Nodes(nodes) => {
            json!({"WorkerGroup": {"n_nodes": nodes.nodes, "group_size": nodes.group_size}})
        }
    }
}

fn parts(span: Span) -> Value {
    let duration = span.to_duration();
    json!({"secs": duration.as_secs(), "nanos": duration.subsec_nanos()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::id::{TaskRef, WorkerId};
    use hq_core::resource::Amount;
    use hq_core::view::{ExplainedNodes, ExplainedResource, ExplainedTime};

    fn cpus(provided: u32, requested: u32) -> ExplainedItem {
        let (provided, requested) = (Amount::units(provided), Amount::units(requested));
        ExplainedItem::Resource(ExplainedResource { resource: "cpus".into(), requested, provided })
    }

    fn explanation() -> TaskExplanation {
        let time = ExplainedItem::Time(ExplainedTime { min_time: Span::from_secs(300), remaining: None });
        let variants =
            vec![ExplainedVariant { items: vec![cpus(8, 6)] }, ExplainedVariant { items: vec![time, cpus(8, 12)] }];
        let worker = ExplainedWorker { id: WorkerId(7), variants, hindrance: String::new() };
        let task = TaskRef::new(4, 2);
        TaskExplanation { task, deps: 3, waiting_deps: 1, workers: vec![worker], ..TaskExplanation::default() }
    }

    #[test]
    fn the_fixed_part() {
        let expected = "\
Task 4@2 is not ready to run, because 1/3 dependencies are not finished.
The task can run on 1 worker: 7
+-----------+-----------+---------+------+----------+---------+
| Worker Id | Runnable  | Variant | Type | Provides | Request |
+-----------+-----------+---------+------+----------+---------+
| 7         | Yes (1/2) | 0       | cpus | 8        | 6       |
|           |           | 1       | time | unknown  | 5m      |
|           |           |         | cpus | 8        | 12      |
+-----------+-----------+---------+------+----------+---------+
";
        assert_eq!(text(&explanation(), Palette::OFF), expected);
    }

    #[test]
    fn further_facts_follow() {
        let mut explained = explanation();
        (explained.deps, explained.waiting_deps) = (3, 0);
        explained.facts = vec!["It is late.".into()];
        explained.workers[0].hindrance = "1 of 8 cpus are free, 6 needed".into();
        let text = text(&explained, Palette::OFF);
        assert!(text.starts_with("Task 4@2 is ready to run because its all 3 dependencies are finished.\n"), "{text}");
        let end = "It is late.\nIt does not start on worker 7 now: 1 of 8 cpus are free, 6 needed.\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn nobody_can_run_it() {
        let nodes = ExplainedItem::Nodes(ExplainedNodes { nodes: 3, group_size: 2 });
        let variants = vec![ExplainedVariant { items: vec![nodes] }];
        let worker = ExplainedWorker { id: WorkerId(1), variants, hindrance: String::new() };
        let explained =
            TaskExplanation { task: TaskRef::new(1, 0), workers: vec![worker], ..TaskExplanation::default() };
        let text = text(&explained, Palette::OFF);
        assert!(text.starts_with(
            "Task 1@0 is ready to run because it has no dependencies.\nThere is no worker where the task can run.\n"
        ));
        assert!(text.contains("| 1         | No       | 0       | nodes | group size 2 | 3       |"), "{text}");
        let expected = json!({
            "task_id": {"job_id": 1, "job_task_id": 0},
            "explanation": {
                "n_task_deps": 0, "n_waiting_deps": 0, "facts": [],
                "workers": [{
                    "worker_id": 1, "hindrance": null,
                    "variants": [[{"WorkerGroup": {"n_nodes": 3, "group_size": 2}}]],
                }],
            },
        });
        assert_eq!(to_json(&explained), expected);
    }

    #[test]
    fn items_in_json() {
        let json = to_json(&explanation());
        let variants = &json["explanation"]["workers"][0]["variants"];
        let expected = json!([
            [{"Resources": {"resource": "cpus", "request_amount": 60_000, "worker_amount": 80_000}}],
            [
                {"Time": {"min_time": {"secs": 300, "nanos": 0}, "remaining_time": null}},
                {"Resources": {"resource": "cpus", "request_amount": 120_000, "worker_amount": 80_000}},
            ],
        ]);
        assert_eq!(variants, &expected);
    }
}
