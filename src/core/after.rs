//! What a submit waits for, in the words of users: a condition, and jobs or tasks. The server finds out which ones are
//! meant in the turn of the submit, so that no other submit can come in between.
//!
//! Holds: the printed form is the one that `grammar` reads.

use crate::idset::IdSet;
use crate::task::{After, Condition};
use std::fmt;

int_choice! {
    /// How the jobs of an [`AfterSpec`] are named.
    pub enum AfterTarget {
        /// By their ids.
        0 => Ids,
        /// The job with the highest id ever given.
        1 => Last,
        /// The newest job of a name.
        2 => Name,
        /// The job that is submitted to.
        3 => Own,
    }
}

int_struct! {
    /// What is to be waited for, as it was typed.
    #[derive(Eq)]
    pub struct AfterSpec {
        /// What of it is waited for.
        0 => pub condition: Condition,
        /// Each task waits only for the task of the same id there.
        1 => pub each: bool,
        /// How the jobs are named.
        2 => pub target: AfterTarget,
        /// For [`AfterTarget::Ids`]: the jobs.
        3 => pub jobs: IdSet,
        /// For [`AfterTarget::Name`]: the name.
        4 => pub name: String,
        /// The tasks of these jobs that are waited for; none: the jobs are to be completed.
        5 => pub on_tasks: Option<IdSet>,
    }
}

int_struct! {
    /// Tasks of a submit, and what they wait for.
    #[derive(Eq)]
    pub struct AfterRequest {
        /// The dependent tasks; empty: all of the submit.
        0 => pub tasks: IdSet,
        /// What is waited for.
        1 => pub spec: AfterSpec,
    }
}

/// The word for a condition.
pub fn condition_word(condition: Condition) -> &'static str {
    match condition {
        Condition::Ok => "ok",
        Condition::Any => "any",
        Condition::Failed => "failed",
    }
}

impl fmt::Display for AfterSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = if self.each { "each:" } else { "" };
        write!(f, "{each}{}:", condition_word(self.condition))?;
        match self.target {
            AfterTarget::Ids => self.jobs.fmt(f)?,
            AfterTarget::Last => f.write_str("last")?,
            AfterTarget::Name => f.write_str(&self.name)?,
            AfterTarget::Own => {}
        }
        self.on_tasks.as_ref().map_or(Ok(()), |tasks| write!(f, "@{tasks}"))
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = AfterSpec {
            condition: self.condition,
            each: self.each,
            target: AfterTarget::Ids,
            jobs: IdSet::single(self.on.0),
            name: String::new(),
            on_tasks: self.on_tasks.clone(),
        };
        spec.fmt(f)
    }
}
