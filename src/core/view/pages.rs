//! Pages of tasks, of one job or of many small ones.
//!
//! Who lists the tasks of hundreds of jobs would otherwise wait for hundreds of answers, each of which passes through
//! the turn and the commit.
//!
//! Holds: the work for one answer is bounded by [`limits::PAGE_SCAN_TASKS_MAX`] and [`limits::PAGE_JOBS_MAX`].

use super::build::view_task;
use super::{TaskState, TaskView, WorkerName};
use crate::id::{JobId, TaskId};
use crate::idset::IdSet;
use crate::limits;
use crate::retention::DetailsGone;
use crate::state::State;
use crate::state::jobs::Job;
use crate::state::tasks::TaskTable;
use std::collections::BTreeSet;

/// Tasks of one page at most.
const PAGE_TASKS_MAX: usize = 10_000;
/// Bytes of error texts after which a page ends.
const PAGE_ERROR_BYTES: usize = 4 * 1024 * 1024;

int_struct! {
    /// Asks for one page of the tasks of one job, and of further jobs as far as there is room.
    pub struct TaskPageRequest {
        /// The job.
        0 => pub job: JobId,
        /// Only these tasks; none: all.
        1 => pub ids: Option<IdSet>,
        /// Only tasks in these states; empty: all.
        2 => pub states: Vec<TaskState>,
        /// Where to start.
        3 => pub from: TaskId,
        /// At most so many; the server may give fewer.
        4 => pub limit: u32,
        /// Once all of the job is told: the first pages of these jobs, in this order.
        5 => pub also: IdSet,
    }
}

int_struct! {
    /// A page of the tasks of one job, ascending by id; those of further jobs in `more`.
    pub struct TaskPage {
        /// The job.
        0 => pub job: JobId,
        /// The tasks.
        1 => pub tasks: Vec<TaskView>,
        /// Where the next page starts; none at the end.
        2 => pub next: Option<TaskId>,
        /// Host names of the workers named in `tasks`.
        3 => pub workers: Vec<WorkerName>,
        /// Asked-for ids that the job does not have, when ids were asked for.
        4 => pub missing: Vec<TaskId>,
        /// When and why the journal was allowed to forget the details of the job.
        31 => pub details_gone: Option<DetailsGone>,
        /// Pages of further jobs that were asked for, in the order of the jobs; none of them before the last goes on in a
        /// next page. Servers that do not know `also` give none.
        32 => pub more: Vec<TaskPage>,
    }
}

/// What is left for one answer.
struct Room {
    tasks: usize,
    looks: usize,
    error_bytes: usize,
}

impl Room {
    fn new(limit: usize) -> Self {
        let tasks = limit.clamp(1, PAGE_TASKS_MAX);
        Self { tasks, looks: limits::PAGE_SCAN_TASKS_MAX, error_bytes: PAGE_ERROR_BYTES }
    }

    fn is_full(&self) -> bool {
        self.tasks == 0 || self.looks == 0 || self.error_bytes == 0
    }
}

impl State {
    /// A page of the tasks of one job.
    #[cfg(test)]
    pub fn view_tasks(
        &self,
        id: JobId,
        ids: Option<&IdSet>,
        states: &[TaskState],
        from: TaskId,
        limit: usize,
    ) -> Option<TaskPage> {
        Some(self.page(self.jobs.get(&id)?, ids, states, from, &mut Room::new(limit)))
    }

    /// A page as it was asked for, with those of further jobs; none when there is no such job. Of a further job that is
    /// not there the page is empty.
    pub fn view_task_pages(&self, request: &TaskPageRequest) -> Option<TaskPage> {
        let TaskPageRequest { job, ids, states, from, limit, also } = request;
        let mut room = Room::new(*limit as usize);
        let mut page = self.page(self.jobs.get(job)?, ids.as_ref(), states, *from, &mut room);
        // For each job all wanted ids are gone through; many are so only once.
        let wanted = ids.as_ref().map_or(0, IdSet::len);
        let is_dear = |room: &Room| wanted > room.looks as u64;
        let mut is_over = page.next.is_some();
        for job in also.iter().take(limits::PAGE_JOBS_MAX).map(JobId) {
            if is_over || room.is_full() || is_dear(&room) {
                break;
            }
            let further = match self.jobs.get(&job) {
                Some(job) => self.page(job, ids.as_ref(), states, TaskId(0), &mut room),
                None => TaskPage { job, ..TaskPage::default() },
            };
            is_over = further.next.is_some();
            page.more.push(further);
        }
        Some(page)
    }

    fn page(&self, job: &Job, ids: Option<&IdSet>, states: &[TaskState], from: TaskId, room: &mut Room) -> TaskPage {
        let mut page = TaskPage { job: job.id, details_gone: job.details_gone, ..TaskPage::default() };
        let mut workers = BTreeSet::new();
        let few = ids.is_some_and(|set| set.len() <= limits::PAGE_SCAN_TASKS_MAX as u64);
        for task in candidates(job, ids, from) {
            if room.is_full() {
                page.next = Some(task);
                break;
            }
            room.looks -= 1;
            if !few && ids.is_some_and(|set| !set.contains(task.0)) {
                continue;
            }
            match view_task(job, task) {
                // Of a large selection only what is there is told.
                None if few => page.missing.push(task),
                None => {}
                Some(view) if states.is_empty() || states.contains(&view.state) => {
                    workers.extend(view.workers.iter().copied());
                    let texts: usize = [&view.error, &view.reason].into_iter().flatten().map(String::len).sum();
                    room.error_bytes = room.error_bytes.saturating_sub(texts);
                    room.tasks -= 1;
                    page.tasks.push(view);
                }
                Some(_) => {}
            }
        }
        page.workers = self.names(workers);
        page
    }
}

/// Tasks among which all wanted ones are, ascending: the shorter of the job's and the selected ones.
fn candidates<'a>(job: &'a Job, ids: Option<&IdSet>, from: TaskId) -> Box<dyn Iterator<Item = TaskId> + 'a> {
    match ids {
        Some(set) if set.len() <= limits::PAGE_SCAN_TASKS_MAX as u64 => {
            let sorted: BTreeSet<u32> = set.iter().filter(|task| *task >= from.0).collect();
            Box::new(sorted.into_iter().map(TaskId))
        }
        Some(set) if set.len() < job.tasks.total() => {
            let mut wanted = TaskTable::default();
            wanted.add(set, 0);
            let last = job.tasks.max_id().unwrap_or(0);
            let ascending = wanted.ascending_from(from).take_while(|task| task.0 <= last);
            // One more than is looked at, to know where the next page starts.
            Box::new(ascending.take(limits::PAGE_SCAN_TASKS_MAX + 1).collect::<Vec<_>>().into_iter())
        }
        _ => Box::new(job.tasks.ascending_from(from)),
    }
}
