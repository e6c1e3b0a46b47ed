//! kill -9 of several workers at a time, again and again, beside a model that counts.
//!
//! A task that kills its machine must not go through the cluster for ever, and one that had bad luck must not be given up
//! a crash too early, whatever happened to the server meanwhile.
//!
//! Holds: a task fails at exactly the crash that its limit names; each attempt has a number of its own; nothing of a
//! killed worker is left, neither processes nor files.

use crate::harness::{Cluster, is_alive, wait_until, wait_until_or};
use crate::ledger::{number, tasks};
use crate::replay::replayed_equals_live;
use crate::seed::{Seed, rounds};
use serde_json::Value;
use std::collections::BTreeMap;

/// Kills in one run of all tests.
const KILLS: u64 = 20;
const WORKERS: usize = 4;
/// What one worker runs at a time.
const PLACES: usize = 3;
const JOB_TASKS: u64 = 4;

/// Says its instance and its processes, one of which ignores what can be ignored, then waits.
const SCRIPT: &str = r#"
(trap '' TERM INT HUP; exec sleep 1000) & a=$!
echo "$HQ_INSTANCE_ID $$ $a" >> "runs-$HQ_JOB_ID-$HQ_TASK_ID"
wait
"#;

/// What must be true of one task.
#[derive(Debug)]
struct Expected {
    /// Crashes at which it fails; none when it never does.
    limit: Option<u64>,
    crashes: u64,
}

impl Expected {
    fn has_failed(&self) -> bool {
        self.limit.is_some_and(|limit| self.crashes >= limit)
    }
}

/// The cluster with the model beside it.
struct Scene {
    cluster: Cluster,
    seed: Seed,
    /// Numbers of the living workers in the cluster; their ids are larger by one, since each registers once.
    workers: Vec<usize>,
    expected: BTreeMap<(u64, u64), Expected>,
}

impl Scene {
    /// Fills the places of all workers with tasks, and waits until they run.
    fn fill(&mut self) {
        while self.workers.len() < WORKERS {
            let number = self.cluster.start_worker(u32::try_from(PLACES).expect("a small number"));
            self.workers.push(number);
        }
        while self.live().count() + usize::try_from(JOB_TASKS).expect("a small number") <= WORKERS * PLACES {
            let limit = self.seed.choose(&[Some(1), Some(2), Some(3), Some(5), None]);
            let option = limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
            let words = [format!("--crash-limit={option}"), format!("--array=1-{JOB_TASKS}")];
            let rest = ["--stdout=none", "--stderr=none", "--", "sh", "-c", SCRIPT];
            let job = self.cluster.submit(&words.iter().map(String::as_str).chain(rest).collect::<Vec<_>>());
            for task in 1..=JOB_TASKS {
                self.expected.insert((u64::from(job), task), Expected { limit, crashes: 0 });
            }
        }
        wait_until_or(
            "all tasks run",
            || format!("{:?}\n{}", self.expected, self.cluster.logs()),
            || {
                let shown = self.shown();
                self.live().all(|(place, task)| {
                    shown[place]["state"] == "running" && self.executions(*place).len() as u64 == task.crashes + 1
                })
            },
        );
    }

    fn live(&self) -> impl Iterator<Item = (&(u64, u64), &Expected)> {
        self.expected.iter().filter(|(_, task)| !task.has_failed())
    }

    fn shown(&self) -> BTreeMap<(u64, u64), Value> {
        let last = self.expected.keys().next_back().expect("a job").0;
        let answer = self.cluster.json(&["task", "list", &format!("1-{last}")]);
        tasks(&answer).map(|(place, task)| (place, task.clone())).collect()
    }

    /// Instance and processes of each execution of a task.
    fn executions(&self, (job, task): (u64, u64)) -> Vec<Vec<u32>> {
        let path = self.cluster.work().join(format!("runs-{job}-{task}"));
        let runs = std::fs::read_to_string(path).unwrap_or_default();
        let complete = runs.lines().filter(|_| runs.ends_with('\n'));
        complete.map(|line| line.split(' ').map(|word| word.parse().expect("a number")).collect()).collect()
    }

    /// Kills some workers and waits until what they ran is gone; how many there were.
    fn kill_some(&mut self) -> u64 {
        let shown = self.shown();
        let count = 2 + self.seed.below(WORKERS as u64 - 1);
        let mut victims = Vec::new();
        for _ in 0..count {
            let index = usize::try_from(self.seed.below(self.workers.len() as u64)).expect("a small number");
            victims.push(self.workers.swap_remove(index));
        }
        for number in &victims {
            self.cluster.kill_worker(*number);
        }
        let ids: Vec<u64> = victims.iter().map(|number| *number as u64 + 1).collect();
        let hit: Vec<(u64, u64)> = self
            .live()
            .map(|(place, _)| *place)
            .filter(|place| ids.contains(&number(&shown[place]["worker"])))
            .collect();
        for place in hit {
            let last = self.executions(place).pop().expect("an execution");
            wait_until("its processes are gone", || last[1..].iter().all(|pid| !is_alive(*pid)));
            self.expected.get_mut(&place).expect("a task").crashes += 1;
        }
        wait_until_or(
            "nothing of them is left",
            || format!("{:?}", self.left()),
            || self.left().len() == self.workers.len(),
        );
        count
    }

    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.cluster.tmp()).expect("a directory").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Starts the server again, once it knows of the crashes.
    fn restart(&mut self) {
        wait_until_or(
            "the crashes are known",
            || self.cluster.logs(),
            || {
                let list = self.cluster.json(&["worker", "list"]);
                list.as_array().is_some_and(|list| list.len() == self.workers.len())
            },
        );
        self.cluster.kill_server();
        self.cluster.start_server();
    }

    /// Fails the test unless the server tells of each task what the model does.
    fn check(&self) {
        let shown = self.shown();
        for (place, task) in &self.expected {
            let (row, executions) = (&shown[place], self.executions(*place));
            let instances: Vec<u64> = executions.iter().map(|execution| u64::from(execution[0])).collect();
            let started = task.crashes + u64::from(!task.has_failed());
            assert_eq!(instances, (0..started).collect::<Vec<_>>(), "{place:?}: {task:?}");
            if task.has_failed() {
                assert_eq!(row["state"], "failed", "{place:?}: {task:?}");
                let error = row["error"].as_str().unwrap_or_default();
                let limit = task.limit.expect("a limit");
                let times = if limit == 1 { "limit was reached".to_owned() } else { format!("{limit} times") };
                assert!(error.contains(&times) && error.contains("limit was reached"), "{place:?}: {error}");
            } else {
                assert_eq!(row["state"], "running", "{place:?}: {task:?}");
            }
            let (job, id) = (place.0.to_string(), place.1.to_string());
            let told = self.cluster.json(&["task", "info", &job, &id]);
            let attempts = told[0]["attempts"].as_array().expect("attempts");
            let told: Vec<u64> = attempts.iter().map(|attempt| number(&attempt["instance"])).collect();
            assert_eq!(told, instances, "{place:?}: {task:?}");
        }
    }
}

#[test]
fn crashes_are_counted_exactly_whatever_dies() {
    let mut seed = Seed::from_env();
    let kills = rounds(KILLS);
    let (workers, expected) = (Vec::new(), BTreeMap::new());
    let mut scene = Scene { cluster: Cluster::start(), seed: seed.split(), workers, expected };
    let (mut killed, mut restarts) = (0, 0);
    while killed < kills {
        scene.fill();
        killed += scene.kill_some();
        if seed.below(3) == 0 {
            scene.restart();
            restarts += 1;
        }
    }
    scene.fill();
    scene.check();
    let crashes: u64 = scene.expected.values().map(|task| task.crashes).sum();
    eprintln!("{killed} workers killed, {restarts} restarts; {} tasks with {crashes} crashes", scene.expected.len());
    let mut cluster = scene.cluster;
    cluster.hq(&["job", "cancel", "all"]).ok();
    let jobs = scene.expected.keys().next_back().expect("a job").0;
    wait_until("all have ended", || {
        (1..=jobs).all(|job| {
            let state = cluster.job_state(u32::try_from(job).expect("an id"));
            matches!(state.as_deref(), Some("CANCELED" | "FAILED"))
        })
    });
    replayed_equals_live(&mut cluster);
    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
    for number in scene.workers {
        assert!(cluster.worker_ends(number).success());
    }
    assert_eq!(std::fs::read_dir(cluster.tmp()).expect("a directory").count(), 0);
}
