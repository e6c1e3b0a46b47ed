//! `hq job list`: jobs in one line each.
//!
//! By default what still needs attention: jobs that wait, run or are open. The server chooses and sorts, so that what
//! is not shown does not travel.
//!
//! Holds: ascending by id unless another order is asked for.

use crate::client::arguments::JobListArgs;
use crate::client::commands::now;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::Link;
use crate::client::render::{OutputMode, job};
use crate::grammar::job_filter::{Condition, Since};
use crate::wire::message::{Request, Response};
use hq_core::time::{Span, Time};
use hq_core::view::JobQuery;
use serde_json::Value;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(link: &mut Link, args: &JobListArgs, console: &mut Console) -> Result<(), Error> {
    let Response::FoundJobs(found) = link.ask(&Request::FindJobs(query(args, now())))? else {
        return Err(Error::Unexpected);
    };
    match console.mode() {
        OutputMode::Cli => {
            let text = job::list(&found.jobs, found.counts.total(), args.verbose, console.palette());
            console.text(&text)
        }
        OutputMode::Json => console.json(&Value::Array(found.jobs.iter().map(job::summary_json).collect())),
        OutputMode::Quiet => console.text(&job::list_quiet(&found.jobs)),
    }
}

/// What the options ask for.
fn query(args: &JobListArgs, now: Time) -> JobQuery {
    let mut query = JobQuery { active: !args.all && args.filter.is_empty(), limit: args.limit, ..JobQuery::default() };
    for condition in args.filter.iter().flat_map(|filter| &filter.0) {
        match condition {
            Condition::State(state) => query.states.push(*state),
            Condition::Name(pattern) => query.names.push(pattern.clone()),
            Condition::Tag(wanted) => query.tags.push(wanted.clone()),
            Condition::Since(since) => {
                let since = match since {
                    Since::Ago(span) => Time(now.0.saturating_sub(Span::from_duration(*span).0)),
                    Since::At(time) => *time,
                };
                query.since = query.since.max(Some(since));
            }
        }
    }
    let sort = args.sort.map(|sort| (sort.key.order(), sort.reverse));
    let (order, reverse) = sort.unwrap_or_default();
    (query.order, query.reverse) = (order, reverse != args.reverse);
    query
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::arguments::{Cli, Command, JobCommand};
    use clap::Parser;
    use hq_core::view::{JobOrder, JobState};

    fn asked(words: &[&str]) -> JobQuery {
        let line = Cli::try_parse_from(["hq", "job", "list"].iter().chain(words).copied()).unwrap();
        match line.command {
            Command::Job(group) => match &group.command {
                JobCommand::List(args) => query(args, Time(10_000_000)),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_asked() {
        assert_eq!(asked(&[]), JobQuery { active: true, ..JobQuery::default() });
        assert_eq!(asked(&["--all"]), JobQuery::default());
        let states = vec![JobState::Failed, JobState::Running, JobState::Opened];
        assert_eq!(
            asked(&["--filter=failed,running", "--filter", "opened"]),
            JobQuery { states, ..JobQuery::default() }
        );
        let query = asked(&["--filter=since=3s,name=a*,since=1h", "--sort", "-tasks", "--limit=2"]);
        assert_eq!((query.since, query.names.as_slice()), (Some(Time(7_000_000)), &["a*".to_owned()][..]));
        assert_eq!((query.order, query.reverse, query.limit), (JobOrder::Tasks, true, Some(2)));
        assert!(!asked(&["--sort=-name", "--reverse"]).reverse);
        assert!(asked(&["--reverse"]).reverse);
        assert!(Cli::try_parse_from(["hq", "job", "list", "--all", "--filter=failed"]).is_err());
        assert!(Cli::try_parse_from(["hq", "job", "list", "--sort=size"]).is_err());
    }
}
