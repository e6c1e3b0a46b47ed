//! Clients that submit, wait and look while the server dies again and again.
//!
//! They do what scripts of users do, and write into the ledger what they were told.
//!
//! Holds: a job is entered only after the command printed its id; the end of a job only after a command that waits
//! for it succeeded; an id is always larger than all that were told before the command began.

use crate::caller::Caller;
use crate::harness::{Cluster, Done, wait_until_or};
use crate::kinds::{self, Kind};
use crate::ledger::Ledger;
use crate::seed::Seed;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Tasks that may be open before clients wait instead of submitting.
const BACKLOG_TASKS_MAX: u64 = 60;
/// Pause of a client whose command failed, so that a dead server does not cost all of the CPU.
const PAUSE: Duration = Duration::from_millis(20);

const CLIENTS: usize = 3;
/// Longest time from the server's answer to its death, where that is a matter of time.
const LIFE_MS_MAX: u64 = 400;

/// What the clients share with the test.
#[derive(Default)]
pub struct Load {
    ledger: Mutex<Ledger>,
    stop: AtomicBool,
    /// Whether clients prune the journal now and then.
    prunes: bool,
}

/// Stops the clients when it is dropped, also by a failing test.
struct Stop<'a>(&'a Load);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Release);
    }
}

impl Load {
    /// A load of which pruning the journal is a part.
    pub fn pruning() -> Self {
        Self { prunes: true, ..Self::default() }
    }

    /// The ledger.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no client failed")
    }

    /// How many jobs were acknowledged, and how often the end of one was told.
    fn counts(&self) -> (usize, u64) {
        let ledger = self.ledger();
        (ledger.submitted.len(), ledger.waits)
    }

    /// Clients that are at work while `act` does what it does to the cluster; what they were told.
    pub fn around(
        self,
        cluster: &mut Cluster,
        seed: &mut Seed,
        act: impl FnOnce(&mut Cluster, &mut Seed, &Load),
    ) -> Ledger {
        let load = self;
        std::fs::create_dir(cluster.work().join("runs")).expect("a directory");
        let clients: Vec<(Caller, Seed)> = (0..CLIENTS).map(|_| (Caller::of(cluster), seed.split())).collect();
        thread::scope(|scope| {
            let _stop = Stop(&load);
            for (caller, seed) in clients {
                let load = &load;
                scope.spawn(move || load.client(&caller, seed));
            }
            act(cluster, seed, &load);
        });
        load.ledger.into_inner().expect("no client failed")
    }

    /// Fails the test unless the server says all that the clients were told up to now.
    #[track_caller]
    pub fn check(&self, cluster: &Cluster) {
        let told = self.ledger().clone();
        told.check_while(cluster, || self.ledger().asked_to_forget.clone());
    }

    /// Waits for a moment that matters: some time, that after an acknowledgement, or that after the end of a job was told.
    pub fn wait_for_the_moment(&self, cluster: &Cluster, seed: &mut Seed) {
        let (jobs, waits) = self.counts();
        match seed.below(3) {
            0 => thread::sleep(Duration::from_millis(seed.below(LIFE_MS_MAX))),
            1 => wait_until_or("a job is acknowledged", || cluster.logs(), || self.counts().0 > jobs),
            _ => wait_until_or("the end of a job is told", || cluster.logs(), || self.counts().1 > waits),
        }
    }

    /// Runs one client until the load is stopped.
    fn client(&self, caller: &Caller, mut seed: Seed) {
        while !self.stop.load(Ordering::Acquire) {
            let is_full = self.ledger().backlog() > BACKLOG_TASKS_MAX;
            let done = match seed.below(20) {
                0..12 if !is_full => self.submit(caller, &mut seed),
                0..16 => self.wait(caller, &mut seed),
                16 => self.forget(caller, &mut seed),
                17 if self.prunes => self.prune(caller),
                _ => self.look(caller),
            };
            if done.code != Some(0) {
                thread::sleep(PAUSE);
            }
        }
    }

    fn submit(&self, caller: &Caller, seed: &mut Seed) -> Done {
        let count = seed.choose(&[1, 1, 2, 5, 12]);
        let seconds = seed.choose(&["0", "0", "0.02", "0.3"]);
        let waits = seed.below(3) == 0;
        let (kind, after) = self.kind(seed);
        let (array, name) = (format!("--array=1-{count}"), format!("--name={}", kind.name()));
        let (options, script, rest) =
            (kind.options(after.0), kind.script(), kind.words(count, caller.program(), after));
        let mut words = vec!["--output-mode=quiet", "submit", &array, &name];
        words.extend(options.iter().map(String::as_str));
        words.extend(waits.then_some("--wait"));
        words.extend(["--", "sh", "-c", &script, seconds]);
        words.extend(rest.iter().map(String::as_str));
        let before = self.ledger().last_id();
        let done = caller.hq(&words);
        // The id is printed once the job is acknowledged, even if the server dies while the client waits.
        if let Ok(id) = done.stdout.trim().parse::<u64>() {
            let mut ledger = self.ledger();
            assert!(id > before, "id {id} after {before}");
            assert_eq!(ledger.submitted.insert(id, count), None, "id {id} was given twice");
            ledger.kinds.insert(id, kind);
            drop(ledger);
            if waits && done.code == Some(0) {
                self.has_completed(caller, id);
            }
        } else {
            assert_ne!(done.code, Some(0), "no id: {done}");
        }
        done
    }

    /// A kind of job, and where it is the one that waits: the job that it waits for, and what [`Kind::words`] wants of that.
    fn kind(&self, seed: &mut Seed) -> (Kind, (u64, u64, u64)) {
        let kind = seed.choose(&kinds::KINDS);
        if kind != Kind::After {
            return (kind, (0, 0, 0));
        }
        let ledger = self.ledger();
        let jobs: Vec<(u64, u64)> = ledger.submitted.iter().map(|(job, count)| (*job, *count)).collect();
        // A job that may be forgotten meanwhile would be refused, or would no longer be one that anybody waits for.
        let last = jobs.iter().rev().take(8).filter(|(job, _)| !ledger.asked_to_forget.contains(job));
        let last: Vec<(u64, u64)> = last.copied().collect();
        if last.is_empty() {
            return (Kind::Plain, (0, 0, 0));
        }
        let (job, count) = seed.choose(&last);
        // An attempt that a worker gave back before it began has a number and writes no line.
        (kind, (job, count, ledger.kinds[&job].first_success()))
    }

    fn wait(&self, caller: &Caller, seed: &mut Seed) -> Done {
        let open: Vec<u64> = {
            let ledger = self.ledger();
            ledger.submitted.keys().filter(|job| !ledger.completed.contains(job)).copied().collect()
        };
        if open.is_empty() {
            return self.look(caller);
        }
        let job = seed.choose(&open);
        let done = caller.hq(&["job", "wait", &job.to_string()]);
        if done.code == Some(0) {
            self.has_completed(caller, job);
        }
        done
    }

    /// Somebody was told that a job has completed: so all of its output is there.
    fn has_completed(&self, caller: &Caller, job: u64) {
        let kind = {
            let mut ledger = self.ledger();
            ledger.completed.insert(job);
            ledger.waits += 1;
            ledger.kinds[&job]
        };
        if kind == Kind::Stream {
            kinds::check_stream(|words| caller.hq(words), &kinds::attempts_of(caller.work(), job), job);
        }
    }

    /// Forgets a job of which it is known that it has completed.
    fn forget(&self, caller: &Caller, seed: &mut Seed) -> Done {
        let job = {
            let mut ledger = self.ledger();
            let ledger = &mut *ledger;
            let done: Vec<u64> = ledger.completed.difference(&ledger.asked_to_forget).copied().collect();
            let old = done.get(..done.len().saturating_sub(16)).unwrap_or_default();
            let job = (!old.is_empty()).then(|| seed.choose(old));
            ledger.asked_to_forget.extend(job);
            job
        };
        let Some(job) = job else { return self.look(caller) };
        let done = caller.hq(&["job", "forget", &job.to_string()]);
        if done.code == Some(0) {
            self.ledger().forgotten.insert(job);
        }
        done
    }

    /// Prunes the journal, in which the events of completed jobs may be missing from now on, whatever the answer is.
    fn prune(&self, caller: &Caller) -> Done {
        self.ledger().asked_to_prune = true;
        let done = caller.hq(&["journal", "prune"]);
        self.ledger().prunings += u64::from(done.code == Some(0));
        done
    }

    fn look(&self, caller: &Caller) -> Done {
        let last = self.ledger().last_id().max(1);
        let first = last.saturating_sub(10).max(1);
        let done = caller.hq(&["--output-mode=json", "task", "list", &format!("{first}-{last}")]);
        if done.code == Some(0) {
            let answer: Value = done.json();
            self.ledger().enter_tasks(&answer);
        }
        done
    }
}
