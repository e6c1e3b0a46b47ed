//! Tasks that wait for resources of this worker: by class, so that a full worker is recognised without a walk over
//! its queue.
//!
//! Tasks with the same plan and priority form a class. When the first of a class does not fit, none of it does.
//!
//! What holds: within a class tasks start in the order in which they came; a class of higher priority is tried
//! first; a class that was passed over [`PASSED_MAX`] times holds up the rest, so that a large task is not starved
//! by small ones.

use super::allocate::{Allocation, Allocator, Plan};
use crate::attempt::Attempt;
use crate::time::Span;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Starts of later tasks that the first task of a class lets pass.
const PASSED_MAX: u32 = 64;
/// Classes from which on empty ones are looked for and removed.
const CLASSES_SWEPT_MIN: usize = 1_024;

/// Names a class of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClassId(u64);

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    class: ClassId,
    number: u64,
}

#[derive(Debug, Clone)]
struct Class {
    plan: Plan,
    priority: i32,
    tasks: BTreeMap<u64, Attempt>,
    passed: u32,
    /// The releases of the allocator up to which it is known that nothing of this class fits.
    stuck_at: Option<u64>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    classes: BTreeMap<ClassId, Class>,
    by_content: BTreeMap<(Vec<u8>, i32), ClassId>,
    /// Classes with tasks, in the order in which they are tried.
    order: BTreeMap<(Reverse<i32>, u64), ClassId>,
    next: u64,
    sweep_at: usize,
}

impl Queue {
    /// The class of a plan and a priority; `content` is a canonical form of what the plan was made from.
    pub(super) fn class(&mut self, content: Vec<u8>, priority: i32, plan: &Plan) -> ClassId {
        if let Some(id) = self.by_content.get(&(content.clone(), priority)) {
            return *id;
        }
        self.sweep();
        let id = ClassId(self.number());
        self.by_content.insert((content, priority), id);
        self.classes
            .insert(id, Class { plan: plan.clone(), priority, tasks: BTreeMap::new(), passed: 0, stuck_at: None });
        id
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Removes classes without tasks once there are many. Who still holds the id of one gets a new class by asking.
    fn sweep(&mut self) {
        if self.classes.len() < self.sweep_at.max(CLASSES_SWEPT_MIN) {
            return;
        }
        self.classes.retain(|_, class| !class.tasks.is_empty());
        let classes = &self.classes;
        self.by_content.retain(|_, id| classes.contains_key(id));
        self.sweep_at = 2 * self.classes.len();
    }

    /// Appends a task; `None` when the class is gone and has to be asked for again.
    pub(super) fn push(&mut self, class: ClassId, attempt: Attempt) -> Option<Place> {
        let number = self.number();
        let entry = self.classes.get_mut(&class)?;
        if entry.tasks.is_empty() {
            self.order.insert((Reverse(entry.priority), number), class);
        }
        entry.tasks.insert(number, attempt);
        Some(Place { class, number })
    }

    /// Takes a task out.
    pub(super) fn remove(&mut self, place: Place) {
        let Some(class) = self.classes.get_mut(&place.class) else { return };
        let Some((first, _)) = class.tasks.first_key_value() else { return };
        let first = *first;
        class.tasks.remove(&place.number);
        if first == place.number {
            class.passed = 0;
            self.order.remove(&(Reverse(class.priority), first));
            if let Some((next, _)) = class.tasks.first_key_value() {
                self.order.insert((Reverse(class.priority), *next), place.class);
            }
        }
    }

    /// Takes out the next task that can start now, with what it got.
    pub(super) fn pop(&mut self, allocator: &mut Allocator) -> Option<(Attempt, Allocation)> {
        let mut passed = Vec::new();
        let mut found = None;
        for (key, id) in &self.order {
            let class = self.classes.get_mut(id)?;
            let is_stuck = class.stuck_at == Some(allocator.releases());
            if let Some(allocation) = (!is_stuck).then(|| allocator.allocate(&class.plan)).flatten() {
                let attempt = *class.tasks.get(&key.1)?;
                found = Some((attempt, allocation, Place { class: *id, number: key.1 }));
                break;
            }
            class.stuck_at = Some(allocator.releases());
            if class.passed >= PASSED_MAX {
                return None;
            }
            passed.push(*id);
        }
        let (attempt, allocation, place) = found?;
        for id in passed {
            if let Some(class) = self.classes.get_mut(&id) {
                class.passed += 1;
            }
        }
        self.remove(place);
        Some((attempt, allocation))
    }

    /// Classes whose tasks cannot start although what is free would do in total, with their first tasks: as many as
    /// would start then. Only classes that are wanted.
    pub(super) fn blocked(
        &self,
        allocator: &Allocator,
        wanted: impl Fn(ClassId) -> bool,
    ) -> Vec<(ClassId, Vec<Attempt>)> {
        let mut blocked = Vec::new();
        for id in self.order.values().filter(|id| wanted(**id)) {
            let Some(class) = self.classes.get(id) else { continue };
            let count = allocator.count_in_total(&class.plan);
            let is_stuck = || class.stuck_at == Some(allocator.releases()) || !allocator.fits(&class.plan);
            if count > 0 && is_stuck() {
                blocked.push((*id, class.tasks.values().take(count).copied().collect()));
            }
        }
        blocked
    }

    /// Tasks that ask for more time than is left.
    pub(super) fn longer_than(&self, left: Span) -> Vec<Attempt> {
        let classes = self.order.values().filter_map(|id| self.classes.get(id));
        let late = classes.filter(|class| class.plan.min_time() > left);
        late.flat_map(|class| class.tasks.values().copied()).collect()
    }

    /// What tasks of a class need.
    pub(super) fn plan(&self, class: ClassId) -> Option<&Plan> {
        self.classes.get(&class).map(|class| &class.plan)
    }

    /// How many tasks wait.
    pub(super) fn len(&self) -> usize {
        self.order.values().filter_map(|id| self.classes.get(id)).map(|class| class.tasks.len()).sum()
    }
}
