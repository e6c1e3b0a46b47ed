//! Streamed output, from the task to the reader of the stream directory.
//!
//! What holds: what a finished task wrote is there, whole and in order, when its outcome is.

use super::*;
use hq_journal::disk::RealDisk;
use hq_journal::stream::{CHANNEL_STDERR, CHANNEL_STDOUT, Instance, StreamDir};

fn streamed(dir: &Path, stream: &str, script: &str) -> Option<SharedDesc> {
    let (mut desc, mut shared) = desc(dir, &["/bin/sh", "-c", script]);
    desc.stdout.kind = DestinationKind::Stream;
    desc.stderr.kind = DestinationKind::Stream;
    shared.desc = Arc::new(desc);
    shared.stream = Some(stream.to_owned());
    Some(shared)
}

/// What the newest instance of a task wrote, and whether its stream is finished.
fn read(path: &str, job: u32, task: u32, channel: u8) -> Option<(Vec<u8>, bool)> {
    let dir = StreamDir::open(std::sync::Arc::new(RealDisk), Path::new(path), Some("aaaaaa")).ok()?;
    let instance: Instance = dir.newest(job, task).unwrap()?;
    let mut bytes = Vec::new();
    dir.read(&instance, channel, &mut |_, chunk| {
        bytes.extend_from_slice(chunk);
        Ok(())
    })
    .unwrap();
    Some((bytes, instance.finished))
}

#[tokio::test]
async fn output_is_there_with_the_outcome() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, _) = start(server.options());
    let (mut peer, _) = server.accept("aaaaaa").await;
    let script = "i=0; while test $i -lt 5000; do echo line-$HQ_TASK_ID-$i; i=$((i+1)); done; echo err >&2; exit 4";
    peer.assign(1, streamed(server.temp.path(), "out-%{JOB_ID}", script), &[0, 1, 2, 3]).await;
    for task in 0..4 {
        assert_eq!(peer.outcome(task).await.exit_code, Some(4));
        let expected: String = (0..5000).map(|i| format!("line-{task}-{i}\n")).collect();
        let dir = server.path("out-1");
        assert_eq!(read(&dir, 1, task, CHANNEL_STDOUT), Some((expected.into_bytes(), true)));
        assert_eq!(read(&dir, 1, task, CHANNEL_STDERR), Some((b"err\n".to_vec(), true)));
    }
    assert_eq!(std::fs::read_dir(server.path("out-1")).unwrap().count(), 1, "one file a worker and directory");
    peer.stop(worker).await;
}

#[tokio::test]
async fn output_of_a_running_task_appears() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, _) = start(server.options());
    let (mut peer, _) = server.accept("aaaaaa").await;
    peer.assign(1, streamed(server.temp.path(), "out", "echo early; sleep 1000"), &[0]).await;
    let dir = server.path("out");
    soon("early output", async {
        while read(&dir, 1, 0, CHANNEL_STDOUT) != Some((b"early\n".to_vec(), false)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    peer.send(ToWorker::Cancel(vec![attempt(1, 0)])).await;
    assert_eq!(peer.outcome(0).await.ending, Ending::Canceled);
    assert_eq!(read(&dir, 1, 0, CHANNEL_STDOUT), Some((b"early\n".to_vec(), true)));
    peer.stop(worker).await;
}

#[tokio::test]
async fn a_task_ends_with_the_last_writer_of_its_output() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, _) = start(server.options());
    let (mut peer, _) = server.accept("aaaaaa").await;
    // The program ends at once; a child of its own session goes on writing.
    let script = "setsid sh -c 'until test -e go; do sleep 0.02; done; echo late' & echo early";
    peer.assign(1, streamed(server.temp.path(), "out", script), &[0]).await;
    peer.started(0).await;
    assert!(peer.seen.ended.is_empty());
    std::fs::write(server.path("go"), "").unwrap();
    assert_eq!(peer.outcome(0).await.ending, Ending::Finished);
    assert_eq!(read(&server.path("out"), 1, 0, CHANNEL_STDOUT), Some((b"early\nlate\n".to_vec(), true)));
    // One that nobody lets go is given up after the kill.
    peer.assign(2, streamed(server.temp.path(), "out", "setsid sleep 30 & echo $! > orphan"), &[1]).await;
    peer.started(1).await;
    peer.send(ToWorker::Cancel(vec![attempt(2, 1)])).await;
    assert_eq!(peer.outcome(1).await.ending, Ending::Canceled);
    peer.stop(worker).await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_fails_the_task() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, _) = start(server.options());
    let (mut peer, _) = server.accept("aaaaaa").await;
    std::fs::write(server.path("file"), "").unwrap();
    peer.assign(1, streamed(server.temp.path(), "file/out", "touch ran"), &[0]).await;
    let outcome = peer.outcome(0).await;
    assert_eq!((outcome.ending, outcome.started), (Ending::Failed, None));
    let dir = server.path("file/out");
    assert!(outcome.error.starts_with(&format!("Error: Cannot create stream directory {dir}: ")), "{}", outcome.error);
    // A program that cannot be started leaves the stream usable.
    let mut bad = streamed(server.temp.path(), "out", "").unwrap();
    Arc::make_mut(&mut bad.desc).args = vec!["no-such-program-here".into()];
    peer.assign(2, Some(bad), &[1]).await;
    assert!(peer.outcome(1).await.error.contains("was not found"));
    peer.assign(3, streamed(server.temp.path(), "out", "echo x"), &[2]).await;
    assert_eq!(peer.outcome(2).await.ending, Ending::Finished);
    assert_eq!(read(&server.path("out"), 3, 2, CHANNEL_STDOUT), Some((b"x\n".to_vec(), true)));
    assert!(!Path::new(&server.path("ran")).exists());
    peer.stop(worker).await;
}
