//! Where a task works and writes, as it is shown and read by the client.
//!
//! Descriptions travel as they were typed; the same resolver that a worker uses at the start of a task is used here, so
//! that what is shown, what `hq job cat` opens and what the task writes cannot differ.
//!
//! Holds: nothing here touches the file system.

use crate::grammar::placeholder::{self, Context};
use hq_core::id::{AttemptId, JobId, TaskId};
use hq_core::task::{Destination, DestinationKind, SubmitDesc, TaskDesc};
use hq_core::view::{JobDetail, TaskView};

/// Where an output goes, with its path resolved as far as the context allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To this file.
    File(String),
    /// Nowhere.
    Discarded,
    /// Into the stream directory of the submit.
    Streamed,
}

/// The paths of a task, or of all tasks of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Working directory.
    pub cwd: String,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
}

/// The paths as `job info` shows them: what is the same for all tasks is filled in, the rest stays a placeholder.
pub fn of_description(job: JobId, server_uid: &str, submit: &SubmitDesc, desc: &TaskDesc) -> Paths {
    resolve(desc, &context(job, server_uid, submit, None))
}

/// The paths of one task that has started; `None` when the job does not have its description.
pub fn of_task(job: &JobDetail, task: &TaskView) -> Option<Paths> {
    let submit = job.submits.get(task.submit as usize)?;
    let desc = submit.descs.get(task.desc as usize)?;
    let context = context(job.summary.id, &job.server_uid, submit, Some((task.id, task.attempt)));
    Some(resolve(desc, &context))
}

/// The paths of a description as they were typed, defaults filled in and nothing replaced.
pub fn unresolved(desc: &TaskDesc) -> Paths {
    resolve(desc, &Context::default())
}

fn context<'a>(
    job: JobId,
    server_uid: &'a str,
    submit: &'a SubmitDesc,
    task: Option<(TaskId, AttemptId)>,
) -> Context<'a> {
    Context {
        job: Some(job),
        task: task.map(|(id, _)| id),
        instance: task.map(|(_, attempt)| attempt),
        submit_dir: Some(&submit.submit_dir),
        server_uid: Some(server_uid),
        cwd: None,
    }
}

fn resolve(desc: &TaskDesc, context: &Context<'_>) -> Paths {
    let resolved = placeholder::resolve_desc_paths(desc, context);
    Paths {
        cwd: resolved.cwd,
        stdout: output(&desc.stdout, resolved.stdout),
        stderr: output(&desc.stderr, resolved.stderr),
    }
}

fn output(destination: &Destination, path: Option<String>) -> Output {
    match (destination.kind, path) {
        (DestinationKind::Stream, _) => Output::Streamed,
        (DestinationKind::File, Some(path)) => Output::File(path),
        (DestinationKind::File, None) | (DestinationKind::Discard, _) => Output::Discarded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::view::{JobSummary, TaskState};
    use std::sync::Arc;

    fn job(desc: TaskDesc) -> JobDetail {
        let submit = SubmitDesc { descs: vec![Arc::new(desc)], submit_dir: "/base".into(), ..SubmitDesc::default() };
        let summary = JobSummary { id: JobId(1), ..JobSummary::default() };
        JobDetail { summary, submits: vec![Arc::new(submit)], server_uid: "AbCd12".into(), ..JobDetail::default() }
    }

    fn file(path: &str) -> Destination {
        Destination { kind: DestinationKind::File, path: path.into(), remove_if_finished: false }
    }

    #[test]
    fn job_info_leaves_what_differs_between_tasks() {
        let job = job(TaskDesc::default());
        let paths = of_description(JobId(1), "AbCd12", &job.submits[0], &job.submits[0].descs[0]);
        assert_eq!(paths.cwd, "/base");
        assert_eq!(paths.stdout, Output::File("/base/job-1/%{TASK_ID}.stdout".into()));
        let desc = TaskDesc { cwd: "/d/%{TASK_ID}".into(), ..TaskDesc::default() };
        let paths = of_description(JobId(1), "AbCd12", &job.submits[0], &desc);
        assert_eq!(paths.stdout, Output::File("/d/%{TASK_ID}/job-1/%{TASK_ID}.stdout".into()));
    }

    #[test]
    fn a_started_task_has_complete_paths() {
        let stream = Destination { kind: DestinationKind::Stream, ..Destination::default() };
        let desc = TaskDesc { stdout: file("out/%{SERVER_UID}-%{INSTANCE_ID}"), stderr: stream, ..TaskDesc::default() };
        let job = job(desc);
        let task = TaskView { id: TaskId(7), attempt: AttemptId(2), state: TaskState::Running, ..TaskView::default() };
        let paths = of_task(&job, &task).unwrap();
        assert_eq!(paths.stdout, Output::File("/base/out/AbCd12-2".into()));
        assert_eq!(paths.stderr, Output::Streamed);
        assert_eq!(of_task(&job, &TaskView { submit: 1, ..task }), None);
    }
}
