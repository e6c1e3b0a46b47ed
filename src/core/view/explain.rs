//! Why a task waits: what it asks for beside what each worker has, and what keeps it from starting now.

use crate::id::{TaskRef, WorkerId};
use crate::resource::Amount;
use crate::time::Span;

int_struct! {
    /// A time request beside what is left of a worker's life.
    #[derive(Copy)]
    pub struct ExplainedTime {
        /// What the task asks for.
        0 => pub min_time: Span,
        /// What is left; none for a worker without a limit.
        1 => pub remaining: Option<Span>,
    }
}

int_struct! {
    /// An amount of a resource beside what a worker has of it in all.
    pub struct ExplainedResource {
        /// Its name.
        0 => pub resource: String,
        /// What the task asks for; 0.0001 for all there is.
        1 => pub requested: Amount,
        /// What the worker has, used or not.
        2 => pub provided: Amount,
    }
}

int_struct! {
    /// A number of nodes beside the size of a worker's group.
    #[derive(Copy)]
    pub struct ExplainedNodes {
        /// What the task asks for.
        0 => pub nodes: u32,
        /// Workers of the group that are connected or may come back.
        1 => pub group_size: u32,
    }
}

int_enum! {
    /// One thing that a variant asks for.
    pub enum ExplainedItem {
        /// See [`ExplainedTime`].
        0 => Time(ExplainedTime),
        /// See [`ExplainedResource`].
        1 => Resource(ExplainedResource),
        /// See [`ExplainedNodes`].
        2 => Nodes(ExplainedNodes),
    }
}

int_struct! {
    /// A variant of a request on one worker.
    pub struct ExplainedVariant {
        /// What it asks for: time, then nodes or resources.
        0 => pub items: Vec<ExplainedItem>,
    }
}

int_struct! {
    /// A worker, as a place for the task.
    pub struct ExplainedWorker {
        /// The worker.
        0 => pub id: WorkerId,
        /// The variants of the request, in order.
        1 => pub variants: Vec<ExplainedVariant>,
        /// What keeps the task from starting here now, in words; empty when nothing does, or the worker is too small.
        2 => pub hindrance: String,
    }
}

int_struct! {
    /// Why a task waits, or where it is.
    pub struct TaskExplanation {
        /// The task.
        0 => pub task: TaskRef,
        /// Its dependencies.
        1 => pub deps: u64,
        /// Those that have not ended.
        2 => pub waiting_deps: u64,
        /// The workers, ascending.
        3 => pub workers: Vec<ExplainedWorker>,
        /// What else is known, a sentence each.
        4 => pub facts: Vec<String>,
    }
}

impl ExplainedItem {
    /// Whether the worker has what is asked for, used or not. A life without a known end is long enough.
    pub fn is_provided(&self) -> bool {
        match self {
            Self::Time(time) => time.remaining.is_none_or(|left| left >= time.min_time),
            Self::Resource(resource) => resource.requested <= resource.provided,
            Self::Nodes(nodes) => nodes.nodes <= nodes.group_size,
        }
    }
}

impl ExplainedWorker {
    /// How many of the variants the worker could run when idle.
    pub fn runnable(&self) -> usize {
        self.variants.iter().filter(|variant| variant.items.iter().all(ExplainedItem::is_provided)).count()
    }
}
