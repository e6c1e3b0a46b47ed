//! `hq output-log` on stream files, without and with a server.
//!
//! The files are made by the same writer that workers use.
//!
//! Holds: `cat` gives the bytes that were written, and nothing when anything is wrong.

use crate::harness::Cluster;
use hq_journal::disk::RealDisk;
use hq_journal::stream::{Key, StreamHead, StreamWriter};
use std::path::Path;
use std::process::Stdio;

struct Task(u32, u32, u32);

fn key(task: &Task) -> Key {
    Key { job: task.0, task: task.1, epoch: 1, attempt: task.2 }
}

/// Writes a file of one worker: chunks `(task, channel, time, text)`, then the ends of `finished`.
fn write(dir: &Path, uid: &str, name: &str, chunks: &[(Task, u8, u64, &str)], finished: &[Task]) {
    let head = StreamHead { server_uid: uid.into(), worker_id: 1, file_id: name.into(), ..StreamHead::default() };
    let mut writer = StreamWriter::create(&RealDisk, dir, &head, 1).unwrap();
    for (task, channel, time, text) in chunks {
        writer.append_chunk(*time, key(task), *channel, text.as_bytes()).unwrap();
    }
    for task in finished {
        writer.append_end(99, key(task), 0).unwrap();
        writer.append_end(99, key(task), 1).unwrap();
        writer.append_finished(99, key(task)).unwrap();
    }
    writer.close().unwrap();
}

fn sample() -> (Cluster, String) {
    let cluster = Cluster::offline();
    let dir = cluster.work().join("logs");
    let chunks = [
        (Task(6, 8, 0), 0, 30, "hello"),
        (Task(6, 12, 0), 1, 10, "oops\n"),
        (Task(6, 12, 0), 0, 20, "old\n"),
        (Task(6, 12, 1), 0, 40, "a\nb\n"),
        (Task(7, 0, 0), 0, 50, "open\n"),
    ];
    write(&dir, "uidAAA", "aaaaaaaaaaaa", &chunks, &[Task(6, 8, 0), Task(6, 12, 0), Task(6, 12, 1)]);
    (cluster, "logs".to_owned())
}

#[test]
fn show_prints_the_newest_in_order_of_time() {
    let (cluster, dir) = sample();
    let show = |args: &[&str]| {
        let words: Vec<&str> = ["output-log", &dir, "show"].iter().chain(args).copied().collect();
        cluster.hq(&words).ok().stdout
    };
    assert_eq!(show(&[]), "6.08:0> hello\n6.12:0> a\nb\n7.00:0> open\n");
    assert_eq!(show(&["--job=6"]), "6.08:0> hello\n6.12:0> a\nb\n");
    assert_eq!(show(&["--task=8"]), "6.08:0> hello\n");
    assert_eq!(show(&["--channel=stderr"]), "");
    assert_eq!(show(&["--job=99"]), "");
    cluster.hq(&["--output-mode=json", "output-log", &dir, "show", "--job=7"]).ok().prints("7.00:0> open\n");
}

#[test]
fn cat_prints_bytes_or_nothing() {
    let (cluster, dir) = sample();
    let cat = |args: &[&str]| {
        let words: Vec<&str> = ["output-log", &dir, "cat"].iter().chain(args).copied().collect();
        cluster.hq(&words)
    };
    assert_eq!(cat(&["6", "stdout"]).ok().stdout, "helloa\nb\n");
    assert_eq!(cat(&["6", "stdout", "--task=12,8"]).ok().stdout, "a\nb\nhello");
    assert_eq!(cat(&["6", "stderr"]).ok().stdout, "");
    for (args, text) in [
        (&["9", "stdout"][..], "Job 9 not found"),
        (&["9", "stdout", "--task=1"], "Job 9 not found"),
        (&["6", "stdout", "--task=8,9"], "Task 9 not found"),
        (&["7", "stdout"], "Stream for task 0 is not finished"),
    ] {
        let done = cat(args).code(1).says(text);
        assert!(done.stdout.is_empty(), "{done}");
    }
    assert_eq!(cat(&["7", "stdout", "--allow-unfinished"]).ok().stdout, "open\n");
    cat(&["6", "stdout", "--task=1-3,2"]).code(2);
}

#[test]
fn jobs_and_summary() {
    let (cluster, dir) = sample();
    assert_eq!(cluster.hq(&["output-log", &dir, "jobs"]).ok().stdout, "6\n7\n");
    let done = cluster.hq(&["output-log", &dir, "summary"]).ok();
    assert_eq!((done.cell("Tasks"), done.cell("Opened streams")), ("3".into(), "1".into()));
    assert_eq!((done.cell("Superseded streams"), done.cell("Stdout/stderr size")), ("1".into(), "14 B / 0 B".into()));
    let value = cluster.json(&["output-log", &dir, "summary"]);
    assert_eq!(value["filename"], "logs");
    assert_eq!((&value["summary"]["n_tasks"], &value["summary"]["n_streams"]), (&3.into(), &4.into()));
    assert_eq!(cluster.hq(&["--output-mode=quiet", "output-log", &dir, "summary"]).ok().stdout, "");
}

#[test]
fn directories_that_cannot_be_used() {
    let (cluster, dir) = sample();
    cluster.hq(&["output-log", "missing", "summary"]).code(1).says("No such file or directory (os error 2)");
    std::fs::create_dir(cluster.work().join("empty")).unwrap();
    let done = cluster.hq(&["--output-mode=json", "output-log", "empty", "jobs"]).code(1);
    assert_eq!(done.json()["error"], "Error: No log files found");
    write(&cluster.work().join("logs"), "uidBBB", "bbbbbbbbbbbb", &[(Task(1, 0, 0), 0, 1, "b")], &[Task(1, 0, 0)]);
    cluster.hq(&["output-log", &dir, "jobs"]).code(1).says(
        "Found streams from multiple server instances:\nuidAAA\nuidBBB\nUse --server-uid=... to specify server uid",
    );
    assert_eq!(cluster.hq(&["output-log", "--server-uid=uidBBB", &dir, "jobs"]).ok().stdout, "1\n");
    assert_eq!(cluster.hq(&["output-log", &dir, "--server-uid=none", "jobs"]).ok().stdout, "");
}

#[test]
fn a_closed_pipe_ends_it_silently() {
    use std::os::unix::process::ExitStatusExt;
    let cluster = Cluster::offline();
    let dir = cluster.work().join("logs");
    // More than a pipe holds, so that the program still writes when nobody reads any more.
    let text = "x".repeat(1 << 20);
    write(&dir, "uidAAA", "aaaaaaaaaaaa", &[(Task(1, 0, 0), 0, 1, &text)], &[Task(1, 0, 0)]);
    let mut command = cluster.command(&["output-log", "logs", "show"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(13), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn outputs_of_a_job() {
    let cluster = Cluster::with_worker(4);
    let script = "echo Hello from $HQ_TASK_ID; echo err $HQ_TASK_ID >&2";
    cluster.hq(&["submit", "--array=1-20", "--stream=logs", "--wait", "--", "sh", "-c", script]).ok();
    let mut lines: Vec<String> = cluster
        .hq(&["output-log", "logs", "show", "--channel=stdout"])
        .ok()
        .stdout
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    let expected: Vec<String> = (1..=20).map(|id| format!("1.{id:02}:0> Hello from {id}")).collect();
    assert_eq!(lines, expected);
    assert_eq!(cluster.hq(&["output-log", "logs", "cat", "1", "stderr", "--task=7,3"]).ok().stdout, "err 7\nerr 3\n");
    let done = cluster.hq(&["output-log", "logs", "summary"]).ok();
    assert_eq!((done.cell("Tasks"), done.cell("Opened streams")), ("20".into(), "0".into()));
    let info = cluster.hq(&["job", "info", "1"]).ok();
    assert_eq!((info.cell("Stdout"), info.cell("Stderr")), ("<Stream>".into(), "<Stream>".into()));
    let cat = cluster.hq(&["job", "cat", "1", "stdout", "--tasks=3"]).ok();
    cat.says("WARN Task 3 has no `stdout` stream associated with it");
}
