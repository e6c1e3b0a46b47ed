//! The link against a server that answers from a script, over a real connection.

use super::*;
use crate::access::AccessFile;
use crate::client::render::OutputMode;
use crate::client::render::color::ColorPolicy;
use crate::wire::{Role, ServerUid};
use hq_core::view::TaskView;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use tokio::net::TcpListener;

type Script = dyn Fn(Request) -> Option<Vec<Response>> + Send + Sync;

/// A server that gives the answers of a script, and ends the connection where it has none.
struct Scripted {
    dir: tempfile::TempDir,
    _runtime: Runtime,
}

impl Scripted {
    fn start(script: impl Fn(Request) -> Option<Vec<Response>> + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let uid = ServerUid::random().unwrap();
        let access = AccessFile::generate(crate::VERSION, uid, ("127.0.0.1", port), ("127.0.0.1", port)).unwrap();
        std::fs::DirBuilder::new().mode(0o700).create(dir.path().join("server")).unwrap();
        access.write(&dir.path().join("server/access.json")).unwrap();
        let script: Arc<Script> = Arc::new(script);
        runtime.spawn(crate::wire::serve(listener, 1, access.identity(Role::Client), move |peer| {
            let script = script.clone();
            async move {
                let mut connection = peer.connection;
                while let Ok(Some(request)) = connection.recv::<Request>().await {
                    let Some(answers) = script(request) else { return };
                    for answer in answers {
                        let _ = connection.send(&answer).await;
                    }
                }
            }
        }));
        Self { dir, _runtime: runtime }
    }

    fn global(&self) -> GlobalOptions {
        GlobalOptions {
            server_dir: Some(self.dir.path().join("server")),
            output_mode: OutputMode::Cli,
            colors: ColorPolicy::Never,
            debug: false,
        }
    }

    fn link(&self) -> Link {
        Link::open(&self.global()).unwrap()
    }
}

fn refused() -> Option<Vec<Response>> {
    Some(vec![Response::Refused("no".to_owned())])
}

#[test]
fn refusals_and_lost_connections_are_errors() {
    let server = Scripted::start(|request| match request {
        Request::ServerInfo(_) => Some(vec![Response::Stopping(Empty {})]),
        Request::JobList(_) => refused(),
        _ => None,
    });
    let mut link = server.link();
    assert!(matches!(link.ask(&Request::ServerInfo(Empty {})), Ok(Response::Stopping(_))));
    let error = link.ask(&Request::JobList(Empty {})).unwrap_err();
    assert_eq!(error.to_string(), "Error: no");
    assert!(matches!(link.job_details(one_job(JobId(1))), Err(Error::Lost { .. })));
    assert!(matches!(link.ask(&Request::JobList(Empty {})), Err(Error::Lost { .. })));
}

#[test]
fn answers_to_something_else_are_errors() {
    let server = Scripted::start(|_| Some(vec![Response::Stopping(Empty {})]));
    let mut link = server.link();
    assert!(matches!(link.wait(one_job(JobId(1)), false), Err(Error::Unexpected)));
    assert!(matches!(link.job_details(one_job(JobId(1))), Err(Error::Unexpected)));
}

#[test]
fn tasks_come_page_by_page() {
    let server = Scripted::start(|request| {
        let Request::Tasks(wanted) = request else { return refused() };
        let page = |from: u32, next: Option<u32>| {
            let task = |id| TaskView { id: TaskId(id), ..TaskView::default() };
            let tasks = (from..from + 2).map(task).collect();
            Response::Tasks(Some(TaskPage { job: wanted.job, tasks, next: next.map(TaskId), ..TaskPage::default() }))
        };
        Some(vec![match (wanted.job.0, wanted.from.0) {
            (1, 0) => page(0, Some(10)),
            (1, _) => page(10, None),
            // A page that leads back to itself.
            (2, _) => page(0, Some(0)),
            _ => Response::Tasks(None),
        }])
    });
    let mut link = server.link();
    let mut seen = Vec::new();
    let found = link.tasks(JobId(1), None, &[], &mut |page| {
        seen.extend(page.tasks.iter().map(|task| task.id.0));
        Ok(())
    });
    assert_eq!((found.unwrap(), seen), (true, vec![0, 1, 10, 11]));
    assert!(!link.tasks(JobId(3), None, &[], &mut |_| Ok(())).unwrap());
    assert!(matches!(link.tasks(JobId(2), None, &[], &mut |_| Ok(())), Err(Error::Unexpected)));
}

#[test]
fn tasks_of_many_jobs_come_with_few_questions() {
    // A server that tells of further jobs, three at a time, and one that does not know how.
    for told in [3, 0] {
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = Scripted::start(move |request| {
            let Request::Tasks(wanted) = request else { return refused() };
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let page = |job: JobId, from: TaskId| TaskPage {
                job,
                tasks: vec![TaskView { id: TaskId(from.0 + job.0), ..TaskView::default() }],
                // Job 4 has two pages, and there is no job 6.
                next: (job.0 == 4 && from.0 == 0).then_some(TaskId(10)),
                ..TaskPage::default()
            };
            let first = page(wanted.job, wanted.from);
            let mut more: Vec<TaskPage> = Vec::new();
            for job in wanted.also.iter().take(told).map(JobId) {
                if more.last().unwrap_or(&first).next.is_some() {
                    break;
                }
                more.push(if job.0 == 6 { TaskPage { job, ..TaskPage::default() } } else { page(job, TaskId(0)) });
            }
            let is_there = wanted.job.0 != 6;
            Some(vec![Response::Tasks(is_there.then_some(TaskPage { more, ..first }))])
        });
        let mut link = server.link();
        let jobs: Vec<JobId> = [9, 1, 2, 3, 4, 5, 6, 7].map(JobId).into();
        let mut pages = crate::client::task_pages::TaskPages::new(jobs.clone(), None, &[]);
        let mut seen = Vec::new();
        for job in &jobs {
            let mut take = |page: TaskPage| {
                assert_eq!(page.job, *job);
                seen.extend(page.tasks.iter().map(|task| task.id.0));
                Ok(())
            };
            pages.of(&mut link, *job, &mut take).unwrap();
        }
        assert_eq!(seen, [9, 1, 2, 3, 4, 14, 5, 7]);
        let asked = asked.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(asked, if told == 0 { 9 } else { 3 });
    }
}

#[test]
fn a_list_of_small_jobs_is_one_question_in_every_mode() {
    use crate::client::arguments::{Cli, Command, TaskCommand};
    use crate::client::commands::task;
    use crate::client::console::Console;
    use clap::Parser;
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Scripted::start(move |request| match request {
        Request::JobDetails(selector) => {
            let detail = |id| {
                let summary = hq_core::view::JobSummary { id: JobId(id), ..Default::default() };
                JobDetail { summary, ..JobDetail::default() }
            };
            Some(vec![Response::JobDetails((selector.ids.iter().map(detail).collect(), Vec::new()))])
        }
        Request::Tasks(wanted) => {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let page = |job| TaskPage { job, ..TaskPage::default() };
            let more = wanted.also.iter().map(|job| page(JobId(job))).collect();
            Some(vec![Response::Tasks(Some(TaskPage { more, ..page(wanted.job) }))])
        }
        _ => None,
    });
    let line = Cli::try_parse_from(["hq", "task", "list", "1-112"]).unwrap();
    let Command::Task(group) = line.command else { panic!("another command") };
    let TaskCommand::List(args) = &group.command else { panic!("another command") };
    for (questions, mode) in [OutputMode::Cli, OutputMode::Json].into_iter().enumerate() {
        task::list(&mut server.link(), args, &mut Console::new(mode, ColorPolicy::Never)).unwrap();
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), questions + 1, "{mode:?}");
    }
}

#[test]
fn a_server_that_is_gone_is_unreachable() {
    let server = Scripted::start(|_| None);
    let global = server.global();
    let Scripted { dir: _dir, _runtime: runtime } = server;
    drop(runtime);
    let error = Link::open(&global).err().unwrap();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().starts_with("Access token found but HQ server 127.0.0.1:"), "{error}");
}

#[test]
fn selectors_travel() {
    use crate::grammar::selector::{LastOrIds, Selector as Typed};
    assert_eq!(selector(Typed::All).kind, SelectorKind::All);
    assert_eq!(selector(LastOrIds::Last).kind, SelectorKind::Last);
    assert_eq!(selector(LastOrIds::Ids(IdSet::range(3, 5))).ids, IdSet::range(3, 5));
}
