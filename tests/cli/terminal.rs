//! What commands do when a person looks: their streams are a terminal here.
//!
//! Holds: nothing that a task or another user wrote is obeyed by the terminal, but for `job cat`.

use crate::harness::{Cluster, wait_until};
use nix::pty::openpty;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A command whose standard output and error are one terminal.
struct Terminal {
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    fn start(cluster: &Cluster, words: &[&str]) -> Self {
        let terminal = openpty(None, None).expect("a terminal");
        let stream = || Stdio::from(terminal.slave.try_clone().expect("a stream"));
        let mut command = cluster.command(words);
        command.env("TERM", "xterm");
        let child = command.stdout(stream()).stderr(stream()).spawn().expect("a started command");
        let (mut master, seen) = (File::from(terminal.master), Arc::new(Mutex::new(Vec::new())));
        let shared = Arc::clone(&seen);
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            // A terminal whose other side is closed gives an error, not an end.
            while let Ok(read @ 1..) = master.read(&mut bytes) {
                shared.lock().unwrap().extend_from_slice(&bytes[..read]);
            }
        });
        Self { child, seen, reader }
    }

    /// What the terminal got so far.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).replace("\r\n", "\n")
    }

    /// Exit code and all that the terminal got.
    fn end(mut self) -> (Option<i32>, String) {
        wait_until("the command ends", || self.child.try_wait().expect("a status").is_some());
        let code = self.child.wait().expect("a status").code();
        let seen = Arc::clone(&self.seen);
        self.reader.join().expect("a reader");
        let text = String::from_utf8_lossy(&seen.lock().unwrap()).replace("\r\n", "\n");
        (code, text)
    }
}

fn on_terminal(cluster: &Cluster, words: &[&str]) -> (Option<i32>, String) {
    Terminal::start(cluster, words).end()
}

#[test]
fn wrong_words_are_shown_as_text() {
    let cluster = Cluster::offline();
    for words in
        [["job", "info", "\u{1b}[2Jx\u{7}"], ["job", "--\u{1b}[2Jx\u{7}", "info"], ["job", "\u{9b}2Jx\u{7}", "x"]]
    {
        let (code, text) = on_terminal(&cluster, &words);
        assert_eq!(code, Some(2));
        assert!(text.starts_with("error: ") && !text.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{text:?}");
    }
    // What is harmless has its colours.
    let (code, text) = on_terminal(&cluster, &["job", "info", "x"]);
    assert_eq!(code, Some(2));
    assert!(text.contains('\u{1b}') && text.contains("invalid value"), "{text:?}");
}

#[test]
fn streamed_output_cannot_overwrite_whose_it_is() {
    let cluster = Cluster::with_worker(1);
    let written = "a\\033[2J\\rforged\\tb\\n";
    cluster.hq(&["submit", "--wait", "--stream=st", "--", "printf", written]).ok();
    let (code, text) = on_terminal(&cluster, &["--colors=never", "output-log", "st", "show"]);
    assert_eq!((code, text.as_str()), (Some(0), "1.0:0> a\\x1b[2J\\rforged\tb\n"));
    let done = cluster.hq(&["output-log", "st", "show"]).ok();
    assert_eq!(done.stdout, "1.0:0> a\u{1b}[2J\rforged\tb\n");
}

#[test]
fn a_line_break_in_a_path_makes_no_second_line() {
    let cluster = Cluster::offline();
    for words in [
        &["generate-man", "man\n2030-01-01T00:00:00Z INFO forged"][..],
        &["journal", "export", "no\n2030-01-01T00:00:00Z INFO forged"],
    ] {
        let done = cluster.hq(words);
        assert!(done.stderr.contains("\\n2030-01-01T00:00:00Z INFO forged"), "{done}");
        assert!(!done.stderr.contains("\n2030-01-01T00:00:00Z INFO forged"), "{done}");
    }
    let cluster = Cluster::start();
    let forged = "no\n2030-01-01T00:00:00Z INFO forged";
    for option in ["--each-line", "--from-json"] {
        let done = cluster.hq(&["submit", option, forged, "x"]).code(1);
        assert!(!done.stderr.contains("\n2030-01-01T00:00:00Z INFO forged"), "{done}");
    }
    for words in [&["submit", "--directives=file", forged][..], &["job", "submit-file", forged]] {
        let done = cluster.hq(words).code(1);
        assert!(!done.stderr.contains("\n2030-01-01T00:00:00Z INFO forged"), "{done}");
    }
}

#[test]
fn a_long_wait_is_shown_and_leaves_no_trace() {
    let cluster = Cluster::start();
    let path = cluster.work().join("entries");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let terminal = Terminal::start(&cluster, &["submit", "--each-line", "entries", "x"]);
    let mut entries = OpenOptions::new().write(true).open(&path).unwrap();
    wait_until("the gauge is there", || {
        entries.write_all(b"an entry\n").unwrap();
        terminal.text().contains("Reading entries ")
    });
    drop(entries);
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0));
    let (gauge, result) = text.rsplit_once("\u{1b}[").unwrap();
    assert!(gauge.contains("Reading entries ") && !result.contains("Reading entries "), "{text:?}");
    assert!(result.contains("Job submitted successfully") || result.starts_with("0m, job ID"), "{text:?}");
}

#[test]
fn without_a_person_no_wait_is_shown() {
    let cluster = Cluster::start();
    let path = cluster.work().join("entries");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    for mode in ["cli", "json", "quiet"] {
        let mode_word = format!("--output-mode={mode}");
        let words = [mode_word.as_str(), "submit", "--each-line", "entries", "x"];
        let feed = || {
            let mut entries = OpenOptions::new().write(true).open(&path).unwrap();
            let begun = Instant::now();
            // Longer than it takes until something would be shown; a slow machine only makes it longer.
            while begun.elapsed() < Duration::from_millis(700) {
                entries.write_all(b"an entry\n").unwrap();
                thread::sleep(Duration::from_millis(5));
            }
        };
        let text = thread::scope(|scope| {
            scope.spawn(feed);
            match mode {
                "cli" => cluster.hq(&words).ok().stderr,
                _ => on_terminal(&cluster, &words).1,
            }
        });
        assert!(!text.contains("Reading entries"), "{mode}: {text:?}");
    }
}
