//! What commands do when a person looks: their streams are a terminal here.
//!
//! Holds: nothing that a task or another user wrote is obeyed by the terminal, but for `job cat`.

use crate::harness::{Cluster, DEADLINE};
use nix::pty::openpty;
use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

/// Runs a command whose standard output and error are one terminal; its exit code and what the terminal got.
fn on_terminal(cluster: &Cluster, words: &[&str]) -> (Option<i32>, String) {
    let terminal = openpty(None, None).expect("a terminal");
    let stream = || Stdio::from(terminal.slave.try_clone().expect("a stream"));
    let mut command = cluster.command(words);
    let mut child = command.stdout(stream()).stderr(stream()).spawn().expect("a started command");
    drop(command);
    drop(terminal.slave);
    let mut master = File::from(terminal.master);
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        // A terminal whose other side is closed gives an error, not an end.
        let _ = master.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
    });
    let end = Instant::now() + DEADLINE;
    let status = loop {
        match child.try_wait().expect("a status") {
            Some(status) => break status,
            None => assert!(Instant::now() < end, "{words:?} did not end in time"),
        }
        thread::sleep(std::time::Duration::from_millis(2));
    };
    (status.code(), reader.join().expect("a reader"))
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
