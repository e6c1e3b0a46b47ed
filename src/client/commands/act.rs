//! `hq task cancel|hold|release`, `hq job hold|release` and all else that acts on tasks after submit: what it did to
//! each job.
//!
//! Log lines say it to people, JSON to programs; in quiet mode there is a line `JOB TOUCHED` for each job.
//!
//! Holds: a job or a task that is not there is a log line and no failure; a refusal is a failure in every mode.

use crate::client::arguments::{ChangeArgs, JobRetryArgs, JobSelectorArgs, ModifyArgs, TaskActArgs, TaskCancelArgs};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::client::render::OutputMode;
use crate::grammar::request::{self, NamedRequest};
use crate::grammar::selector::{LastOrId, LastOrIds};
use crate::wire::message::{ActRequest, Request, Response};
use hq_core::act::{Acted, Action, CancelAction, HoldAction, ReleaseAction, RetryAction, TaskChange};
use hq_core::idset::IdSet;
use hq_core::resource::{ResourceRequest, Variant};
use hq_core::time::Span;
use serde_json::{Map, Value, json};

/// Runs `hq task cancel`.
///
/// # Errors
/// See [`Error`].
pub fn cancel_tasks(link: &mut Link, args: &TaskCancelArgs, console: &mut Console) -> Result<(), Error> {
    run(link, of_tasks(&args.which, Action::Cancel(CancelAction { reason: args.reason.clone() })), console)
}

/// Runs `hq task hold`.
///
/// # Errors
/// See [`Error`].
pub fn hold_tasks(link: &mut Link, args: &TaskActArgs, console: &mut Console) -> Result<(), Error> {
    run(link, of_tasks(args, Action::Hold(HoldAction {})), console)
}

/// Runs `hq task release`.
///
/// # Errors
/// See [`Error`].
pub fn release_tasks(link: &mut Link, args: &TaskActArgs, console: &mut Console) -> Result<(), Error> {
    run(link, of_tasks(args, Action::Release(ReleaseAction {})), console)
}

/// Runs `hq job hold`.
///
/// # Errors
/// See [`Error`].
pub fn hold_jobs(link: &mut Link, args: &JobSelectorArgs, console: &mut Console) -> Result<(), Error> {
    run(link, of_jobs(args, Action::Hold(HoldAction {})), console)
}

/// Runs `hq job release`.
///
/// # Errors
/// See [`Error`].
pub fn release_jobs(link: &mut Link, args: &JobSelectorArgs, console: &mut Console) -> Result<(), Error> {
    run(link, of_jobs(args, Action::Release(ReleaseAction {})), console)
}

/// Runs `hq job modify`.
///
/// # Errors
/// See [`Error`]; [`Error::Invalid`] for resources that cannot be asked for together.
pub fn modify(link: &mut Link, args: &ModifyArgs, console: &mut Console) -> Result<(), Error> {
    args.change.resource.iter().filter_map(NamedRequest::notice).for_each(|notice| log::warn!("{notice}"));
    let (selector, tasks) = (selector(args.jobs.clone()), args.tasks.clone());
    run(link, ActRequest { selector, tasks, action: Action::Modify(change(&args.change)?) }, console)
}

fn change(args: &ChangeArgs) -> Result<TaskChange, Error> {
    let named = args.resource.iter().map(|named| named.entry.clone()).collect();
    let entries = request::given(args.cpus, named).map_err(|error| Error::Invalid(error.to_string()))?;
    let request =
        (!entries.is_empty()).then(|| ResourceRequest { variants: vec![Variant { entries, ..Variant::default() }] });
    Ok(TaskChange {
        priority: args.priority,
        time_limit: args.time_limit.map(Span::from_duration),
        request,
        crash_limit: args.crash_limit,
        max_fails: args.max_fails,
    })
}

/// Runs `hq job retry`.
///
/// # Errors
/// See [`Error`].
pub fn retry_jobs(link: &mut Link, args: &JobRetryArgs, console: &mut Console) -> Result<(), Error> {
    let states = args.filter.iter().map(|word| word.state()).collect();
    let action = Action::Retry(RetryAction { states });
    run(link, ActRequest { selector: selector(args.jobs.clone()), tasks: args.tasks.clone(), action }, console)
}

fn of_tasks(args: &TaskActArgs, action: Action) -> ActRequest {
    let job = match args.job {
        LastOrId::Last => LastOrIds::Last,
        LastOrId::Id(id) => LastOrIds::Ids(IdSet::single(id)),
    };
    ActRequest { selector: selector(job), tasks: Some(args.tasks.clone()), action }
}

fn of_jobs(args: &JobSelectorArgs, action: Action) -> ActRequest {
    ActRequest { selector: selector(args.jobs.clone()), tasks: None, action }
}

/// Acts, and says what became of it.
///
/// # Errors
/// See [`Error`]; [`Error::Refused`] also when a job was refused, after the others were told.
pub fn run(link: &mut Link, request: ActRequest, console: &mut Console) -> Result<(), Error> {
    let word = word(&request.action);
    let Response::Acted(acted) = link.ask(&Request::Act(request))? else { return Err(Error::Unexpected) };
    let refused: Vec<String> = acted
        .iter()
        .filter(|one| !one.refused.is_empty())
        .map(|one| format!("job {}: {}", one.job, one.refused))
        .collect();
    if !refused.is_empty() {
        acted.iter().filter(|one| one.refused.is_empty()).for_each(|one| tell(one, word));
        return Err(Error::Refused(refused.join("; ")));
    }
    if acted.is_empty() {
        log::info!("There is no such job");
    }
    acted.iter().for_each(|one| tell(one, word));
    match console.mode() {
        OutputMode::Json => console.json(&json!({"jobs": acted.iter().map(to_json).collect::<Vec<Value>>()})),
        OutputMode::Quiet => console.text(&to_quiet(&acted)),
        OutputMode::Cli => Ok(()),
    }
}

/// What was done to tasks, in a word.
fn word(action: &Action) -> &'static str {
    match action {
        Action::Cancel(_) => "canceled",
        Action::Hold(_) => "held",
        Action::Release(_) => "released",
        Action::Modify(_) => "modified",
        Action::Retry(_) => "run again",
    }
}

fn tell(acted: &Acted, word: &str) {
    if !acted.found {
        log::error!("Job {} not found", acted.job);
        return;
    }
    log::info!("{}", line(acted, word));
    if !acted.missing.is_empty() {
        log::warn!("Job {} has no tasks {}", acted.job, acted.missing);
    }
}

fn line(acted: &Acted, word: &str) -> String {
    let Acted { job, touched, untouched, .. } = acted;
    let tasks = if *touched == 1 { "1 task".to_owned() } else { format!("{touched} tasks") };
    match untouched {
        0 => format!("Job {job}: {tasks} {word}"),
        _ => format!("Job {job}: {tasks} {word}, {untouched} left as they were"),
    }
}

fn to_quiet(acted: &[Acted]) -> String {
    acted.iter().filter(|one| one.found).map(|one| format!("{} {}\n", one.job, one.touched)).collect()
}

fn to_json(acted: &Acted) -> Value {
    let mut object = Map::new();
    object.insert("id".into(), json!(acted.job));
    object.insert("found".into(), json!(acted.found));
    object.insert("touched".into(), json!(acted.touched));
    object.insert("untouched".into(), json!(acted.untouched));
    if !acted.missing.is_empty() {
        object.insert("missing".into(), json!(acted.missing.to_string()));
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::id::JobId;

    #[test]
    fn lines_and_values() {
        let acted = Acted { job: JobId(3), found: true, touched: 2, untouched: 1, ..Acted::default() };
        assert_eq!(line(&acted, "held"), "Job 3: 2 tasks held, 1 left as they were");
        assert_eq!(line(&Acted { touched: 1, untouched: 0, ..acted.clone() }, "released"), "Job 3: 1 task released");
        assert_eq!(to_json(&acted), json!({"id": 3, "found": true, "touched": 2, "untouched": 1}));
        let missing = Acted { missing: IdSet::range(4, 6), ..acted };
        assert_eq!(to_json(&missing)["missing"], json!("4-6"));
    }
}
