//! One server and its workers as real processes, driven through the command line.
//!
//! The benchmark must see what a user sees, and must be able to drive a second binary; both only share the command line.
//!
//! What holds: dropping a cluster ends its processes; its files lie in a temporary directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for a server or a worker to appear.
const START_SPAN_MAX: Duration = Duration::from_secs(30);

/// A server with workers.
pub struct Cluster {
    hq: PathBuf,
    dir: tempfile::TempDir,
    server: Child,
    workers: Vec<Child>,
}

/// What a process has used so far.
#[derive(Clone, Copy)]
pub struct Usage {
    /// Resident memory in bytes.
    pub resident_bytes: f64,
    /// User and system time in seconds.
    pub cpu_seconds: f64,
}

impl Cluster {
    /// Starts a server with its journal, and waits until it answers.
    pub fn start(hq: &Path) -> Result<Cluster, String> {
        let dir = tempfile::Builder::new().prefix("hq-bench-").tempdir().map_err(|e| e.to_string())?;
        let server = start_server(hq, dir.path())?;
        let cluster = Cluster { hq: hq.to_owned(), dir, server, workers: Vec::new() };
        cluster.wait_until_it_answers()?;
        Ok(cluster)
    }

    /// A file in the directory in which its commands run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command of this cluster, with nothing on its outputs.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.hq);
        command.args(arguments).env("HQ_SERVER_DIR", self.dir.path().join("server")).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs a command to its end; fails when it does.
    pub fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let output = self.command(arguments).stderr(Stdio::piped()).output().map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("hq {}: {}: {}", arguments.join(" "), output.status, String::from_utf8_lossy(&output.stderr)))
    }

    /// Runs a command and returns the seconds that it took.
    pub fn time(&self, arguments: &[&str]) -> Result<f64, String> {
        let begin = Instant::now();
        self.run(arguments)?;
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Starts a worker and waits until a task has run on it.
    pub fn add_worker(&mut self, cpus: &str, runs_processes: bool) -> Result<(), String> {
        let log = log_file(self.dir.path(), "worker.log")?;
        let mut command = self.command(&["worker", "start", "--cpus", cpus]);
        if !runs_processes {
            command.env("HQ_BENCH_ZERO_WORKER", "1");
        }
        self.workers.push(command.stderr(log).spawn().map_err(|e| e.to_string())?);
        self.run(&["submit", "--stdout", "none", "--stderr", "none", "--wait", "--", "/bin/true"])
    }

    /// Submits an array of `tasks` and waits for its end; returns the seconds that both took.
    pub fn run_array(&self, tasks: u64) -> Result<f64, String> {
        let ids = format!("1-{tasks}");
        self.time(&["submit", "--array", &ids, "--stdout", "none", "--stderr", "none", "--wait", "--", "/bin/true"])
    }

    /// Memory and CPU of the server.
    pub fn server_usage(&self) -> Result<Usage, String> {
        usage(self.server.id())
    }

    /// Memory and CPU of all workers.
    pub fn worker_usage(&self) -> Result<Usage, String> {
        let mut sum = Usage { resident_bytes: 0.0, cpu_seconds: 0.0 };
        for worker in &self.workers {
            let one = usage(worker.id())?;
            sum.resident_bytes += one.resident_bytes;
            sum.cpu_seconds += one.cpu_seconds;
        }
        Ok(sum)
    }

    /// Bytes in files of the journal.
    pub fn journal_bytes(&self) -> f64 {
        size(&self.dir.path().join("journal"))
    }

    /// Kills the server as the machine's end would, starts it again, and returns the seconds until it answers.
    pub fn restart_server(&mut self) -> Result<f64, String> {
        self.server.kill().map_err(|e| e.to_string())?;
        self.server.wait().map_err(|e| e.to_string())?;
        let begin = Instant::now();
        self.server = start_server(&self.hq, self.dir.path())?;
        self.wait_until_it_answers()?;
        Ok(begin.elapsed().as_secs_f64())
    }

    fn wait_until_it_answers(&self) -> Result<(), String> {
        let begin = Instant::now();
        while begin.elapsed() < START_SPAN_MAX {
            if self.command(&["server", "info"]).status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(2));
        }
        let log = fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default();
        Err(format!("the server of {} does not answer; its log:\n{log}", self.hq.display()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command(&["server", "stop"]).status();
        let deadline = Instant::now() + Duration::from_secs(10);
        for child in self.workers.iter_mut().chain(std::iter::once(&mut self.server)) {
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn log_file(dir: &Path, name: &str) -> Result<File, String> {
    File::options().create(true).append(true).open(dir.join(name)).map_err(|e| format!("{name}: {e}"))
}

fn start_server(hq: &Path, dir: &Path) -> Result<Child, String> {
    let log = log_file(dir, "server.log")?;
    Command::new(hq)
        .args(["server", "start", "--host", "localhost", "--journal"])
        .arg(dir.join("journal"))
        .env("HQ_SERVER_DIR", dir.join("server"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|e| format!("{}: {e}", hq.display()))
}

/// Reads `/proc/PID/status` and `/proc/PID/stat` (proc(5)).
fn usage(pid: u32) -> Result<Usage, String> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(|e| format!("{pid}: {e}"));
    let status = read("status")?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .ok_or("no VmRSS")?;
    let stat = read("stat")?;
    // The name in parentheses may hold blanks; fields 14 and 15 of the whole are 11 and 12 behind it, in 1/100 s.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks: f64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(Usage { resident_bytes: kib * 1024.0, cpu_seconds: ticks / 100.0 })
}

fn size(path: &Path) -> f64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0.0 };
    if !meta.is_dir() {
        return meta.len() as f64;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}
