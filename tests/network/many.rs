//! Many workers in trouble at once, each for a time of its own, from a second to two leases.
//!
//! What happens depends on when trouble ends: before the lease is over, between its end on the worker's side and on the
//! server's, or after it. All of that is found only by trying many times.
//!
//! Holds: whatever the time, no copy of a task runs beside another one and each task has one outcome; where the trouble
//! ended in time there is no second copy, and where it lasted there is one without anybody's help.

use crate::harness::{Cluster, wait_until_or};
use crate::seed::Seed;
use crate::witness::{self, HEARTBEAT};
use serde_json::Value;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Frozen processes that go on sooner cost nothing: they are heard at once, and the lease is 8 s.
pub const FROZEN_IN_TIME: Duration = Duration::from_millis(5_000);
/// The same for networks: what was not acknowledged is sent again after 3 s and then after 6.2 s.
pub const PARTED_IN_TIME: Duration = Duration::from_millis(2_800);
/// Trouble that lasts longer costs the task its place: the server waits 10.6 s, and then for a sign of life more.
const TOO_LONG: Duration = Duration::from_millis(14_000);
/// Twice the lease.
const SPAN_MS_MAX: u64 = 16_000;
const SPAN_MS_MIN: u64 = 1_000;

/// Each copy writes down whether the one before it runs; the first one waits for `go`, later ones end at once. One that
/// has ended and is not reaped, since its parent is frozen, does not run.
const SCRIPT: &str = r#"
before=$(cat "pid-$HQ_JOB_ID" 2>/dev/null)
state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$before/status" 2>/dev/null)
case "$state" in ''|Z|X) with=alone ;; *) with=together ;; esac
echo $$ > "pid-$HQ_JOB_ID"
echo "$HQ_INSTANCE_ID $with" >> "runs-$HQ_JOB_ID"
[ "$HQ_INSTANCE_ID" = 0 ] || exit 0
while [ ! -e go ]; do sleep 0.1; done
"#;

/// How long each trouble lasts: some of each kind, the others at random.
pub fn spans(count: usize, in_time: Duration, seed: &mut Seed) -> Vec<Duration> {
    let in_time_ms = u64::try_from(in_time.as_millis()).expect("a small number");
    let one = |number: usize| match number % 3 {
        0 => SPAN_MS_MIN + seed.below(in_time_ms - SPAN_MS_MIN),
        _ => SPAN_MS_MIN + seed.below(SPAN_MS_MAX - SPAN_MS_MIN + 1),
    };
    (0..count).map(one).map(Duration::from_millis).collect()
}

/// A job on each worker; gives by the number of the worker in the cluster the job that it runs.
fn submit(cluster: &Cluster, workers: usize) -> Vec<u32> {
    for _ in 0..workers {
        cluster.submit(&["--stdout=none", "--stderr=none", "--crash-limit=unlimited", "--", "sh", "-c", SCRIPT]);
    }
    let mut jobs = vec![0; workers];
    let all = format!("1-{workers}");
    wait_until_or(
        "all tasks run",
        || cluster.logs(),
        || {
            let tasks = cluster.json(&["task", "list", &all]);
            let found = (1..=workers).all(|job| {
                let task = &tasks[job.to_string()][0];
                let worker = task["worker"].as_u64().and_then(|id| usize::try_from(id).ok());
                if let Some(place) = worker.and_then(|id| jobs.get_mut(id - 1)) {
                    *place = u32::try_from(job).expect("an id");
                }
                task["state"] == "running" && cluster.work().join(format!("runs-{job}")).exists()
            });
            found && jobs.iter().all(|job| *job != 0)
        },
    );
    jobs
}

/// Workers of one CPU have to be there, as many as there are spans, and none else. Brings each into trouble by `begin` for
/// its time, ends that by `end`, and looks at what became of the tasks, which goes on where that was `in_time`; how many ran
/// a second time.
#[track_caller]
pub fn at_once(
    cluster: &mut Cluster,
    (spans, in_time): (&[Duration], Duration),
    begin: impl Fn(usize),
    end: impl Fn(usize),
) -> usize {
    let jobs = submit(cluster, spans.len());
    // It takes over what others lose.
    cluster.start_worker_with(&[&format!("--cpus={}", spans.len()), HEARTBEAT]);
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|number| spans[*number]);
    let since = Instant::now();
    let begun: Vec<Duration> = (0..spans.len())
        .map(|number| {
            begin(number);
            since.elapsed()
        })
        .collect();
    let mut lasted = vec![Duration::ZERO; spans.len()];
    for number in order {
        sleep((begun[number] + spans[number]).saturating_sub(since.elapsed()));
        end(number);
        lasted[number] = since.elapsed() - begun[number];
    }
    // Everybody is back, under the old or a new number, and those who were away for too long have lost their tasks.
    wait_until_or(
        "all workers are back",
        || cluster.logs(),
        || {
            let states = witness::worker_states(cluster);
            states.iter().filter(|state| *state == "RUNNING").count() == spans.len() + 1
        },
    );
    for (number, job) in jobs.iter().enumerate().filter(|(number, _)| lasted[*number] > TOO_LONG) {
        wait_until_or(
            &format!("job {job} ends elsewhere after {:?}", lasted[number]),
            || cluster.logs(),
            || cluster.job_state(*job).as_deref() == Some("FINISHED"),
        );
    }
    cluster.write("go", "");
    cluster.hq(&["job", "wait", "all"]).ok();
    let mut again = 0;
    for (number, job) in jobs.iter().enumerate() {
        let runs = cluster.read(&format!("runs-{job}"));
        let what = format!("job {job} after {:?}: {runs:?}", lasted[number]);
        assert!(runs.lines().all(|run| run.ends_with("alone")), "{what}\n{}", cluster.logs());
        assert!(lasted[number] > in_time || runs == "0 alone\n", "{what}\n{}", cluster.logs());
        assert!(runs == "0 alone\n" || runs == "0 alone\n1 alone\n", "{what}\n{}", cluster.logs());
        assert_eq!(outcomes(cluster, *job), 1, "{what}");
        again += usize::from(runs != "0 alone\n");
    }
    again
}

/// How many outcomes of a job the journal has.
fn outcomes(cluster: &Cluster, job: u32) -> usize {
    let path = cluster.server_dir().join("journal");
    let events = cluster.hq(&["journal", "export", path.to_str().expect("a path in UTF-8")]).ok().stdout;
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event")["event"].clone());
    events.filter(|event| event["type"] == "task-finished" && event["job"] == job).count()
}
