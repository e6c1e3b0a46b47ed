//! Tasks that are printed as JSON while they are fetched: a job may have billions.
//!
//! Holds: one page of tasks is in memory at a time; what breaks off is an error, and never looks like a whole list.

use crate::client::error::Error;
use crate::client::link::Link;
use crate::client::render::json::Tree;
use crate::client::render::task;
use crate::client::task_pages::TaskPages;
use hq_core::id::TaskId;
use hq_core::idset::IdSet;
use hq_core::view::JobDetail;
use std::cell::RefCell;

/// Fetches pages of tasks when they are wanted.
pub(super) struct TaskFeed<'l> {
    link: RefCell<&'l mut Link>,
    missing: RefCell<Vec<TaskId>>,
    failure: RefCell<Option<Error>>,
}

impl<'l> TaskFeed<'l> {
    /// A feed over this connection.
    pub(super) fn new(link: &'l mut Link) -> Self {
        Self { link: RefCell::new(link), missing: RefCell::default(), failure: RefCell::default() }
    }

    /// The list of the objects of the chosen tasks of a job.
    pub(super) fn tasks<'a>(&'a self, job: &'a JobDetail, pages: &'a RefCell<TaskPages<'a>>) -> Tree<'a> {
        Tree::Told(Box::new(move |take| {
            let mut is_refused = false;
            let (mut pages, mut link) = (pages.borrow_mut(), self.link.borrow_mut());
            let told = pages.of(&mut link, job.summary.id, &mut |page| {
                self.missing.borrow_mut().extend(page.missing);
                is_refused = !page.tasks.iter().all(|view| take(&task::to_json(job, view)));
                // Who does not take the tasks knows why.
                if is_refused { Err(Error::Unexpected) } else { Ok(()) }
            });
            if let (Err(error), false) = (told, is_refused) {
                *self.failure.borrow_mut() = Some(error);
                return false;
            }
            true
        }))
    }

    /// The list of the objects of the chosen tasks with their attempts.
    pub(super) fn infos<'a>(&'a self, job: &'a JobDetail, ids: &'a IdSet) -> Tree<'a> {
        Tree::Told(Box::new(move |take| {
            let mut is_refused = false;
            let told = self.link.borrow_mut().tasks_with_attempts(job.summary.id, ids, &mut |page, attempts| {
                self.missing.borrow_mut().extend(page.missing);
                is_refused = !page.tasks.iter().all(|view| {
                    let tried = attempts.get(&view.id).map(Vec::as_slice).unwrap_or_default();
                    take(&task::info_json(job, view, tried))
                });
                if is_refused { Err(Error::Unexpected) } else { Ok(()) }
            });
            if let (Err(error), false) = (told, is_refused) {
                *self.failure.borrow_mut() = Some(error);
                return false;
            }
            true
        }))
    }

    /// What came of printing: the tasks that are not there.
    ///
    /// # Errors
    /// What kept pages from being fetched, else what kept them from being printed.
    pub(super) fn finish(self, printed: Result<(), Error>) -> Result<Vec<TaskId>, Error> {
        match self.failure.into_inner() {
            Some(error) => Err(error),
            None => printed.map(|()| self.missing.into_inner()),
        }
    }
}
