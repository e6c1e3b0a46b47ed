//! Identifiers: newtypes for everything that has a number.
//!
//! A job, a task and a worker id are all `u32` on the wire and for users; the types keep them apart in the code.
//! Ids are never reused: counters are part of the state and only grow.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<u32> for $name {
            fn from(value: u32) -> Self {
                Self(value)
            }
        }
    };
}

id_type!(
    /// Number of a job; the first job of a server is 1.
    JobId
);
id_type!(
    /// Number of a task within its job; the first one is usually 0.
    TaskId
);
id_type!(
    /// Number of a worker; the first worker of a server is 1.
    WorkerId
);
id_type!(
    /// Number of an execution of a task, from 0; users see it as `HQ_INSTANCE_ID`.
    AttemptId
);
id_type!(
    /// Number of a server start on one journal, from 1. Made durable before anything of that start is.
    Epoch
);
id_type!(
    /// Index of an interned resource request (all variants together): tasks with the same one form a class.
    ClassId
);

/// A task of a job, written `job@task`; a pair of numbers in the encoded form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub struct TaskRef {
    /// The job.
    pub job: JobId,
    /// The task within the job.
    pub task: TaskId,
}

impl TaskRef {
    /// A reference from plain numbers.
    pub fn new(job: u32, task: u32) -> Self {
        Self { job: JobId(job), task: TaskId(task) }
    }
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.job, self.task)
    }
}

/// What fences an execution: the epoch in which it was assigned and its number.
///
/// A worker's word about a task counts only when it carries the fence that the state holds for that task. A pair of
/// numbers in the encoded form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub struct Fence {
    /// Epoch of the server that assigned the attempt.
    pub epoch: Epoch,
    /// Number of the attempt.
    pub attempt: AttemptId,
}

impl From<(u32, u32)> for TaskRef {
    fn from((job, task): (u32, u32)) -> Self {
        Self::new(job, task)
    }
}

impl From<TaskRef> for (u32, u32) {
    fn from(task: TaskRef) -> Self {
        (task.job.0, task.task.0)
    }
}

impl From<(u32, u32)> for Fence {
    fn from((epoch, attempt): (u32, u32)) -> Self {
        Self { epoch: Epoch(epoch), attempt: AttemptId(attempt) }
    }
}

impl From<Fence> for (u32, u32) {
    fn from(fence: Fence) -> Self {
        (fence.epoch.0, fence.attempt.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor;

    #[test]
    fn references_and_fences_are_pairs() {
        let (task, fence) = (TaskRef::new(3, 4), Fence { epoch: Epoch(5), attempt: AttemptId(6) });
        assert_eq!(cbor::decode::<((u32, u32), (u32, u32))>(&cbor::encode(&(task, fence))), Ok(((3, 4), (5, 6))));
        assert_eq!(cbor::decode::<(TaskRef, Fence)>(&cbor::encode(&((3, 4), (5, 6)))), Ok((task, fence)));
    }
}
