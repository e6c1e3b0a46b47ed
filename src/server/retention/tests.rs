//! When a journal is cut back by itself, and when an image is written.
//!
//! The test stands where the turn stands and hears what is to be forgotten.
//!
//! Holds: nothing waits for a clock.

use super::*;
use crate::eventlog;
use hq_core::event::{Event, JobChanged, JobOpened, ServerStopped, Stamped};
use hq_journal::Options;
use hq_journal::checkpoint::newest;
use hq_journal::disk::RealDisk;

/// A journal with one empty job for each time: completed then, microseconds before now.
fn journal(dir: &std::path::Path, completed_ago_us: &[u64], name_bytes: usize) -> Journal {
    let options = Options { ballast_bytes: 0, background: false, ..Options::default() };
    let (mut journal, _) = Journal::open(dir, options).unwrap();
    let now = clock::wall_us();
    for (ago_us, number) in completed_ago_us.iter().zip(1..) {
        let (at, job) = (Time(now - ago_us), JobId(number));
        let opened = JobOpened { job, name: "n".repeat(name_bytes), ..JobOpened::default() };
        let events =
            [Event::JobOpened(opened), Event::JobClosed(JobChanged { job }), Event::JobCompleted(JobChanged { job })];
        let drafts: Vec<_> = events.into_iter().map(|event| eventlog::draft(&Stamped { at, event })).collect();
        journal.append(&drafts).unwrap();
        journal.commit().unwrap();
    }
    journal
}

/// What a keeper with this rule wants to be forgotten when it writes a checkpoint.
fn forgotten(journal: &Journal, dir: &std::path::Path, keep: Keep) -> Option<(Option<IdSet>, ForgetCause)> {
    let (turn, mut heard) = mpsc::channel(1);
    let mut keeper = Keeper::new(dir.to_path_buf(), journal, 0, keep, turn);
    std::thread::scope(|scope| {
        // The answer never comes, as when the server ends: nothing is pruned.
        let told = scope.spawn(move || match heard.blocking_recv() {
            Some(Input::ForgetDetails { jobs, cause, done: _ }) => Some((jobs, cause)),
            _ => None,
        });
        keeper.checkpoint();
        drop(keeper);
        told.join().unwrap()
    })
}

const HOUR_US: u64 = 3_600_000_000;

#[test]
fn old_jobs_are_forgotten_by_their_age() {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(dir.path(), &[50 * HOUR_US, 30 * HOUR_US, 25 * HOUR_US, 2 * HOUR_US, 0], 4);
    let keep = |hours: u64| Keep { span: Some(Span(hours * HOUR_US)), bytes: None };
    let of = |hours| forgotten(&journal, dir.path(), keep(hours));
    assert_eq!(of(24), Some((Some(IdSet::range(1, 3)), ForgetCause::Age)));
    assert_eq!(of(40), Some((Some(IdSet::single(1)), ForgetCause::Age)));
    // An eighth of the time is waited for, so that jobs go in groups.
    assert_eq!(of(48), None);
    assert_eq!(of(100), None);
    assert_eq!(forgotten(&journal, dir.path(), Keep::default()), None);
}

#[test]
fn the_oldest_jobs_are_forgotten_when_the_journal_is_too_large() {
    let dir = tempfile::tempdir().unwrap();
    let ages: Vec<u64> = (0..100).map(|n| n * 1_000_000).collect();
    let journal = journal(dir.path(), &ages, 10_000);
    let used = used_bytes(dir.path()).unwrap();
    let keep = |bytes: u64| Keep { bytes: Some(bytes), span: None };
    assert_eq!(forgotten(&journal, dir.path(), keep(used * 4)), None);
    let (jobs, cause) = forgotten(&journal, dir.path(), keep(used)).unwrap();
    // The checkpoint has made it larger than it was. The last job is the one that was completed first.
    let jobs: Vec<u32> = jobs.unwrap().iter().collect();
    assert!((25..75).contains(&jobs.len()), "{jobs:?}");
    assert_eq!((jobs.last(), cause), (Some(&100), ForgetCause::Size));
    assert_eq!(jobs.len() as u32, jobs[jobs.len() - 1] - jobs[0] + 1);
}

#[test]
fn an_image_is_written_at_the_end_and_when_there_is_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = journal(dir.path(), &[0], 4);
    let at = |dir: &std::path::Path| newest(&RealDisk, dir, &mut Vec::new()).unwrap().map(|image| image.at.seq);
    let stop = eventlog::draft(&Stamped { at: Time(1), event: Event::ServerStopped(ServerStopped {}) });
    let keeper = |journal: &Journal| {
        let (turn, _) = mpsc::channel(1);
        Keeper::new(dir.path().to_path_buf(), journal, 0, Keep::default(), turn)
    };
    keeper(&journal).look();
    keeper(&journal).end();
    assert_eq!(at(dir.path()), None, "a few events are read again faster than an image");
    for _ in 0..2 {
        journal.append(&vec![stop.clone(); limits::CHECKPOINT_IDLE_EVENTS as usize]).unwrap();
        journal.commit().unwrap();
        let mut keeper = keeper(&journal);
        keeper.look();
        let first = at(dir.path());
        assert_eq!(first, Some(journal.durable().seq));
        journal.append(std::slice::from_ref(&stop)).unwrap();
        journal.commit().unwrap();
        keeper.look();
        keeper.end();
        assert_eq!(at(dir.path()), first);
    }
}
