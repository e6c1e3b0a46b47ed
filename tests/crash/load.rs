//! Clients that submit, wait and look while the server dies again and again.
//!
//! They do what scripts of users do, and write into the ledger what they were told.
//!
//! Holds: a job is entered only after the command printed its id; the end of a job only after a command that waits
//! for it succeeded; an id is always larger than all that were told before the command began.

use crate::caller::Caller;
use crate::harness::Done;
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

/// What the clients share with the test.
#[derive(Default)]
pub struct Load {
    ledger: Mutex<Ledger>,
    stop: AtomicBool,
}

/// Stops the clients when it is dropped, also by a failing test.
pub struct Stop<'a>(pub &'a Load);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Release);
    }
}

impl Load {
    /// The ledger.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no client failed")
    }

    /// How many jobs were acknowledged, and how often the end of one was told.
    pub fn counts(&self) -> (usize, u64) {
        let ledger = self.ledger();
        (ledger.submitted.len(), ledger.waits)
    }

    /// Runs one client until the load is stopped.
    pub fn client(&self, caller: &Caller, mut seed: Seed) {
        while !self.stop.load(Ordering::Acquire) {
            let is_full = self.ledger().backlog() > BACKLOG_TASKS_MAX;
            let done = match seed.below(10) {
                0..6 if !is_full => self.submit(caller, &mut seed),
                0..8 => self.wait(caller, &mut seed),
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
        let array = format!("--array=1-{count}");
        // Each execution of a task adds a line to the file of its job.
        let script = r#"echo "$HQ_TASK_ID" >> "runs/$HQ_JOB_ID"; test "$0" = 0 || exec sleep "$0""#;
        let mut words = vec!["--output-mode=quiet", "submit", &array, "--stdout=none", "--stderr=none"];
        words.extend(waits.then_some("--wait"));
        words.extend(["--", "sh", "-c", script, seconds]);
        let before = self.ledger().last_id();
        let done = caller.hq(&words);
        // The id is printed once the job is acknowledged, even if the server dies while the client waits.
        if let Ok(id) = done.stdout.trim().parse::<u64>() {
            let mut ledger = self.ledger();
            assert!(id > before, "id {id} after {before}");
            assert_eq!(ledger.submitted.insert(id, count), None, "id {id} was given twice");
            if waits && done.code == Some(0) {
                ledger.completed.insert(id);
                ledger.waits += 1;
            }
        } else {
            assert_ne!(done.code, Some(0), "no id: {done}");
        }
        done
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
            let mut ledger = self.ledger();
            ledger.completed.insert(job);
            ledger.waits += 1;
        }
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
