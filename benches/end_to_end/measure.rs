//! The measurements that go through the command line.
//!
//! Rounds alternate between the limit, ours and theirs, so that a disturbance of the machine hits all of them.
//!
//! What holds: rates are the best round, latencies the median; each part starts its own servers.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::bare;
use super::cluster::{Cluster, Usage};
use super::report::{Better, Line, Report};

/// How much of everything.
pub struct Sizes {
    /// Rounds of a rate.
    pub rounds: usize,
    /// Processes of one round.
    pub processes: u64,
    /// Repetitions of a latency.
    pub repetitions: usize,
    /// Tasks of the array that is only held, or run without processes.
    pub tasks: u64,
    /// Tasks of a graph without processes.
    pub graph_tasks: u64,
    /// Tasks of a graph with them.
    pub graph_processes: u64,
    /// How long one round of a commit rate takes.
    pub commit_span: Duration,
}

impl Sizes {
    /// A few minutes.
    pub fn full() -> Sizes {
        Sizes {
            rounds: 3,
            processes: 20_000,
            repetitions: 60,
            tasks: 1_000_000,
            graph_tasks: 100_000,
            graph_processes: 10_000,
            commit_span: Duration::from_secs(2),
        }
    }

    /// Half a minute, to see that everything works.
    pub fn quick() -> Sizes {
        Sizes {
            rounds: 2,
            processes: 4_000,
            repetitions: 20,
            tasks: 100_000,
            graph_tasks: 20_000,
            graph_processes: 2_000,
            commit_span: Duration::from_millis(500),
        }
    }
}

/// Tasks a second with two CPUs.
pub fn throughput(own: &Path, other: Option<&Path>, sizes: &Sizes, report: &mut Report) -> Result<(), String> {
    let start = |hq: &Path| -> Result<Cluster, String> {
        let mut cluster = Cluster::start(hq)?;
        cluster.add_worker("2", true)?;
        Ok(cluster)
    };
    let own = start(own)?;
    let other = other.map(start).transpose()?;
    let (mut limit, mut ours, mut theirs) = (0.0_f64, 0.0_f64, None);
    for _ in 0..sizes.rounds {
        limit = limit.max(bare::spawn_rate("/bin/true", 2, sizes.processes as usize / 2)?);
        ours = ours.max(sizes.processes as f64 / own.run_array(sizes.processes)?);
        if let Some(other) = &other {
            let rate = sizes.processes as f64 / other.run_array(sizes.processes)?;
            theirs = Some(theirs.unwrap_or(0.0_f64).max(rate));
        }
    }
    report.add(Line {
        what: "/bin/true on two CPUs, tasks/s".to_owned(),
        limit: Some(limit),
        own: ours,
        other: theirs,
        better: Better::More,
    });
    Ok(())
}

/// Milliseconds of one command.
fn command_ms(mut command: Command) -> Result<f64, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let status = command.status().map_err(|e| e.to_string())?;
    let span = begin.elapsed().as_secs_f64() * 1e3;
    if status.success() { Ok(span) } else { Err(format!("{command:?}: {status}")) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What a user waits for.
pub fn latency(own: &Path, other: Option<&Path>, sizes: &Sizes, report: &mut Report) -> Result<(), String> {
    let quiet = ["--stdout", "none", "--stderr", "none"];
    let plain = [&["submit"], &quiet[..], &["--", "/bin/true"]].concat();
    let array = [&["submit", "--array", "1-1000000"], &quiet[..], &["--", "/bin/true"]].concat();
    let waiting = [&["submit", "--wait"], &quiet[..], &["--", "/bin/true"]].concat();
    let cases: [(&str, Vec<&str>, bool, &str); 4] = [
        ("`hq --version`, ms (limit: /bin/true)", vec!["--version"], false, "/bin/true"),
        ("`hq submit -- /bin/true`, ms (limit: hq --version)", plain, false, ""),
        ("`hq submit --array 1-1000000`, ms (limit: hq --version)", array, false, ""),
        ("`hq submit --wait -- /bin/true`, ms (limit: /bin/true)", waiting, true, "/bin/true"),
    ];
    for (what, arguments, with_worker, bare_program) in cases {
        let start = |hq: &Path| -> Result<Cluster, String> {
            let mut cluster = Cluster::start(hq)?;
            if with_worker {
                cluster.add_worker("2", true)?;
            }
            Ok(cluster)
        };
        let own_cluster = start(own)?;
        let other_cluster = other.map(start).transpose()?;
        let (mut limits, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        // An array of a million is queued again and again: the other side may need long for each.
        let repetitions = if what.contains("--array") { 10 } else { sizes.repetitions };
        for _ in 0..repetitions {
            limits.push(if bare_program.is_empty() {
                command_ms(own_cluster.command(&["--version"]))?
            } else {
                command_ms(Command::new(bare_program))?
            });
            ours.push(command_ms(own_cluster.command(&arguments))?);
            if let Some(other) = &other_cluster {
                theirs.push(command_ms(other.command(&arguments))?);
            }
        }
        report.add(Line {
            what: what.to_owned(),
            limit: Some(median(limits)),
            own: median(ours),
            other: (!theirs.is_empty()).then(|| median(theirs)),
            better: Better::Less,
        });
    }
    Ok(())
}

/// Figures of one binary about many tasks.
struct Mass {
    pending_bytes: f64,
    submit_ms: f64,
    finished_bytes: f64,
    cpu_us: f64,
    worker_cpu_us: f64,
    rate: f64,
    journal_bytes: f64,
    restart_ms: f64,
}

/// A figure of the table: name, where it stands, direction.
type Figure = (String, fn(&Mass) -> f64, Better);

/// Memory, CPU, journal and restart with many tasks.
pub fn memory(own: &Path, other: Option<&Path>, sizes: &Sizes, report: &mut Report) -> Result<(), String> {
    let ours = mass(own, sizes.tasks, sizes.tasks, false)?;
    // A second binary need not know the worker that runs no process, so its tasks are real and fewer.
    let theirs = other.map(|hq| mass(hq, sizes.tasks, sizes.processes, true)).transpose()?;
    let tasks = sizes.tasks;
    let real = sizes.processes;
    let lines: [Figure; 8] = [
        (format!("submit an array of {tasks}, ms"), |mass| mass.submit_ms, Better::Less),
        (format!("server memory a pending task of {tasks}, bytes"), |mass| mass.pending_bytes, Better::Less),
        ("server memory a finished task, bytes, second half".to_owned(), |mass| mass.finished_bytes, Better::Less),
        ("server CPU a task, µs".to_owned(), |mass| mass.cpu_us, Better::Less),
        ("worker CPU a task without its process, µs".to_owned(), |mass| mass.worker_cpu_us, Better::Less),
        (format!("tasks/s without processes (other: {real} processes)"), |mass| mass.rate, Better::More),
        ("journal a task, bytes".to_owned(), |mass| mass.journal_bytes, Better::Less),
        (format!("restart with twice {tasks} finished (other: {real}), ms"), |mass| mass.restart_ms, Better::Less),
    ];
    for (what, pick, better) in lines {
        report.add(Line { what, limit: None, own: pick(&ours), other: theirs.as_ref().map(pick), better });
    }
    Ok(())
}

fn mass(hq: &Path, pending: u64, finished: u64, processes: bool) -> Result<Mass, String> {
    let per_task = |after: Usage, before: Usage, tasks: u64| {
        let bytes = (after.resident_bytes - before.resident_bytes) / tasks as f64;
        let cpu_us = (after.cpu_seconds - before.cpu_seconds) * 1e6 / tasks as f64;
        (bytes, cpu_us)
    };
    let holding = Cluster::start(hq)?;
    holding.run(&["submit", "--stdout", "none", "--stderr", "none", "--", "/bin/true"])?;
    let before = holding.server_usage()?;
    let ids = format!("1-{pending}");
    let submit =
        holding.time(&["submit", "--array", &ids, "--stdout", "none", "--stderr", "none", "--", "/bin/true"])?;
    let (pending_bytes, _) = per_task(holding.server_usage()?, before, pending);
    drop(holding);

    let mut running = Cluster::start(hq)?;
    running.add_worker("2", processes)?;
    // The first half fills caches and buffers, which have a size of their own; the second shows what a task adds.
    running.run_array(finished)?;
    let (before, worker_before) = (running.server_usage()?, running.worker_usage()?);
    let journal_before = running.journal_bytes();
    let seconds = running.run_array(finished)?;
    let (finished_bytes, cpu_us) = per_task(running.server_usage()?, before, finished);
    let (_, worker_cpu_us) = per_task(running.worker_usage()?, worker_before, finished);
    let journal_bytes = (running.journal_bytes() - journal_before) / finished as f64;
    let restart_ms = running.restart_server()? * 1e3;
    Ok(Mass {
        pending_bytes,
        submit_ms: submit * 1e3,
        finished_bytes,
        cpu_us,
        worker_cpu_us,
        rate: finished as f64 / seconds,
        journal_bytes,
        restart_ms,
    })
}
