//! `hq output-log`: what tasks wrote into a stream directory.
//!
//! Works on the files alone, also while workers write them; the index of each file makes one task quick to find.
//!
//! Holds: `cat` checks everything before it prints the first byte; damage is a log line and costs only itself.

use crate::client::arguments::{OutputLogArgs, OutputLogCommand, StreamCatArgs, StreamShowArgs};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::render::color::{Color, Palette, Style};
use crate::client::render::gauge::{Gauge, Pulse, Unit};
use crate::client::render::{OutputMode, escape, size, table::Table};
use crate::platform::terminal;
use hq_core::idset::IdSet;
use hq_journal::reading::RealDisk;
use hq_journal::stream::{CHANNEL_STDERR, CHANNEL_STDOUT, Chunk, Instance, StreamDir, StreamError, Summary};
use serde_json::{Value, json};

/// Background colours of the prefix, by task id.
const BACKGROUNDS: [Color; 6] = [Color::Red, Color::Green, Color::Yellow, Color::Blue, Color::Magenta, Color::Cyan];

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(args: &OutputLogArgs, console: &mut Console) -> Result<(), Error> {
    let server_uid = args.server_uid.as_ref().map(|uid| uid.0.as_str());
    let pulse = Pulse::new("Reading the streams");
    let opened = StreamDir::open(&RealDisk, &args.path, server_uid);
    let mut dir = opened.map_err(|error| Error::Stream(format!("Error: {error}")))?;
    for skipped in dir.skipped() {
        log::debug!("{} is no stream file and was skipped", skipped.display());
    }
    match &args.command {
        OutputLogCommand::Summary => {
            let summary = dir.summary().map_err(broken)?;
            drop(pulse);
            print_summary(&args.path.display().to_string(), &summary, console)?;
        }
        OutputLogCommand::Jobs => {
            console.is_raw();
            let jobs = dir.jobs().map_err(broken)?;
            drop(pulse);
            for job in jobs {
                console.text(&format!("{job}\n"))?;
            }
        }
        OutputLogCommand::Show(args) => {
            let lines = chosen_chunks(&mut dir, args)?;
            drop(pulse);
            show(&mut dir, lines, console)?;
        }
        OutputLogCommand::Cat(args) => {
            let chosen = chosen_instances(&mut dir, args)?;
            drop(pulse);
            cat(&mut dir, args, &chosen, console)?;
        }
    }
    for note in dir.notes() {
        log::warn!("{note}");
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "it is used to map errors")]
fn broken(error: StreamError) -> Error {
    Error::Stream(error.to_string())
}

fn print_summary(path: &str, sum: &Summary, console: &mut Console) -> Result<(), Error> {
    match console.mode() {
        OutputMode::Cli => {
            let text = summary_table(path, sum).render(console.palette());
            console.text(&text)
        }
        OutputMode::Json => console.json(&summary_json(path, sum)),
        OutputMode::Quiet => Ok(()),
    }
}

fn summary_table(path: &str, sum: &Summary) -> Table {
    let sizes = |stdout, stderr| format!("{} / {}", size::bytes(stdout), size::bytes(stderr));
    let mut table = Table::vertical();
    table.line("Path", path);
    table.line("Files", sum.files.to_string());
    table.line("Jobs", sum.jobs.to_string());
    table.line("Tasks", sum.tasks.to_string());
    table.line("Opened streams", sum.opened.to_string());
    table.line("Stdout/stderr size", sizes(sum.stdout_bytes, sum.stderr_bytes));
    table.line("Superseded streams", sum.superseded.to_string());
    table.line("Superseded stdout/stderr size", sizes(sum.superseded_stdout_bytes, sum.superseded_stderr_bytes));
    table
}

fn summary_json(path: &str, sum: &Summary) -> Value {
    json!({
        "filename": path,
        "summary": {
            "n_files": sum.files,
            "n_jobs": sum.jobs,
            "n_tasks": sum.tasks,
            "n_streams": sum.streams,
            "n_opened": sum.opened,
            "n_superseded": sum.superseded,
            "stdout_size": sum.stdout_bytes,
            "stderr_size": sum.stderr_bytes,
            "superseded_stdout_size": sum.superseded_stdout_bytes,
            "superseded_stderr_size": sum.superseded_stderr_bytes,
        },
    })
}

/// A chunk with what its line needs; sorts by time, then by job, task and channel.
struct Line {
    chunk: Chunk,
    job: u32,
    task: u32,
    channel: u8,
}

/// What is shown, in the order of time, with the widths of the numbers of jobs and tasks.
struct Lines {
    lines: Vec<Line>,
    widths: (usize, usize),
}

fn chosen_chunks(dir: &mut StreamDir, args: &StreamShowArgs) -> Result<Lines, Error> {
    let (mut job_max, mut task_max) = (0, 0);
    let mut newest: Vec<Instance> = Vec::new();
    dir.for_each_task(None, &mut |instances| {
        if let Some(last) = instances.last() {
            (job_max, task_max) = (last.key.job.max(job_max), last.key.task.max(task_max));
            let wanted = args.job.is_none_or(|job| job == last.key.job)
                && args.task.as_ref().is_none_or(|ids| ids.contains(last.key.task));
            if wanted {
                newest.push(last.clone());
            }
        }
        true
    })
    .map_err(broken)?;
    let mut lines = Vec::new();
    for instance in &newest {
        for channel in [CHANNEL_STDOUT, CHANNEL_STDERR] {
            if args.channel.is_some_and(|wanted| wanted.number() != channel) {
                continue;
            }
            let (chunks, report) = dir.chunks(instance, channel).map_err(broken)?;
            warn(&report.damaged);
            let (job, task) = (instance.key.job, instance.key.task);
            lines.extend(chunks.into_iter().map(|chunk| Line { chunk, job, task, channel }));
        }
    }
    drop(newest);
    lines.sort_by_key(|line| line.chunk.time_us);
    Ok(Lines { lines, widths: (digits(job_max), digits(task_max)) })
}

fn show(dir: &mut StreamDir, Lines { lines, widths }: Lines, console: &mut Console) -> Result<(), Error> {
    console.is_raw();
    let mut gauge = Gauge::beside_output("Printing outputs", Unit::Things, Some(lines.len() as u64));
    // In a file or pipe the data are what the task wrote; on a terminal they must not overwrite what says whose they are.
    let is_terminal = terminal::stdout_is_terminal();
    for line in lines {
        gauge.add(1);
        let bytes = dir.chunk_bytes(&line.chunk).map_err(broken)?;
        let data = String::from_utf8_lossy(&bytes);
        let data = if is_terminal { escape::output(&data) } else { data.as_ref().into() };
        console.text(&shown_chunk(&line, &data, widths, console.palette()))?;
    }
    Ok(())
}

fn digits(number: u32) -> usize {
    number.to_string().len()
}

fn shown_chunk(line: &Line, data: &str, (job_width, task_width): (usize, usize), palette: Palette) -> String {
    let prefix = format!("{:0job_width$}.{:0task_width$}:{}>", line.job, line.task, line.channel);
    let background = BACKGROUNDS.get(line.task as usize % BACKGROUNDS.len()).copied();
    let prefix = palette.paint(Style { background, ..Style::PLAIN }, &prefix);
    let newline = if data.ends_with('\n') { "" } else { "\n" };
    format!("{prefix} {data}{newline}")
}

fn chosen_instances(dir: &mut StreamDir, args: &StreamCatArgs) -> Result<Vec<Instance>, Error> {
    let chosen = match &args.task {
        Some(ids) => chosen_tasks(dir, args.job, ids)?,
        None => all_tasks(dir, args.job)?,
    };
    match chosen.iter().find(|instance| !instance.finished && !args.allow_unfinished) {
        Some(open) => Err(Error::Stream(format!("Stream for task {} is not finished", open.key.task))),
        None => Ok(chosen),
    }
}

fn cat(dir: &mut StreamDir, args: &StreamCatArgs, chosen: &[Instance], console: &mut Console) -> Result<(), Error> {
    console.is_raw();
    let mut gauge = Gauge::beside_output("Printing outputs", Unit::Things, Some(chosen.len() as u64));
    for instance in chosen {
        gauge.add(1);
        let mut failure = None;
        let read = dir.read(instance, args.channel.number(), &mut |_, bytes| {
            console.bytes(bytes).map_err(|error| {
                failure = Some(error);
                std::io::ErrorKind::Other.into()
            })
        });
        if let Some(error) = failure {
            return Err(error);
        }
        warn(&read.map_err(broken)?.damaged);
    }
    Ok(())
}

fn all_tasks(dir: &mut StreamDir, job: u32) -> Result<Vec<Instance>, Error> {
    let mut newest: Vec<Instance> = Vec::new();
    dir.for_each_task(Some(job), &mut |instances| {
        newest.extend(instances.last().cloned());
        true
    })
    .map_err(broken)?;
    if newest.is_empty() { Err(Error::Stream(format!("Job {job} not found"))) } else { Ok(newest) }
}

fn chosen_tasks(dir: &mut StreamDir, job: u32, ids: &IdSet) -> Result<Vec<Instance>, Error> {
    let mut chosen = Vec::new();
    for task in ids.iter() {
        match dir.newest(job, task).map_err(broken)? {
            Some(instance) => chosen.push(instance),
            None if chosen.is_empty() && !has_job(dir, job)? => {
                return Err(Error::Stream(format!("Job {job} not found")));
            }
            None => return Err(Error::Stream(format!("Task {task} not found"))),
        }
    }
    Ok(chosen)
}

fn has_job(dir: &mut StreamDir, job: u32) -> Result<bool, Error> {
    let mut any = false;
    dir.for_each_task(Some(job), &mut |_| {
        any = true;
        false
    })
    .map_err(broken)?;
    Ok(any)
}

fn warn(damaged: &[String]) {
    for sentence in damaged {
        log::warn!("{sentence}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(job: u32, task: u32, channel: u8) -> Line {
        Line { chunk: Chunk { time_us: 0, file: 0, offset: 0, bytes: 0 }, job, task, channel }
    }

    #[test]
    fn chunks_are_prefixed_and_end_with_a_newline() {
        let shown = |line: &Line, data: &str| shown_chunk(line, data, (1, 2), Palette::OFF);
        assert_eq!(shown(&line(6, 8, 0), "hello"), "6.08:0> hello\n");
        assert_eq!(shown(&line(6, 12, 1), "oops\nx\n"), "6.12:1> oops\nx\n");
        let colored = shown_chunk(&line(6, 8, 0), "hello", (1, 2), Palette::ON);
        assert_eq!(colored, "\u{1b}[43m6.08:0>\u{1b}[0m hello\n");
    }

    #[test]
    fn a_summary() {
        let sum = Summary {
            files: 1,
            jobs: 1,
            tasks: 20,
            streams: 21,
            superseded: 1,
            stdout_bytes: 271,
            ..Summary::default()
        };
        let expected = "\
+-------------------------------+-------------+
| Path                          | logs        |
| Files                         | 1           |
| Jobs                          | 1           |
| Tasks                         | 20          |
| Opened streams                | 0           |
| Stdout/stderr size            | 271 B / 0 B |
| Superseded streams            | 1           |
| Superseded stdout/stderr size | 0 B / 0 B   |
+-------------------------------+-------------+
";
        assert_eq!(summary_table("logs", &sum).render(Palette::OFF), expected);
        let value = summary_json("logs", &sum);
        assert_eq!((&value["filename"], &value["summary"]["n_streams"]), (&json!("logs"), &json!(21)));
        assert_eq!(value["summary"].as_object().map(serde_json::Map::len), Some(10));
    }
}
