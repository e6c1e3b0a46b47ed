//! `job cat --follow`, `task cat` and `task attach`.
//!
//! Who follows a task sees what it writes while it runs, all of it, and is told when it has ended.
//!
//! Holds: the tasks wait for files that the tests write, so what is seen is seen while they run.

use crate::harness::{Cluster, wait_until_or};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};

/// A command that runs while the test goes on; it is ended with the test.
struct Following {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
}

impl Following {
    fn start(cluster: &Cluster, words: &[&str]) -> Self {
        let mut command = cluster.command(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = child.stdout.take().map(BufReader::new);
        Self { child, lines }
    }

    /// The next line that is printed.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    /// The rest of what is printed, the errors, and the exit code.
    fn end(mut self) -> (String, String, Option<i32>) {
        let (mut rest, mut errors) = (String::new(), String::new());
        self.lines.as_mut().unwrap().read_to_string(&mut rest).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (rest, errors, self.child.wait().unwrap().code())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A script that waits for a file.
const WAIT: &str = "w() { while ! test -e $1; do sleep 0.02; done; };";

fn script(rest: &str) -> String {
    format!("{WAIT} {rest}")
}

#[test]
fn output_is_printed_while_it_is_written() {
    let cluster = Cluster::with_worker(1);
    cluster.submit(&["--", "sh", "-c", &script("w a; echo one; w b; echo two; w c; printf three")]);
    let mut cat = Following::start(&cluster, &["job", "cat", "last", "stdout", "--follow"]);
    cluster.write("a", "");
    assert_eq!(cat.line(), "one\n");
    cluster.write("b", "");
    assert_eq!(cat.line(), "two\n");
    assert_eq!(cluster.job_state(1).as_deref(), Some("RUNNING"));
    cluster.write("c", "");
    assert_eq!(cat.end(), ("three".to_owned(), String::new(), Some(0)));
    // One that has ended is printed as without following.
    let done = cluster.hq(&["task", "cat", "1", "0", "--follow"]).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("one\ntwo\nthree", ""));
}

#[test]
fn a_streamed_job_is_followed() {
    let cluster = Cluster::with_worker(1);
    cluster.submit(&["--stream=st", "--", "sh", "-c", &script("echo one; echo no >&2; w b; echo two")]);
    let mut cat = Following::start(&cluster, &["job", "cat", "1", "stdout", "--follow"]);
    assert_eq!(cat.line(), "one\n");
    assert_eq!(cluster.job_state(1).as_deref(), Some("RUNNING"));
    cluster.write("b", "");
    assert_eq!(cat.end(), ("two\n".to_owned(), String::new(), Some(0)));
    assert_eq!(cluster.hq(&["task", "cat", "1", "0"]).ok().stdout, "one\ntwo\n");
    assert_eq!(cluster.hq(&["task", "cat", "1", "0", "stderr"]).ok().stdout, "no\n");
    // Without following, streams are no files of tasks.
    cluster.hq(&["job", "cat", "1", "stdout"]).ok().says("Task 0 has no `stdout` stream associated with it");
}

#[test]
fn a_line_says_whose_output_follows() {
    let cluster = Cluster::with_worker(2);
    let steps = "case $HQ_TASK_ID in 1) printf a; w x; echo c;; 2) w y; echo b;; esac";
    cluster.submit(&["--array=1-2", "--", "sh", "-c", &script(steps)]);
    let mut cat = Following::start(&cluster, &["job", "cat", "1", "stdout", "--follow"]);
    assert_eq!(cat.line(), "# Job 1, task 1\n");
    cluster.write("y", "");
    assert_eq!([cat.line(), cat.line(), cat.line()], ["a\n", "# Job 1, task 2\n", "b\n"]);
    cluster.write("x", "");
    assert_eq!(cat.end(), ("# Job 1, task 1\nc\n".to_owned(), String::new(), Some(0)));
}

#[test]
fn a_task_that_begins_anew_is_followed_from_its_beginning() {
    for (options, name) in [(&[][..], "0.stdout"), (&["--stdout=out-%{INSTANCE_ID}"], "out-0"), (&["--stream=st"], "")]
    {
        let mut cluster = Cluster::with_worker(1);
        let steps = script("echo begin $HQ_INSTANCE_ID; w go; echo end");
        let words = [options, &["--crash-limit=9", "--", "sh", "-c", &steps]].concat();
        cluster.submit(&words);
        let mut cat = Following::start(&cluster, &["task", "cat", "1", "0", "stdout", "--follow"]);
        assert_eq!(cat.line(), "begin 0\n", "{name}");
        cluster.kill_worker(0);
        cluster.start_worker(1);
        assert_eq!(cat.line(), "begin 1\n", "{name}");
        cluster.write("go", "");
        assert_eq!(cat.end(), ("end\n".to_owned(), String::new(), Some(0)), "{name}");
        let newest = cluster.hq(&["task", "cat", "1", "0", "--attempt=1"]).ok();
        assert_eq!(newest.stdout, "begin 1\nend\n", "{name}");
        let first = cluster.hq(&["task", "cat", "1", "0", "--attempt=0"]).ok();
        // A file of one name for all is overwritten.
        if options.is_empty() {
            assert_eq!(first.stdout, "");
            first.says("0.stdout.attempt-0` cannot be opened");
        } else {
            assert_eq!(first.stdout, "begin 0\n", "{name}");
        }
        cluster.hq(&["task", "cat", "1", "0", "--attempt=2"]).ok().says("Task 0 has no attempt 2 that has started");
    }
}

#[test]
fn attached_to_a_task() {
    let cluster = Cluster::with_worker(1);
    cluster.submit(&["--", "sh", "-c", &script("w a; echo out; echo err >&2; w b; exit 3")]);
    let mut attached = Following::start(&cluster, &["task", "attach", "1", "0"]);
    cluster.write("a", "");
    assert_eq!(attached.line(), "out\n");
    cluster.write("b", "");
    let (rest, errors, code) = attached.end();
    assert_eq!((rest.as_str(), code), ("", Some(1)));
    assert!(errors.starts_with("err\n") && errors.contains("Task 0 is failed: "), "{errors}");
    let quiet = ["--output-mode=quiet", "task", "attach", "last", "0"];
    cluster.submit(&["--", "sh", "-c", "echo fine"]);
    let done = cluster.hq(&quiet).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("fine\n", ""));
}

#[test]
fn an_end_without_output_ends_it() {
    let cluster = Cluster::start();
    cluster.submit(&["--array=1-3", "true"]);
    let cat = Following::start(&cluster, &["job", "cat", "1", "stdout", "--follow", "--tasks=2,7"]);
    let attached = Following::start(&cluster, &["task", "attach", "1", "3"]);
    cluster.hq(&["job", "cancel", "1", "--reason=enough"]).ok();
    let (rest, errors, code) = cat.end();
    assert_eq!((rest.as_str(), code), ("", Some(0)));
    assert!(errors.contains("Task 7 of job 1 not found"), "{errors}");
    assert!(errors.contains("Task 2 has no `stdout` stream associated with it"), "{errors}");
    let (rest, errors, code) = attached.end();
    assert_eq!((rest.as_str(), code), ("", Some(1)));
    assert!(errors.contains("Task 3 is canceled"), "{errors}");
}

#[test]
fn what_can_be_wrong() {
    let cluster = Cluster::start();
    cluster.hq(&["task", "cat", "last", "0"]).code(1).says("There is no job");
    cluster.submit(&["--array=1-501", "true"]);
    cluster.hq(&["task", "cat", "9", "0"]).code(1).says("Job 9 not found");
    cluster.hq(&["task", "attach", "1", "0"]).code(1).says("Job 1 has no task 0");
    cluster.hq(&["task", "cat", "1", "1"]).ok().says("Task 1 has no `stdout` stream associated with it");
    cluster.hq(&["task", "cat", "1", "1", "--follow", "--attempt=0"]).code(2);
    let many = cluster.hq(&["job", "cat", "1", "stdout", "--follow"]).code(1);
    many.says("More than 500 tasks cannot be followed at once; choose fewer of them");
    for words in
        [&["task", "cat", "1", "1"][..], &["task", "attach", "1", "1"], &["job", "cat", "1", "stdout", "--follow"]]
    {
        let words = [&["--output-mode=json"], words].concat();
        let error = cluster.hq(&words).code(1).json()["error"].to_string();
        assert!(error.contains("The output mode `json` does not support the output of jobs"), "{error}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let cluster = Cluster::with_worker(1);
    cluster.submit(&[
        "--",
        "sh",
        "-c",
        &script("echo one; w stop; while ! test -e never; do echo more; sleep 0.02; done"),
    ]);
    let mut cat = Following::start(&cluster, &["job", "cat", "1", "stdout", "--follow"]);
    assert_eq!(cat.line(), "one\n");
    let mut errors = cat.child.stderr.take().unwrap();
    cat.lines = None;
    cluster.write("stop", "");
    wait_until_or("it ends", || cluster.logs(), || cat.child.try_wait().unwrap().is_some());
    let mut text = String::new();
    errors.read_to_string(&mut text).unwrap();
    assert_eq!(text, "");
    cluster.hq(&["job", "cancel", "1"]).ok();
}

#[test]
fn retries_are_followed_and_earlier_attempts_kept() {
    let cluster = Cluster::with_worker(1);
    let steps = script(
        "echo begin $HQ_INSTANCE_ID; w go$HQ_INSTANCE_ID; echo end $HQ_INSTANCE_ID; exit $((1 - HQ_INSTANCE_ID))",
    );
    cluster.submit(&["--retries=2", "--", "sh", "-c", &steps]);
    let mut cat = Following::start(&cluster, &["job", "cat", "1", "stdout", "--follow"]);
    assert_eq!(cat.line(), "begin 0\n");
    cluster.write("go0", "");
    assert_eq!([cat.line(), cat.line()], ["end 0\n", "begin 1\n"]);
    cluster.write("go1", "");
    assert_eq!(cat.end(), ("end 1\n".to_owned(), String::new(), Some(0)));
    for (attempt, text) in [("--attempt=0", "begin 0\nend 0\n"), ("--attempt=1", "begin 1\nend 1\n")] {
        let done = cluster.hq(&["task", "cat", "1", "0", attempt]).ok();
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), (text, ""));
    }
}

#[test]
fn a_stream_is_followed_without_a_server() {
    let mut cluster = Cluster::with_worker(2);
    // Both begin before there is anything.
    let mut cat = Following::start(&cluster, &["output-log", "st", "cat", "1", "stdout", "--task=2,1", "--follow"]);
    let steps = "echo begin $HQ_TASK_ID; w go$HQ_TASK_ID; echo end $HQ_TASK_ID";
    cluster.submit(&["--array=1-2", "--stream=st", "--crash-limit=9", "--", "sh", "-c", &script(steps)]);
    assert_eq!(cat.line(), "begin 2\n");
    let mut all = Following::start(&cluster, &["output-log", "st", "cat", "1", "stdout", "--follow"]);
    assert_eq!(all.line(), "begin 1\n");
    let mut show = Following::start(&cluster, &["output-log", "st", "show", "--follow", "--task=1"]);
    assert_eq!(show.line(), "1.1:0> begin 1\n");
    // The task begins anew.
    cluster.kill_worker(0);
    cluster.start_worker(2);
    assert_eq!([cat.line(), all.line(), show.line()], ["begin 2\n", "begin 1\n", "1.1:0> begin 1\n"]);
    cluster.write("go1", "");
    assert_eq!([all.line(), show.line()], ["end 1\n", "1.1:0> end 1\n"]);
    cluster.write("go2", "");
    assert_eq!(cat.end(), ("end 2\nbegin 1\nend 1\n".to_owned(), String::new(), Some(0)));
    assert_eq!(all.end(), ("begin 2\nend 2\n".to_owned(), String::new(), Some(0)));
    cluster.hq(&["output-log", "st", "show", "--follow", "--filter=failed"]).code(2);
}

#[test]
fn a_reader_that_goes_away_ends_what_is_silent() {
    let cluster = Cluster::with_worker(1);
    cluster.submit(&["--stream=st", "--", "sh", "-c", &script("echo one; w never")]);
    let commands: [&[&str]; 4] = [
        &["job", "cat", "1", "stdout", "--follow"],
        &["task", "attach", "1", "0"],
        &["output-log", "st", "cat", "1", "stdout", "--follow"],
        &["output-log", "st", "show", "--follow"],
    ];
    for words in commands {
        let mut following = Following::start(&cluster, words);
        assert!(following.line().ends_with("one\n"));
        // The task writes nothing more, so nobody would notice at a write.
        following.lines = None;
        let ended = || following.child.try_wait().unwrap().is_some();
        wait_until_or(&format!("{words:?} ends"), || cluster.logs(), ended);
        let mut errors = String::new();
        following.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!(errors, "", "{words:?}");
    }
    cluster.hq(&["job", "cancel", "1"]).ok();
}

#[test]
fn many_tasks_of_one_directory_are_followed_together() {
    let cluster = Cluster::with_worker(8);
    let steps = "i=0; while test $i -lt 50; do echo $HQ_TASK_ID-$i; i=$((i+1)); done; w go; echo $HQ_TASK_ID-end";
    cluster.submit(&["--array=1-8", "--stream=st", "--", "sh", "-c", &script(steps)]);
    let mut cat = Following::start(&cluster, &["job", "cat", "1", "stdout", "--follow"]);
    let mut seen = vec![cat.line()];
    while seen.iter().filter(|line| line.contains('-')).count() < 8 * 50 {
        seen.push(cat.line());
    }
    cluster.write("go", "");
    let (rest, errors, code) = cat.end();
    assert_eq!((errors.as_str(), code), ("", Some(0)));
    let all = seen.concat() + &rest;
    for task in 1..=8 {
        let own: Vec<&str> = all.lines().filter(|line| line.starts_with(&format!("{task}-"))).collect();
        let expected: Vec<String> = (0..50).map(|i| format!("{task}-{i}")).chain([format!("{task}-end")]).collect();
        assert_eq!(own, expected);
    }
}
