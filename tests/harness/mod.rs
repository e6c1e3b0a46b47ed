//! A small cluster of real processes for tests: one server, some workers, and commands against them.
//!
//! What users see is processes, files and exit codes, so that is what these tests drive; nothing of the library is
//! called here.
//!
//! Holds: everything lives in a temporary directory of the test; when the cluster is dropped, every process that it
//! started is gone, and its journal is as `hq journal verify` wants it; waiting is for conditions, with a deadline that
//! fails the test.
#![allow(dead_code, reason = "each test binary uses a part of the harness")]

mod done;

pub use done::Done;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a command or a condition may take before the test fails; far more than anything here needs.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);
/// Variables that would change what the program does.
const OWN_VARIABLES: [&str; 6] =
    ["HQ_SERVER_DIR", "HQ_OUTPUT_MODE", "HQ_DEBUG", "HQ_ACCESS_KEY", "RUST_LOG", "RUST_LOG_STYLE"];

/// One server with its workers, in a directory of its own.
pub struct Cluster {
    dir: tempfile::TempDir,
    /// Options of the server.
    pub server_args: Vec<String>,
    /// Words in front of each command line, such as `env A=b`.
    pub wrapper: Vec<String>,
    /// Whether this process cannot see the server directory.
    pub is_hidden: bool,
    server: Option<Child>,
    workers: Vec<Option<Child>>,
    others: Vec<u32>,
    /// Whether the journal is damaged on purpose, so that it is not checked at the end.
    pub has_damage: bool,
}

impl Cluster {
    /// A directory without a server.
    pub fn offline() -> Self {
        let dir = tempfile::Builder::new().prefix("hq-test-").tempdir().expect("a temporary directory");
        std::fs::create_dir(dir.path().join("home")).expect("a home");
        std::fs::create_dir(dir.path().join("work")).expect("a working directory");
        std::fs::create_dir(dir.path().join("tmp")).expect("a place for temporary files");
        let (server_args, wrapper, is_hidden) = (Vec::new(), Vec::new(), false);
        let (server, workers, others) = (None, Vec::new(), Vec::new());
        Self { dir, server_args, wrapper, is_hidden, server, workers, others, has_damage: false }
    }

    /// A running server, where the server and all commands run under `wrapper`, such as `prlimit --nofile=64`.
    pub fn start_under(wrapper: &[&str]) -> Self {
        let mut cluster = Self::offline();
        cluster.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        cluster.start_server();
        cluster
    }

    /// A running server without workers.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A running server with these options.
    pub fn start_with(args: &[&str]) -> Self {
        let mut cluster = Self::offline();
        cluster.server_args = args.iter().map(|arg| (*arg).to_owned()).collect();
        cluster.start_server();
        cluster
    }

    /// A running server and one worker with `cpus` CPUs.
    pub fn with_worker(cpus: u32) -> Self {
        let mut cluster = Self::start();
        cluster.start_worker(cpus);
        cluster
    }

    /// The directory of everything.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The directory in which commands run.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// The directory for temporary files of the server, workers and commands.
    pub fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    /// The server directory.
    pub fn server_dir(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    /// Writes a file into the working directory and gives its path.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.work().join(name);
        std::fs::write(&path, content).expect("a written file");
        path
    }

    /// Reads a file of the working directory.
    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        let path = self.work().join(name);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A command line of the program, to be changed before it runs.
    pub fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let program = env!("CARGO_BIN_EXE_hq");
        let mut command = match self.wrapper.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        for variable in OWN_VARIABLES {
            command.env_remove(variable);
        }
        command.args(words).current_dir(self.work()).env("HOME", self.dir.path().join("home"));
        command.env("HQ_SERVER_DIR", self.server_dir()).env("TZ", "UTC").stdin(Stdio::null());
        // A worker that is killed leaves its temporary directory behind.
        command.env("TMPDIR", self.tmp());
        command
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn hq(&self, words: &[&str]) -> Done {
        self.run(self.command(words), b"", &words.join(" "))
    }

    /// Runs a command with bytes on its standard input.
    #[track_caller]
    pub fn hq_with_input(&self, words: &[&str], input: &[u8]) -> Done {
        self.run(self.command(words), input, &words.join(" "))
    }

    /// Runs a command in JSON mode and gives its value.
    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        let words: Vec<&str> = ["--output-mode=json"].iter().chain(words).copied().collect();
        self.hq(&words).ok().json()
    }

    /// Submits with these words and gives the id of the job.
    #[track_caller]
    pub fn submit(&self, words: &[&str]) -> u32 {
        let words: Vec<&str> = ["--output-mode=quiet", "submit"].iter().chain(words).copied().collect();
        let done = self.hq(&words).ok();
        done.stdout.trim().parse().unwrap_or_else(|_| panic!("no id: {done}"))
    }

    /// Runs a prepared command to its end, at most for [`DEADLINE`].
    #[track_caller]
    pub fn run(&self, mut command: Command, input: &[u8], line: &str) -> Done {
        if !input.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a started command");
        let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
        if let Some(mut stdin) = child.stdin.take() {
            // A command may end without reading all of it.
            let _ = stdin.write_all(input);
        }
        let status = wait_with_deadline(&mut child);
        let text = |reader: thread::JoinHandle<Vec<u8>>| {
            String::from_utf8_lossy(&reader.join().expect("a reader")).into_owned()
        };
        let Some(status) = status else {
            let _ = child.kill();
            panic!("`hq {line}` did not end in time\n{}", self.logs());
        };
        Done { line: line.to_owned(), code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Starts the server, or starts it again, and waits until it answers.
    #[track_caller]
    pub fn start_server(&mut self) {
        if let Err(status) = self.try_to_start_server() {
            panic!("the server ended at its start: {status}\n{}", self.logs());
        }
    }

    /// As [`Cluster::start_server`], where the server may also end by itself, with this status.
    #[track_caller]
    pub fn try_to_start_server(&mut self) -> Result<(), ExitStatus> {
        assert!(self.server.is_none(), "there is a server already");
        let words: Vec<String> = ["server", "start", "--host=localhost"]
            .iter()
            .map(|word| (*word).to_owned())
            .chain(self.server_args.clone())
            .collect();
        let mut command = self.command(&words);
        let mut child = self.logged(&mut command, "server").spawn().expect("a started server");
        let mut ended = None;
        wait_until("the server answers", || {
            ended = child.try_wait().expect("a status");
            let is_there = self.is_hidden || self.server_dir().join("hq-current/access.json").exists();
            // The access file of a server that was killed is still there; only the new one's process answers.
            ended.is_some() || is_there && self.pid_that_answers() == Some(u64::from(child.id()))
        });
        match ended {
            Some(status) => Err(status),
            None => {
                self.server = Some(child);
                Ok(())
            }
        }
    }

    fn pid_that_answers(&self) -> Option<u64> {
        let done = self.hq(&["--output-mode=json", "server", "info"]);
        let value: Value = serde_json::from_str(&done.stdout).ok()?;
        value["pid"].as_u64()
    }

    /// Process id of the server.
    pub fn server_pid(&self) -> u32 {
        self.server.as_ref().expect("a server").id()
    }

    /// Ends the server without a word (SIGKILL).
    pub fn kill_server(&mut self) {
        let mut server = self.server.take().expect("a server");
        server.kill().expect("a killed server");
        server.wait().expect("an ended server");
    }

    /// Sends a signal to the server.
    pub fn signal_server(&self, signal: Signal) {
        signal_to(self.server_pid(), signal);
    }

    /// Waits until the server has ended by itself and gives its exit status.
    #[track_caller]
    pub fn server_ends(&mut self) -> ExitStatus {
        let mut server = self.server.take().expect("a server");
        wait_with_deadline(&mut server).unwrap_or_else(|| {
            let _ = server.kill();
            panic!("the server did not end\n{}", self.logs())
        })
    }

    /// Starts a worker with `cpus` CPUs and waits until the server knows it; gives its number in the cluster, from 0.
    #[track_caller]
    pub fn start_worker(&mut self, cpus: u32) -> usize {
        self.start_worker_with(&[&format!("--cpus={cpus}")])
    }

    /// As [`Cluster::start_worker`], with any options.
    #[track_caller]
    pub fn start_worker_with(&mut self, args: &[&str]) -> usize {
        let before = self.workers_known();
        let number = self.spawn_worker(args);
        wait_until("the worker is registered", || {
            let child = self.workers[number].as_mut().expect("a worker");
            if let Some(status) = child.try_wait().expect("a status") {
                panic!("the worker ended at its start: {status}\n{}", self.logs());
            }
            self.workers_known() > before
        });
        number
    }

    /// Starts a worker without waiting for it.
    pub fn spawn_worker(&mut self, args: &[&str]) -> usize {
        let number = self.workers.len();
        let words: Vec<&str> = ["worker", "start"].iter().chain(args).copied().collect();
        let mut command = self.command(&words);
        let child = self.logged(&mut command, &format!("worker-{number}")).spawn().expect("a started worker");
        self.workers.push(Some(child));
        number
    }

    fn workers_known(&self) -> usize {
        self.json(&["worker", "list", "--all"]).as_array().map_or(0, Vec::len)
    }

    /// Process id of a worker.
    pub fn worker_pid(&self, number: usize) -> u32 {
        self.workers[number].as_ref().expect("a worker").id()
    }

    /// Sends a signal to a worker.
    pub fn signal_worker(&self, number: usize, signal: Signal) {
        signal_to(self.worker_pid(number), signal);
    }

    /// Ends a worker without a word (SIGKILL).
    pub fn kill_worker(&mut self, number: usize) {
        let mut worker = self.workers[number].take().expect("a worker");
        worker.kill().expect("a killed worker");
        worker.wait().expect("an ended worker");
    }

    /// Waits until a worker has ended by itself and gives its exit status.
    #[track_caller]
    pub fn worker_ends(&mut self, number: usize) -> ExitStatus {
        let mut worker = self.workers[number].take().expect("a worker");
        wait_with_deadline(&mut worker).unwrap_or_else(|| {
            let _ = worker.kill();
            panic!("the worker did not end\n{}", self.logs())
        })
    }

    /// Takes care of a process that was started by others, such as a server in the background: it is killed at the end.
    pub fn adopt(&mut self, pid: u32) {
        self.others.push(pid);
    }

    /// Waits until a job has the state, written as in `job list`.
    #[track_caller]
    pub fn wait_job(&self, job: u32, state: &str) {
        wait_until_or(
            &format!("job {job} is {state}"),
            || self.logs(),
            || self.job_state(job).as_deref() == Some(state),
        );
    }

    /// State of a job as `job list` shows it; none when there is no such job.
    #[track_caller]
    pub fn job_state(&self, job: u32) -> Option<String> {
        let done = self.hq(&["--output-mode=quiet", "job", "list", "--all"]).ok();
        let prefix = format!("{job} ");
        done.stdout.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
    }

    /// The tasks of a job as `task list` gives them in JSON.
    #[track_caller]
    pub fn tasks(&self, job: u32) -> Vec<Value> {
        let id = job.to_string();
        self.json(&["task", "list", &id])[&id].as_array().cloned().unwrap_or_default()
    }

    /// Checks the journal of the server, which no process uses any more.
    fn verify_journal(&self) {
        let given = self.server_args.iter().filter_map(|arg| arg.strip_prefix("--journal="));
        let journals = given.map(|path| self.work().join(path)).chain([self.server_dir().join("journal")]);
        for journal in journals.filter(|journal| journal.join("mark").exists()) {
            let mut command = Command::new(env!("CARGO_BIN_EXE_hq"));
            command.args(["journal", "verify"]).arg(&journal).env("HQ_SERVER_DIR", self.server_dir());
            command.stdin(Stdio::null()).env_remove("RUST_LOG");
            let done = self.run(command, b"", "journal verify");
            assert_eq!(done.code, Some(0), "{done}\n{}", self.logs());
        }
    }

    fn logged<'a>(&self, command: &'a mut Command, name: &str) -> &'a mut Command {
        let open = |suffix: &str| {
            let path = self.dir.path().join(format!("{name}.{suffix}"));
            File::options().create(true).append(true).open(path).expect("a log file")
        };
        command.stdout(open("out")).stderr(open("log"))
    }

    /// What server and workers logged, for messages of failing tests.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        let mut names: Vec<PathBuf> = std::fs::read_dir(self.dir.path())
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        names.sort();
        for path in names.iter().filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
            let bytes = std::fs::read(path).unwrap_or_default();
            text.push_str(&format!("--- {}\n{}\n", path.display(), String::from_utf8_lossy(&bytes)));
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.logs());
        }
        let children = self.workers.iter_mut().flatten().chain(self.server.as_mut());
        for child in children {
            // One that has ended already cannot be killed.
            let _ = child.kill();
            let _ = child.wait();
        }
        for pid in self.others.iter().filter(|pid| is_alive(**pid)) {
            let _ = kill(pid_of(*pid), Signal::SIGKILL);
        }
        if !thread::panicking() {
            wait_until("processes of others have ended", || self.others.iter().all(|pid| !is_alive(*pid)));
        }
        if !thread::panicking() && !self.has_damage {
            self.verify_journal();
        }
    }
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a process id"))
}

/// Sends a signal to a process.
#[track_caller]
pub fn signal_to(pid: u32, signal: Signal) {
    kill(pid_of(pid), signal).unwrap_or_else(|error| panic!("cannot send {signal} to {pid}: {error}"));
}

/// Whether a process is there and has not ended; one that ended and was not reaped yet counts as gone.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Waits until `condition` holds; fails the test after [`DEADLINE`].
#[track_caller]
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_until_or(what, String::new, condition);
}

/// As [`wait_until`], with more to say when it fails.
#[track_caller]
pub fn wait_until_or(what: &str, more: impl Fn() -> String, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain until {what}\n{}", more());
        thread::sleep(PAUSE);
    }
}

fn wait_with_deadline(child: &mut Child) -> Option<ExitStatus> {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().expect("a status") {
            return Some(status);
        }
        if Instant::now() > end {
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            stream.read_to_end(&mut bytes).expect("a readable pipe");
        }
        bytes
    })
}
