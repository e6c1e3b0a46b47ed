//! `hq job why` and `hq task why`: why something is where it is.
//!
//! The server makes the sentences, since it knows what placing sees.
//!
//! Holds: the first line is one sentence that begins with the state; a job that is not there is a log line.

use crate::client::arguments::{JobSelectorArgs, TaskExplainArgs};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::client::render::{OutputMode, escape};
use crate::grammar::selector::{LastOrId, LastOrIds};
use crate::wire::message::{Request, Response, WhyRequest};
use hq_core::id::TaskId;
use hq_core::idset::IdSet;
use hq_core::view::WhyView;
use serde_json::{Value, json};

/// Runs `hq job why`.
///
/// # Errors
/// See [`Error`].
pub fn jobs(link: &mut Link, args: &JobSelectorArgs, console: &mut Console) -> Result<(), Error> {
    let answers = ask(link, WhyRequest { selector: selector(args.jobs.clone()), task: None })?;
    let (found, missing): (Vec<WhyView>, Vec<WhyView>) = answers.into_iter().partition(|why| !why.sentence.is_empty());
    match console.mode() {
        OutputMode::Cli => {
            let several = found.len() + missing.len() > 1;
            for why in &found {
                let prefix = if several { format!("Job {} is ", why.job) } else { String::new() };
                console.text(&format!("{prefix}{}", text(why)))?;
            }
        }
        OutputMode::Json => console.json(&Value::Array(found.iter().map(to_json).collect()))?,
        OutputMode::Quiet => {
            found.iter().try_for_each(|why| console.text(&format!("{}\n", escape::line(&why.sentence))))?
        }
    }
    for why in missing {
        log::error!("Job {} not found", why.job);
    }
    Ok(())
}

/// Runs `hq task why`.
///
/// # Errors
/// See [`Error`]; [`Error::Refused`] when there is no such task.
pub fn task(link: &mut Link, args: &TaskExplainArgs, console: &mut Console) -> Result<(), Error> {
    let job = match args.job {
        LastOrId::Last => LastOrIds::Last,
        LastOrId::Id(id) => LastOrIds::Ids(IdSet::single(id)),
    };
    let answers = ask(link, WhyRequest { selector: selector(job), task: Some(TaskId(args.task)) })?;
    let why = answers.first().ok_or(Error::Unexpected)?;
    match console.mode() {
        OutputMode::Cli => console.text(&text(why)),
        OutputMode::Json => console.json(&to_json(why)),
        OutputMode::Quiet => console.text(&format!("{}\n", escape::line(&why.sentence))),
    }
}

fn ask(link: &mut Link, request: WhyRequest) -> Result<Vec<WhyView>, Error> {
    match link.ask(&Request::Why(request))? {
        Response::Why(answers) => Ok(answers),
        _ => Err(Error::Unexpected),
    }
}

/// The sentence, and the details below it.
fn text(why: &WhyView) -> String {
    let mut text = format!("{}\n", escape::line(&why.sentence));
    for detail in &why.details {
        text.push_str("  ");
        text.push_str(&escape::line(detail));
        text.push('\n');
    }
    text
}

fn to_json(why: &WhyView) -> Value {
    let mut value = json!({"job": why.job, "sentence": why.sentence, "details": why.details});
    if let (Some(task), Some(object)) = (why.task, value.as_object_mut()) {
        object.insert("task".into(), json!(task));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::id::JobId;

    #[test]
    fn a_sentence_with_details() {
        let (sentence, details) = ("waiting: \u{1b}[1m".to_owned(), vec!["because".to_owned()]);
        let why = WhyView { job: JobId(3), task: Some(TaskId(1)), sentence, details };
        assert_eq!(text(&why), "waiting: \\x1b[1m\n  because\n");
        assert_eq!(to_json(&why)["task"], json!(1));
    }
}
