//! Pages of the tasks of several jobs, fetched with few questions.
//!
//! An answer passes through the turn and the commit of the server; one for each of hundreds of small jobs takes seconds
//! on a busy machine.
//!
//! Holds: one answer is in memory at a time; of a server that answers for one job only all jobs are told all the same.

use crate::client::error::Error;
use crate::client::link::Link;
use crate::wire::message::TaskPageRequest;
use hq_core::id::{JobId, TaskId};
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::view::{TaskPage, TaskState};
use std::collections::VecDeque;

/// What is asked for, and what was told of jobs that are next.
pub struct TaskPages<'a> {
    jobs: Vec<JobId>,
    ids: Option<&'a IdSet>,
    states: &'a [TaskState],
    ahead: VecDeque<TaskPage>,
}

impl<'a> TaskPages<'a> {
    /// Of these jobs the tasks of these ids and states; none: all.
    pub fn new(jobs: Vec<JobId>, ids: Option<&'a IdSet>, states: &'a [TaskState]) -> Self {
        Self { jobs, ids, states, ahead: VecDeque::new() }
    }

    /// Passes the tasks of a job to `page`, page by page, ascending; false when there is no such job. Cheap when jobs are
    /// asked for in their order.
    ///
    /// # Errors
    /// As [`Link::ask`], and the first one of `page`.
    pub fn of(
        &mut self,
        link: &mut Link,
        job: JobId,
        page: &mut dyn FnMut(TaskPage) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut from = Some(TaskId(0));
        while let Some(start) = from {
            let known = self.ahead.pop_front().filter(|known| known.job == job && start == TaskId(0));
            let answer = match known {
                Some(known) => known,
                None => match self.ask(link, job, start)? {
                    Some(answer) => answer,
                    None => return Ok(false),
                },
            };
            from = answer.next;
            if from.is_some_and(|next| next <= start) {
                // A server that does not advance would keep us here for ever.
                return Err(Error::Unexpected);
            }
            page(answer)?;
        }
        Ok(true)
    }

    fn ask(&mut self, link: &mut Link, job: JobId, from: TaskId) -> Result<Option<TaskPage>, Error> {
        let others = self.jobs.iter().skip_while(|other| **other != job).skip(1).take(limits::PAGE_JOBS_MAX);
        // The ranges keep the order, whatever it is.
        let also = IdSet::from_sorted(others.map(|other| other.0));
        let (ids, states) = (self.ids.cloned(), self.states.to_vec());
        let mut answer =
            link.task_page(TaskPageRequest { job, ids, states, from, also, ..TaskPageRequest::default() })?;
        self.ahead = answer.as_mut().map(|first| std::mem::take(&mut first.more)).unwrap_or_default().into();
        Ok(answer)
    }
}
