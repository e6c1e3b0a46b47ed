//! What users do to tasks that were submitted: cancel, hold, release, modify, run again.
//!
//! All of it is one shape: an action on the tasks of some jobs, and for each job how many it touched. Each is
//! idempotent: what is already as wanted is not touched.

use crate::id::JobId;
use crate::idset::IdSet;
use crate::resource::ResourceRequest;
use crate::task::{CrashLimit, TaskDesc};
use crate::time::Span;
use crate::view::TaskState;

int_struct! {
    /// New values for tasks that have not started, and for their job; what is absent stays.
    pub struct TaskChange {
        /// Larger runs earlier.
        0 => pub priority: Option<i32>,
        /// Longest run time; zero: no limit.
        1 => pub time_limit: Option<Span>,
        /// What they need: replaces the entries of the same names, and adds the others.
        2 => pub request: Option<ResourceRequest>,
        /// See [`CrashLimit`].
        3 => pub crash_limit: Option<CrashLimit>,
        /// Failures above which the rest of the job is aborted.
        4 => pub max_fails: Option<u32>,
    }
}

impl TaskChange {
    /// Whether tasks are changed by it, and not the job alone.
    pub fn is_of_tasks(&self) -> bool {
        *self != Self { max_fails: self.max_fails, ..Self::default() }
    }

    /// This change and then another one, as one change of tasks.
    pub fn then(&self, later: &Self) -> Self {
        let request = match (&self.request, &later.request) {
            (Some(earlier), Some(later)) => Some(earlier.with(later)),
            (earlier, later) => later.clone().or_else(|| earlier.clone()),
        };
        Self {
            priority: later.priority.or(self.priority),
            time_limit: later.time_limit.or(self.time_limit),
            request,
            crash_limit: later.crash_limit.or(self.crash_limit),
            max_fails: None,
        }
    }

    /// What a task of the description needs after the change.
    pub fn request_of(&self, desc: &TaskDesc) -> ResourceRequest {
        self.request.as_ref().map_or_else(|| desc.request.clone(), |request| desc.request.with(request))
    }

    /// The priority of a task of the description after the change.
    pub fn priority_of(&self, desc: &TaskDesc) -> i32 {
        self.priority.unwrap_or(desc.priority)
    }

    /// The description after the change.
    pub fn applied_to(&self, desc: &TaskDesc) -> TaskDesc {
        TaskDesc {
            priority: self.priority_of(desc),
            time_limit: self.time_limit.map_or(desc.time_limit, |limit| (limit.0 > 0).then_some(limit)),
            request: self.request_of(desc),
            crash_limit: self.crash_limit.unwrap_or(desc.crash_limit),
            ..desc.clone()
        }
    }
}

int_struct! {
    /// Ends tasks.
    pub struct CancelAction {
        /// Why.
        0 => pub reason: Option<String>,
    }
}

int_struct! {
    /// Keeps waiting tasks from starting.
    pub struct HoldAction {}
}

int_struct! {
    /// Lets held tasks start again.
    pub struct ReleaseAction {}
}

int_struct! {
    /// Runs ended tasks again, with the same ids, also in completed jobs.
    pub struct RetryAction {
        /// Only tasks in these states; empty: failed, canceled and aborted ones.
        0 => pub states: Vec<TaskState>,
    }
}

int_enum! {
    /// An action on tasks.
    pub enum Action {
        /// See [`CancelAction`].
        0 => Cancel(CancelAction),
        /// See [`HoldAction`].
        1 => Hold(HoldAction),
        /// See [`ReleaseAction`].
        2 => Release(ReleaseAction),
        /// See [`TaskChange`].
        3 => Modify(TaskChange),
        /// See [`RetryAction`].
        4 => Retry(RetryAction),
    }
}

impl Default for Action {
    /// The one that can do no harm, for what an unknown sender left out.
    fn default() -> Self {
        Self::Release(ReleaseAction {})
    }
}

int_struct! {
    /// What an action did to one job.
    #[derive(Eq)]
    pub struct Acted {
        /// The job.
        0 => pub job: JobId,
        /// Whether there is such a job.
        1 => pub found: bool,
        /// Tasks that it touched.
        2 => pub touched: u64,
        /// Selected tasks that it left as they were.
        3 => pub untouched: u64,
        /// Why nothing could be done, for users; empty otherwise.
        4 => pub refused: String,
        /// Ids that were asked for and that the job does not have; of a large selection none are told.
        5 => pub missing: IdSet,
    }
}
