//! What a report shows, folded from events one by one.
//!
//! Nothing is kept of an event but what the page needs: lines in bins, sketches of spans, rows of tables that are bounded.
//!
//! **Invariant:** memory follows what runs and waits at once, not how much happened. Events about jobs, tasks and workers
//! that are not known are taken as they are.

use super::Error;
use super::failures::Failures;
use super::jobs::Jobs;
use super::requests::Requests;
use super::series::Series;
use super::sketch::Sketch;
use super::timeline::{Outcome, TaskSpan};
use super::window::Window;
use super::workers::{LINE_BINS, TaskKey, Workers};
use hq_core::event::{Event, TaskFailed, TasksEnded, TasksFinished, TasksStarted};
use hq_core::id::{JobId, TaskId, WorkerId};
use hq_core::idset::IdSet;
use hq_core::resource::CPUS;
use hq_core::time::{Span, Time};
use hq_core::worker::LostReason;
use std::collections::BTreeMap;

/// A task that runs.
#[derive(Debug)]
struct Run {
    start: Time,
    class: usize,
    attempt: u32,
    workers: Vec<WorkerId>,
}

/// Everything that a report shows.
#[derive(Debug)]
pub struct Model {
    /// The part of the time.
    pub window: Window,
    /// Starts of the server: when, and of which version.
    pub starts: Vec<(Time, String)>,
    /// Starts of the server, counted.
    pub start_count: u64,
    /// The name of the server.
    pub server_uid: String,
    /// The workers.
    pub workers: Workers,
    /// The request classes.
    pub requests: Requests,
    /// The jobs.
    pub jobs: Jobs,
    /// The failures.
    pub failures: Failures,
    /// How many tasks run.
    pub running: Series,
    /// How many tasks are submitted and not final.
    pub unfinished: Series,
    /// How long tasks took that finished.
    pub finished: Sketch,
    /// How long tasks took that failed.
    pub failed: Sketch,
    /// From submit to the first start.
    pub waited: Sketch,
    /// Tasks that were canceled or aborted.
    pub ended: u64,
    /// Starts of tasks.
    pub attempts: u64,
    runs: BTreeMap<TaskKey, Run>,
}

/// Starts of the server that are listed.
const STARTS_MAX: usize = 100;

fn before(at: Time, ago_us: Option<&u64>) -> Time {
    Time(at.0.saturating_sub(ago_us.copied().unwrap_or(0)))
}

impl Model {
    /// Begins with the first event of a journal.
    ///
    /// # Errors
    /// [`Error::NoServerStart`] when it is another one than the start of a server.
    pub fn begin(at: Time, event: &Event, start: Option<Span>, end: Option<Span>) -> Result<Self, Error> {
        let Event::ServerStarted(started) = event else { return Err(Error::NoServerStart) };
        let window = Window::new(at, start, end);
        let series = || Series::new(window.from(), LINE_BINS);
        let mut model = Self {
            window,
            starts: Vec::new(),
            start_count: 0,
            server_uid: started.server_uid.clone(),
            workers: Workers::default(),
            requests: Requests::default(),
            jobs: Jobs::default(),
            failures: Failures::default(),
            running: series(),
            unfinished: series(),
            finished: Sketch::default(),
            failed: Sketch::default(),
            waited: Sketch::default(),
            ended: 0,
            attempts: 0,
            runs: BTreeMap::new(),
        };
        model.add(at, event);
        Ok(model)
    }

    /// Takes the next event.
    pub fn add(&mut self, at: Time, event: &Event) {
        if self.window.is_past(at) {
            return self.window.reaches(at);
        }
        self.window.reaches(at);
        match event {
            Event::ServerStarted(started) => {
                self.start_count += 1;
                if self.starts.len() < STARTS_MAX {
                    self.starts.push((at, started.version.clone()));
                }
            }
            Event::WorkerConnected(event) => self.workers.connect(&self.window, at, event.worker, &event.config),
            Event::WorkerLost(event) => self.lose(at, event.worker, event.reason),
            Event::JobSubmitted(event) => {
                self.jobs.submit(at, event.job, &event.name, &event.submit, &mut self.requests);
                self.change_unfinished(at, event.submit.ids.len() as f64);
            }
            Event::JobOpened(event) => self.jobs.open(at, event.job, &event.name),
            Event::JobClosed(event) => self.jobs.get(event.job).is_open = false,
            Event::JobCompleted(event) => self.jobs.complete(&self.window, at, event.job),
            Event::JobRestored(event) => self.jobs.restore(at, event.job, &event.submits, &mut self.requests),
            Event::TasksStarted(event) => self.started(at, event),
            Event::TasksFinished(event) => self.finished(at, event),
            Event::TaskFailed(event) => self.failed(at, event),
            Event::TaskRetried(event) => self.retried(at, &event.failed),
            Event::TasksCanceled(event) => self.ended(at, event, false),
            Event::TasksAborted(event) => self.ended(at, event, true),
            Event::TasksRerun(event) => {
                self.jobs.get(event.job).reruns(&event.tasks);
                self.change_unfinished(at, event.tasks.len() as f64);
            }
            _ => {}
        }
    }

    /// Ends the reading.
    pub fn finish(&mut self) {
        let open: Vec<TaskKey> = self.runs.keys().copied().collect();
        let end = self.window.end();
        for task in open {
            if let Some(run) = self.runs.get(&task) {
                let span = (self.window.place(run.start), end);
                keep_spans(&mut self.workers, run, task, span, Outcome::Running);
            }
        }
        self.workers.finish(&self.window);
    }

    /// How many tasks finished.
    pub fn tasks_finished(&self) -> u64 {
        self.requests.shown().iter().map(|(_, class)| class.ends.0).sum()
    }

    /// How many tasks failed.
    pub fn tasks_failed(&self) -> u64 {
        self.requests.shown().iter().map(|(_, class)| class.ends.1).sum()
    }

    /// The part of the CPUs that tasks had, over the whole window.
    pub fn cpu_part(&self) -> Option<f64> {
        let supply = self.workers.supply.get(CPUS)?;
        let area = |series: &Series| series.area(self.window.end());
        let offered = area(&supply.offered);
        (offered > 0.0).then(|| area(&supply.taken) / offered)
    }

    fn change_unfinished(&mut self, at: Time, delta: f64) {
        self.unfinished.add(self.window.place(at), delta);
    }

    fn lose(&mut self, at: Time, worker: WorkerId, reason: LostReason) {
        for task in self.workers.lose(&self.window, at, worker, reason) {
            // A multi-node task goes on without a worker that is not its root.
            match self.runs.get_mut(&task).filter(|run| run.workers.first() != Some(&worker)) {
                Some(run) => {
                    run.workers.retain(|other| *other != worker);
                    let part = Run { workers: vec![worker], ..*run };
                    self.leave(at, task, &part, Outcome::Interrupted);
                }
                None => {
                    self.release(at, task, Outcome::Interrupted);
                    self.failures.interrupted += u64::from(self.window.counts(at));
                }
            }
        }
        self.workers.trim(&self.window);
    }

    fn started(&mut self, at: Time, event: &TasksStarted) {
        for (position, task) in event.tasks.iter().enumerate() {
            let start = before(at, event.ago_us.get(position));
            let attempt = event.attempts.get(position).copied().unwrap_or_default();
            let key = (event.job, *task);
            // It lost its worker, and nobody said so.
            self.release(start, key, Outcome::Interrupted);
            let job = self.jobs.get(event.job);
            job.starts(start);
            let found = job.look_up(*task, event.variant);
            let class = found.and_then(|(_, class)| class).unwrap_or_else(|| self.requests.unknown());
            if let Some((submitted, _)) = found.filter(|_| attempt.0 == 0 && self.window.counts(start)) {
                self.waited.add(start.since(submitted).0);
            }
            self.attempts += u64::from(self.window.counts(start));
            self.running.add(self.window.place(start), 1.0);
            let workers = if event.nodes.is_empty() { vec![event.worker] } else { event.nodes.clone() };
            if let Some(request) = self.requests.ran(class) {
                for worker in &workers {
                    self.workers.begin(&self.window, start, *worker, key, request);
                }
            }
            self.runs.insert(key, Run { start, class, attempt: attempt.0, workers });
        }
    }

    /// A running task is no longer running. Gives how long it ran, and its class.
    fn release(&mut self, at: Time, task: TaskKey, outcome: Outcome) -> Option<(Span, usize)> {
        let run = self.runs.remove(&task)?;
        self.jobs.get(task.0).stops();
        self.running.add(self.window.place(at), -1.0);
        self.leave(at, task, &run, outcome);
        Some((at.since(run.start), run.class))
    }

    /// A task leaves the workers of a run.
    fn leave(&mut self, at: Time, task: TaskKey, run: &Run, outcome: Outcome) {
        if let Some(request) = self.requests.get(run.class) {
            for worker in &run.workers {
                self.workers.end(&self.window, at, *worker, task, request);
            }
        }
        if self.window.counts(at) {
            let span = (self.window.place(run.start), self.window.place(at));
            keep_spans(&mut self.workers, run, task, span, outcome);
        }
    }

    fn finished(&mut self, at: Time, event: &TasksFinished) {
        for (position, task) in event.tasks.iter().enumerate() {
            let end = before(at, event.ago_us.get(position));
            let ran = self.release(end, (event.job, *task), Outcome::Finished);
            let job = self.jobs.get(event.job);
            job.counts.finished += 1;
            job.ends(end);
            self.change_unfinished(end, -1.0);
            if self.window.counts(end) {
                let class = ran.map_or_else(|| self.requests.unknown(), |(_, class)| class);
                if let Some(request) = self.requests.ran(class) {
                    request.ends.0 += 1;
                    if let Some((span, _)) = ran {
                        request.finished.add(span.0);
                        self.finished.add(span.0);
                    }
                }
            }
        }
    }

    fn failed(&mut self, at: Time, event: &TaskFailed) {
        let end = before(at, Some(&event.ago_us));
        let ran = self.release(end, (event.job, event.task), Outcome::Failed);
        let job = self.jobs.get(event.job);
        job.fails(event.task);
        job.failures += 1;
        job.ends(end);
        let asked = job.look_up(event.task, 0).and_then(|(_, class)| class);
        self.change_unfinished(end, -1.0);
        if self.window.counts(end) {
            self.failures.add(event, false);
            let class = ran.map(|(_, class)| class).or(asked).unwrap_or_else(|| self.requests.unknown());
            if let Some(request) = self.requests.ran(class) {
                request.ends.1 += 1;
                if let Some((span, _)) = ran {
                    request.failed.add(span.0);
                    self.failed.add(span.0);
                }
            }
        }
    }

    fn retried(&mut self, at: Time, event: &TaskFailed) {
        let end = before(at, Some(&event.ago_us));
        self.release(end, (event.job, event.task), Outcome::Failed);
        self.jobs.get(event.job).failures += 1;
        if self.window.counts(end) {
            self.failures.add(event, true);
        }
    }

    fn ended(&mut self, at: Time, event: &TasksEnded, is_aborted: bool) {
        for task in self.running_of(event.job, &event.tasks) {
            self.release(at, (event.job, task), Outcome::Ended);
        }
        let job = self.jobs.get(event.job);
        if is_aborted {
            job.aborts(&event.tasks);
        } else {
            job.cancels(&event.tasks);
        }
        job.ends(at);
        let count = event.tasks.len();
        self.change_unfinished(at, -(count as f64));
        self.ended += if self.window.counts(at) { count } else { 0 };
    }

    /// Which tasks of a set run: by looking at the smaller side.
    fn running_of(&self, job: JobId, tasks: &IdSet) -> Vec<TaskId> {
        if tasks.len() < self.runs.len() as u64 {
            let runs = |id: &TaskId| self.runs.contains_key(&(job, *id));
            return tasks.iter().map(TaskId).filter(runs).collect();
        }
        let of_job = self.runs.range((job, TaskId(0))..=(job, TaskId(u32::MAX)));
        of_job.map(|((_, task), _)| *task).filter(|task| tasks.contains(task.0)).collect()
    }
}

fn keep_spans(workers: &mut Workers, run: &Run, task: TaskKey, span: (u64, u64), outcome: Outcome) {
    let orders: Vec<u32> = run.workers.iter().filter_map(|id| workers.known.get(id)).map(|known| known.order).collect();
    for order in orders {
        workers.timeline.keep(TaskSpan { order, task, attempt: run.attempt, span, outcome });
    }
}
