//! `hq journal repair`: what of a damaged journal goes on, and what becomes of the jobs that the damage touches.
//!
//! One bad record must not be the end of everybody's work, and nobody's work may go on by a wrong story.
//!
//! Holds: the damaged journal is kept byte for byte; what is repaired is sound and starts.

use crate::harness::Cluster;
use hq_journal::{Journal, Options, RecordDraft};
use std::path::{Path, PathBuf};

/// Three jobs that wait, and a server that was killed.
fn killed() -> Cluster {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    for name in ["one", "two", "three"] {
        cluster.hq(&["submit", &format!("--name={name}"), "--", "echo", &format!("marker-{name}")]).ok();
    }
    cluster.kill_server();
    cluster
}

/// Appends a record that is intact and means nothing, as a defect of a writer would.
fn poison(journal: &Path, kind: u16, job: u32, body: &[u8]) {
    let (mut journal, _) = Journal::open(journal, Options::default()).unwrap();
    journal.append(&[RecordDraft { kind, job, body: body.to_vec(), ..RecordDraft::default() }]).unwrap();
    journal.commit().unwrap();
    journal.close().unwrap();
}

/// Changes a byte of the first place in the newest tail file where a text stands.
fn spoil(journal: &Path, text: &str) {
    let mut tails: Vec<PathBuf> = std::fs::read_dir(journal).unwrap().map(|file| file.unwrap().path()).collect();
    tails.retain(|path| path.extension().is_some_and(|extension| extension == "hqt"));
    tails.sort();
    let tail = tails.pop().unwrap();
    let mut bytes = std::fs::read(&tail).unwrap();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    bytes[at] ^= 0x20;
    std::fs::write(&tail, bytes).unwrap();
}

fn broken(cluster: &Cluster) -> Vec<PathBuf> {
    let files = std::fs::read_dir(cluster.work()).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("journal.")).collect()
}

#[test]
fn a_poisoned_job_is_quarantined_and_the_rest_runs() {
    let array_for_map: &[u8] = &[0x83, 1, 2, 3];
    for (what, kind, body) in [
        ("noise", 44, &[0xff, 0xff][..]),
        ("nothing", 43, &[]),
        ("another type", 20, array_for_map),
        ("a kind of the future", 199, &[0xa0]),
    ] {
        let mut cluster = killed();
        let journal = cluster.work().join("journal");
        poison(&journal, kind, 2, body);
        let refused = cluster.hq(&["server", "start", "--journal=journal"]).code(1);
        refused.says("of job 2, is intact, but no event").says("hq journal repair");
        cluster.hq(&["journal", "verify", "journal"]).code(1).says("of job 2");
        let dry = cluster.hq(&["journal", "repair", "--dry-run", "journal"]).ok();
        assert!(dry.stdout.contains("of job 2, cannot be used") && broken(&cluster).is_empty(), "{what}: {dry}");
        let done = cluster.json(&["journal", "repair", "journal"]);
        assert_eq!(done["jobs"], serde_json::json!([{"id": 2, "name": "two", "fate": "held"}]), "{what}: {done}");
        assert_eq!(broken(&cluster).len(), 1);
        cluster.hq(&["journal", "verify", "journal"]).ok();
        cluster.start_server();
        cluster.start_worker(1);
        cluster.wait_job(1, "FINISHED");
        cluster.wait_job(3, "FINISHED");
        assert_eq!(cluster.job_state(2).as_deref(), Some("WAITING"));
        cluster.hq(&["job", "release", "2"]).ok();
        cluster.wait_job(2, "FINISHED");
    }
}

#[test]
fn events_that_do_not_fit_change_nothing() {
    // Intact events of jobs, tasks and workers that are not there, by all kinds; the empty map is each with its defaults.
    let mut cluster = killed();
    let journal = cluster.work().join("journal");
    for kind in 10..=60 {
        if hq_core::event::Event::decode_body(kind, &[0xa0]).is_ok() && ![20, 23].contains(&kind) {
            poison(&journal, kind, 0, &[0xa0]);
        }
    }
    // They are named by a check: nothing made job 0.
    cluster.hq(&["journal", "verify", "journal"]).code(1).says("there are events of job 0");
    cluster.start_server();
    cluster.start_worker(1);
    for job in 1..=3 {
        cluster.wait_job(job, "FINISHED");
    }
    cluster.has_damage = true;
}

#[test]
fn a_lost_submit_is_named_and_its_number_not_given_again() {
    let mut cluster = killed();
    let journal = cluster.work().join("journal");
    spoil(&journal, "marker-two");
    // A later record proves that it was there, so that this is no unfinished write.
    cluster.hq(&["server", "start", "--journal=journal"]).code(1).says("hq journal repair");
    let before = std::fs::read_dir(&journal).unwrap().count();
    let done = cluster.hq(&["journal", "repair", "journal"]).ok();
    done.prints(" are lost").prints("the damaged one was kept as ").prints("| 2   |").prints("lost; canceled");
    assert_eq!(std::fs::read_dir(&broken(&cluster)[0]).unwrap().count(), before);
    cluster.start_server();
    cluster.start_worker(1);
    for job in [1, 3] {
        cluster.wait_job(job, "FINISHED");
    }
    assert!(cluster.job_state(2).is_some());
    let info = cluster.json(&["job", "info", "2"]);
    let reason = info[0]["info"]["cancel_reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("was lost"), "{info}");
    assert_eq!(cluster.submit(&["true"]), 4);
}

#[test]
fn a_lost_submit_of_a_job_that_ran() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker(1);
    cluster.hq(&["submit", "--wait", "--", "echo", "marker-one"]).ok();
    cluster.hq(&["submit", "--cpus=9", "--", "true"]).ok();
    cluster.kill_server();
    cluster.kill_worker(0);
    let journal = cluster.work().join("journal");
    spoil(&journal, "marker-one");
    // Its other events are of a job that nothing made; what is put in for it says so.
    let done = cluster.json(&["journal", "repair", "journal"]);
    assert_eq!((&done["jobs"][0]["id"], &done["jobs"][0]["fate"]), (&1.into(), &"lost".into()), "{done}");
    cluster.hq(&["journal", "verify", "journal"]).ok();
    cluster.hq(&["journal", "repair", "journal"]).ok().prints("nothing is wrong with it");
    cluster.start_server();
    assert_eq!(cluster.job_state(2).as_deref(), Some("WAITING"));
    assert_eq!(cluster.submit(&["true"]), 3);
}

#[test]
fn the_number_of_a_last_submit_that_is_lost_is_not_given_again() {
    let mut cluster = killed();
    let journal = cluster.work().join("journal");
    cluster.start_server();
    cluster.hq(&["job", "cancel", "1"]).ok();
    cluster.kill_server();
    spoil(&journal, "marker-three");
    let done = cluster.json(&["journal", "repair", "journal"]);
    let fates: Vec<(u64, &str)> = done["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| (job["id"].as_u64().unwrap(), job["fate"].as_str().unwrap()))
        .collect();
    // One record is lost, so one number may have been given.
    assert_eq!(fates, [(2, "goes on"), (3, "reserved")], "{done}");
    cluster.hq(&["journal", "verify", "journal"]).ok();
    cluster.start_server();
    cluster.start_worker(1);
    cluster.wait_job(2, "FINISHED");
    assert_eq!(cluster.submit(&["true"]), 4);
    let info = cluster.json(&["job", "info", "3"]);
    assert!(info[0]["info"]["cancel_reason"].as_str().unwrap().contains("jobs may have been lost"), "{info}");
}

#[test]
fn what_is_sound_is_not_touched() {
    let cluster = killed();
    let same = cluster.hq(&["journal", "repair", "journal"]).ok();
    same.prints("nothing is wrong with it");
    assert!(broken(&cluster).is_empty());
    // A copy can be had all the same, and is as good.
    cluster.hq(&["journal", "repair", "journal", "--output=copy"]).ok().prints("the repaired journal is copy");
    cluster.hq(&["journal", "verify", "copy"]).ok();
    let events = |name: &str| cluster.hq(&["journal", "export", name]).ok().stdout;
    assert_eq!(events("copy"), events("journal"));
    cluster.hq(&["journal", "repair", "journal", "--output=copy"]).code(1).says("is not empty");
    cluster.hq(&["journal", "repair", "missing"]).code(1).says("No such file");
}

#[test]
fn a_journal_in_use_is_not_repaired() {
    let cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.hq(&["journal", "repair", "journal"]).code(1).says("is in use by process").says("stop that server first");
}

#[test]
fn what_may_have_lost_something_is_held_on_request() {
    let mut cluster = killed();
    let journal = cluster.work().join("journal");
    spoil(&journal, "marker-two");
    let done = cluster.json(&["journal", "repair", "--hold", "journal"]);
    let fates: Vec<&str> = done["jobs"].as_array().unwrap().iter().map(|job| job["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["held", "lost", "held"]);
    cluster.start_server();
    cluster.start_worker(1);
    cluster.hq(&["job", "release", "3"]).ok();
    cluster.wait_job(3, "FINISHED");
    assert_eq!(cluster.job_state(1).as_deref(), Some("WAITING"));
}
