//! Workers: who is connected, what is free there, which tasks lie there.

use super::ahead::Ahead;
use super::classes::{Class, ClassVariant, Classes, Need, ResourceIndex};
use crate::event::AwayReason;
use crate::id::{ClassId, TaskRef, WorkerId};
use crate::limits;
use crate::time::{Span, Time};
use crate::view::{LastStarted, WorkerEnd};
use crate::worker::{Drain, WorkerConfig};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whether a worker can be talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It is connected.
    Connected,
    /// It cannot be talked to; it is lost if it does not come back by then.
    Away {
        /// Why.
        reason: AwayReason,
        /// When it is lost at the earliest.
        until: Time,
    },
}

/// A worker that is connected or may come back.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// Its number.
    pub id: WorkerId,
    /// Random name of its process.
    pub token: String,
    /// What it said about itself.
    pub config: Arc<WorkerConfig>,
    /// When it registered.
    pub started: Time,
    /// Its connection.
    pub link: Link,
    /// When it was told to stop.
    pub stopping: Option<Time>,
    /// Whether it gets nothing new, and how that ends.
    pub draining: Option<Drain>,
    /// The last task that started on it.
    pub last_started: Option<LastStarted>,
    /// Since when nothing is assigned to it.
    pub idle_since: Time,
    /// Number of the last message of its tasks that was recorded.
    pub noticed: u64,
    /// Tasks that hold resources here, and those ahead.
    pub tasks: BTreeSet<TaskRef>,
    /// Tasks that lie ahead of free resources.
    pub ahead: Ahead,
    /// How many tasks run.
    pub running: u32,
    /// The multi-node task that has the worker for itself, as its root or as another node.
    pub gang: Option<TaskRef>,
    /// Classes and their variants that the worker cannot place, until it says that it can.
    pub blocked: BTreeSet<(ClassId, u32)>,
    /// Mean run time of recent tasks in microseconds; an observation, not part of the image.
    pub mean_run_us: Option<u64>,
    capacity: Vec<u64>,
    free: Vec<i64>,
    /// Whether its group lists it as vacant; none before it is listed.
    pub(super) listed: Option<bool>,
    /// Tasks that hold resources, by class; few classes run on one worker at a time.
    in_use: Vec<(ClassId, u32)>,
}

/// A worker that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct PastWorker {
    /// Its number.
    pub id: WorkerId,
    /// What it said about itself.
    pub config: Arc<WorkerConfig>,
    /// When it registered.
    pub started: Time,
    /// How it ended.
    pub end: WorkerEnd,
    /// The last task that started on it.
    pub last_started: Option<LastStarted>,
}

impl Worker {
    /// Whether it was there before the last start of a server and has not come back.
    pub fn is_missing(&self) -> bool {
        matches!(self.link, Link::Away { reason: AwayReason::Restart, .. })
    }

    /// A worker that has just registered.
    pub fn new(id: WorkerId, token: String, config: Arc<WorkerConfig>, at: Time, classes: &mut Classes) -> Self {
        let mut capacity = Vec::new();
        for pool in &config.resources.pools {
            let index = classes.resource(&pool.name).0;
            if capacity.len() <= index {
                capacity.resize(index + 1, 0);
            }
            if let Some(slot) = capacity.get_mut(index) {
                *slot = pool.kind.size().0;
            }
        }
        let free = capacity.iter().map(|parts| i64::try_from(*parts).unwrap_or(i64::MAX)).collect();
        Self {
            id,
            token,
            config,
            started: at,
            link: Link::Connected,
            stopping: None,
            draining: None,
            last_started: None,
            idle_since: at,
            noticed: 0,
            tasks: BTreeSet::new(),
            ahead: Ahead::default(),
            running: 0,
            gang: None,
            blocked: BTreeSet::new(),
            mean_run_us: None,
            capacity,
            free,
            listed: None,
            in_use: Vec::new(),
        }
    }

    /// How many tasks of a class hold resources.
    pub fn in_use(&self, class: ClassId) -> u32 {
        self.in_use.iter().find(|(other, _)| *other == class).map_or(0, |(_, count)| *count)
    }

    /// How many more tasks should lie ahead: as much work as hides the way, by the run times seen here. None while more
    /// than half of that is there, since topping up in halves makes few large messages out of many small ones.
    pub fn wants_ahead(&self) -> u32 {
        if !self.accepts() || self.tasks.is_empty() || self.config.min_utilization_parts > 0 {
            return 0;
        }
        let Some(mean) = self.mean_run_us else { return 0 };
        let slots = u64::from(self.assigned().max(1));
        let tasks = slots.saturating_mul(limits::WORKER_AHEAD_SPAN.0) / mean.max(1);
        // Less than one task per slot is not worth the risk of parking it.
        if tasks < slots {
            return 0;
        }
        let held = u32::try_from(self.ahead.len()).unwrap_or(u32::MAX);
        let target = u32::try_from(tasks).unwrap_or(u32::MAX).min(limits::WORKER_AHEAD_TASKS_MAX);
        let target = target.min(held.saturating_add(self.room()));
        if held <= target / 2 { target - held } else { 0 }
    }

    /// Whether new tasks may be sent.
    pub fn accepts(&self) -> bool {
        self.link == Link::Connected && self.stopping.is_none() && self.draining.is_none() && self.gang.is_none()
    }

    /// Whether the worker was told to stop, or told us itself that it will: its end is no crash then.
    pub fn is_leaving(&self) -> bool {
        self.stopping.is_some() || self.draining.is_some_and(|drain| drain.own)
    }

    /// Whether nothing at all is on the worker, so that a multi-node task could have it.
    pub fn is_vacant(&self) -> bool {
        self.accepts() && self.tasks.is_empty()
    }

    /// Whether the worker lives for so long from `now` on; one without a limit always does.
    pub fn lives(&self, min_time_us: u64, now: Time) -> bool {
        min_time_us == 0 || self.remaining(now).is_none_or(|left| left.0 >= min_time_us)
    }

    /// What the worker has of a resource, in parts.
    pub fn capacity(&self, resource: ResourceIndex) -> u64 {
        self.capacity.get(resource.0).copied().unwrap_or(0)
    }

    /// What is free of a resource, in parts; negative while the worker is ahead of what the state knows.
    pub fn free(&self, resource: ResourceIndex) -> i64 {
        self.free.get(resource.0).copied().unwrap_or(0)
    }

    /// One more than the largest index of a resource that the worker may have.
    pub fn resources(&self) -> usize {
        self.free.len()
    }

    /// Whether the worker has said that it cannot place a variant of a class, although the totals would do.
    pub fn is_blocked(&self, class: ClassId, variant: u32) -> bool {
        self.blocked.contains(&(class, variant))
    }

    /// How many tasks may still be laid on the worker, whatever is free.
    pub fn room(&self) -> u32 {
        limits::WORKER_TASKS_MAX.saturating_sub(u32::try_from(self.tasks.len()).unwrap_or(u32::MAX))
    }

    /// Tasks that hold resources.
    pub fn assigned(&self) -> u32 {
        u32::try_from(self.tasks.len() - self.ahead.len()).unwrap_or(u32::MAX)
    }

    /// Whether the worker could run the variant when idle, with the lifetime it has left at `now`.
    pub fn is_eligible(&self, variant: &ClassVariant, now: Time) -> bool {
        self.lives(variant.min_time_us, now)
            && variant.needs.iter().all(|(resource, need)| match need {
                Need::Parts(parts) => *parts <= self.capacity(*resource),
                Need::All => self.capacity(*resource) > 0,
            })
    }

    /// How many tasks of the variant fit into what is free, at most `max`.
    pub fn fits(&self, variant: &ClassVariant, max: u32) -> u32 {
        let mut count = max;
        for (resource, need) in &variant.needs {
            let free = self.free(*resource);
            let here = match need {
                Need::Parts(0) => max,
                Need::Parts(parts) => match u64::try_from(free) {
                    Ok(free) => u32::try_from(free / parts).unwrap_or(u32::MAX),
                    Err(_) => 0,
                },
                Need::All => {
                    let capacity = self.capacity(*resource);
                    u32::from(capacity > 0 && i64::try_from(capacity).is_ok_and(|capacity| capacity == free))
                }
            };
            count = count.min(here);
        }
        count
    }

    /// Remaining lifetime; none without a limit.
    pub fn remaining(&self, now: Time) -> Option<Span> {
        let limit = self.config.time_limit?;
        Some(self.started.after(limit).since(now))
    }

    /// Takes the resources of one task of a class.
    pub fn take(&mut self, class: Option<&Class>, variant: u32) {
        self.change(class, variant, -1);
    }

    /// Takes the resources of `count` tasks of a class.
    pub fn take_many(&mut self, class: Option<&Class>, variant: u32, count: u32) {
        self.change(class, variant, -i64::from(count));
    }

    /// Gives the resources of one task of a class back.
    pub fn give(&mut self, class: Option<&Class>, variant: u32) {
        self.change(class, variant, 1);
    }

    fn change(&mut self, class: Option<&Class>, variant: u32, tasks: i64) {
        let Some(class) = class else { return };
        let Some(variant) = class.variants.get(variant as usize) else { return };
        for (resource, need) in &variant.needs {
            let parts = match need {
                Need::Parts(parts) => *parts,
                Need::All => self.capacity(*resource),
            };
            if let Some(free) = self.free.get_mut(resource.0) {
                *free = free.saturating_add(i64::try_from(parts).unwrap_or(i64::MAX).saturating_mul(tasks));
            }
        }
        let used = u32::try_from(tasks.unsigned_abs()).unwrap_or(u32::MAX);
        match self.in_use.iter_mut().find(|(other, _)| *other == class.id) {
            Some((_, count)) if tasks < 0 => *count = count.saturating_add(used),
            Some((_, count)) => *count = count.saturating_sub(used),
            None if tasks < 0 => self.in_use.push((class.id, used)),
            None => {}
        }
        if tasks > 0 {
            self.in_use.retain(|(_, count)| *count > 0);
        }
    }

    /// Notes how long a task ran.
    pub fn observe_run(&mut self, span: Span) {
        self.mean_run_us = Some(match self.mean_run_us {
            Some(mean) => (mean * 7 + span.0) / 8,
            None => span.0,
        });
    }
}
