//! What this worker cannot place although its totals would do, and what it has not enough life left for.
//!
//! The server knows only totals. A task that it counts as starting, and that indices, fractions or a strict policy keep
//! from it, would stand here while another worker idles; so it goes back, and the server is told when its like can be
//! placed again.
//!
//! What holds:
//! * of a class that cannot be placed, as many tasks go back as the totals would let start: the server may count on
//!   those; the others it knows to lie ahead, and it can take them back by itself;
//! * a class that was rejected is named as unblocked once it can be placed, and is rejected anew when it cannot;
//! * no task starts that asks for more time than this worker has left.

use super::allocate::Plan;
use super::machine::{Agent, Output};
use super::queue::ClassId;
use crate::attempt::{Attempt, TaskVariant};
use crate::id::TaskRef;
use crate::time::Time;
use std::collections::BTreeSet;

/// Rejected classes that are remembered; of more than so many the oldest is called unblocked.
const REJECTED_MAX: usize = 1_024;

/// Something that was rejected.
#[derive(Debug, Clone)]
struct Rejected {
    /// Its class, with what it needs; none when there were too many tasks here.
    class: Option<(ClassId, Plan)>,
    like: TaskVariant,
}

/// What was rejected, and what has to be looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Blocks {
    rejected: Vec<Rejected>,
    /// Classes that were assigned since the last look.
    assigned: BTreeSet<ClassId>,
    /// The server may count on more than is free: look at all classes.
    look_at_all: bool,
    /// Something was released.
    released: bool,
}

impl Blocks {
    /// Tasks of a class have come.
    pub(super) fn assigned(&mut self, class: ClassId) {
        self.assigned.insert(class);
    }

    /// Something ended. `forgotten`: the server took it for ended before.
    pub(super) fn released(&mut self, forgotten: bool) {
        self.released = true;
        self.look_at_all |= forgotten;
    }

    /// The server has forgotten what was rejected.
    pub(super) fn forget(&mut self) {
        self.rejected.clear();
        self.look_at_all = true;
    }

    /// A task was rejected since there are too many here.
    pub(super) fn overfull(&mut self, task: TaskRef, variant: u32) {
        if self.rejected.iter().all(|rejected| rejected.class.is_some()) {
            self.rejected.push(Rejected { class: None, like: TaskVariant { task, variant } });
        }
    }
}

impl Agent {
    /// Tells what can be placed again, and rejects what cannot; to be called when all that fits has started.
    pub(super) fn settle_blocks(&mut self, out: &mut Output) {
        if std::mem::take(&mut self.blocks.released) {
            let allocator = &self.allocator;
            self.blocks.rejected.retain(|rejected| {
                let stays = rejected.class.as_ref().is_some_and(|(_, plan)| !allocator.fits(plan));
                out.report.unblocked.extend((!stays).then_some(rejected.like));
                stays
            });
        }
        let assigned = std::mem::take(&mut self.blocks.assigned);
        let look_at_all = std::mem::take(&mut self.blocks.look_at_all);
        let known: BTreeSet<ClassId> =
            self.blocks.rejected.iter().filter_map(|rejected| Some(rejected.class.as_ref()?.0)).collect();
        let wanted = |class| look_at_all || assigned.contains(&class) || !known.contains(&class);
        for (class, attempts) in self.queue.blocked(&self.allocator, wanted) {
            let Some(first) = attempts.first().copied() else { continue };
            if !known.contains(&class) {
                self.remember(class, first, out);
            }
            self.reject(attempts, out);
        }
    }

    fn remember(&mut self, class: ClassId, first: Attempt, out: &mut Output) {
        let (Some(held), Some(plan)) = (self.held.get(&first), self.queue.plan(class)) else { return };
        let like = TaskVariant { task: first.task, variant: held.variant };
        self.blocks.rejected.push(Rejected { class: Some((class, plan.clone())), like });
        if self.blocks.rejected.len() > REJECTED_MAX {
            out.report.unblocked.push(self.blocks.rejected.remove(0).like);
        }
    }

    /// Checks that the server knows of everything that stands here although the totals would do.
    pub(super) fn audit_blocks(&self) -> Result<(), String> {
        let known = |class| self.blocks.rejected.iter().any(|r| r.class.as_ref().is_some_and(|(id, _)| *id == class));
        match self.queue.blocked(&self.allocator, |class| !known(class)).first() {
            Some((class, attempts)) => Err(format!("{class:?} with {attempts:?} stands here and nobody knows")),
            None => Ok(()),
        }
    }

    /// Rejects what asks for more time than is left.
    pub(super) fn reject_late(&mut self, now: Time, out: &mut Output) {
        let Some(end) = self.life_end else { return };
        let attempts = self.queue.longer_than(end.since(now));
        self.reject(attempts, out);
    }

    fn reject(&mut self, attempts: Vec<Attempt>, out: &mut Output) {
        for attempt in &attempts {
            self.unqueue(*attempt, out);
        }
        out.report.rejected.extend(attempts);
    }
}
