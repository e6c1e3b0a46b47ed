//! Jobs: their submits, counters and error texts.
//!
//! What is asked for often (how many run, how many failed) is counted as it changes, so that no answer walks over tasks.

use super::revised::{Revised, Revision};
use super::runs::Runs;
use super::tasks::{Live, TaskTable};
use crate::id::{JobId, TaskId};
use crate::limits;
use crate::retention::DetailsGone;
use crate::task::{SubmitDesc, TaskDesc};
use crate::time::Time;
use crate::view::{TaskCounts, TaskState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ready::Level;

/// One submit of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Submit {
    /// What was submitted; entries and standard input are dropped once the job is completed.
    pub desc: Arc<SubmitDesc>,
    /// Ordinal of its first task.
    pub base: u32,
    /// Queue of each of its task descriptions, then of each revision.
    pub levels: Vec<Level>,
    /// Descriptions that were changed; their indices go on behind those of the others.
    pub revisions: Vec<Revision>,
    /// Indices of revisions by what they are.
    pub(super) by_change: BTreeMap<(u32, Vec<u8>), u32>,
    /// Which tasks have a revision.
    pub revised: Revised,
}

impl Submit {
    /// A submit as it came.
    pub fn new(desc: Arc<SubmitDesc>, base: u32, levels: Vec<Level>) -> Self {
        let (revisions, by_change, revised) = (Vec::new(), BTreeMap::new(), Revised::default());
        Self { desc, base, levels, revisions, by_change, revised }
    }

    /// Index of the description, or behind them of the revision, for the task with this ordinal of the job.
    pub fn desc_index(&self, ordinal: u32) -> u32 {
        if !self.revised.is_empty()
            && let Some(index) = self.revised.get(ordinal)
        {
            return index;
        }
        self.desc.desc_of.get((ordinal - self.base) as usize).copied().unwrap_or(0)
    }

    /// The queue of the task with this ordinal.
    pub fn level(&self, ordinal: u32) -> Option<Level> {
        self.levels.get(self.desc_index(ordinal) as usize).copied()
    }
}

/// Distinct error texts of a job; tasks refer to them by index plus one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ErrorTexts {
    texts: Vec<Arc<str>>,
    by_text: BTreeMap<Arc<str>, u32>,
}

impl ErrorTexts {
    /// The reference of an error.
    pub fn intern(&mut self, text: &str) -> u32 {
        let instead = "(too many distinct errors to keep; the journal has this one)";
        self.keep(if self.has_room(text, limits::JOB_ERRORS_MAX) { text } else { instead })
    }

    /// The reference of the reason for which a task was canceled or aborted; 0 for none.
    pub fn intern_reason(&mut self, text: &str) -> u32 {
        let instead = "(too many distinct reasons to keep; the journal has this one)";
        match text {
            "" => 0,
            text => self.keep(if self.has_room(text, limits::JOB_REASONS_MAX) { text } else { instead }),
        }
    }

    /// The texts of an image, in the order of their references.
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut errors = Self::default();
        for text in texts {
            errors.keep(text);
        }
        errors
    }

    fn has_room(&self, text: &str, max: usize) -> bool {
        self.texts.len() < max || self.by_text.contains_key(text)
    }

    fn keep(&mut self, text: &str) -> u32 {
        if let Some(reference) = self.by_text.get(text) {
            return *reference;
        }
        let shared: Arc<str> = Arc::from(text);
        self.texts.push(Arc::clone(&shared));
        let reference = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.by_text.insert(shared, reference);
        reference
    }

    /// The text of a reference.
    pub fn get(&self, reference: u32) -> Option<&str> {
        self.texts.get((reference as usize).checked_sub(1)?).map(AsRef::as_ref)
    }

    /// All texts in the order of their references.
    pub fn all(&self) -> &[Arc<str>] {
        &self.texts
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// Failures above which the rest is aborted.
    pub max_fails: Option<u32>,
    /// Whether it accepts further submits.
    pub is_open: bool,
    /// When it was submitted.
    pub submitted: Time,
    /// When it was completed.
    pub completed: Option<Time>,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
    /// Its submits.
    pub submits: Vec<Submit>,
    /// Its tasks.
    pub tasks: TaskTable,
    /// Tasks by state.
    pub counts: TaskCounts,
    /// Error texts of failed tasks, and reasons of aborted ones.
    pub errors: ErrorTexts,
    /// Words by which the job can be found.
    pub tags: BTreeMap<String, String>,
    /// Whether nothing of it starts, what is added later included, but for the exceptions in `held`. Never of a completed
    /// job.
    pub hold: bool,
    /// Ordinals of tasks that do not start until they are released; with `hold`: of those that were released.
    pub held: Runs,
    /// Gates that have opened: numbers of submits, and places among their dependencies.
    pub opened: BTreeSet<(u32, u32)>,
    /// When and why the journal was allowed to forget its details.
    pub details_gone: Option<DetailsGone>,
}

impl Job {
    /// A closed job without tasks.
    pub fn new(id: JobId, name: String, max_fails: Option<u32>, submitted: Time) -> Self {
        Self {
            id,
            name,
            max_fails,
            is_open: false,
            submitted,
            completed: None,
            cancel_reason: None,
            submits: Vec::new(),
            tasks: TaskTable::default(),
            counts: TaskCounts::default(),
            errors: ErrorTexts::default(),
            tags: BTreeMap::new(),
            hold: false,
            held: Runs::default(),
            opened: BTreeSet::new(),
            details_gone: None,
        }
    }

    /// The submit that brought the task with this ordinal.
    pub fn submit_of(&self, ordinal: u32) -> Option<(u32, &Submit)> {
        let number = self.tasks.submit_of(ordinal)?;
        Some((number, self.submits.get(number as usize)?))
    }

    /// Whether values of tasks were changed.
    pub fn is_revised(&self) -> bool {
        self.submits.iter().any(|submit| !submit.revisions.is_empty())
    }

    /// The description of a task.
    pub fn desc_of(&self, ordinal: u32) -> Option<Arc<TaskDesc>> {
        let (_, submit) = self.submit_of(ordinal)?;
        submit.desc_at(submit.desc_index(ordinal))
    }

    /// A task has started by the description with this index, so it keeps that.
    pub(super) fn settle(&mut self, task: TaskId, index: u32) {
        let Some(ordinal) = self.tasks.ordinal(task) else { return };
        let number = self.tasks.submit_of(ordinal);
        if let Some(submit) = number.and_then(|number| self.submits.get_mut(number as usize)) {
            submit.settle(ordinal, index);
        }
    }

    /// The queue from which a task was given to the worker that it is on.
    pub fn level_given(&self, ordinal: u32, live: &Live) -> Option<Level> {
        self.submit_of(ordinal)?.1.levels.get(live.desc as usize).copied()
    }

    /// The queue of a task.
    pub fn level_of(&self, ordinal: u32) -> Option<Level> {
        self.submit_of(ordinal)?.1.level(ordinal)
    }

    /// The parts of a run of ordinals that belong to one queue each, as `(queue, first, last)`.
    pub fn stretches(&self, first: u32, last: u32) -> Vec<(Level, u32, u32)> {
        let mut stretches: Vec<(Level, u32, u32)> = Vec::new();
        let mut next = Some(first);
        while let Some(ordinal) = next.filter(|ordinal| *ordinal <= last) {
            let Some((submit, range_last)) = self.tasks.range_at(ordinal) else { break };
            let until = range_last.min(last);
            let Some(submit) = self.submits.get(submit as usize) else { break };
            if submit.desc.desc_of.is_empty() {
                for (first, last, index) in submit.alike(ordinal, until) {
                    stretches.extend(submit.levels.get(index as usize).map(|level| (*level, first, last)));
                }
            } else {
                for ordinal in ordinal..=until {
                    let Some(level) = submit.level(ordinal) else { continue };
                    match stretches.last_mut() {
                        Some((same, _, end)) if *same == level && end.checked_add(1) == Some(ordinal) => *end = ordinal,
                        _ => stretches.push((level, ordinal, ordinal)),
                    }
                }
            }
            next = until.checked_add(1);
        }
        stretches
    }

    /// All queues that tasks of the job can be in, each once.
    pub fn levels(&self) -> Vec<Level> {
        let mut levels: Vec<Level> = self.submits.iter().flat_map(|submit| submit.levels.iter().copied()).collect();
        levels.sort_unstable();
        levels.dedup();
        levels
    }

    /// Whether the job is closed and nothing of it is left to do.
    pub fn is_done(&self) -> bool {
        !self.is_open && self.counts.unfinished() == 0
    }

    /// Gives the room back that it kept in order to grow: there may be millions of completed jobs.
    pub(super) fn shrink(&mut self) {
        self.submits.shrink_to_fit();
        self.tasks.shrink();
    }

    /// Moves one task from one counter to another.
    pub fn count(&mut self, from: TaskState, to: TaskState) {
        self.add(from, -1);
        self.add(to, 1);
    }

    /// Changes a counter.
    pub fn add(&mut self, state: TaskState, by: i64) {
        let counter = match state {
            TaskState::Waiting => &mut self.counts.waiting,
            TaskState::Running => &mut self.counts.running,
            TaskState::Finished => &mut self.counts.finished,
            TaskState::Failed => &mut self.counts.failed,
            TaskState::Canceled => &mut self.counts.canceled,
            TaskState::Aborted => &mut self.counts.aborted,
        };
        *counter = counter.saturating_add_signed(by);
    }

    /// The ordinal of the last task; none without tasks.
    pub fn last_ordinal(&self) -> Option<u32> {
        u32::try_from(self.tasks.total().checked_sub(1)?).ok()
    }
}
