//! Lines `#HQ` of scripts: what is taken from them, and what is refused.
//!
//! A script that carries its options is submitted the same way by everybody.
//!
//! Holds: what is typed beats what the script says; a wrong script submits nothing.

use crate::harness::Cluster;
use serde_json::{Value, json};

/// The description of a job's only array.
fn desc(cluster: &Cluster, job: u32) -> Value {
    cluster.json(&["job", "info", &job.to_string()])[0]["submits"][0]["array"].clone()
}

fn name(cluster: &Cluster, job: u32) -> String {
    cluster.hq(&["job", "info", &job.to_string()]).ok().cell("Name")
}

#[test]
fn a_script_brings_its_options_and_its_interpreter() {
    let cluster = Cluster::with_worker(2);
    let script = "#!/bin/sh -e\n\
                  # A comment, then options.\n\
                  #HQ --name \"two words\" --cpus=\"2 compact\"\n\n  \
                  #HQ --array=3-4 --env A=script --env=B=script\n\
                  #HQ --stdout=%{TASK_ID}.out --resource=mem=1GiB --weight=2.5\n\
                  echo $1 $A $B $HQ_CPUS\n\
                  #HQ --priority=9\n";
    cluster.write("go.sh", script);
    let done = cluster.hq(&["submit", "--stderr=none", "go.sh", "x"]).ok();
    done.says("WARN Memory is requested in MiB");
    let desc = desc(&cluster, 1);
    assert_eq!(desc["program"]["args"], json!(["/bin/sh", "-e", "go.sh", "x"]));
    assert_eq!((&desc["priority"], &desc["resources"][0]["weight"]), (&json!(0), &json!(25_000)));
    assert_eq!(desc["resources"][0]["resources"][0], json!({"resource": "cpus", "request": {"Compact": 20_000}}));
    assert_eq!(name(&cluster, 1), "two words");
    assert_eq!(cluster.hq(&["job", "info", "1"]).ok().cell("Tasks"), "2; Ids: 3-4");
    // The worker has no memory to give, so the same without it.
    cluster.write("go.sh", &script.replace("--resource=mem=1GiB", ""));
    cluster.hq(&["submit", "--wait", "./go.sh", "y"]).ok();
    let said = cluster.read("4.out");
    assert!(said.starts_with("y script script ") && said.trim_end().split(',').count() == 2, "{said}");
}

#[test]
fn what_is_typed_wins() {
    let cluster = Cluster::with_worker(2);
    let script = "#HQ --array=1-9 --priority=5 --cpus=2 --env=A=script --env=B=script --time-limit=1h\n\
                  #HQ --task-dir --resource x=2 --name n\n\
                  true\n";
    cluster.write("go.sh", script);
    let typed = ["--priority=0", "--cpus=1", "--env=A=typed", "--each-line=lines", "--resource=y=1", "--name=m"];
    cluster.write("lines", "a\nb\n");
    let words: Vec<&str> = ["submit"].iter().chain(&typed).chain(&["go.sh"]).copied().collect();
    let done = cluster.hq(&words).ok();
    assert!(!done.stderr.contains("duplicate keys"), "{done}");
    let desc = desc(&cluster, 1);
    assert_eq!(desc["program"]["env"], json!({"A": "typed", "B": "script"}));
    assert_eq!((&desc["priority"], &desc["time_limit"]), (&json!(0), &json!(3600.0)));
    assert_eq!(desc["task_dir"], json!(true));
    let resources = desc["resources"][0]["resources"].as_array().unwrap();
    let names: Vec<&str> = resources.iter().map(|entry| entry["resource"].as_str().unwrap()).collect();
    assert_eq!(names, ["cpus", "y", "x"]);
    assert_eq!(desc["program"]["args"], json!(["go.sh"]));
    let info = cluster.hq(&["job", "info", "1"]).ok();
    assert_eq!((info.cell("Tasks"), info.cell("Name")), ("2; Ids: 0-1".into(), "m".into()));
}

#[test]
fn modes() {
    let cluster = Cluster::start();
    cluster.write("run", "#!/usr/bin/env sh\n#HQ --name=file\n");
    cluster.write("run.sh", "#!/usr/bin/env sh\n#HQ --name=file\n");
    cluster.submit(&["run"]);
    assert_eq!(name(&cluster, 1), "run");
    cluster.submit(&["--directives=file", "run"]);
    assert_eq!(name(&cluster, 2), "file");
    cluster.submit(&["--directives=off", "run.sh"]);
    assert_eq!((name(&cluster, 3), &desc(&cluster, 3)["program"]["args"]), ("run.sh".into(), &json!(["run.sh"])));
    // Without a name in the script it is the interpreter's.
    cluster.write("plain.sh", "#!/usr/bin/env sh\n");
    cluster.submit(&["plain.sh"]);
    assert_eq!(name(&cluster, 4), "env");
    let input = b"#!/bin/false\n#HQ --name=input\n";
    cluster.hq_with_input(&["submit", "--stdin", "--directives=stdin", "sh"], input).ok();
    assert_eq!((name(&cluster, 5), &desc(&cluster, 5)["program"]["args"]), ("input".into(), &json!(["sh"])));
    // The script is asked for options, but what is run is what it is given.
    cluster.hq_with_input(&["submit", "--stdin", "run.sh"], input).ok();
    assert_eq!((name(&cluster, 6), &desc(&cluster, 6)["program"]["args"]), ("file".into(), &json!(["run.sh"])));
    cluster.hq(&["submit", "--directives=stdin", "sh"]).code(1).says("You have to use `--stdin` when you specify");
    cluster.hq(&["submit", "--directives=always", "sh"]).code(2);
}

#[test]
fn an_older_name_of_the_stream_is_understood() {
    let cluster = Cluster::start();
    let streams = |job| desc(&cluster, job)["program"]["stdout"].clone();
    cluster.hq(&["submit", "--log=typed", "true"]).ok().says("WARN `--log` is an older name of `--stream`");
    cluster.write("old.sh", "#HQ --log=script\n");
    cluster.hq(&["submit", "old.sh"]).ok().says("WARN `--log` is an older name of `--stream`");
    assert_eq!((streams(1), streams(2)), (json!("<pipe>"), json!("<pipe>")));
    cluster.hq(&["submit", "--log=a", "--stream=b", "true"]).code(2).says("cannot be used with");
    let help = cluster.hq(&["submit", "--help"]).ok().stdout;
    assert!(!help.contains("--log"), "{help}");
}

#[test]
fn a_script_says_how_its_tasks_are_ended() {
    let cluster = Cluster::start();
    cluster.write("long.sh", "#HQ --signal=USR1@5m --kill-signal=INT --grace=30s\n");
    cluster.hq(&["submit", "--kill-signal=SIGTERM", "long.sh"]).ok();
    let stop = json!({"warning": {"signal": "USR1", "before": 300.0}, "signal": "TERM", "grace": 30.0});
    assert_eq!(desc(&cluster, 1)["stop"], stop);
    let shown = cluster.hq(&["job", "info", "1"]).ok();
    assert_eq!(shown.cell("Signals"), "warning: USR1@5m");
    assert!(shown.stdout.contains("first signal: TERM") && shown.stdout.contains("grace: 30s"), "{shown}");
    cluster.hq(&["submit", "true"]).ok();
    assert_eq!(desc(&cluster, 2)["stop"], serde_json::Value::Null);
    assert!(!cluster.hq(&["job", "info", "2"]).ok().stdout.contains("Signals"));
    for (option, text) in [
        ("--signal=USR9@5s", "there is no signal of this name"),
        ("--signal=KILL@5s", "cannot handle it"),
        ("--signal=USR1@5x", "unexpected token, expected a unit"),
        ("--grace=2h", "the longest grace is 1h"),
        ("--kill-signal=0", "signals have the numbers 1 to 64"),
    ] {
        cluster.hq(&["submit", option, "true"]).code(2).says(text);
    }
    let late = "the warning would come 60 s before the end, and the time limit is 60 s";
    cluster.hq(&["submit", "--signal=USR1", "--time-limit=60s", "true"]).code(1).says(late);
}

#[test]
fn wrong_scripts_are_refused() {
    let cluster = Cluster::start();
    for (line, text) in [
        ("--foo=1", "unexpected argument '--foo' found"),
        ("--wait", "unexpected argument '--wait' found"),
        ("--job=1", "unexpected argument '--job' found"),
        ("--output-mode=json", "unexpected argument '--output-mode' found"),
        ("-h", "unexpected argument '-h' found"),
        ("word", "unexpected argument 'word' found"),
        ("--cpus=0", "Zero resources cannot be requested"),
        ("--nodes=2 --cpus=2", "cannot be used with"),
        ("--name=a\"b\"c", "line 1: unexpected token"),
        ("--name=\"a", "line 1: unexpected end of input"),
    ] {
        cluster.write("bad.sh", &format!("#HQ {line}\n"));
        cluster.hq(&["submit", "bad.sh"]).code(1).says(text).says("bad.sh");
    }
    cluster.hq(&["submit", "missing.sh"]).code(1).says("missing.sh").says("No such file or directory");
    cluster.write("cpus.sh", "#HQ --resource=cpus=2\n");
    cluster.hq(&["submit", "--cpus=1", "cpus.sh"]).code(1).says("--cpus and --resource cpus=... cannot be combined");
    cluster.write("twice.sh", "#HQ --resource=x=2\n");
    cluster.hq(&["submit", "--resource=x=1", "twice.sh"]).code(1).says("Resource 'x' defined more than once");
    assert_eq!(cluster.json(&["job", "list", "--all"]), json!([]));
}
