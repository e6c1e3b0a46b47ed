//! Whole stories of `--stream` and `hq output-log` with real servers and workers.
//!
//! Holds: tasks wait for files that the tests write, so what is seen is seen at that moment.

use crate::harness::{Cluster, wait_until_or};

/// A script that waits for a file.
const WAIT: &str = "w() { while ! test -e $1; do sleep 0.02; done; };";

fn script(rest: &str) -> String {
    format!("{WAIT} {rest}")
}

/// Runs `hq output-log st WORDS`.
fn log(cluster: &Cluster, words: &[&str]) -> crate::harness::Done {
    let words: Vec<&str> = ["output-log", "st"].iter().chain(words).copied().collect();
    cluster.hq(&words)
}

/// Waits until `show` prints so many lines.
#[track_caller]
fn wait_lines(cluster: &Cluster, count: usize) {
    let shown = || log(cluster, &["show"]).stdout.lines().count() == count;
    wait_until_or(&format!("{count} lines"), || cluster.logs(), shown);
}

#[test]
fn an_array_of_twenty() {
    let cluster = Cluster::with_worker(4);
    let words = ["submit", "--array=1-20", "--stream=st", "--wait", "--", "sh", "-c", "echo Hello from $HQ_TASK_ID"];
    cluster.hq(&words).ok();
    let mut lines: Vec<String> = log(&cluster, &["show"]).ok().stdout.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, (1..=20).map(|id| format!("1.{id:02}:0> Hello from {id}")).collect::<Vec<_>>());
    assert_eq!(log(&cluster, &["show", "--channel=stderr"]).ok().stdout, "");
    let sum = log(&cluster, &["summary"]).ok();
    let cells =
        ["Tasks", "Opened streams", "Stdout/stderr size", "Superseded streams", "Superseded stdout/stderr size"];
    assert_eq!(cells.map(|cell| sum.cell(cell)), ["20", "0", "271 B / 0 B", "0", "0 B / 0 B"]);
}

#[test]
fn two_at_once() {
    let cluster = Cluster::with_worker(2);
    cluster.submit(&["--array=1-2", "--stream=st", "--", "sh", "-c", &script("echo A; w go; echo B")]);
    wait_lines(&cluster, 2);
    cluster.write("go", "");
    cluster.wait_job(1, "FINISHED");
    let shown = log(&cluster, &["show"]).ok().stdout;
    let letters: String = shown.lines().filter_map(|line| line.chars().last()).collect();
    assert_eq!(letters, "AABB", "{shown}");
    assert_eq!(log(&cluster, &["cat", "1", "stdout"]).ok().stdout, "A\nB\nA\nB\n");
}

#[test]
fn a_long_line() {
    let cluster = Cluster::with_worker(1);
    let steps = "i=0; while test $i -lt 8000; do printf %0100d $i; i=$((i+1)); done";
    cluster.hq(&["submit", "--stream=st", "--wait", "--", "sh", "-c", steps]).ok();
    let expected: String = (0..8000).map(|i| format!("{i:0100}")).collect();
    assert_eq!(log(&cluster, &["cat", "1", "stdout"]).ok().stdout, expected);
    let shown = log(&cluster, &["show"]).ok().stdout;
    let joined: String = shown.lines().map(|line| line.strip_prefix("1.0:0> ").unwrap()).collect();
    assert!(joined == expected);
}

#[test]
fn a_worker_is_killed() {
    let mut cluster = Cluster::with_worker(1);
    let steps = script("echo run $HQ_INSTANCE_ID; w go$HQ_INSTANCE_ID; echo done");
    cluster.submit(&["--stream=st", "--crash-limit=9", "--", "sh", "-c", &steps]);
    wait_lines(&cluster, 1);
    cluster.kill_worker(0);
    cluster.start_worker(1);
    cluster.write("go1", "");
    cluster.wait_job(1, "FINISHED");
    assert_eq!(log(&cluster, &["cat", "1", "stdout"]).ok().stdout, "run 1\ndone\n");
    let sum = log(&cluster, &["summary"]).ok();
    let cells = ["Files", "Tasks", "Superseded streams", "Superseded stdout/stderr size"];
    assert_eq!(cells.map(|cell| sum.cell(cell)), ["2", "1", "1", "6 B / 0 B"]);
}

#[test]
fn one_channel_in_a_file() {
    let cluster = Cluster::with_worker(1);
    let words =
        ["submit", "--stream=st", "--stdout=out-%{INSTANCE_ID}", "--wait", "--", "sh", "-c", "echo o; echo e >&2"];
    cluster.hq(&words).ok();
    assert_eq!(log(&cluster, &["show"]).ok().stdout, "1.0:1> e\n");
    assert_eq!(cluster.read("out-0"), "o\n");
}

#[test]
fn output_of_tasks_that_do_not_finish() {
    let cluster = Cluster::with_worker(3);
    cluster.submit(&["--stream=st", "--", "sh", "-c", "echo failing; exit 3"]);
    cluster.wait_job(1, "FAILED");
    cluster.submit(&["--stream=st", "--time-limit=1s", "--", "sh", "-c", "echo slow; sleep 1000"]);
    cluster.wait_job(2, "FAILED");
    cluster.submit(&["--stream=st", "--", "sh", "-c", "echo doomed; sleep 1000"]);
    wait_lines(&cluster, 3);
    cluster.hq(&["job", "cancel", "3"]).ok();
    cluster.wait_job(3, "CANCELED");
    for (job, text) in [("1", "failing\n"), ("2", "slow\n"), ("3", "doomed\n")] {
        let is_there = || log(&cluster, &["cat", job, "stdout"]).stdout == text;
        wait_until_or(&format!("the output of job {job}"), || cluster.logs(), is_there);
    }
}

#[test]
fn what_an_unfinished_task_wrote() {
    let cluster = Cluster::with_worker(1);
    let steps = script("head -c 40000 /dev/zero | tr '\\0' x; w go");
    cluster.submit(&["--stream=st", "--", "sh", "-c", &steps]);
    let written = || log(&cluster, &["cat", "1", "stdout", "--allow-unfinished"]).stdout.len() >= 8 * 1024;
    wait_until_or("8 KiB", || cluster.logs(), written);
    log(&cluster, &["cat", "1", "stdout"]).code(1).says("Stream for task 0 is not finished");
    assert_eq!(log(&cluster, &["summary"]).ok().cell("Opened streams"), "1");
    let export = log(&cluster, &["export", "1"]).ok().json();
    assert_eq!(export[0]["finished"], false);
    cluster.write("go", "");
    cluster.wait_job(1, "FINISHED");
    assert_eq!(log(&cluster, &["cat", "1", "stdout"]).ok().stdout.len(), 40_000);
}

#[test]
fn a_server_and_its_worker_are_killed() {
    let mut cluster = Cluster::with_worker(1);
    cluster.hq(&["job", "open"]).ok();
    let steps = script("echo run $HQ_INSTANCE_ID; w go$HQ_INSTANCE_ID; echo done");
    cluster.submit(&["--job=1", "--stream=st", "--crash-limit=9", "--", "sh", "-c", &steps]);
    wait_lines(&cluster, 1);
    cluster.kill_server();
    cluster.kill_worker(0);
    cluster.start_server();
    cluster.start_worker(1);
    cluster.write("go1", "");
    let done = || log(&cluster, &["cat", "1", "stdout"]).stdout == "run 1\ndone\n";
    wait_until_or("the second run has ended", || cluster.logs(), done);
    assert_eq!(log(&cluster, &["summary"]).ok().cell("Superseded streams"), "1");
    let info = cluster.hq(&["job", "info", "1"]).ok();
    assert_eq!((info.cell("Stdout"), info.cell("Stderr")), ("<Stream>".into(), "<Stream>".into()));
}

#[test]
fn two_servers_write_into_one_directory() {
    let mut one = Cluster::with_worker(2);
    one.start_worker(2);
    let two = Cluster::with_worker(2);
    let dir = one.work().join("st").display().to_string();
    let words = |name| {
        let steps = format!("echo {name} $HQ_TASK_ID; echo err >&2");
        ["submit", "--array=1-40", "--stream", &dir, "--", "sh", "-c", &steps].map(str::to_owned)
    };
    for (cluster, name) in [(&one, "first"), (&two, "second")] {
        let words = words(name);
        cluster.hq(&words.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    }
    one.wait_job(1, "FINISHED");
    two.wait_job(1, "FINISHED");
    let uid = |cluster: &Cluster| cluster.json(&["server", "info"])["server_uid"].as_str().unwrap().to_owned();
    let commands: [&[&str]; 7] =
        [&["summary"], &["jobs"], &["show"], &["cat", "1", "stdout"], &["export", "1"], &["compact"], &["grep", "x"]];
    for words in commands {
        let code = if words[0] == "grep" { 2 } else { 1 };
        let done = log(&one, words).code(code).says("Found streams from multiple server instances:");
        done.says("Use --server-uid=... to specify server uid");
    }
    for (cluster, name) in [(&one, "first"), (&two, "second")] {
        let option = format!("--server-uid={}", uid(cluster));
        let expected: String = (1..=40).map(|id| format!("{name} {id}\n")).collect();
        assert_eq!(log(&one, &[&option, "cat", "1", "stdout"]).ok().stdout, expected);
    }
    // Merging the files of one leaves those of the other, and those that a worker has open.
    let option = format!("--server-uid={}", uid(&one));
    one.hq(&["worker", "stop", "all"]).ok();
    one.worker_ends(0);
    one.worker_ends(1);
    let done = one.json(&["output-log", "st", &option, "compact"]);
    let files = done["n_merged"].as_u64().unwrap();
    assert_eq!(done["n_made"], u64::from(files > 0), "{done}");
    assert_eq!(log(&one, &[&option, "summary"]).ok().cell("Files"), "1");
    let expected: String = (1..=40).map(|id| format!("first {id}\n")).collect();
    assert_eq!(log(&one, &[&option, "cat", "1", "stdout"]).ok().stdout, expected);
    let option = format!("--server-uid={}", uid(&two));
    assert_eq!(two.json(&["output-log", &dir, &option, "compact"])["n_merged"], 0);
    assert_eq!(two.hq(&["output-log", &dir, &option, "summary"]).ok().cell("Tasks"), "40");
}
