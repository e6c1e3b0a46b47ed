//! `hq output-log` on stream files, without and with a server.
//!
//! The files are made by the same writer that workers use.
//!
//! Holds: `cat` gives the bytes that were written, and nothing when anything is wrong; what is damaged costs itself and the
//! exit code.

use crate::harness::{Cluster, wait_until};
use hq_journal::disk::RealDisk;
use hq_journal::stream::{Ending, Key, Outcome, StreamHead, StreamWriter};
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
fn export_has_three_keys_or_all() {
    let (cluster, dir) = sample();
    let export = |args: &[&str]| {
        let words: Vec<&str> = ["output-log", &dir, "export"].iter().chain(args).copied().collect();
        cluster.hq(&words)
    };
    let expected = "\
[
  {
    \"finished\": true,
    \"id\": 12,
    \"stdout\": \"a\\nb\\n\"
  },
  {
    \"finished\": true,
    \"id\": 8,
    \"stdout\": \"hello\"
  }
]
";
    assert_eq!(export(&["6", "--task=12,8"]).ok().stdout, expected);
    let value = serde_json::json!([{"finished": false, "id": 0, "stdout": "open\n"}]);
    assert_eq!(export(&["7"]).ok().json(), value);
    assert_eq!(cluster.hq(&["--output-mode=json", "output-log", &dir, "export", "7"]).ok().json(), value);
    let full = export(&["6", "--task=12", "--full"]).ok().json();
    let known = [("attempt", 1), ("epoch", 1), ("job", 6), ("superseded", 1), ("worker", 1), ("stdout_size", 4)];
    known.iter().for_each(|(key, number)| assert_eq!(full[0][*key], *number, "{key}"));
    assert_eq!((&full[0]["stderr"], &full[0]["first_at"]), (&"".into(), &"1970-01-01T00:00:00.000040Z".into()));
    let missing = export(&["9"]).code(1).says("Job 9 not found");
    assert!(missing.stdout.is_empty());
    export(&["6", "--task=8,9"]).code(1).says("Task 9 not found");
    assert_eq!(export(&["7", "--filter=finished"]).ok().stdout, "[]\n");
}

/// A directory with a task for each way to end.
fn ends() -> (Cluster, String) {
    let cluster = Cluster::offline();
    let dir = cluster.work().join("logs");
    let head = StreamHead { server_uid: "u".into(), file_id: "aaaaaaaaaaaa".into(), ..StreamHead::default() };
    let mut writer = StreamWriter::create(&RealDisk, &dir, &head, 1).unwrap();
    let ends = [Some(Ending::Finished), Some(Ending::Failed), Some(Ending::Canceled), Some(Ending::Interrupted), None];
    for (task, ending) in (1..).zip(ends) {
        let key = key(&Task(1, task, 0));
        writer.append_chunk(u64::from(task), key, 0, format!("Task {task}\nline").as_bytes()).unwrap();
        writer.append_chunk(u64::from(task), key, 0, b" two\n").unwrap();
        if let Some(ending) = ending {
            let outcome = Outcome { ending, cause: 0, exit_code: Some(3), signal: None };
            writer.append_outcome(9, key, outcome).unwrap();
        }
    }
    writer.close().unwrap();
    (cluster, "logs".to_owned())
}

#[test]
fn tasks_are_chosen_by_how_they_ended() {
    let (cluster, dir) = ends();
    let shown = |states: &str| {
        let filter = format!("--filter={states}");
        let done = cluster.hq(&["output-log", &dir, "grep", "Task", &filter, "--list", "--job=1"]);
        let cat = cluster.hq(&["output-log", &dir, "cat", "1", "stdout", "--allow-unfinished", &filter]).ok().stdout;
        assert_eq!(cat.matches("Task").count(), done.stdout.lines().count());
        let show = cluster.hq(&["output-log", &dir, "show", &filter]).ok().stdout;
        assert_eq!(show.matches("Task").count(), done.stdout.lines().count());
        done.stdout.replace('\n', " ")
    };
    assert_eq!(shown("finished"), "1 ");
    assert_eq!(shown("failed"), "2 ");
    assert_eq!(shown("canceled,failed"), "2 3 ");
    assert_eq!(shown("unfinished"), "4 5 ");
    assert_eq!(
        cluster.hq(&["output-log", &dir, "cat", "1", "stdout", "--filter=failed"]).ok().stdout,
        "Task 2\nline two\n"
    );
    let full = cluster.hq(&["output-log", &dir, "export", "1", "--full", "--filter=failed"]).ok().json();
    assert_eq!((&full[0]["outcome"], &full[0]["exit_code"]), (&"failed".into(), &3.into()));
    cluster.hq(&["output-log", &dir, "show", "--filter=ended"]).code(2);
}

#[test]
fn lines_are_searched() {
    let (cluster, dir) = ends();
    let grep = |args: &[&str]| {
        let words: Vec<&str> = ["output-log", &dir, "grep"].iter().chain(args).copied().collect();
        cluster.hq(&words)
    };
    assert_eq!(grep(&["^line two$", "--task=2-3"]).ok().stdout, "1.2:0> line two\n1.3:0> line two\n");
    assert_eq!(grep(&["task [12]", "-i"]).ok().stdout, "1.1:0> Task 1\n1.2:0> Task 2\n");
    assert_eq!(grep(&["a|o", "-c", "--task=5"]).ok().stdout, "1.5:0> 2\n");
    assert_eq!(grep(&["Task [45]", "-l"]).ok().stdout, "1.4\n1.5\n");
    for args in [&["task"][..], &["Task", "--channel=stderr"], &["Task", "--job=2"], &["Task", "--job=1", "--task=9"]] {
        let none = grep(args).code(1);
        assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", ""));
    }
    grep(&["("]).code(2).says("The pattern cannot be used");
    cluster.hq(&["output-log", "missing", "grep", "x"]).code(2).says("No such file or directory");
}

#[test]
fn damage_is_named_and_costs_itself_and_the_exit_code() {
    let (cluster, dir) = ends();
    let path = cluster.work().join("logs/aaaaaaaaaaaa.hqs");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(6).position(|window| window == b"Task 2").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let named = "damaged and left out";
    let verdict = "1 place in the stream is damaged; all other output was read";
    let hq = |args: &[&str], code: i32| {
        let words: Vec<&str> = ["--output-mode=quiet", "output-log", &dir].iter().chain(args).copied().collect();
        cluster.hq(&words).code(code).says(named).says(verdict).stdout
    };
    let cat = hq(&["cat", "1", "stdout", "--allow-unfinished"], 1);
    assert_eq!(cat, "Task 1\nline two\n two\nTask 3\nline two\nTask 4\nline two\nTask 5\nline two\n");
    assert_eq!(hq(&["show"], 1).matches("Task").count(), 4);
    assert_eq!(hq(&["grep", "Task"], 2).lines().count(), 4);
    let export: serde_json::Value = serde_json::from_str(&hq(&["export", "1"], 1)).unwrap();
    assert_eq!(
        (export[1]["stdout"].as_str(), export[2]["stdout"].as_str()),
        (Some(" two\n"), Some("Task 3\nline two\n"))
    );
    // Other tasks are read as ever, and what needs no output too.
    cluster.hq(&["output-log", &dir, "cat", "1", "stdout", "--task=1,3"]).ok();
    assert_eq!(cluster.hq(&["output-log", &dir, "summary"]).ok().cell("Tasks"), "5");
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
    assert_eq!(cluster.hq(&["output-log", "logs", "show", "--filter=failed,canceled,unfinished"]).ok().stdout, "");
    let done = cluster.hq(&["output-log", "logs", "summary"]).ok();
    assert_eq!((done.cell("Tasks"), done.cell("Opened streams")), ("20".into(), "0".into()));
    let info = cluster.hq(&["job", "info", "1"]).ok();
    assert_eq!((info.cell("Stdout"), info.cell("Stderr")), ("<Stream>".into(), "<Stream>".into()));
    let cat = cluster.hq(&["job", "cat", "1", "stdout", "--tasks=3"]).ok();
    cat.says("WARN Task 3 has no `stdout` stream associated with it");
}

#[test]
fn a_stream_knows_how_its_tasks_ended() {
    let mut cluster = Cluster::with_worker(4);
    let steps =
        "echo begun; case $HQ_TASK_ID in 1) ;; 2) exit 3;; 3) kill -9 $$;; 4) sleep 1000;; 5) sleep 1000;; esac";
    cluster.submit(&["--stream=st", "--array=1-3", "--", "sh", "-c", steps]);
    cluster.wait_job(1, "FAILED");
    cluster.submit(&["--stream=st", "--array=4", "--time-limit=1s", "--", "sh", "-c", steps]);
    cluster.wait_job(2, "FAILED");
    cluster.submit(&["--stream=st", "--array=5", "--", "sh", "-c", steps]);
    let begun = || cluster.hq(&["output-log", "st", "cat", "3", "stdout", "--allow-unfinished"]).stdout == "begun\n";
    wait_until("task 5 has begun", begun);
    cluster.hq(&["job", "cancel", "3"]).ok();
    cluster.wait_job(3, "CANCELED");
    cluster.hq(&["worker", "stop", "all"]).ok();
    cluster.worker_ends(0);
    let list = |filter: &str| {
        let filter = format!("--filter={filter}");
        cluster.hq(&["output-log", "st", "grep", "begun", "--list", &filter]).stdout.replace('\n', " ")
    };
    assert_eq!([list("finished"), list("failed"), list("canceled")], ["1.1 ", "1.2 1.3 2.4 ", "3.5 "]);
    let full = cluster.hq(&["output-log", "st", "export", "1", "--full", "--filter=failed"]).ok().json();
    assert_eq!((&full[0]["exit_code"], &full[1]["signal"]), (&3.into(), &9.into()));
    assert!(full[0]["hostname"].is_string(), "{full}");
}
