//! Clients that wait for jobs, and those that watch progress.
//!
//! Both are registered in the turn that answers their first question, so no completion can fall between the look and
//! the wait. What they are told is a release of the group that holds the events, hence durable.

use super::commit::{Release, Released};
use super::requests::Watch;
use crate::wire::message::{Empty, Response, TaskNotice};
use hq_core::event::{Event, Stamped};
use hq_core::id::{JobId, TaskRef};
use hq_core::limits;
use hq_core::state::State;
use hq_core::state::jobs::Job;
use hq_core::view::ProgressView;
use std::collections::BTreeSet;
use tokio::sync::mpsc;

/// One client that waits.
#[derive(Debug)]
struct Watcher {
    jobs: Vec<JobId>,
    /// Whether an open job without anything to do counts as done.
    without_close: bool,
    /// Whether it is told of messages of tasks.
    notices: bool,
    open: BTreeSet<JobId>,
    to: mpsc::Sender<Released<Response>>,
    /// The last progress that was told; none for a client that only waits for the end.
    told: Option<ProgressView>,
}

/// All clients that wait.
#[derive(Debug, Default)]
pub struct Watchers {
    watchers: Vec<Watcher>,
}

/// Answers that may queue up for a client before progress is skipped for it; the end is always told.
const ROOM_MIN: usize = 8;

impl Watchers {
    /// Registers a client. Jobs that do not exist are not waited for.
    pub fn add(
        &mut self,
        state: &State,
        jobs: Vec<JobId>,
        watch: Watch,
        to: mpsc::Sender<Released<Response>>,
        releases: &mut Vec<Release>,
    ) {
        let Watch { progress, notices, without_close } = watch;
        let open: BTreeSet<JobId> = jobs.iter().copied().filter(|job| is_open(state, *job, without_close)).collect();
        let mut watcher = Watcher { jobs, without_close, notices, open, to, told: None };
        if progress {
            let view = state.view_progress(&watcher.jobs);
            watcher.told = Some(view);
            releases.push(Release::Answer {
                to: watcher.to.clone(),
                response: Response::Progress(view),
                is_change: false,
            });
        }
        if watcher.open.is_empty() {
            releases.push(Release::Answer { to: watcher.to, response: Response::Waited(Empty {}), is_change: false });
        } else {
            self.watchers.push(watcher);
        }
    }

    /// Tells what the events of a turn mean for those who wait; true when somebody is told something.
    pub fn notice(&mut self, state: &State, events: &[Stamped], releases: &mut Vec<Release>) -> bool {
        if self.watchers.is_empty() {
            return false;
        }
        let touched: BTreeSet<JobId> = events.iter().filter_map(|stamped| stamped.event.job()).collect();
        if touched.is_empty() {
            return false;
        }
        let before = releases.len();
        let listeners = self.watchers.iter().filter(|watcher| watcher.notices).count();
        let share = limits::QUEUED_NOTICES_MAX / listeners.max(1);
        self.watchers.retain_mut(|watcher| {
            if watcher.to.is_closed() {
                return false;
            }
            if !watcher.jobs.iter().any(|job| touched.contains(job)) {
                return true;
            }
            if watcher.notices && !watcher.pass_on(events, share, releases) {
                return false;
            }
            let without_close = watcher.without_close;
            watcher.open.retain(|job| is_open(state, *job, without_close));
            let ends = watcher.open.is_empty();
            if let Some(told) = watcher.told
                && (ends || watcher.to.capacity() >= ROOM_MIN)
            {
                let view = state.view_progress(&watcher.jobs);
                if view != told {
                    watcher.told = Some(view);
                    releases.push(Release::Answer {
                        to: watcher.to.clone(),
                        response: Response::Progress(view),
                        is_change: false,
                    });
                }
            }
            if ends {
                let to = watcher.to.clone();
                releases.push(Release::Answer { to, response: Response::Waited(Empty {}), is_change: false });
            }
            !ends
        });
        releases.len() > before
    }
}

impl Watcher {
    /// Passes messages of tasks on, of which `share` may wait for this client before this turn. `false`: it does not take them
    /// as fast as they come, and is told so; a message is never left out silently.
    fn pass_on(&self, events: &[Stamped], share: usize, releases: &mut Vec<Release>) -> bool {
        let waiting = self.to.max_capacity().saturating_sub(self.to.capacity());
        for stamped in events {
            let Event::TaskNotified(event) = &stamped.event else { continue };
            if !self.jobs.contains(&event.job) {
                continue;
            }
            let keeps_up = waiting < share;
            let response = if keeps_up {
                let task = TaskRef { job: event.job, task: event.task };
                Response::Noticed(TaskNotice { task, worker: event.worker, message: event.message.clone() })
            } else {
                Response::Refused("messages of tasks come faster than this client takes them".to_owned())
            };
            releases.push(Release::Answer { to: self.to.clone(), response, is_change: false });
            if !keeps_up {
                return false;
            }
        }
        true
    }
}

/// Whether the job exists and is not completed.
fn is_open(state: &State, job: JobId, without_close: bool) -> bool {
    let is_idle = |job: &Job| without_close && job.counts.unfinished() == 0;
    state.job(job).is_some_and(|job| !job.is_done() && !is_idle(job))
}
