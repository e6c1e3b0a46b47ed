//! One journal has one server.
//!
//! Two writers would destroy it, so that the second one has to know before it touches anything.
//!
//! Holds: the refusal names the holder, and the first server does not notice.

use crate::harness::{Cluster, is_alive};
use crate::replay::{replayed_equals_live, shown};

#[test]
fn a_second_server_on_a_journal_is_refused() {
    let mut cluster = Cluster::with_worker(1);
    cluster.hq(&["submit", "--wait", "true"]).ok();
    let before = shown(&cluster);
    let journal = cluster.server_dir().join("journal");
    let other = cluster.path().join("other");
    let words = ["--server-dir", other.to_str().unwrap(), "server", "start", "--host=localhost"];
    let words: Vec<&str> = words.into_iter().chain(["--journal", journal.to_str().unwrap()]).collect();
    let holder = format!("process {} on host ", cluster.server_pid());
    for daemon in [None, Some("--daemon")] {
        let words: Vec<&str> = words.iter().copied().chain(daemon).collect();
        cluster.hq(&words).code(1).says("is in use by").says(&holder).says(" since ");
        assert!(!other.join("hq-current").exists());
    }
    assert!(is_alive(cluster.server_pid()));
    assert_eq!(shown(&cluster), before);
    // A holder that was killed holds nothing any more.
    replayed_equals_live(&mut cluster);
}
