//! What clients ask about whole jobs: open and close them, forget them, find them, list the ids of their tasks.

use super::{Plan, Watch, watch};
use crate::wire::message::{
    FollowRequest, ForgetRequest, JobCloseResult, JobCloseStatus, JobTaskIds, OpenRequest, Response, Selector,
    SelectorKind, TaskIdsRequest,
};
use hq_core::command::{Command, JobClose};
use hq_core::id::JobId;
use hq_core::limits;
use hq_core::state::State;
use hq_core::view::JobQuery;

pub(super) fn open(request: OpenRequest) -> Plan {
    let OpenRequest { name, max_fails, tags } = request;
    Plan::Command(Command::Open { name, max_fails, tags })
}

pub(super) fn close(state: &State, selector: &Selector) -> Plan {
    let jobs = match selector.kind {
        SelectorKind::All => Ok(state.jobs.values().filter(|job| job.is_open).map(|job| job.id).collect()),
        _ => super::jobs(state, selector, |_| true),
    };
    match jobs {
        Ok(jobs) => Plan::Command(Command::Close { jobs }),
        Err(reason) => Plan::Answer(Response::Refused(reason)),
    }
}

pub(super) fn closed(results: Vec<(JobId, JobClose)>) -> Response {
    let result = |(job, close)| {
        let status = match close {
            JobClose::Closed => JobCloseStatus::Closed,
            JobClose::AlreadyClosed => JobCloseStatus::AlreadyClosed,
            JobClose::NotFound => JobCloseStatus::NotFound,
        };
        JobCloseResult { job, status }
    };
    Response::Closed(results.into_iter().map(result).collect())
}

pub(super) fn forget(state: &State, request: ForgetRequest) -> Plan {
    let ForgetRequest { selector, states } = request;
    match super::jobs(state, &selector, |_| true) {
        Ok(jobs) => Plan::Command(Command::Forget { jobs, states }),
        Err(reason) => Plan::Answer(Response::Refused(reason)),
    }
}

pub(super) fn find(state: &State, query: &JobQuery) -> Response {
    let max = limits::JOB_PATTERN_BYTES_MAX;
    match query.names.iter().find(|name| name.len() > max) {
        Some(name) => Response::Refused(format!(
            "a pattern of {} bytes for the name of a job is too long; at most {max} are allowed",
            name.len()
        )),
        None => Response::FoundJobs(state.view_found(query)),
    }
}

pub(super) fn task_ids(state: &State, request: &TaskIdsRequest) -> Response {
    let mut jobs = match super::jobs(state, &request.selector, |_| true) {
        Ok(jobs) => jobs,
        Err(reason) => return Response::Refused(reason),
    };
    jobs.sort_unstable();
    let ids = |job| JobTaskIds { job, ids: state.view_task_ids(job, &request.states) };
    Response::TaskIds(jobs.into_iter().map(ids).collect())
}

pub(super) fn follow(state: &State, request: &FollowRequest) -> Plan {
    watch(state, &request.selector, wishes(request))
}

/// What a client that follows jobs wants.
pub(super) fn wishes(request: &FollowRequest) -> Watch {
    let FollowRequest { progress, notices, without_close, .. } = *request;
    Watch { progress, notices, without_close }
}
