//! Workers: what they offer, what of it is taken, when they came and went.
//!
//! Workers with equal resources are a class. Of each class there is the number of running workers and the part of each
//! resource that is taken; of each resource the same over all classes.
//!
//! Holds: what a task took is given back when it ends, when its worker is lost, and when the server stops; a worker that
//! is not known takes part in nothing.

use super::requests::{Asked, Request};
use super::series::Series;
use super::timeline::Timeline;
use super::window::Window;
use hq_core::id::{JobId, TaskId, WorkerId};
use hq_core::resource::{CPUS, MEM, Pool, WorkerResources};
use hq_core::time::Time;
use hq_core::worker::{LostReason, WorkerConfig};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Classes of workers that are told apart.
const CLASSES_MAX: usize = 12;
/// Resources that are told apart.
const RESOURCES_MAX: usize = 12;
/// Workers that are listed; of more, those that went first are left out.
pub const LISTED_MAX: usize = 500;
/// From how much on memory is told in GiB.
const MEMORY_ROUNDED_MIB: u64 = 8 * 1_024;
/// Bins of the lines.
pub const LINE_BINS: usize = 1_024;

/// A task of a job.
pub type TaskKey = (JobId, TaskId);

/// A worker.
#[derive(Debug)]
pub struct Worker {
    /// Its name.
    pub hostname: String,
    /// Its group.
    pub group: String,
    /// Its class.
    pub class: usize,
    /// When it came.
    pub connected: Time,
    /// When it went, and why.
    pub lost: Option<(Time, LostReason)>,
    /// Starts of tasks there, within the window.
    pub started: u64,
    /// Time for which it was there, and that time multiplied by its load; microseconds.
    pub busy: (f64, f64),
    /// Its place in the timeline.
    pub order: u32,
    pools: Vec<(String, u64, u64)>,
    load: f64,
    since: u64,
    running: BTreeSet<TaskKey>,
}

/// Workers with equal resources.
#[derive(Debug)]
pub struct Class {
    /// `cpus:4, gpus/nvidia:2`.
    pub label: String,
    /// How many are there.
    pub running: Series,
    /// For each resource: the sum of the parts that are taken, over all workers of the class.
    pub taken: Vec<(String, Series)>,
}

/// One resource of all workers, in units.
#[derive(Debug)]
pub struct Supply {
    /// How much there is.
    pub offered: Series,
    /// How much is taken.
    pub taken: Series,
}

/// All workers.
#[derive(Debug, Default)]
pub struct Workers {
    /// By their number; those that went first are left out of many.
    pub known: BTreeMap<WorkerId, Worker>,
    /// The classes, in the order in which they came.
    pub classes: Vec<Class>,
    /// The resources.
    pub supply: BTreeMap<String, Supply>,
    /// How many workers there ever were.
    pub count: u64,
    /// How many were there at once at most.
    pub most: u64,
    /// Those that are left out of the list.
    pub left_out: u64,
    /// The bars.
    pub timeline: Timeline,
    class_of: HashMap<String, usize>,
    gone: BTreeSet<WorkerId>,
    present: u64,
}

/// `cpus:4, gpus/nvidia:2`: CPUs first, the rest by name. Memory is told in whole GiB, since machines that are alike differ
/// by some MiB.
fn label(resources: &WorkerResources) -> String {
    let (cpus, rest): (Vec<_>, Vec<_>) = resources.pools.iter().partition(|pool| pool.name == CPUS);
    let size = |pool: &Pool| match (pool.kind.size(), pool.name == MEM) {
        (mib, true) if mib.whole() >= MEMORY_ROUNDED_MIB => format!("{}GiB", (mib.whole() + 512) / 1_024),
        (size, _) => size.to_string(),
    };
    let parts: Vec<String> = cpus.into_iter().chain(rest).map(|pool| format!("{}:{}", pool.name, size(pool))).collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

impl Worker {
    /// How much of each pool a task takes, in 1/10000.
    fn amounts(&self, request: &Request) -> Vec<u64> {
        let asked = |name: &str| request.entries.iter().find(|(resource, _)| resource == name).map(|(_, asked)| *asked);
        let of = |(name, size, _): &(String, u64, u64)| match asked(name) {
            _ if request.is_whole => *size,
            Some(Asked::All) => *size,
            Some(Asked::Parts(parts)) => parts.min(*size),
            None => 0,
        };
        self.pools.iter().map(of).collect()
    }

    /// The largest part of a pool that is taken.
    fn part_taken(&self) -> f64 {
        let part = |(_, size, taken): &(String, u64, u64)| *taken as f64 / (*size).max(1) as f64;
        self.pools.iter().map(part).fold(0.0, f64::max).min(1.0)
    }

    /// Adds what was since the last change.
    fn account(&mut self, now: u64) {
        let span = now.saturating_sub(self.since) as f64;
        self.busy = (self.busy.0 + span, self.busy.1 + span * self.load);
        self.since = self.since.max(now);
    }
}

impl Workers {
    /// A worker came.
    pub fn connect(&mut self, window: &Window, at: Time, id: WorkerId, config: &WorkerConfig) {
        if self.known.get(&id).is_some_and(|known| known.lost.is_none()) {
            return;
        }
        let place = window.place(at);
        let class = self.class(window, &config.resources);
        if let Some(class) = self.classes.get_mut(class) {
            class.running.add(place, 1.0);
        }
        let pools: Vec<(String, u64, u64)> =
            config.resources.pools.iter().map(|pool| (pool.name.clone(), pool.kind.size().0, 0)).collect();
        for (name, size, _) in &pools {
            self.supply(window, name, |supply| supply.offered.add(place, units(*size)));
        }
        self.count += 1;
        self.present += 1;
        self.most = self.most.max(self.present);
        let order = self.timeline.connect(place, id, window.from());
        let (hostname, group) = (config.hostname.clone(), config.group.clone());
        let (started, busy, load, running) = (0, (0.0, 0.0), 0.0, BTreeSet::new());
        let (connected, lost, since) = (at, None, place);
        let worker =
            Worker { hostname, group, class, connected, lost, started, busy, order, pools, load, since, running };
        self.gone.remove(&id);
        self.known.insert(id, worker);
    }

    fn class(&mut self, window: &Window, resources: &WorkerResources) -> usize {
        let label = label(resources);
        if let Some(known) = self.class_of.get(&label) {
            return *known;
        }
        let series = || Series::new(window.from(), LINE_BINS);
        let (label, names) = match self.classes.len() {
            count if count < CLASSES_MAX => (label, resources.pools.iter().map(|pool| pool.name.clone()).collect()),
            CLASSES_MAX => ("any other".to_owned(), Vec::new()),
            _ => return CLASSES_MAX,
        };
        self.class_of.insert(label.clone(), self.classes.len());
        let taken = names.into_iter().map(|name: String| (name, series())).collect();
        self.classes.push(Class { label, running: series(), taken });
        self.classes.len() - 1
    }

    fn supply(&mut self, window: &Window, name: &str, change: impl FnOnce(&mut Supply)) {
        if !self.supply.contains_key(name) && self.supply.len() >= RESOURCES_MAX {
            return;
        }
        let series = || Series::new(window.from(), LINE_BINS);
        let new = || Supply { offered: series(), taken: series() };
        change(self.supply.entry(name.to_owned()).or_insert_with(new));
    }

    /// A worker went. Gives what ran there.
    pub fn lose(&mut self, window: &Window, at: Time, id: WorkerId, reason: LostReason) -> Vec<TaskKey> {
        let place = window.place(at);
        let Some(worker) = self.known.get_mut(&id).filter(|worker| worker.lost.is_none()) else { return Vec::new() };
        worker.lost = Some((at, reason));
        let (class, order) = (worker.class, worker.order);
        let sizes: Vec<(String, u64)> = worker.pools.iter().map(|(name, size, _)| (name.clone(), *size)).collect();
        let running: Vec<TaskKey> = worker.running.iter().copied().collect();
        worker.account(place);
        if let Some(class) = self.classes.get_mut(class) {
            class.running.add(place, -1.0);
        }
        for (name, size) in sizes {
            self.supply(window, &name, |supply| supply.offered.add(place, -units(size)));
        }
        self.timeline.lose(place, order);
        self.present = self.present.saturating_sub(1);
        self.gone.insert(id);
        running
    }

    /// Forgets those that went first, of too many, and those that went before the window. To be called when what ran on
    /// them has been released.
    pub fn trim(&mut self, window: &Window) {
        while let Some(first) = self.gone.first().copied() {
            let went = self.known.get(&first).and_then(|worker| worker.lost);
            let is_before = went.is_none_or(|(at, _)| at.since(window.base()).0 < window.from());
            if !is_before && self.gone.len() <= LISTED_MAX {
                return;
            }
            self.gone.pop_first();
            self.known.remove(&first);
            if is_before {
                self.count = self.count.saturating_sub(1);
            } else {
                self.left_out += 1;
            }
        }
    }

    /// A task begins on a worker.
    pub fn begin(&mut self, window: &Window, at: Time, id: WorkerId, task: TaskKey, request: &Request) {
        let counts = window.counts(at);
        let Some(worker) = self.known.get_mut(&id).filter(|worker| worker.lost.is_none()) else { return };
        if worker.running.insert(task) {
            worker.started += u64::from(counts);
            let order = worker.order;
            self.change(window, at, id, request, true);
            self.timeline.tasks(window.place(at), order, 1.0);
        }
    }

    /// A task of a worker is no longer there.
    pub fn end(&mut self, window: &Window, at: Time, id: WorkerId, task: TaskKey, request: &Request) {
        let Some(worker) = self.known.get_mut(&id) else { return };
        if worker.running.remove(&task) {
            let order = worker.order;
            self.change(window, at, id, request, false);
            self.timeline.tasks(window.place(at), order, -1.0);
        }
    }

    fn change(&mut self, window: &Window, at: Time, id: WorkerId, request: &Request, is_taken: bool) {
        let place = window.place(at);
        let Some(worker) = self.known.get_mut(&id) else { return };
        let amounts = worker.amounts(request);
        worker.account(place);
        let mut changes = Vec::new();
        for ((name, size, taken), amount) in worker.pools.iter_mut().zip(amounts).filter(|(_, amount)| *amount > 0) {
            *taken = if is_taken { taken.saturating_add(amount) } else { taken.saturating_sub(amount) };
            let sign = if is_taken { 1.0 } else { -1.0 };
            changes.push((name.clone(), sign * amount as f64 / (*size).max(1) as f64, sign * units(amount)));
        }
        let load = worker.part_taken();
        let (order, class, delta) = (worker.order, worker.class, load - worker.load);
        worker.load = load;
        for (name, part, units) in changes {
            let taken = self.classes.get_mut(class).map(|class| class.taken.iter_mut());
            if let Some((_, series)) = taken.and_then(|mut taken| taken.find(|(own, _)| *own == name)) {
                series.add(place, part);
            }
            self.supply(window, &name, |supply| supply.taken.add(place, units));
        }
        self.timeline.load(place, order, delta);
    }

    /// Accounts for the time up to the end, and forgets those that went before the window.
    pub fn finish(&mut self, window: &Window) {
        let is_before = |at: Time| at.since(window.base()).0 < window.from();
        self.known.retain(|_, worker| !worker.lost.is_some_and(|(at, _)| is_before(at)));
        for worker in self.known.values_mut().filter(|worker| worker.lost.is_none()) {
            worker.account(window.end());
        }
    }
}

fn units(parts: u64) -> f64 {
    parts as f64 / hq_core::resource::Amount::UNIT as f64
}
