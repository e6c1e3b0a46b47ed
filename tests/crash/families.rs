//! Processes of tasks that do not want to end, against every way in which a task or its worker does.
//!
//! What a task leaves behind takes CPUs from others and writes into their files, so that nothing may be left.
//!
//! Holds: whatever the processes of a task do, all of them are gone soon after a cancel, a time limit, a stop of the
//! worker, and every signal to it, SIGKILL included.

use crate::harness::{Cluster, is_alive, wait_until_or};
use nix::sys::signal::Signal;

/// Families, with the number of processes that write their numbers into `pids-*`. Each runs as one task.
const FAMILIES: [(&str, usize); 9] = [
    // Ends when it is asked to.
    ("echo $$ >> $PIDS; sleep 1000", 1),
    // A group, of which only the leader obeys.
    ("sleep 1000 & echo $! >> $PIDS; sleep 1000 & echo $! >> $PIDS; echo $$ >> $PIDS; wait", 3),
    // Ignores all that can be ignored.
    ("trap '' INT TERM HUP USR1; echo $$ >> $PIDS; while :; do sleep 1000; done", 1),
    // Is stopped.
    ("echo $$ >> $PIDS; kill -STOP $$", 1),
    // Another session.
    ("setsid sh -c 'echo $$ >> $PIDS; exec sleep 1000' & echo $$ >> $PIDS; wait", 2),
    // A daemon: two forks, another session, its leader is gone.
    ("(setsid sh -c '(sh -c \"echo \\$\\$ >> $PIDS; exec sleep 1000\" &)' &); echo $$ >> $PIDS; sleep 1000", 2),
    // The same, without an environment from which its origin could be seen, but with a parent.
    ("env -i PIDS=$PIDS setsid sh -c 'trap \"\" INT TERM; echo $$ >> $PIDS; sleep 1000' & echo $$ >> $PIDS; wait", 2),
    // The daemon is stopped.
    ("(setsid sh -c 'echo $$ >> $PIDS; kill -STOP $$' &); echo $$ >> $PIDS; sleep 1000", 2),
    // The leader catches the signal and ends well.
    ("trap 'exit 0' INT TERM; sleep 1000 & echo $! >> $PIDS; echo $$ >> $PIDS; wait", 2),
];

/// Starts a worker with a job for each family; gives the jobs and all processes once they are there.
fn start(cluster: &mut Cluster, options: &[&str]) -> (Vec<u32>, Vec<u32>) {
    cluster.start_worker(u32::try_from(FAMILIES.len()).unwrap());
    submit(cluster, options)
}

fn submit(cluster: &Cluster, options: &[&str]) -> (Vec<u32>, Vec<u32>) {
    let mut jobs = Vec::new();
    for (number, (script, _)) in FAMILIES.iter().enumerate() {
        let environment = format!("--env=PIDS={}", cluster.work().join(format!("pids-{number}")).display());
        let words = [&[environment.as_str(), "--stdout=none", "--stderr=none"], options, &["--", "sh", "-c", script]];
        jobs.push(cluster.submit(&words.concat()));
    }
    (jobs, processes(cluster))
}

/// All processes, once all of them are there.
fn processes(cluster: &Cluster) -> Vec<u32> {
    let mut pids = Vec::new();
    for (number, (_, count)) in FAMILIES.iter().enumerate() {
        let file = cluster.work().join(format!("pids-{number}"));
        let mut found: Vec<u32> = Vec::new();
        let all = || cluster.logs();
        wait_until_or(&format!("family {number} is there"), all, || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            found = text.lines().filter(|_| text.ends_with('\n')).map(|line| line.parse().unwrap()).collect();
            found.len() == *count
        });
        pids.append(&mut found);
    }
    pids
}

#[track_caller]
fn all_end(cluster: &Cluster, pids: &[u32]) {
    wait_until_or("all processes are gone", || cluster.logs(), || !pids.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn nothing_survives_a_cancel() {
    let mut cluster = Cluster::start();
    let (jobs, pids) = start(&mut cluster, &[]);
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    cluster.hq(&["job", "cancel", "all"]).ok();
    all_end(&cluster, &pids);
    for job in jobs {
        cluster.wait_job(job, "CANCELED");
    }
    // The worker has everything back.
    let all = format!("--cpus={}", FAMILIES.len());
    cluster.hq(&["submit", "--wait", &all, "--stdout=none", "--stderr=none", "true"]).ok();
}

#[test]
fn nothing_survives_a_time_limit() {
    let mut cluster = Cluster::start();
    // Long enough for all to be there, even on a machine that does other things.
    let (jobs, pids) = start(&mut cluster, &["--time-limit=8s"]);
    for job in jobs {
        cluster.wait_job(job, "FAILED");
        assert_eq!(cluster.tasks(job)[0]["error"], "Time limit reached");
    }
    // The failure is told when nothing is left.
    let left: Vec<&u32> = pids.iter().filter(|pid| is_alive(**pid)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn nothing_survives_a_stop_of_the_worker() {
    let mut cluster = Cluster::start();
    let (jobs, pids) = start(&mut cluster, &["--crash-limit=1"]);
    cluster.hq(&["worker", "stop", "all"]).ok().says("Worker 1 stopped");
    assert_eq!(cluster.worker_ends(0).code(), Some(0));
    let left: Vec<&u32> = pids.iter().filter(|pid| is_alive(**pid)).collect();
    assert!(left.is_empty(), "{left:?}");
    for job in jobs {
        cluster.wait_job(job, "WAITING");
    }
}

#[test]
fn nothing_survives_a_signal_to_the_worker() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGTSTP] {
        let mut cluster = Cluster::start();
        let (jobs, pids) = start(&mut cluster, &["--crash-limit=1"]);
        cluster.signal_worker(0, signal);
        assert_eq!(cluster.worker_ends(0).code(), Some(0), "{signal}");
        let left: Vec<&u32> = pids.iter().filter(|pid| is_alive(**pid)).collect();
        assert!(left.is_empty(), "{signal}: {left:?}");
        // A batch system ends jobs in this way: that is no crash.
        for job in jobs {
            cluster.wait_job(job, "WAITING");
        }
        assert_eq!(cluster.hq(&["--output-mode=quiet", "worker", "list", "--all"]).ok().stdout, "1 STOPPED\n");
    }
}

#[test]
fn nothing_survives_the_death_of_the_worker() {
    let mut cluster = Cluster::start();
    let (_, pids) = start(&mut cluster, &[]);
    cluster.kill_worker(0);
    all_end(&cluster, &pids);
}

#[test]
fn what_a_task_leaves_behind_ends_with_the_worker() {
    for kills in [false, true] {
        let mut cluster = Cluster::with_worker(2);
        let script = "sleep 1000 & echo $! >> pids; (setsid sh -c 'echo $$ >> pids; exec sleep 1000' &)";
        cluster.hq(&["submit", "--wait", "--stdout=none", "--stderr=none", "--", "sh", "-c", script]).ok();
        let mut pids: Vec<u32> = Vec::new();
        wait_until_or(
            "both are there",
            || cluster.logs(),
            || {
                let text = std::fs::read_to_string(cluster.work().join("pids")).unwrap_or_default();
                pids = text.lines().filter(|_| text.ends_with('\n')).map(|line| line.parse().unwrap()).collect();
                pids.len() == 2
            },
        );
        // It was the program's own wish to leave them, and services are started like that.
        cluster.hq(&["submit", "--wait", "--stdout=none", "--stderr=none", "true"]).ok();
        assert!(pids.iter().all(|pid| is_alive(*pid)));
        if kills {
            cluster.kill_worker(0);
        } else {
            cluster.hq(&["worker", "stop", "1"]).ok();
            cluster.worker_ends(0);
            assert!(!pids.iter().any(|pid| is_alive(*pid)));
        }
        all_end(&cluster, &pids);
    }
}
