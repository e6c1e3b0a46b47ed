//! Individual tasks of a job file: their ids, and what waits for what.
//!
//! A file may have a hundred thousand tasks, so everything here is sorting, and what is equal is kept once.
//!
//! Holds: the tasks of a submit ascend by id, whatever their order in the file; ids that were not given follow the
//! largest one that was.

use super::Tasks;
use super::error::Mistake;
use super::item::Item;
use super::notices::Notices;
use super::pieces::Pieces;
use super::task;
use hq_core::after::{AfterRequest, AfterSpec, AfterTarget};
use hq_core::id::{JobId, TaskId, TaskRef};
use hq_core::idset::IdSet;
use hq_core::task::{Condition, Dependency, SubmitDesc, TaskDesc};
use hq_core::{cbor, cycle, limits};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

/// What a table said about one task.
struct Task {
    id: Option<u32>,
    /// Tasks of the job that it waits for, and what for.
    deps: Vec<(u32, Condition)>,
    /// Index of the description.
    desc: u32,
    /// Index of the table, to point at.
    table: usize,
}

/// Tasks with their ids.
type Numbered = Vec<(u32, Task)>;

/// Something wrong with a task, to be pointed at.
struct Wrong {
    /// Index of its table.
    table: usize,
    /// The key, where it is there.
    key: &'static str,
    reason: String,
}

/// The tables of the tasks.
pub(super) enum Tables<'a> {
    /// In a parsed document.
    Array(Item<'a>),
    /// To be parsed one by one.
    Pieces(&'a Pieces<'a>),
}

/// Descriptions, each once.
#[derive(Default)]
struct Descriptions {
    /// By the hash of their encoded form.
    known: HashMap<u64, u32>,
    list: Vec<Arc<TaskDesc>>,
    encoded: Vec<u8>,
}

/// What tasks wait for outside of their job, each once, with the tables of those tasks.
#[derive(Default)]
struct Waits {
    /// By the text of what is waited for.
    known: BTreeMap<String, (AfterSpec, Vec<usize>)>,
}

/// Reads the tables into the submit that has the rest already.
pub(super) fn read(
    tables: &Tables<'_>,
    common: SubmitDesc,
    attached: bool,
    notices: &mut Notices,
) -> Result<Tasks, Mistake> {
    let count = tables.len()?;
    if count > limits::GRAPH_TASKS_MAX {
        let max = limits::GRAPH_TASKS_MAX;
        return Err(tables.mistake(format!("{count} individual tasks are too many; at most {max} are allowed")));
    }
    let (mut descriptions, mut waits) = (Descriptions::default(), Waits::default());
    let mut tasks = Vec::with_capacity(count);
    tables.each(|table, element| {
        let fields = element.fields(&[task::TASK_KEYS, task::DESC_KEYS])?;
        let desc = task::desc(&fields, common.stream.is_some(), notices)?;
        let id = fields.get("id").map(|id| id.uint()).transpose()?;
        let mut deps = Vec::new();
        if let Some(item) = fields.get("deps") {
            for id in item.elements("an array of task ids")? {
                deps.push((id.uint()?, Condition::Ok));
            }
        }
        task::after(&fields, |item, spec| {
            match spec {
                AfterSpec { target: AfterTarget::Own, condition, on_tasks: Some(ids), .. } => {
                    deps.extend(own_tasks(item, condition, &ids)?);
                }
                spec => waits.add(spec, table),
            }
            Ok(())
        })?;
        tasks.push(Task { id, deps, desc: descriptions.index(desc), table });
        Ok(())
    })?;
    let (mut tasks, free_ids_from) = number(tasks).map_err(|wrong| tables.point(wrong))?;
    // Stable, so that of two equal ids the later one is pointed at.
    tasks.sort_by_key(|(id, _)| *id);
    let twice = tasks.iter().zip(tasks.iter().skip(1)).find(|(first, second)| first.0 == second.0);
    if let Some((_, (id, second))) = twice {
        return Err(tables.point(Wrong {
            table: second.table,
            key: "id",
            reason: format!("Task {id} is defined multiple times"),
        }));
    }
    check_dependencies(&tasks, attached).map_err(|wrong| tables.point(wrong))?;
    let after = waits.requests(&tasks);
    let submit = SubmitDesc {
        ids: IdSet::from_sorted(tasks.iter().map(|(id, _)| *id)),
        desc_of: tasks.iter().map(|(_, task)| task.desc).collect(),
        deps: tasks.iter().flat_map(|(id, task)| task.deps.iter().map(|wait| dependency(*id, *wait))).collect(),
        descs: descriptions.list,
        graph: true,
        ..common
    };
    Ok(Tasks { submit, free_ids_from, after })
}

/// The tasks of the job that one entry of `after` names, one by one.
fn own_tasks(item: &Item<'_>, condition: Condition, ids: &IdSet) -> Result<Vec<(u32, Condition)>, Mistake> {
    let (count, max) = (ids.len(), limits::SUBMIT_DEPS_MAX as u64);
    if count > max {
        return Err(item.mistake(format!("{count} dependencies are too many; at most {max} are allowed")));
    }
    // Of a job it means that one failed at least, which cannot be said of tasks one by one.
    if condition == Condition::Failed && count > 1 {
        return Err(
            item.mistake("`failed:@` takes one task; with several entries the task waits until all have failed")
        );
    }
    Ok(ids.iter().map(|id| (id, condition)).collect())
}

fn dependency(task: u32, (on, condition): (u32, Condition)) -> Dependency {
    // Job 0 stands for the job that is being submitted.
    let on = TaskRef { job: JobId(0), task: TaskId(on) };
    Dependency { task: TaskId(task), on, condition }
}

impl Waits {
    fn add(&mut self, spec: AfterSpec, table: usize) {
        let (_, tables) = self.known.entry(spec.to_string()).or_insert_with(|| (spec, Vec::new()));
        tables.push(table);
    }

    /// What the server is asked to look up, for the tasks with their ids.
    fn requests(self, tasks: &[(u32, Task)]) -> Vec<AfterRequest> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let ids: HashMap<usize, u32> = tasks.iter().map(|(id, task)| (task.table, *id)).collect();
        let request = |(spec, tables): (AfterSpec, Vec<usize>)| {
            let ids: BTreeSet<u32> = tables.iter().filter_map(|table| ids.get(table).copied()).collect();
            AfterRequest { tasks: IdSet::from_sorted(ids), spec }
        };
        self.known.into_values().map(request).collect()
    }
}

/// Gives ids to the tasks that have none: those after the largest given one, in the order of the file, from 1 on when
/// none was given. Gives also the first of them.
fn number(tasks: Vec<Task>) -> Result<(Numbered, Option<u32>), Wrong> {
    let largest = tasks.iter().filter_map(|task| task.id).max().unwrap_or(0);
    let first = largest.checked_add(1).filter(|_| tasks.iter().any(|task| task.id.is_none()));
    let mut next = largest.checked_add(1);
    let numbered = tasks.into_iter().map(|task| {
        let id = task.id.or_else(|| {
            let id = next;
            next = next.and_then(|id| id.checked_add(1));
            id
        });
        let reason = "no task id is left for this task: the largest is 4294967295";
        let id = id.ok_or_else(|| Wrong { table: task.table, key: "id", reason: reason.to_owned() })?;
        Ok((id, task))
    });
    Ok((numbered.collect::<Result<_, _>>()?, first))
}

/// Every dependency is on a task of the file, and none goes round. The tasks ascend by id. Of those that are `attached` to
/// others the server knows for what else they can wait.
fn check_dependencies(tasks: &[(u32, Task)], attached: bool) -> Result<(), Wrong> {
    let count = tasks.iter().map(|(_, task)| task.deps.len()).sum::<usize>();
    let wrong = |task: &Task, reason| Err(Wrong { table: task.table, key: "deps", reason });
    let find = |id: u32| tasks.binary_search_by_key(&id, |(id, _)| *id);
    let mut edges = Vec::with_capacity(count);
    for (id, task) in tasks {
        if edges.len() + task.deps.len() > limits::SUBMIT_DEPS_MAX {
            let max = limits::SUBMIT_DEPS_MAX;
            return wrong(task, format!("{count} dependencies are too many; at most {max} are allowed"));
        }
        if let Some(on) = task.deps.iter().map(|(on, _)| on).find(|on| !attached && find(**on).is_err()) {
            let reason =
                format!("task {id} waits for task {on}, which is not in the file (cycle or invalid dependencies)");
            return wrong(task, reason);
        }
        edges.extend(task.deps.iter().map(|(on, _)| (*on, *id)));
    }
    let Some(circle) = cycle::find(edges) else { return Ok(()) };
    let reason = format!("{} (cycle or invalid dependencies)", cycle::text(&circle));
    let on_circle = circle.first().and_then(|id| tasks.get(find(*id).ok()?));
    on_circle.map_or(Ok(()), |(_, task)| wrong(task, reason))
}

impl Descriptions {
    fn index(&mut self, desc: TaskDesc) -> u32 {
        self.encoded.clear();
        cbor::encode_into(&desc, &mut self.encoded);
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.encoded);
        let hash = hasher.finish();
        let known = self.known.get(&hash).copied();
        if let Some(index) = known.filter(|index| self.list.get(*index as usize).is_some_and(|same| **same == desc)) {
            return index;
        }
        let index = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(Arc::new(desc));
        self.known.insert(hash, index);
        index
    }
}

impl Tables<'_> {
    fn len(&self) -> Result<usize, Mistake> {
        match self {
            Self::Array(item) => Ok(item.elements("an array of tables")?.len()),
            Self::Pieces(pieces) => Ok(pieces.len()),
        }
    }

    /// Has each table read, with its number.
    fn each(&self, mut read: impl FnMut(usize, &Item<'_>) -> Result<(), Mistake>) -> Result<(), Mistake> {
        match self {
            Self::Array(item) => {
                item.elements("an array of tables")?.enumerate().try_for_each(|(number, table)| read(number, &table))
            }
            Self::Pieces(pieces) => {
                (0..pieces.len()).try_for_each(|number| pieces.read(number, |table| read(number, table)))
            }
        }
    }

    /// A mistake of the list.
    fn mistake(&self, reason: String) -> Mistake {
        match self {
            Self::Array(item) => item.mistake(reason),
            Self::Pieces(pieces) => pieces.mistake(reason),
        }
    }

    fn point(&self, wrong: Wrong) -> Mistake {
        let place = |table: &Item<'_>| {
            let value = table.table("a table").ok().and_then(|fields| Some(fields.get(wrong.key)?.mistake("")));
            value.unwrap_or_else(|| table.mistake(""))
        };
        let found = match self {
            Self::Array(item) => {
                let table = item.elements("an array of tables").ok().and_then(|mut tables| tables.nth(wrong.table));
                table.map(|table| place(&table))
            }
            // Parsed once more: whoever is told of a mistake has the time.
            Self::Pieces(pieces) => pieces.read(wrong.table, |table| Err::<(), _>(place(table))).err(),
        };
        Mistake { reason: wrong.reason, ..found.unwrap_or_else(|| self.mistake(String::new())) }
    }
}
