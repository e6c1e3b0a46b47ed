//! Sessions: commands and their setting, one a line, played in each output mode with a server of its own.
//!
//! | Line | What it does |
//! |---|---|
//! | `$ WORDS` | runs `hq` with these words and keeps what it prints |
//! | `run WORDS` | runs it silently; it has to succeed |
//! | `server OPTIONS`, `worker OPTIONS` | starts one and waits until it is there |
//! | `show FILE` | keeps what a server or worker printed: `server.out`, `worker-0.out` |
//! | `file NAME TEXT` | writes a file; `\n` in the text is a line's end |
//! | `wait JOB STATE` | waits until `job list` shows that |
//! | `offline WORKER` | waits until the server knows that this worker has ended |
//! | `env NAME=VALUE` | sets a variable of the commands that follow |
//! | `# ...` | is a remark |
//!
//! Words are separated by blanks; single quotes keep them together, and `@MODE` is the output mode.
//!
//! Holds: the modes see the same jobs, since each has a server of its own.

use crate::harness::{Cluster, Done, wait_until};
use crate::volatile::Volatile;
use crate::{blessed, coverage, schema, tables};
use std::fmt::Write;

/// The output modes.
pub const MODES: [&str; 3] = ["cli", "json", "quiet"];

/// A line of a session.
#[derive(Debug)]
pub enum Step {
    Shown(Vec<String>),
    Silent(Vec<String>),
    Server(Vec<String>),
    Worker(Vec<String>),
    Show(String),
    File(String, String),
    Wait(u32, String),
    Offline(u64),
    Env(String, String),
}

/// The steps of a session for a mode.
pub fn steps(name: &str, mode: &str) -> Vec<Step> {
    let path = format!("{}/tests/golden/sessions/{name}.session", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines = text.lines().map(|line| line.trim().replace("@MODE", mode));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| step(&line)).collect()
}

fn step(line: &str) -> Step {
    let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
    let pair =
        |by: char| rest.split_once(by).map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap_or_else(|| panic!("{line}"));
    match kind {
        "$" => Step::Shown(words(rest)),
        "run" => Step::Silent(words(rest)),
        "server" => Step::Server(words(rest)),
        "worker" => Step::Worker(words(rest)),
        "show" => Step::Show(rest.to_owned()),
        "file" => {
            let (name, text) = pair(' ');
            Step::File(name, text.replace("\\n", "\n"))
        }
        "wait" => {
            let (job, state) = pair(' ');
            Step::Wait(job.parse().expect("an id"), state)
        }
        "offline" => Step::Offline(rest.parse().expect("an id")),
        "env" => {
            let (name, value) = pair('=');
            Step::Env(name, value)
        }
        _ => panic!("`{line}` is no line of a session"),
    }
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    for c in text.chars() {
        match c {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    assert!(!is_quoted, "a quote is open in `{text}`");
    words.extend(word);
    words
}

/// Plays a session in all modes and compares what was printed.
pub fn check(name: &str) {
    std::thread::scope(|scope| {
        let modes = MODES.map(|mode| scope.spawn(move || (mode, Play::new(mode).session(name))));
        for played in modes {
            let (mode, transcript) = played.join().expect("a played session");
            blessed::check(&format!("tests/golden/expected/{name}.{mode}.txt"), &transcript);
        }
    });
}

/// A session that is played in a mode.
struct Play {
    mode: &'static str,
    cluster: Cluster,
    env: Vec<(String, String)>,
    volatile: Volatile,
    transcript: String,
}

impl Play {
    fn new(mode: &'static str) -> Self {
        let mut cluster = Cluster::offline();
        cluster.server_args.push(format!("--output-mode={mode}"));
        let volatile = Volatile::new(cluster.path());
        Self { mode, cluster, env: Vec::new(), volatile, transcript: String::new() }
    }

    fn session(mut self, name: &str) -> String {
        for step in steps(name, self.mode) {
            self.step(step);
        }
        self.transcript
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Shown(words) => self.shown(&words),
            Step::Silent(words) => drop(self.hq("quiet", &words).ok()),
            Step::Server(words) => {
                self.cluster.server_args.extend(words);
                self.cluster.start_server();
                self.learn();
            }
            Step::Worker(words) => {
                let mode = format!("--output-mode={}", self.mode);
                let words: Vec<&str> = words.iter().map(String::as_str).chain([mode.as_str()]).collect();
                self.cluster.start_worker_with(&words);
            }
            Step::Show(file) => self.show(&file),
            Step::File(name, text) => drop(self.cluster.write(&name, &text)),
            Step::Wait(job, state) => self.cluster.wait_job(job, &state),
            Step::Offline(worker) => wait_until("the worker has ended", || {
                let offline = self.cluster.json(&["worker", "list", "--filter=offline"]);
                offline.as_array().is_some_and(|workers| workers.iter().any(|known| known["id"] == worker))
            }),
            Step::Env(name, value) => self.env.push((name, value)),
        }
    }

    /// Finds out what only this server has.
    fn learn(&mut self) {
        let record = self.cluster.json(&["server", "info"]);
        self.volatile.uid = record["server_uid"].as_str().map(str::to_owned);
    }

    fn hq(&self, mode: &str, words: &[String]) -> Done {
        let words: Vec<String> =
            std::iter::once(format!("--output-mode={mode}")).chain(words.iter().cloned()).collect();
        let mut command = self.cluster.command(&words);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        self.cluster.run(command, b"", &words.join(" "))
    }

    fn shown(&mut self, words: &[String]) {
        let done = self.hq(self.mode, words);
        if words.iter().any(|word| word == "--daemon") {
            let pid = self.cluster.json(&["server", "info"])["pid"].as_u64().expect("a process id");
            self.cluster.adopt(u32::try_from(pid).expect("a process id"));
            self.learn();
        }
        self.check_streams(words, &done);
        let line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let _ = writeln!(self.transcript, "{}", format!("$ hq {line}").trim_end());
        self.keep("", &done.stdout);
        self.keep("! ", &done.stderr);
        if done.code != Some(0) {
            let _ = writeln!(self.transcript, "= {:?}", done.code.expect("an exit code"));
        }
        self.transcript.push('\n');
    }

    /// What holds for every command in a mode.
    fn check_streams(&self, words: &[String], done: &Done) {
        let is_error_line = |line: &str| line.contains(" ERROR ");
        if self.mode == "quiet" && done.code == Some(0) {
            assert!(done.stderr.lines().all(is_error_line), "a quiet success says something: {done}");
        }
        let is_help = words.iter().any(|word| matches!(word.as_str(), "-h" | "--help" | "--version"));
        let command = coverage::command_of(words);
        match done.code {
            // A command that had printed its answer before it failed tells the error as text.
            Some(1) if self.mode == "json" && done.stdout.contains("\"error\"") => {
                schema::check_value("error", &done.line, &done.stdout);
            }
            Some(0 | 1) if self.mode == "json" && !is_help => schema::check(&command, &done.stdout),
            _ => {}
        }
    }

    fn show(&mut self, file: &str) {
        let path = self.cluster.path().join(file);
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        if self.mode != "quiet" {
            wait_until("a service says that it is ready", || read().ends_with('\n'));
        }
        let text = read();
        if self.mode == "json" {
            let command = if file.starts_with("server") { "server start" } else { "worker start" };
            schema::check(command, &text);
        }
        let _ = writeln!(self.transcript, "> {file}");
        self.keep("", &text);
        self.transcript.push('\n');
    }

    fn keep(&mut self, prefix: &str, text: &str) {
        let text = match self.mode {
            // What is coloured is compared as it is; its tables are those without colours.
            "cli" if !text.contains('\u{1b}') => tables::settle(text, &self.volatile),
            _ => self.volatile.text(text).replace('\u{1b}', "<ESC>"),
        };
        for line in text.split_inclusive('\n') {
            let end = if line.ends_with('\n') { "" } else { "<no newline>\n" };
            let _ = write!(self.transcript, "{prefix}{line}{end}");
        }
    }
}

/// A word as a session writes it.
fn quoted(word: &str) -> String {
    let is_plain = !word.is_empty() && !word.contains(' ');
    if is_plain { word.to_owned() } else { format!("'{word}'") }
}

#[test]
fn words_are_split() {
    assert_eq!(words("a  'b c' --d='e f'g ''"), ["a", "b c", "--d=e fg", ""]);
}
