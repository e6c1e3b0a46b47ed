//! Text that people choose, on the terminals of other commands: names, errors, reasons, host names.
//!
//! Raw, an escape sequence in a job's name could move the cursor, rename the window or hide lines of a table.
//!
//! Holds: tables keep their form, every line as wide as the border, and no control character reaches a terminal, with
//! the exception of `job cat`, which prints what the task wrote.

use crate::harness::{Cluster, Done};
use crate::peer::{Peer, job, registration, task};
use hq_core::idset::IdSet;
use hq_core::resource::PoolKind;
use hyperqueue::wire::message::{CancelRequest, Request, Selector, SelectorKind, ToServer, ToWorker};
use unicode_width::UnicodeWidthStr;

/// Texts that would do something to a terminal, or are hard to align.
const NASTY: [&str; 10] = [
    "esc\u{1b}[2J\u{1b}]0;owned\u{7}",
    "return\roverwritten",
    "bell\u{7}back\u{8}\u{8}\u{7f}",
    "c1\u{9b}31m\u{85}x",
    "wide 日本語テスト",
    "right\u{202e}tfel\u{2066}\u{200f}",
    "line\u{2028}para\u{2029}",
    "e\u{301}\u{200d}👩\u{200d}🔬",
    "| a | b |\u{b}\u{c}",
    "un\u{200b}seen\u{ad}\u{2060}\u{e0041}",
];

/// Fails where the standard output is no well-formed set of tables, or anything could reach a terminal.
#[track_caller]
fn harmless(done: &Done) {
    for text in [&done.stdout, &done.stderr] {
        let bad = text.chars().find(|c| {
            (c.is_control() && *c != '\n')
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202e}' | '\u{2066}' | '\u{200f}')
                || matches!(c, '\u{200b}' | '\u{ad}' | '\u{2060}' | '\u{e0041}')
        });
        assert_eq!(bad, None, "{done}");
    }
    let mut width = None;
    for line in done.stdout.lines() {
        if line.starts_with('+') {
            width = Some(line.width());
        }
        if line.starts_with(['+', '|']) {
            assert_eq!(Some(pieces(line)), width, "`{line}` in {done}");
        }
    }
}

/// Width with joined characters counted in their pieces, as the program and most terminals count them.
fn pieces(line: &str) -> usize {
    line.split(' ').map(|part| part.width() + 1).sum::<usize>() - 1
}

#[test]
fn tables_stay_tables() {
    let cluster = Cluster::start();
    let mut peer = Peer::client(&cluster);
    for nasty in NASTY {
        let mut desc = task();
        desc.args = vec!["echo".to_owned(), nasty.to_owned()];
        desc.env.insert("A".to_owned(), nasty.to_owned());
        desc.cwd = format!("/tmp/{nasty}");
        desc.stdout.path = format!("/tmp/{nasty}.out");
        desc.request.variants[0].entries[0].resource = nasty.to_owned();
        let id = peer.submit(job(nasty, IdSet::range(0, 1), desc));
        let selector = Selector { kind: SelectorKind::Ids, ids: IdSet::single(id.0) };
        if id.0.is_multiple_of(2) {
            let reason = Some(nasty.chars().take(40).collect());
            peer.ask(&Request::Cancel(CancelRequest { selector, reason }));
        }
    }
    let mut workers = Vec::new();
    for nasty in NASTY {
        let mut worker = Peer::worker(&cluster);
        let mut registration = registration(nasty, vec![(nasty, PoolKind::List(vec![nasty.to_owned()]))]);
        for text in [
            &mut registration.config.hostname,
            &mut registration.config.group,
            &mut registration.config.work_dir,
            &mut registration.config.listen_address,
        ] {
            *text = nasty.to_owned();
        }
        registration.config.extra.insert(nasty.to_owned(), nasty.to_owned());
        worker.send(&ToServer::Register(registration)).unwrap();
        let answer = worker.next();
        assert!(matches!(answer, Ok(ToWorker::Registered(_) | ToWorker::Refused(_))), "{answer:?}");
        workers.push(worker);
    }
    for words in [
        vec!["job", "list", "--all"],
        vec!["job", "info", "all"],
        vec!["task", "explain", "1", "0"],
        vec!["job", "cancel", "all"],
        vec!["task", "list", "1"],
        vec!["task", "info", "1", "0"],
        vec!["worker", "list", "--all"],
        vec!["worker", "info", "1"],
        vec!["worker", "address", "1"],
        vec!["--output-mode=quiet", "worker", "address", "2"],
        vec!["server", "info"],
        vec!["--output-mode=quiet", "job", "list", "--all"],
        vec!["--output-mode=quiet", "worker", "list", "--all"],
    ] {
        harmless(&cluster.hq(&words).ok());
    }
    // Other characters are given as they are, since scripts read these.
    for words in [["--output-mode=json", "job", "info", "all"], ["--output-mode=json", "worker", "list", "--all"]] {
        let done = cluster.hq(&words).ok();
        let raw = done.stdout.chars().find(|c| c.is_ascii_control() && !matches!(c, '\n' | '\u{7f}'));
        assert_eq!(raw, None, "{done}");
    }
    let logs = cluster.logs();
    assert!(!logs.contains(['\u{1b}', '\u{7}', '\r']), "{logs}");
}

#[test]
fn errors_of_tasks_are_shown_as_text() {
    let cluster = Cluster::with_worker(1);
    for nasty in NASTY {
        let program = format!("/nowhere/{nasty}");
        cluster.hq(&["submit", "--wait", "--name=n", "--", &program]).ok();
    }
    harmless(&cluster.hq(&["job", "list", "--all"]).ok());
    for id in 1..=NASTY.len() {
        let id = id.to_string();
        harmless(&cluster.hq(&["job", "info", &id]).ok());
        harmless(&cluster.hq(&["task", "list", &id, "-v"]).ok());
        harmless(&cluster.hq(&["task", "info", &id, "0"]).ok());
    }
    let logs = cluster.logs();
    assert!(!logs.contains(['\u{1b}', '\u{7}', '\r']), "{logs}");
}

#[test]
fn paths_in_messages_are_shown_as_text() {
    let cluster = Cluster::start();
    for nasty in NASTY {
        for words in [
            vec!["submit", "--each-line", nasty, "true"],
            vec!["output-log", nasty, "summary"],
            vec!["--server-dir", nasty, "server", "info"],
        ] {
            let done = cluster.hq(&words);
            assert_ne!(done.code, Some(0), "{done}");
            let raw = done.stderr.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(raw, None, "{done}");
        }
    }
}

#[test]
fn output_is_printed_as_it_was_written() {
    let cluster = Cluster::with_worker(1);
    cluster.hq(&["submit", "--wait", "--", "printf", "a\\033[31mb\\r日本\\n"]).ok();
    let done = cluster.hq(&["job", "cat", "1", "stdout"]).ok();
    assert_eq!(done.stdout, "a\u{1b}[31mb\r日本\n");
}

#[test]
fn a_line_of_a_mebibyte_stays_one_line() {
    const BYTES: usize = 1 << 20;
    let cluster = Cluster::with_worker(1);
    let long = "x".repeat(BYTES);
    cluster.write("job.toml", &format!("[[task]]\ncommand = [\"./{long}\", \"日本\"]\n"));
    cluster.hq(&["job", "submit-file", "job.toml"]).ok();
    cluster.wait_job(1, "FAILED");
    for words in [
        &["job", "list", "--all"][..],
        &["job", "info", "1"],
        &["task", "list", "1"],
        &["task", "list", "1", "-v"],
        &["task", "info", "1", "1"],
        &["task", "info", "1", "1", "-v"],
    ] {
        let done = cluster.hq(words).ok();
        assert!(done.stdout.len() < 40 * (BYTES / 8), "{words:?} gave {} bytes", done.stdout.len());
        harmless(&done);
    }
    cluster.write("named.toml", &format!("name = \"{long}\"\n[[task]]\ncommand = [\"a\"]\n"));
    let refused = cluster.hq(&["job", "submit-file", "named.toml"]).code(1);
    assert!(refused.stderr.len() < 1_000 && refused.stderr.contains("1048576 bytes"), "{}", refused.stderr.len());
    let prints = ["--", "sh", "-c", "head -c 1048576 /dev/zero | tr '\\0' e"];
    cluster.hq(&[&["submit", "--wait"][..], &prints].concat()).ok();
    assert_eq!(cluster.hq(&["job", "cat", "2", "stdout"]).ok().stdout, "e".repeat(BYTES));
    cluster.hq(&[&["submit", "--wait", "--stream=st"][..], &prints].concat()).ok();
    assert_eq!(cluster.hq(&["output-log", "st", "cat", "3", "stdout"]).ok().stdout, "e".repeat(BYTES));
    let shown = cluster.hq(&["output-log", "st", "show"]).ok().stdout;
    assert!(shown.lines().all(|line| line.starts_with("3.0:0> e")), "{}", shown.lines().count());
}
