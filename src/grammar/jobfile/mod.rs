//! Job files: a whole job as a TOML document, with what the command line cannot say: a different command for each task,
//! what waits for what, and several ways in which a task can run.
//!
//! Everything is checked here, with the line and the key, although the server checks again what it is asked: a user who
//! wrote a thousand tasks needs to know which one is wrong.
//!
//! Holds: any text gives a request or an [`Error`] that names the place; every dependency is on a task of the file and
//! none goes round in a circle; an equal description is sent once.

mod error;
mod graph;
mod item;
mod notices;
mod pieces;
mod request;
mod task;
#[cfg(test)]
mod tests;

pub use error::Error;

use super::{array, free_text, tag};
use error::Mistake;
use graph::Tables;
use hq_core::after::AfterRequest;
use hq_core::idset::{IdRange, IdSet};
use hq_core::task::{Entries, SubmitDesc, SubmitRequest};
use item::{Fields, Item};
use notices::Notices;
use pieces::Pieces;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keys of the document.
const KEYS: &[&str] =
    &["name", "max_fails", "stream", "stream_log", "stream_on_error", "task", "array", "data_layer", "tags"];

/// What a job file asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct JobFile {
    /// The request.
    pub request: SubmitRequest,
    /// What was understood but is better written otherwise, a sentence each.
    pub notices: Vec<String>,
}

/// Reads a job file. `submit_dir` is the absolute current directory.
///
/// # Errors
/// No TOML, an unknown key, a missing one, a value of another type or out of range, and what cannot be a job.
pub fn parse(text: &str, submit_dir: String) -> Result<JobFile, Error> {
    read(text, submit_dir, false).map_err(|mistake| mistake.locate(text))
}

/// As [`parse`], for tasks that are added to an open job: they may wait for others than those of the file.
///
/// # Errors
/// As [`parse`].
pub fn parse_attached(text: &str, submit_dir: String) -> Result<JobFile, Error> {
    read(text, submit_dir, true).map_err(|mistake| mistake.locate(text))
}

fn read(text: &str, submit_dir: String, attached: bool) -> Result<JobFile, Mistake> {
    let mut pieces = Pieces::cut(text)?;
    let mut head = pieces.head()?;
    // Who writes the key in quotes as well means one list.
    if pieces.len() > 0 && head.get_ref().get(pieces::KEY).is_some() {
        pieces = pieces.whole()?;
        head = pieces.head()?;
    }
    job(&Item::root(&head), &pieces, submit_dir, attached)
}

/// The tasks of a file.
struct Tasks {
    submit: SubmitDesc,
    /// The first of the ids that were not given, if there are such.
    free_ids_from: Option<u32>,
    /// What they wait for outside of their job.
    after: Vec<AfterRequest>,
}

/// `root` is what stands before the pieces.
fn job(root: &Item<'_>, pieces: &Pieces<'_>, submit_dir: String, attached: bool) -> Result<JobFile, Mistake> {
    let fields = root.fields(&[KEYS])?;
    let mut notices = Notices::default();
    let name = match fields.get("name") {
        Some(item) => {
            let name = item.text()?;
            free_text::check_job_name(name).map_err(|error| item.mistake(error.to_string()))?;
            name.to_owned()
        }
        None => String::new(),
    };
    let max_fails = fields.get("max_fails").map(|item| item.uint()).transpose()?;
    let stream = stream(&fields, &mut notices)?;
    let stream_waits = match fields.get("stream_on_error") {
        None => false,
        Some(item) => match item.text()? {
            "fail" => false,
            "wait" => true,
            other => return Err(item.mistake(format!("`{other}` is neither `fail` nor `wait`"))),
        },
    };
    if let Some(item) = fields.get("data_layer") {
        item.flag()?;
    }
    let tasks = match fields.get(pieces::KEY) {
        _ if pieces.len() > 0 => Some(Tables::Pieces(pieces)),
        // `task = []` is as good as none.
        Some(item) if item.elements("an array of tables, as `[[task]]` makes one")?.len() > 0 => {
            Some(Tables::Array(item))
        }
        _ => None,
    };
    let common = SubmitDesc { submit_dir, stream, stream_waits, file: true, ..SubmitDesc::default() };
    let Tasks { submit, free_ids_from, after } = match (tasks, fields.get("array")) {
        (Some(_), Some(array)) => {
            return Err(array.mistake("Definition of array job and individual task cannot be mixed"));
        }
        (None, None) => return Err(fields.mistake("No tasks defined; write `[[task]]` or `[array]`")),
        (Some(tasks), None) => graph::read(&tasks, common, attached, &mut notices)?,
        (None, Some(array)) => array_of_tasks(&array, common, &mut notices)?,
    };
    let tags = fields.get("tags").map_or_else(|| Ok(BTreeMap::new()), |item| tags(&item))?;
    let submit = Arc::new(submit);
    Ok(JobFile {
        request: SubmitRequest { name, max_fails, submit, tags, free_ids_from, after, ..SubmitRequest::default() },
        notices: notices.finish(),
    })
}

fn tags(item: &Item<'_>) -> Result<BTreeMap<String, String>, Mistake> {
    let mut tags = BTreeMap::new();
    for (key, value) in item.table("a table of strings")?.all() {
        key.checked(tag::check_key)?;
        let text = value.parsed(|text| tag::check_value(text).map(|()| text.to_owned()))?;
        tags.insert(key.name.to_owned(), text);
    }
    Ok(tags)
}

fn stream(fields: &Fields<'_>, notices: &mut Notices) -> Result<Option<String>, Mistake> {
    let item = match (fields.get("stream"), fields.get("stream_log")) {
        (Some(_), Some(older)) => return Err(older.mistake("`stream_log` is an older name of `stream`; write one")),
        (None, Some(older)) => {
            notices.say("`stream_log` is an older name of `stream`; use the new one".to_owned());
            older
        }
        (Some(item), None) => item,
        (None, None) => return Ok(None),
    };
    match item.text()? {
        "" => Err(item.mistake("the directory cannot be empty")),
        dir => Ok(Some(dir.to_owned())),
    }
}

fn array_of_tasks(item: &Item<'_>, common: SubmitDesc, notices: &mut Notices) -> Result<Tasks, Mistake> {
    let fields = item.fields(&[task::ARRAY_KEYS, task::DESC_KEYS])?;
    let desc = task::desc(&fields, common.stream.is_some(), notices)?;
    let ids = fields.get("ids").map(|ids| ids.parsed(array::parse)).transpose()?;
    let entries = fields.get("entries").map(|entries| entries.texts()).transpose()?;
    let free_ids_from = if ids.is_none() { Some(0) } else { None };
    let ids = match (ids, &entries) {
        (Some(ids), None) => ids,
        (None, Some(entries)) => first_ids(entries.len()),
        (Some(ids), Some(entries)) if ids.len() == entries.len() as u64 => ids,
        (Some(ids), Some(entries)) => {
            let (ids, entries) = (ids.len(), entries.len());
            return Err(fields.mistake(format!("{ids} `ids` and {entries} `entries` do not match")));
        }
        (None, None) => return Err(fields.mistake("an array needs `ids` or `entries`; neither is there")),
    };
    let entries = Entries::pack(entries.iter().flatten().map(|text| text.as_bytes()));
    let mut after = Vec::new();
    task::after(&fields, |_, spec| {
        after.push(AfterRequest { tasks: IdSet::default(), spec });
        Ok(())
    })?;
    Ok(Tasks { submit: SubmitDesc { ids, descs: vec![Arc::new(desc)], entries, ..common }, free_ids_from, after })
}

/// The ids from 0 on.
fn first_ids(count: usize) -> IdSet {
    let last = u32::try_from(count).unwrap_or(u32::MAX).checked_sub(1);
    IdSet { ranges: last.map(|last| IdRange::new(0, last)).into_iter().collect() }
}
