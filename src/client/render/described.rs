//! What a submit says about its tasks, in the JSON of the event: enough to submit the same again.
//!
//! Tools of before read `task_desc`, which has neither programs nor inputs; this stands beside it. What can be large is told
//! in lines of its own, and only to those who ask for everything.
//!
//! Holds: a line names a bounded number of tasks.

use super::description;
use crate::client::paths;
use hq_core::after::condition_word;
use hq_core::event::JobSubmitted;
use hq_core::id::TaskId;
use hq_core::task::{Dependency, SubmitDesc, TaskDesc};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Tasks in one line.
const LINE_TASKS_MAX: usize = 1_000;

/// The description of the tasks of an array, with the paths as they were given; `whole`: with the standard input.
pub fn of_array(submit: &SubmitDesc, whole: bool) -> Option<Value> {
    submit.descs.first().filter(|_| !submit.graph).map(|desc| of_task(desc, whole))
}

fn of_task(desc: &TaskDesc, whole: bool) -> Value {
    let mut value = description::to_json(desc, &paths::unresolved(desc));
    if let Some(map) = value.as_object_mut().filter(|_| whole && !desc.stdin.is_empty()) {
        map.insert("stdin".to_owned(), bytes(&desc.stdin));
    }
    value
}

/// Text where it is some, else the values of the bytes.
fn bytes(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| json!(bytes), |text| json!(text))
}

/// The bodies of the lines about single tasks: those of graphs, and those with entries.
pub fn of_tasks(created: &JobSubmitted) -> impl Iterator<Item = Value> + '_ {
    let submit = &*created.submit;
    let has_more = submit.graph || !submit.entries.is_empty();
    let mut deps: BTreeMap<TaskId, Vec<&Dependency>> = BTreeMap::new();
    submit.deps.iter().for_each(|dependency| deps.entry(dependency.task).or_default().push(dependency));
    let mut tasks = submit.ids.iter().take(if has_more { usize::MAX } else { 0 }).enumerate().peekable();
    std::iter::from_fn(move || {
        tasks.peek()?;
        let some = tasks.by_ref().take(LINE_TASKS_MAX);
        let some: Vec<Value> = some.map(|(position, id)| one(submit, position, id, &deps)).collect();
        Some(json!({"job": created.job, "tasks": some}))
    })
}

fn one(submit: &SubmitDesc, position: usize, id: u32, deps: &BTreeMap<TaskId, Vec<&Dependency>>) -> Value {
    let mut map = Map::new();
    map.insert("id".to_owned(), json!(id));
    if let Some(entry) = submit.entries.get(position) {
        map.insert("entry".to_owned(), bytes(entry));
    }
    if submit.graph {
        let desc = submit.desc_at(position).map(|desc| of_task(desc, true));
        map.insert("description".to_owned(), desc.unwrap_or_default());
        let deps = deps.get(&TaskId(id)).map(Vec::as_slice).unwrap_or_default();
        map.insert("dependencies".to_owned(), deps.iter().map(|dependency| of_dependency(dependency)).collect());
    }
    Value::Object(map)
}

fn of_dependency(dependency: &Dependency) -> Value {
    // Job 0 stands for the job of the submit.
    let job = (dependency.on.job.0 != 0).then_some(dependency.on.job);
    json!({"job": job, "task": dependency.on.task, "condition": condition_word(dependency.condition)})
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::id::{JobId, TaskRef};
    use hq_core::idset::IdSet;
    use hq_core::task::{Condition, Entries};
    use serde_bytes::ByteBuf;
    use std::sync::Arc;

    fn created(submit: SubmitDesc) -> JobSubmitted {
        JobSubmitted { job: JobId(7), submit: Arc::new(submit), ..JobSubmitted::default() }
    }

    fn desc(args: &[&str]) -> Arc<TaskDesc> {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Arc::new(TaskDesc { args, stdin: ByteBuf::from(b"in".to_vec()), ..TaskDesc::default() })
    }

    #[test]
    fn an_array_with_entries() {
        let entries = Entries::pack([&b"one"[..], &[0xff]]);
        let submit =
            SubmitDesc { ids: IdSet::range(3, 4), descs: vec![desc(&["a", "b"])], entries, ..Default::default() };
        let described = of_array(&submit, false).unwrap();
        assert_eq!(described["program"]["args"], json!(["a", "b"]));
        assert_eq!(described.get("stdin"), None);
        assert_eq!(of_array(&submit, true).unwrap()["stdin"], "in");
        let lines: Vec<Value> = of_tasks(&created(submit)).collect();
        assert_eq!(lines, [json!({"job": 7, "tasks": [{"id": 3, "entry": "one"}, {"id": 4, "entry": [255]}]})]);
    }

    #[test]
    fn a_graph_in_lines_of_bounded_length() {
        let on = TaskRef::new(0, 1);
        let deps = vec![Dependency { task: TaskId(2), on, condition: Condition::Any }];
        let submit = SubmitDesc {
            ids: IdSet::range(1, 2_500),
            descs: vec![desc(&["a"]), desc(&["b"])],
            desc_of: (0..2_500).map(|position| position % 2).collect(),
            deps,
            graph: true,
            ..SubmitDesc::default()
        };
        assert_eq!(of_array(&submit, true), None);
        let lines: Vec<Value> = of_tasks(&created(submit)).collect();
        let counts: Vec<usize> = lines.iter().map(|line| line["tasks"].as_array().unwrap().len()).collect();
        assert_eq!(counts, [1_000, 1_000, 500]);
        let second = &lines[0]["tasks"][1];
        assert_eq!(second["description"]["program"]["args"], json!(["b"]));
        assert_eq!(second["dependencies"], json!([{"job": null, "task": 1, "condition": "any"}]));
        assert_eq!(lines[2]["tasks"][499]["id"], 2_500);
    }

    #[test]
    fn an_array_without_entries_has_no_lines() {
        let submit = SubmitDesc { ids: IdSet::range(0, u32::MAX), descs: vec![desc(&["a"])], ..SubmitDesc::default() };
        assert_eq!(of_tasks(&created(submit)).count(), 0);
    }
}
