//! Threads that start programs, so that the threads that talk to others never block on it.
//!
//! A start blocks for some 0.3 ms. Two threads saturate the kernel's rate of starts (measured), more do not help.
//!
//! Invariants: the queue is bounded, a job that does not fit is given back; `on_started` is called exactly once for
//! each accepted job, and before `on_exit`; dropping the pool starts what was accepted, then ends the threads.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::launch::spawn_announced;
use super::lease;
use super::{Exit, SpawnError, SpawnSpec, Spawned, Term, hunt};

/// A program to start, and whom to tell. Neither callback may block.
pub struct SpawnJob {
    /// What to start.
    pub spec: SpawnSpec,
    /// The term of the lease in which it was ordered; after that it is not started any more.
    pub term: Term,
    /// Called on a thread of the pool with the result of the start.
    pub on_started: Box<dyn FnOnce(Result<Spawned, SpawnError>) + Send>,
    /// Called on the thread that learns of ends; never for a start that failed.
    pub on_exit: Box<dyn FnOnce(Exit) + Send>,
}

impl fmt::Debug for SpawnJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnJob").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// The queue is full (or its threads are gone); here is the job again.
pub struct Full(pub Box<SpawnJob>);

impl fmt::Debug for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The queue of programs to start is full")
    }
}

impl std::error::Error for Full {}

/// Whose children they are: one for each pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(u32);

impl Owner {
    /// Ends everything that the pool has started, and what that has started and left behind: by SIGTERM, and after
    /// `grace` by SIGKILL. Blocks until nothing is left; for the end of a worker, when no pool starts anything more.
    pub fn end_all(self, grace: Duration) {
        hunt::end_all_of(self.0, grace);
    }
}

/// The pool.
#[derive(Debug)]
pub struct Spawner {
    owner: Owner,
    queue: Option<SyncSender<Box<SpawnJob>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Spawner {
    /// `threads` (at least 1; 2 is enough) with a common queue of `jobs_max` waiting jobs.
    pub fn start(threads: usize, jobs_max: usize) -> io::Result<Self> {
        // 0 are those whom nobody owns.
        static OWNERS: AtomicU32 = AtomicU32::new(1);
        let owner = Owner(OWNERS.fetch_add(1, Ordering::Relaxed));
        let (queue, jobs) = sync_channel(jobs_max);
        let jobs = Arc::new(Mutex::new(jobs));
        let start_thread = |number| {
            let jobs = Arc::clone(&jobs);
            Builder::new().name(format!("hq-spawn-{number}")).spawn(move || work(&jobs, owner))
        };
        let threads = (0..threads.max(1)).map(start_thread).collect::<io::Result<_>>()?;
        Ok(Self { owner, queue: Some(queue), threads })
    }

    /// The owner of what it starts.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Queues a job without waiting.
    pub fn submit(&self, job: SpawnJob) -> Result<(), Full> {
        let job = Box::new(job);
        match &self.queue {
            Some(queue) => queue.try_send(job).map_err(|error| match error {
                TrySendError::Full(job) | TrySendError::Disconnected(job) => Full(job),
            }),
            None => Err(Full(job)),
        }
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A thread cannot end by a panic: `work` catches them.
            let _ = thread.join();
        }
    }
}

fn work(jobs: &Mutex<Receiver<Box<SpawnJob>>>, owner: Owner) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if catch_unwind(AssertUnwindSafe(|| run(*job, owner))).is_err() {
            log::error!("The start of a program could not be passed on");
        }
    }
}

fn run(job: SpawnJob, owner: Owner) {
    let SpawnJob { spec, term, on_started, on_exit } = job;
    if !lease::permits(term) {
        return on_started(Err(SpawnError::LeaseOver));
    }
    let mut on_started = Some(on_started);
    let result = spawn_announced(&spec, owner.0, on_exit, |spawned| {
        if let Some(on_started) = on_started.take() {
            on_started(Ok(spawned));
        }
    });
    if let (Err(error), Some(on_started)) = (result, on_started) {
        on_started(Err(error));
    }
}
