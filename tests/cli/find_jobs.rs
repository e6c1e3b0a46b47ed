//! `hq job list` with filters, order and limit, `hq job summary`, and tags.
//!
//! Holds: without any of the new options the list is what it was; what is said has to hold all together.

use crate::harness::Cluster;
use serde_json::json;

fn list(cluster: &Cluster, words: &[&str]) -> Vec<u32> {
    let line: Vec<&str> = ["--output-mode=quiet", "job", "list"].iter().chain(words).copied().collect();
    let done = cluster.hq(&line).ok();
    done.stdout.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

fn some_jobs() -> Cluster {
    let cluster = Cluster::with_worker(2);
    cluster.hq(&["submit", "--wait", "--name=train-b", "--tag=project=x", "--tag=run=1", "true"]).ok();
    cluster.hq(&["submit", "--wait", "--name=train-a", "--tag", "project=y,z", "--array=1-3", "false"]).ok();
    cluster.submit(&["--name=eval", "--cpus=64", "--tag=project=x", "--array=1-2", "true"]);
    cluster.hq(&["job", "open", "--name=flow", "--tag=project="]).ok();
    cluster
}

#[test]
fn filters_are_joined() {
    let cluster = some_jobs();
    assert_eq!(list(&cluster, &[]), [3, 4]);
    assert_eq!(list(&cluster, &["--all"]), [1, 2, 3, 4]);
    assert_eq!(list(&cluster, &["--filter", "finished,failed"]), [1, 2]);
    assert_eq!(list(&cluster, &["--filter=state=failed", "--filter=opened"]), [2, 4]);
    assert_eq!(list(&cluster, &["--filter=name=train-*"]), [1, 2]);
    assert_eq!(list(&cluster, &["--filter=name=*-[b-z],finished"]), [1]);
    assert_eq!(list(&cluster, &["--filter=tag=project"]), [1, 2, 3, 4]);
    assert_eq!(list(&cluster, &["--filter=tag=project=x"]), [1, 3]);
    assert_eq!(list(&cluster, &["--filter=tag=project=x,tag=run"]), [1]);
    assert_eq!(list(&cluster, &["--filter=tag=project=y\\,z"]), [2]);
    assert_eq!(list(&cluster, &["--filter=tag=project="]), [4]);
    assert_eq!(list(&cluster, &["--filter=since=1h"]), [1, 2, 3, 4]);
    assert!(list(&cluster, &["--filter=since=9999-12-31"]).is_empty());
    assert_eq!(list(&cluster, &["--filter=since=1970-01-01 00:00,waiting"]), [3]);
    let wrong = cluster.hq(&["job", "list", "--filter=name=a,paused"]).code(2);
    wrong
        .says("error: invalid value 'name=a,paused' for '--filter <FILTER>'")
        .says("\n  name=a,paused\n         ^^^^^^");
    cluster.hq(&["job", "list", "--filter=since=2030-13-01"]).code(2).says("2030-01-31");
}

#[test]
fn order_and_limit() {
    let cluster = some_jobs();
    assert_eq!(list(&cluster, &["--all", "--sort=name"]), [3, 4, 2, 1]);
    assert_eq!(list(&cluster, &["--all", "--sort", "-tasks", "--limit=2"]), [2, 3]);
    assert_eq!(list(&cluster, &["--all", "--sort=submitted", "--reverse"]), [4, 3, 2, 1]);
    assert_eq!(list(&cluster, &["--all", "--sort=state"]), [3, 4, 1, 2]);
    assert_eq!(list(&cluster, &["--reverse"]), [4, 3]);
    let done = cluster.hq(&["job", "list", "--all", "--limit=1"]).ok();
    let shown = done.prints("|  1 | train-b | FINISHED | 1     |").prints("There are 4 jobs in total. ");
    assert!(!shown.stdout.contains("train-a"), "{shown}");
    cluster.hq(&["job", "list", "--sort=size"]).code(2).says("id, name, state, submitted and tasks");
}

#[test]
fn tags_in_all_forms() {
    let cluster = some_jobs();
    let value = cluster.json(&["job", "list", "--all"]);
    assert_eq!(value[0]["tags"], json!({"project": "x", "run": "1"}));
    assert_eq!(value[3]["tags"], json!({"project": ""}));
    assert_eq!(cluster.json(&["job", "info", "2"])[0]["info"]["tags"], json!({"project": "y,z"}));
    let info = cluster.hq(&["job", "info", "1"]).ok();
    assert_eq!(info.cell("Tags"), "project=x");
    cluster.hq(&["job", "list", "--all", "--verbose"]).ok().prints("| Cancel Reason | Tags").prints("| run=1 ");
    let plain = cluster.hq(&["job", "list", "--all"]).ok();
    assert!(!plain.stdout.contains("project"), "{plain}");
    cluster.write("tagged.sh", "#!/bin/sh\n#HQ --tag=a=script --tag b=script\ntrue\n");
    cluster.hq(&["submit", "--tag=a=typed", "tagged.sh"]).ok();
    assert_eq!(cluster.json(&["job", "info", "last"])[0]["info"]["tags"], json!({"a": "typed", "b": "script"}));
    cluster.write("tagged.toml", "tags = { a = \"file\", \"b.c\" = \"\" }\n[[task]]\ncommand = [\"true\"]\n");
    cluster.hq(&["job", "submit-file", "tagged.toml"]).ok();
    assert_eq!(cluster.json(&["job", "info", "last"])[0]["info"]["tags"], json!({"a": "file", "b.c": ""}));
    cluster.write("wrong.toml", "[tags]\n\"a b\" = \"x\"\n[[task]]\ncommand = [\"true\"]\n");
    cluster.hq(&["job", "submit-file", "wrong.toml"]).code(1).says("line 2");
    cluster.hq(&["submit", "--tag=a=1", "--tag=a=2", "true"]).code(1).says("The tag `a` is given more than once");
    cluster.hq(&["submit", "--tag=a b=1", "true"]).code(2).says("\n  a b=1\n   ^");
}

#[test]
fn a_summary() {
    let cluster = some_jobs();
    let expected = "\
+----------+-------+
| Status   | Count |
+----------+-------+
| RUNNING  |     0 |
| WAITING  |     1 |
| FINISHED |     1 |
| FAILED   |     1 |
| ABORTED  |     0 |
| CANCELED |     0 |
+----------+-------+
";
    assert_eq!(cluster.hq(&["job", "summary"]).ok().stdout, expected);
    let counts =
        json!({"Aborted": 0, "Canceled": 0, "Failed": 1, "Finished": 1, "Opened": 1, "Running": 0, "Waiting": 1});
    assert_eq!(cluster.json(&["job", "summary"]), counts);
    let quiet = cluster.hq(&["--output-mode=quiet", "job", "summary"]).ok().stdout;
    assert_eq!(quiet, "RUNNING 0\nWAITING 1\nFINISHED 1\nFAILED 1\nABORTED 0\nCANCELED 0\n");
}
