//! Outages of the server while its workers run tasks, some of which end meanwhile.
//!
//! A dead login node must not cost a second of what compute nodes do: whoever starts the server again finds every outcome,
//! and everything else still running.
//!
//! Holds: each task begins once; its outcome is the one that it had, also when nobody was there to hear it.

use crate::harness::{Cluster, wait_until, wait_until_or};
use crate::ledger::elements;
use crate::replay::replayed_equals_live;
use crate::seed::{Seed, rounds};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Outages in one run of all tests.
const OUTAGES: u64 = 16;
const WORKERS_MAX: usize = 8;
/// What one worker runs at a time.
const PLACES: usize = 2;
/// Longest time without a server, beside that in which tasks end.
const OUTAGE_MS_MAX: u64 = 300;
/// Time in which the server knows everything again. The promise is 3 seconds, which a machine that does other things may
/// not keep; the longest time is printed.
const ADOPTION_SPAN_MAX: Duration = Duration::from_secs(20);

/// Says that it begins, with its process, waits for its file, and ends with its number.
const SCRIPT: &str = r#"
echo "$HQ_INSTANCE_ID" >> "begin-$HQ_JOB_ID-$HQ_TASK_ID"
echo $$ > "pid-$HQ_JOB_ID-$HQ_TASK_ID"
while ! test -e "go-$HQ_JOB_ID-$HQ_TASK_ID"; do sleep 0.02; done
exit $((HQ_TASK_ID % 3))
"#;

/// A task that runs, and whether it has been told to end.
type Tasks = BTreeMap<(u32, u32), bool>;

fn path(cluster: &Cluster, word: &str, (job, task): (u32, u32)) -> std::path::PathBuf {
    cluster.work().join(format!("{word}-{job}-{task}"))
}

/// State and error of each task.
fn states(cluster: &Cluster, job: u32) -> BTreeMap<u32, (String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |task: &Value| {
        let id = u32::try_from(task["id"].as_u64().expect("an id")).expect("a small id");
        (id, (text(&task["state"]), text(&task["error"])))
    };
    cluster.tasks(job).iter().map(row).collect()
}

/// Submits a job that fills all places, and waits until its tasks run.
fn fill(cluster: &Cluster, places: usize) -> u32 {
    let array = format!("--array=1-{places}");
    let job = cluster.submit(&[&array, "--stdout=none", "--stderr=none", "--", "sh", "-c", SCRIPT]);
    wait_until_or(
        "all tasks run",
        || format!("{:?}\n{}", states(cluster, job), cluster.logs()),
        || {
            let running = states(cluster, job).values().filter(|(state, _)| state == "running").count();
            running == places && (1..=places).all(|task| path(cluster, "pid", (job, task as u32)).exists())
        },
    );
    job
}

/// Lets some of the tasks end, and waits until their worker has noticed.
fn let_some_end(cluster: &Cluster, tasks: &mut Tasks, seed: &mut Seed) {
    for (place, told) in tasks.iter_mut() {
        if seed.below(2) == 0 {
            std::fs::write(path(cluster, "go", *place), "").expect("a written file");
            *told = true;
        }
    }
    wait_until("their workers know that they have ended", || {
        tasks.iter().filter(|(_, told)| **told).all(|(place, _)| {
            let pid = std::fs::read_to_string(path(cluster, "pid", *place)).expect("a process");
            !Path::new("/proc").join(pid.trim()).exists()
        })
    });
}

/// Waits until the server says of each task what is true; how long that took from the beginning of the start.
fn adopted(cluster: &Cluster, job: u32, tasks: &Tasks, since: Instant) -> Duration {
    let is_true = |(place, told): (&(u32, u32), &bool), shown: &BTreeMap<u32, (String, String)>| {
        let (state, error) = &shown[&place.1];
        match (told, place.1 % 3) {
            (false, _) => state == "running",
            (true, 0) => state == "finished",
            (true, code) => state == "failed" && error.contains(&format!("exit code {code}.")),
        }
    };
    wait_until_or(
        "the server knows all",
        || format!("{tasks:?} {:?}\n{}", states(cluster, job), cluster.logs()),
        || {
            let shown = states(cluster, job);
            tasks.iter().all(|task| is_true(task, &shown))
        },
    );
    since.elapsed()
}

#[test]
fn outages_cost_nothing() {
    let mut seed = Seed::from_env();
    let outages = rounds(OUTAGES);
    let mut cluster = Cluster::start();
    let (mut workers, mut begun, mut longest) = (0, 0, Duration::ZERO);
    for outage in 0..outages {
        // From one worker to as many as there may be, over the whole campaign.
        while workers as u64 * outages <= outage * WORKERS_MAX as u64 {
            cluster.start_worker(u32::try_from(PLACES).expect("a small number"));
            workers += 1;
        }
        let job = fill(&cluster, workers * PLACES);
        let mut tasks: Tasks = (1..=workers * PLACES).map(|task| ((job, task as u32), false)).collect();
        cluster.kill_server();
        let_some_end(&cluster, &mut tasks, &mut seed);
        thread::sleep(Duration::from_millis(seed.below(OUTAGE_MS_MAX)));
        let since = Instant::now();
        cluster.start_server();
        longest = longest.max(adopted(&cluster, job, &tasks, since));
        // Those that were adopted end like any other, also over a second outage.
        if seed.below(4) == 0 {
            cluster.kill_server();
            cluster.start_server();
        }
        for (place, told) in tasks.iter_mut().filter(|(_, told)| !**told) {
            std::fs::write(path(&cluster, "go", *place), "").expect("a written file");
            *told = true;
        }
        adopted(&cluster, job, &tasks, Instant::now());
        for place in tasks.keys() {
            let runs = std::fs::read_to_string(path(&cluster, "begin", *place)).expect("a task that ran");
            assert_eq!(runs, "0\n", "task {place:?} ran more than once\n{}", cluster.logs());
        }
        begun += tasks.len();
    }
    let list = cluster.json(&["worker", "list", "--all"]);
    let living = elements(&list).filter(|worker| worker["ended"].is_null()).count();
    assert_eq!((elements(&list).count(), living), (workers, workers), "{list}");
    replayed_equals_live(&mut cluster);
    eprintln!("{outages} outages with up to {workers} workers; {begun} tasks, none twice; adopted within {longest:?}");
    assert!(longest < ADOPTION_SPAN_MAX, "it took {longest:?}");
}
