//! Signals that tasks get, when, and in which order.
//!
//! A long program wants to save what it has before it is ended: it is warned, asked by the signal that it knows, and
//! given the time that it needs, whoever ends it.
//!
//! Holds: a grace is never cut, by whatever the task is ended; a task without settings is ended as ever; a drain sends
//! nothing.

use crate::harness::{Cluster, is_alive, wait_until_or};

/// Writes each signal down as it comes; TERM is answered by waiting for `go`, saving, and exiting with 0.
const PROGRAM: &str = r#"
    out="seen-$HQ_JOB_ID"
    trap 'echo USR1 >> $out' USR1
    trap 'echo INT >> $out' INT
    trap 'echo TERM >> $out; while ! test -e go; do sleep 0.02; done; echo saved >> $out; exit 0' TERM
    echo $$ > "pid-$HQ_JOB_ID"
    echo up > "$out"
    while ! test -e "end-$HQ_JOB_ID"; do sleep 0.02; done
"#;

fn submit(cluster: &Cluster, options: &[&str]) -> u32 {
    let quiet = ["--stdout=none", "--stderr=none"];
    let job = cluster.submit(&[&quiet, options, &["--", "sh", "-c", PROGRAM]].concat());
    sees(cluster, job, "up\n");
    job
}

fn seen(cluster: &Cluster, job: u32) -> String {
    std::fs::read_to_string(cluster.work().join(format!("seen-{job}"))).unwrap_or_default()
}

fn sees(cluster: &Cluster, job: u32, text: &str) {
    wait_until_or(
        &format!("job {job} sees {text:?}"),
        || format!("{:?}\n{}", seen(cluster, job), cluster.logs()),
        || seen(cluster, job) == text,
    );
}

fn pid(cluster: &Cluster, job: u32) -> u32 {
    cluster.read(&format!("pid-{job}")).trim().parse().unwrap()
}

/// Two tasks, one of which has its own signal and grace, are both asked to end by `end`. The other one is killed at the end
/// of its grace, which is the usual one, and then the first still has its own.
fn keeps_its_grace(worker: &[&str], options: &[&str], end: impl FnOnce(&Cluster)) -> (Cluster, [u32; 2]) {
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&[&["--cpus=2"], worker].concat());
    let own = submit(&cluster, &[options, &["--kill-signal=TERM", "--grace=1h"]].concat());
    let plain = submit(&cluster, options);
    let killed = pid(&cluster, plain);
    end(&cluster);
    sees(&cluster, own, "up\nTERM\n");
    sees(&cluster, plain, "up\nINT\n");
    wait_until_or("the other one is killed", || cluster.logs(), || !is_alive(killed));
    assert!(is_alive(pid(&cluster, own)));
    cluster.write("go", "");
    sees(&cluster, own, "up\nTERM\nsaved\n");
    (cluster, [own, plain])
}

#[test]
fn a_cancel_keeps_the_grace() {
    let (cluster, jobs) = keeps_its_grace(&[], &[], |cluster| {
        cluster.hq(&["job", "cancel", "all"]).ok();
    });
    for job in jobs {
        cluster.wait_job(job, "CANCELED");
    }
    // The worker has everything back.
    cluster.hq(&["submit", "--wait", "--cpus=2", "--stdout=none", "--stderr=none", "true"]).ok();
}

#[test]
fn a_time_limit_keeps_the_grace() {
    let (cluster, jobs) = keeps_its_grace(&[], &["--time-limit=8s"], |_| ());
    for job in jobs {
        cluster.wait_job(job, "FAILED");
        assert_eq!(cluster.tasks(job)[0]["error"], "Time limit reached");
    }
}

#[test]
fn a_stop_of_the_worker_keeps_the_grace() {
    let (mut cluster, jobs) = keeps_its_grace(&[], &["--crash-limit=1"], |cluster| {
        cluster.hq(&["worker", "stop", "all"]).ok();
    });
    assert_eq!(cluster.worker_ends(0).code(), Some(0));
    for job in jobs {
        cluster.wait_job(job, "WAITING");
    }
}

#[test]
fn the_end_of_a_worker_s_life_keeps_the_grace() {
    let (mut cluster, jobs) = keeps_its_grace(&["--time-limit=8s"], &["--crash-limit=1"], |_| ());
    assert_eq!(cluster.worker_ends(0).code(), Some(0));
    for job in jobs {
        cluster.wait_job(job, "WAITING");
    }
}

#[test]
fn a_second_stop_does_not_wait() {
    let mut cluster = Cluster::with_worker(1);
    let job = submit(&cluster, &["--kill-signal=TERM", "--grace=1h"]);
    cluster.signal_worker(0, nix::sys::signal::Signal::SIGTERM);
    sees(&cluster, job, "up\nTERM\n");
    cluster.signal_worker(0, nix::sys::signal::Signal::SIGTERM);
    assert_eq!(cluster.worker_ends(0).code(), Some(0));
    assert!(!is_alive(pid(&cluster, job)));
    assert_eq!(seen(&cluster, job), "up\nTERM\n");
}

#[test]
fn a_warning_comes_before_the_time_limit() {
    let cluster = Cluster::with_worker(1);
    cluster.write("go", "");
    let job = submit(&cluster, &["--signal=USR1@3s", "--time-limit=8s", "--kill-signal=SIGTERM"]);
    cluster.wait_job(job, "FAILED");
    assert_eq!(seen(&cluster, job), "up\nUSR1\nTERM\nsaved\n");
    assert_eq!(cluster.tasks(job)[0]["error"], "Time limit reached");
}

#[test]
fn a_warning_comes_before_the_end_of_the_worker() {
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&["--cpus=1", "--time-limit=8s"]);
    let job = submit(&cluster, &["--signal=10@3s", "--time-limit=1h"]);
    assert_eq!(cluster.worker_ends(0).code(), Some(0));
    assert_eq!(seen(&cluster, job), "up\nUSR1\nINT\n");
    cluster.wait_job(job, "WAITING");
}

#[test]
fn a_drain_sends_nothing_before_its_timeout() {
    let mut cluster = Cluster::with_worker(2);
    let ends = submit(&cluster, &["--signal=USR1@1h", "--kill-signal=TERM"]);
    let asked = submit(&cluster, &["--kill-signal=TERM", "--grace=1h"]);
    cluster.hq(&["worker", "drain", "1"]).ok();
    cluster.write(&format!("end-{ends}"), "");
    cluster.wait_job(ends, "FINISHED");
    assert_eq!(seen(&cluster, ends), "up\n");
    assert_eq!(seen(&cluster, asked), "up\n");
    cluster.hq(&["worker", "stop", "1"]).ok();
    sees(&cluster, asked, "up\nTERM\n");
    cluster.write("go", "");
    assert_eq!(cluster.worker_ends(0).code(), Some(0));
    assert_eq!(seen(&cluster, asked), "up\nTERM\nsaved\n");
}

#[test]
fn a_program_that_does_not_handle_its_warning_fails_by_it() {
    let cluster = Cluster::with_worker(1);
    let words = ["--signal=USR1@4s", "--time-limit=5s", "--stdout=none", "--stderr=none", "--", "sleep", "1000"];
    let job = cluster.submit(&words);
    cluster.wait_job(job, "FAILED");
    let error = cluster.tasks(job)[0]["error"].as_str().unwrap().to_owned();
    let usual = "Program terminated with exit code -1. Received signal 10 (SIGUSR1).\n";
    assert!(error.starts_with(usual) && error.contains("warned of its time limit"), "{error}");
}
