//! `hq job task-ids`: the ids of tasks, in the form that `--array` takes.
//!
//! Made for `hq submit --array=$(hq job task-ids 5 --filter=failed)`, so quiet mode prints them as well.
//!
//! Holds: an unknown job is a failure, since nothing printed would mean that no task was meant.

use crate::client::arguments::TaskIdsArgs;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::client::render::OutputMode;
use crate::client::render::json::Tree;
use crate::wire::message::{JobTaskIds, Request, Response, TaskIdsRequest};
use hq_core::idset::IdSet;
use serde_json::json;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(link: &mut Link, args: &TaskIdsArgs, console: &mut Console) -> Result<(), Error> {
    let states = args.filter.iter().map(|word| word.state()).collect();
    let request = TaskIdsRequest { selector: selector(args.jobs.clone()), states };
    let Response::TaskIds(jobs) = link.ask(&Request::TaskIds(request))? else { return Err(Error::Unexpected) };
    let mut found = Vec::new();
    for JobTaskIds { job, ids } in jobs {
        found.push((job, ids.ok_or_else(|| Error::Refused(format!("Job {job} not found")))?));
    }
    match (console.mode(), found.as_slice()) {
        (OutputMode::Json, found) => {
            console.json_tree(&Tree::Object(found.iter().map(|(job, ids)| (job.to_string(), listed(ids))).collect()))
        }
        (OutputMode::Cli | OutputMode::Quiet, [(_, ids)]) => console.text(&format!("{ids}\n")),
        (OutputMode::Cli | OutputMode::Quiet, found) => {
            found.iter().try_for_each(|(job, ids)| console.text(&format!("{job}: {ids}\n")))
        }
    }
}

/// The ids one by one, made while they are printed: there may be billions.
fn listed(ids: &IdSet) -> Tree<'_> {
    let mut ends = Vec::with_capacity(ids.ranges.len());
    let mut total = 0;
    for range in &ids.ranges {
        total += range.len();
        ends.push(total);
    }
    let nth = move |position: usize| {
        let position = position as u64;
        let at = ends.partition_point(|end| *end <= position);
        let before = at.checked_sub(1).and_then(|at| ends.get(at)).copied().unwrap_or(0);
        json!(ids.ranges.get(at).and_then(|range| range.nth(position - before)))
    };
    Tree::Made(usize::try_from(total).unwrap_or(usize::MAX), Box::new(nth))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::idset::IdRange;

    #[test]
    fn ids_are_listed_one_by_one() {
        let ids = IdSet { ranges: vec![IdRange::new(2, 3), IdRange::stepped(7, 11, 2), IdRange::new(20, 20)] };
        let Tree::Made(length, make) = listed(&ids) else { panic!("another tree") };
        let made: Vec<u64> = (0..length).filter_map(|position| make(position).as_u64()).collect();
        assert_eq!(made, [2, 3, 7, 9, 11, 20]);
    }
}
