//! Tasks from their assignment to their outcome.
//!
//! What holds: each test ends its worker, which must leave no process behind.

use super::*;
use crate::platform::process;
use hq_core::resource::{Policy, RequestEntry};
use hq_core::retry::FailureCause;
use hq_core::task::PinMode;
use hq_core::time::Span;
use std::collections::BTreeMap;

#[tokio::test]
async fn tasks_run_and_the_worker_stops() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, registrations) = start(server.options());
    let (mut peer, registration) = server.accept("aaaaaa").await;
    assert_eq!(registration.server_uid, "");
    assert_eq!(registration.config.resources.size_of("cpus"), Amount::units(2));
    assert!(registration.config.listen_address.starts_with(&registration.config.hostname));
    peer.assign(1, plain(server.temp.path(), &["/bin/true"]), &(0..50).collect::<Vec<_>>()).await;
    for task in 0..50 {
        let outcome = peer.outcome(task).await;
        assert_eq!((outcome.ending, outcome.exit_code), (Ending::Finished, Some(0)));
        assert!(outcome.started.unwrap() <= outcome.ended);
    }
    peer.send(ToWorker::Acknowledge(50)).await;
    assert_eq!(peer.stop(worker).await.ended.len(), 50);
    assert_eq!(registrations.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn failures_say_what_happened() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, _) = start(server.options());
    let (mut peer, _) = server.accept("aaaaaa").await;
    let missing = "Cannot execute \"no-such-program-here\": No such file or directory (os error 2)";
    let killed = "Program terminated with exit code -1. Received signal 9 (SIGKILL).";
    let table: [(&[&str], &str, FailureCause); 5] = [
        (&["/bin/sh", "-c", "exit 3"], "Program terminated with exit code 3.", FailureCause::Exit),
        (&["/bin/sh", "-c", "kill -9 $$"], killed, FailureCause::Signal),
        (&["no-such-program-here"], missing, FailureCause::Start),
        (&[], "no command arguments", FailureCause::Start),
        (&["/bin/true"], "", FailureCause::Other),
    ];
    for (job, (args, text, cause)) in (1..).zip(table) {
        peer.assign(job, plain(server.temp.path(), args), &[job]).await;
        let outcome = peer.outcome(job).await;
        assert!(outcome.error.contains(text), "{outcome:?}");
        assert_eq!(outcome.ending, if text.is_empty() { Ending::Finished } else { Ending::Failed });
        assert_eq!(outcome.cause, cause, "{outcome:?}");
    }
    let (mut desc, mut shared) = desc(server.temp.path(), &["/bin/true"]);
    desc.stdout = Destination { path: "/dev/null/x".into(), ..Destination::default() };
    shared.desc = Arc::new(desc);
    peer.assign(9, Some(shared), &[9]).await;
    assert_eq!(peer.outcome(9).await.cause, FailureCause::Output);
    peer.stop(worker).await;
}

#[tokio::test]
async fn a_task_sees_its_environment_and_writes_its_files() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, _) = start(server.options());
    let (mut peer, _) = server.accept("aaaaaa").await;
    // Whoever runs the tests may have variables for commands of their own.
    let script = "pwd; env | grep -E '^(HQ|OMP|MY)' | \
                  grep -vE '^HQ_(ACCESS_KEY|PROCESS_MARK|SERVER_DIR|OUTPUT_MODE|DEBUG)=' | sort; cat; cat /proc/$PPID/comm >&2";
    let (mut desc, mut shared) = desc(server.temp.path(), &["/bin/sh", "-c", script]);
    desc.env = BTreeMap::from([("MY".into(), "own".into()), ("HQ_JOB_ID".into(), "wrong".into())]);
    desc.cwd = "work-%{TASK_ID}".into();
    desc.stdin = b"input\n".to_vec().into();
    desc.stdout = Destination::default();
    desc.stderr = Destination { path: "err/%{JOB_ID}-%{INSTANCE_ID}".into(), ..Destination::default() };
    desc.pin = PinMode::Omp;
    desc.request.variants[0].entries[0].amount = Amount::units(2);
    shared.desc = Arc::new(desc);
    let tasks = vec![AssignedTask { task: TaskId(5), attempt: AttemptId(3), entry: Some(b"line".to_vec().into()) }];
    let assignment = Assignment { key: key(9), epoch: Epoch(1), variant: 0, tasks, nodes: Vec::new() };
    peer.send(ToWorker::Assign(AssignMessage { shared: Some(shared), assignment })).await;
    assert_eq!(peer.outcome(5).await.error, "");
    let cwd = server.path("work-5");
    let submit_dir = server.temp.path().to_str().unwrap();
    let hq = std::env::current_exe().unwrap();
    let expected = format!(
        "{cwd}\nHQ={}\nHQ_CPUS=1,0\nHQ_ENTRY=line\nHQ_INSTANCE_ID=3\nHQ_JOB_ID=9\nHQ_PIN=omp\n\
         HQ_RESOURCE_REQUEST_cpus=2 compact\nHQ_RESOURCE_VALUES_cpus=1,0\nHQ_SUBMIT_DIR={submit_dir}\nHQ_TASK_ID=5\n\
         MY=own\nOMP_NUM_THREADS=2\nOMP_PLACES={{1,0}}\nOMP_PROC_BIND=close\ninput\n",
        hq.display()
    );
    assert_eq!(std::fs::read_to_string(format!("{cwd}/job-9/5.stdout")).unwrap(), expected);
    assert!(!std::fs::read_to_string(format!("{cwd}/err/9-3")).unwrap().is_empty());
    peer.stop(worker).await;
}

#[tokio::test]
async fn files_and_directories_of_a_task_go_as_they_should() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, _) = start(server.options());
    let (mut peer, registration) = server.accept("aaaaaa").await;
    let script = "echo out; test -d $HQ_TASK_DIR && echo why > $HQ_ERROR_FILENAME; exit $HQ_TASK_ID";
    let (mut desc, mut shared) = desc(server.temp.path(), &["/bin/sh", "-c", script]);
    let path = "%{TASK_ID}.out".into();
    desc.stdout = Destination { path, remove_if_finished: true, ..Destination::default() };
    desc.task_dir = true;
    shared.desc = Arc::new(desc);
    peer.assign(1, Some(shared), &[0, 1]).await;
    assert_eq!(peer.outcome(0).await.ending, Ending::Finished);
    let failed = peer.outcome(1).await;
    assert_eq!((failed.ending, failed.error.as_str(), failed.exit_code), (Ending::Failed, "why\n", Some(1)));
    assert!(!Path::new(&server.path("0.out")).exists());
    assert_eq!(std::fs::read_to_string(server.path("1.out")).unwrap(), "out\n");
    let work_dir = registration.config.work_dir;
    assert_eq!(std::fs::read_dir(&work_dir).unwrap().count(), 0);
    peer.stop(worker).await;
    assert!(!Path::new(&work_dir).parent().unwrap().exists());
}

#[tokio::test]
async fn cancelled_tasks_end_with_all_their_processes() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, _) = start(server.options());
    let (mut peer, _) = server.accept("aaaaaa").await;
    // The first one ignores the request; its child would outlive it.
    let stubborn = "trap '' INT; sleep 1000 & echo $! > child; wait; sleep 1000";
    peer.assign(1, plain(server.temp.path(), &["/bin/sh", "-c", stubborn]), &[0]).await;
    peer.assign(2, plain(server.temp.path(), &["/bin/sleep", "1000"]), &[1, 2]).await;
    peer.started(0).await;
    peer.started(1).await;
    let child = Path::new(&server.path("child")).to_owned();
    soon("ignored request", async {
        while std::fs::read_to_string(&child).unwrap_or_default().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    peer.send(ToWorker::Retract(vec![attempt(1, 0)])).await;
    peer.send(ToWorker::Cancel(vec![attempt(1, 0), attempt(2, 1), attempt(2, 2)])).await;
    for (task, signal) in [(2, None), (1, Some(2)), (0, Some(9))] {
        let outcome = peer.outcome(task).await;
        assert_eq!((outcome.ending, outcome.signal), (Ending::Canceled, signal), "task {task}");
    }
    let child = std::fs::read_to_string(child).unwrap();
    let gone = || !Path::new("/proc").join(child.trim()).exists();
    soon("end of the child", async {
        while !gone() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(peer.stop(worker).await.returned.is_empty());
}

#[tokio::test]
async fn the_output_of_an_attempt_is_kept_where_there_are_retries() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, _) = start(server.options());
    let (mut peer, _) = server.accept("aaaaaa").await;
    let (mut desc, mut shared) = desc(server.temp.path(), &["/bin/sh", "-c", "echo $HQ_INSTANCE_ID; exit 1"]);
    desc.stdout = Destination { path: "out/%{TASK_ID}".into(), ..Destination::default() };
    desc.stderr = Destination { path: "err/%{TASK_ID}-%{INSTANCE_ID}".into(), ..Destination::default() };
    let read = |name: &str| std::fs::read_to_string(server.temp.path().join(name)).ok();
    for (task, retries) in [(1, false), (2, true)] {
        desc.retry = retries.then(Box::default);
        shared.desc = Arc::new(desc.clone());
        for attempt in 0..3 {
            let tasks = vec![AssignedTask { task: TaskId(task), attempt: AttemptId(attempt), entry: None }];
            let assignment = Assignment { key: key(task), epoch: Epoch(1), variant: 0, tasks, nodes: Vec::new() };
            peer.send(ToWorker::Assign(AssignMessage { shared: Some(shared.clone()), assignment })).await;
            peer.outcome(task).await;
            peer.seen.ended.clear();
        }
        let kept = [0, 1].map(|attempt| read(&format!("out/{task}.attempt-{attempt}")));
        assert_eq!(kept, if retries { [Some("0\n".into()), Some("1\n".into())] } else { [None, None] });
        assert_eq!(read(&format!("out/{task}")).as_deref(), Some("2\n"));
        assert_eq!(read(&format!("err/{task}-0.attempt-0")), None);
    }
    peer.stop(worker).await;
}

#[tokio::test]
async fn limits_and_stops_end_tasks() {
    let mut server = FakeServer::start("aaaaaa").await;
    let mut options = server.options();
    options.heartbeat = Span::from_ms(200);
    let (worker, _) = start(options);
    let (mut peer, _) = server.accept("aaaaaa").await;
    let (mut desc, mut shared) = desc(server.temp.path(), &["/bin/sleep", "1000"]);
    desc.time_limit = Some(Span::from_ms(300));
    shared.desc = Arc::new(desc.clone());
    peer.assign(1, Some(shared.clone()), &[0]).await;
    let outcome = peer.outcome(0).await;
    assert_eq!((outcome.ending, outcome.error.as_str()), (Ending::Failed, "Time limit reached"));
    assert_eq!(outcome.cause, FailureCause::TimeLimit);
    desc.time_limit = None;
    shared.desc = Arc::new(desc);
    peer.assign(2, Some(shared), &[1, 2, 3]).await;
    peer.started(1).await;
    peer.started(2).await;
    let seen = peer.stop(worker).await;
    assert_eq!(seen.returned, vec![attempt(2, 3)]);
    assert_eq!(seen.ended.iter().filter(|outcome| outcome.ending == Ending::Interrupted).count(), 2);
}

#[tokio::test]
async fn the_lifetime_of_a_worker_ends() {
    let mut server = FakeServer::start("aaaaaa").await;
    let mut options = server.options();
    options.heartbeat = Span::from_ms(200);
    options.time_limit = Some(Span::from_ms(900));
    let (worker, _) = start(options);
    let (mut peer, _) = server.accept("aaaaaa").await;
    peer.assign(1, plain(server.temp.path(), &["/bin/sleep", "1000"]), &[0]).await;
    peer.started(0).await;
    let seen = peer.farewell(LostReason::TimeLimitReached, worker).await;
    assert_eq!(seen.ended[0].ending, Ending::Interrupted);
}

#[tokio::test]
async fn what_cannot_run_here_goes_back() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, _) = start(server.options());
    let (mut peer, _) = server.accept("aaaaaa").await;
    let (mut desc, mut shared) = desc(server.temp.path(), &["/bin/true"]);
    let gpus = RequestEntry { resource: "gpus".into(), amount: Amount::units(1), policy: Policy::Compact };
    desc.request.variants[0].entries.push(gpus);
    shared.desc = Arc::new(desc);
    peer.assign(1, Some(shared), &[0]).await;
    peer.until("return", |seen| seen.rejected == vec![attempt(1, 0)]).await;
    peer.stop(worker).await;
}

#[tokio::test]
async fn a_worker_without_processes_finishes_everything() {
    let mut server = FakeServer::start("aaaaaa").await;
    let mut options = server.options();
    options.zero = true;
    let (worker, _) = start(options);
    let (mut peer, _) = server.accept("aaaaaa").await;
    peer.assign(1, plain(server.temp.path(), &["no-such-program"]), &(0..1000).collect::<Vec<_>>()).await;
    peer.until("all ends", |seen| seen.ended.len() == 1000).await;
    assert!(peer.seen.ended.iter().all(|outcome| outcome.ending == Ending::Finished && outcome.started.is_some()));
    peer.stop(worker).await;
}

#[tokio::test]
async fn what_a_buffer_has_from_before_the_end_of_the_lease_is_not_started() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, _) = start(server.options());
    let (mut peer, _) = server.accept("aaaaaa").await;
    let mut refused = 0;
    for task in 0..100 {
        // It begins anew when the worker looks at its clock, which here has not been set aside.
        process::end_lease();
        peer.assign(1 + task, plain(server.temp.path(), &["touch", &server.path(&task.to_string())]), &[task]).await;
        let outcome = peer.outcome(task).await;
        let has_run = std::path::Path::new(&server.path(&task.to_string())).exists();
        assert_eq!(outcome.started.is_some(), has_run, "{outcome:?}");
        assert!(matches!(outcome.ending, Ending::Interrupted | Ending::Finished), "{outcome:?}");
        refused += usize::from(!has_run);
    }
    assert!(refused > 0);
    peer.stop(worker).await;
}
