//! Output of tasks while they run: `job cat --follow`, `task cat` and `task attach`.
//!
//! Which attempt runs is asked of the server at each look, a few times a second; the output itself is read by the client.
//!
//! Holds: a task is followed until it has ended and everything that it wrote was passed on, over restarts as well; where
//! several tasks are shown, a line says whose output follows whenever that changes.

use crate::client::arguments::{Channel, TaskAttachArgs, TaskCatArgs};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::{Link, one_job, selector};
use crate::client::live::{Source, Streams, newest_attempt};
use crate::client::render::{OutputMode, escape};
use crate::grammar::selector::{LastOrId, LastOrIds};
use crate::platform::terminal;
use hq_core::id::{AttemptId, JobId, TaskId};
use hq_core::idset::IdSet;
use hq_core::view::{JobDetail, TaskState, TaskView};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

/// Shortest pause between two looks, after one at which something was new.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause; while nothing is new, each is twice the one before.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Tasks that are followed at a time; each has a file open.
const TASKS_MAX: usize = 500;

/// Takes what one task wrote.
type ChannelSink<'a> = dyn FnMut(Channel, &[u8]) -> Result<(), Error> + 'a;
/// Takes what some task wrote.
type TaskSink<'a> = dyn FnMut(TaskId, Channel, &[u8]) -> Result<(), Error> + 'a;

/// What is to be shown of which tasks.
pub(super) struct Wanted<'a> {
    /// The outputs; the standard error goes to this command's standard error if both are there.
    pub(super) channels: &'a [Channel],
    /// Only these tasks.
    pub(super) tasks: Option<&'a IdSet>,
    /// Only tasks in one of these states at the beginning.
    pub(super) states: &'a [TaskState],
    /// Whether a line says whose output follows also where there is one task only.
    pub(super) headers: bool,
}

/// One task that is followed.
#[derive(Default)]
struct Followed {
    sources: Vec<(Channel, Source)>,
    /// The attempt that the sources are of; none: none has started.
    attempt: Option<AttemptId>,
    /// The last that was heard of it, once it has ended.
    end: Option<TaskView>,
}

/// What a look at all tasks found.
#[derive(Default)]
struct Look {
    /// Some tasks have not ended.
    is_open: bool,
    /// Something was printed.
    is_new: bool,
    /// There is more to print at once.
    has_more: bool,
}

/// What was printed last, and of whom.
#[derive(Default)]
struct Printed {
    of: Option<(JobId, TaskId)>,
    in_line: bool,
}

/// Runs `hq task cat`.
///
/// # Errors
/// See [`Error`].
pub fn cat(link: &mut Link, args: &TaskCatArgs, console: &mut Console) -> Result<(), Error> {
    let job = find_job(link, args.job, console)?;
    if args.follow {
        let wanted = Wanted { channels: &[args.channel], tasks: Some(&args.tasks), states: &[], headers: false };
        return follow(link, &[job], &wanted, console).map(drop);
    }
    let id = job.summary.id;
    link.tasks(id, Some(&args.tasks), &[], &mut |page| {
        warn_missing(id, &page.missing);
        page.tasks.iter().try_for_each(|task| cat_attempt(args, &job, task, console))
    })?;
    Ok(())
}

fn cat_attempt(args: &TaskCatArgs, job: &JobDetail, task: &TaskView, console: &mut Console) -> Result<(), Error> {
    let newest = newest_attempt(task);
    let Some(attempt) = args.attempt.map(AttemptId).or(newest) else {
        warn_no_output(task, args.channel);
        return Ok(());
    };
    if newest.is_none_or(|newest| attempt > newest) {
        log::warn!("Task {} has no attempt {attempt} that has started", task.id);
        return Ok(());
    }
    let mut source = Source::of(job, task, args.channel, attempt, &Streams::default());
    if matches!(source, Source::Nothing) {
        warn_no_output(task, args.channel);
    }
    source.read_rest(&mut |bytes| console.bytes(bytes))
}

fn warn_no_output(task: &TaskView, channel: Channel) {
    log::warn!("Task {} has no `{}` stream associated with it", task.id, channel.word());
}

fn warn_missing(job: JobId, missing: &[TaskId]) {
    for task in missing {
        log::warn!("Task {task} of job {job} not found");
    }
}

/// Runs `hq task attach`.
///
/// # Errors
/// See [`Error`]; [`Error::Invalid`] for a task that does not finish.
pub fn attach(link: &mut Link, args: &TaskAttachArgs, console: &mut Console) -> Result<(), Error> {
    let job = find_job(link, args.job, console)?;
    let id = job.summary.id;
    let tasks = IdSet::single(args.task);
    let channels = [Channel::Stdout, Channel::Stderr];
    let wanted = Wanted { channels: &channels, tasks: Some(&tasks), states: &[], headers: false };
    let ends = follow(link, &[job], &wanted, console)?;
    let Some(end) = ends.first() else {
        return Err(Error::Invalid(format!("Job {id} has no task {}", args.task)));
    };
    if end.state == TaskState::Finished {
        return Ok(());
    }
    let why = end.error.as_ref().or(end.reason.as_ref()).map(|why| format!(": {}", escape::line(why)));
    Err(Error::Invalid(format!("Task {} is {}{}", end.id, end.state.word().to_lowercase(), why.unwrap_or_default())))
}

fn find_job(link: &mut Link, job: LastOrId, console: &Console) -> Result<JobDetail, Error> {
    let (jobs, _) = link.job_details(match job {
        LastOrId::Last => selector(LastOrIds::Last),
        LastOrId::Id(id) => one_job(JobId(id)),
    })?;
    check_mode(console, &jobs)?;
    jobs.into_iter().next().ok_or_else(|| {
        Error::Invalid(match job {
            LastOrId::Last => "There is no job".to_owned(),
            LastOrId::Id(id) => format!("Job {id} not found"),
        })
    })
}

/// Outputs are no JSON.
///
/// # Errors
/// [`Error::Invalid`] in that mode, when there is something to print.
pub(super) fn check_mode(console: &Console, jobs: &[JobDetail]) -> Result<(), Error> {
    if console.mode() == OutputMode::Json && !jobs.is_empty() {
        return Err(Error::Invalid("The output mode `json` does not support the output of jobs".to_owned()));
    }
    Ok(())
}

/// Passes on what the tasks write until all of them have ended; what was heard of them last, in the order of the jobs.
///
/// # Errors
/// See [`Error`]; [`Error::Invalid`] for too many tasks.
pub(super) fn follow(
    link: &mut Link,
    jobs: &[JobDetail],
    wanted: &Wanted<'_>,
    console: &mut Console,
) -> Result<Vec<TaskView>, Error> {
    let (mut followed, mut count) = (Vec::new(), 0);
    for job in jobs {
        followed.push(choose(link, job.summary.id, wanted, &mut count)?);
    }
    let headers = wanted.headers || count > 1;
    let mut printed = Printed::default();
    let (mut pause, streams) = (PAUSE_MIN, Streams::default());
    loop {
        let mut look = Look::default();
        for (job, tasks) in jobs.iter().zip(&mut followed) {
            let of = job.summary.id;
            look_at_job(link, job, tasks, (wanted.channels, &streams), &mut look, &mut |task, channel, bytes| {
                if channel == Channel::Stderr && wanted.channels.len() > 1 {
                    console.flush()?;
                    return std::io::stderr().write_all(bytes).map_err(Error::Output);
                }
                printed.print((of, task), headers, bytes, console)
            })?;
        }
        console.flush()?;
        if !look.is_open {
            let ends = followed.into_iter().flat_map(BTreeMap::into_values);
            return Ok(ends.filter_map(|task| task.end).collect());
        }
        pause = if look.is_new { PAUSE_MIN } else { PAUSE_MAX.min(pause.saturating_mul(2)) };
        if !look.has_more {
            terminal::pause_while_read(pause);
        }
    }
}

/// The tasks to be followed; `count` is how many there are of all jobs.
fn choose(
    link: &mut Link,
    job: JobId,
    wanted: &Wanted<'_>,
    count: &mut usize,
) -> Result<BTreeMap<TaskId, Followed>, Error> {
    let mut chosen = BTreeMap::new();
    link.tasks(job, wanted.tasks, wanted.states, &mut |page| {
        warn_missing(job, &page.missing);
        *count += page.tasks.len();
        if *count > TASKS_MAX {
            let text = format!("More than {TASKS_MAX} tasks cannot be followed at once; choose fewer of them");
            return Err(Error::Invalid(text));
        }
        chosen.extend(page.tasks.iter().map(|task| (task.id, Followed::default())));
        Ok(())
    })?;
    if chosen.is_empty() && wanted.tasks.is_none_or(|tasks| tasks.len() != 1) {
        log::warn!("No tasks of job {job} were selected");
    }
    Ok(chosen)
}

/// Asks how the tasks are that have not ended, and passes on what they wrote.
fn look_at_job(
    link: &mut Link,
    job: &JobDetail,
    tasks: &mut BTreeMap<TaskId, Followed>,
    from: (&[Channel], &Streams),
    look: &mut Look,
    sink: &mut TaskSink<'_>,
) -> Result<(), Error> {
    let open = IdSet::from_sorted(tasks.iter().filter(|(_, task)| task.end.is_none()).map(|(id, _)| id.0));
    if open.is_empty() {
        return Ok(());
    }
    let mut views = Vec::new();
    link.tasks(job.summary.id, Some(&open), &[], &mut |page| {
        views.extend(page.tasks);
        Ok(())
    })?;
    // Of a job that was forgotten meanwhile nothing more is told.
    let known: BTreeSet<TaskId> = views.iter().map(|view| view.id).collect();
    tasks.retain(|id, task| task.end.is_some() || known.contains(id));
    for view in views {
        let Some(task) = tasks.get_mut(&view.id) else { continue };
        let is_new = &mut look.is_new;
        look.has_more |= task.step(job, &view, from, &mut |channel, bytes| {
            *is_new = true;
            sink(view.id, channel, bytes)
        })?;
        look.is_open |= task.end.is_none();
    }
    Ok(())
}

impl Followed {
    /// Passes on what is new; `true`: there is more at once.
    fn step(
        &mut self,
        job: &JobDetail,
        view: &TaskView,
        (channels, streams): (&[Channel], &Streams),
        sink: &mut ChannelSink<'_>,
    ) -> Result<bool, Error> {
        if let Some(newest) = newest_attempt(view).filter(|newest| self.attempt.is_none_or(|known| known < *newest)) {
            // Several may have begun and ended since the last look.
            let first = self.attempt.map_or(newest.0, |known| known.0.saturating_add(1));
            for attempt in (first..=newest.0).map(AttemptId) {
                self.begin(job, view, (channels, streams), attempt, sink)?;
            }
            self.attempt = Some(newest);
        }
        let mut has_more = false;
        let has_ended = !matches!(view.state, TaskState::Waiting | TaskState::Running);
        for (channel, source) in &mut self.sources {
            let mut sink = |bytes: &[u8]| sink(*channel, bytes);
            if has_ended {
                source.read_rest(&mut sink)?;
            } else {
                has_more |= source.read_new(&mut sink)?;
            }
        }
        if has_ended {
            if let &[channel] = channels
                && !self.sources.iter().any(|(_, source)| !matches!(source, Source::Nothing))
            {
                warn_no_output(view, channel);
            }
            self.end = Some(view.clone());
            self.sources.clear();
        }
        Ok(has_more)
    }

    fn begin(
        &mut self,
        job: &JobDetail,
        view: &TaskView,
        (channels, streams): (&[Channel], &Streams),
        attempt: AttemptId,
        sink: &mut ChannelSink<'_>,
    ) -> Result<(), Error> {
        if self.sources.is_empty() {
            self.sources = channels.iter().map(|channel| (*channel, Source::Nothing)).collect();
        }
        for (channel, source) in &mut self.sources {
            let next = Source::of(job, view, *channel, attempt, streams);
            source.continue_with(next, &mut |bytes| sink(*channel, bytes))?;
        }
        Ok(())
    }
}

impl Printed {
    fn print(&mut self, of: (JobId, TaskId), headers: bool, bytes: &[u8], console: &mut Console) -> Result<(), Error> {
        if headers && self.of != Some(of) {
            let line_end = if self.in_line { "\n" } else { "" };
            console.text(&format!("{line_end}# Job {}, task {}\n", of.0, of.1))?;
        }
        self.of = Some(of);
        self.in_line = bytes.last().is_some_and(|last| *last != b'\n');
        console.bytes(bytes)
    }
}
