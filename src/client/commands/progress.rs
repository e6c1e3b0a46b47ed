//! `hq job progress` and `hq submit --progress`: a bar that is rewritten at every change.
//!
//! The server says what changed; nothing is asked again and again.
//!
//! Holds: the bar ends with a newline, also when the connection is lost; in JSON mode it goes to the standard error, in
//! quiet mode nowhere.

use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::Link;
use crate::client::render::OutputMode;
use crate::client::render::bar::progress_line;
use crate::wire::message::{Request, Response, Selector, TaskNotice};
use std::io::Write;

/// Shows the bar until the selected jobs are completed.
///
/// # Errors
/// See [`Error`].
pub fn run(link: &mut Link, selector: Selector, console: &mut Console) -> Result<(), Error> {
    link.send(&Request::Progress(selector))?;
    watch(link, console, &mut |_| ())
}

/// As [`run`], for answers that were asked for before. Messages of tasks are passed to `notice`.
///
/// # Errors
/// As [`run`].
pub(super) fn watch(link: &mut Link, console: &mut Console, notice: &mut dyn FnMut(TaskNotice)) -> Result<(), Error> {
    let mut lines = 0u64;
    let done = follow(link, console, &mut lines, notice);
    if lines > 0 {
        show(console, "\n")?;
    }
    done
}

fn follow(
    link: &mut Link,
    console: &mut Console,
    lines: &mut u64,
    notice: &mut dyn FnMut(TaskNotice),
) -> Result<(), Error> {
    loop {
        match link.receive()? {
            Response::Noticed(told) => notice(told),
            Response::Progress(progress) => {
                let unfinished = progress.counts.unfinished();
                if *lines == 0 {
                    if unfinished == 0 {
                        log::warn!("There are no jobs to wait for");
                        return Ok(());
                    }
                    let jobs = progress.jobs_all.saturating_sub(progress.jobs_done);
                    log::info!("Waiting for {} with {}", count(jobs, "job"), count(unfinished, "task"));
                }
                *lines += 1;
                show(console, &progress_line(&progress, console.palette()))?;
            }
            Response::Waited(_) => {
                if *lines == 0 {
                    log::warn!("There are no jobs to wait for");
                }
                return Ok(());
            }
            _ => return Err(Error::Unexpected),
        }
    }
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn show(console: &mut Console, text: &str) -> Result<(), Error> {
    match console.mode() {
        OutputMode::Cli => {
            console.text(text)?;
            console.flush()
        }
        OutputMode::Json => std::io::stderr().write_all(text.as_bytes()).map_err(Error::Output),
        OutputMode::Quiet => Ok(()),
    }
}
