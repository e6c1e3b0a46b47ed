//! `--follow` of `output-log DIR show` and `cat`: what is written is printed while it is written.
//!
//! `show` goes on until it is interrupted; `cat` prints what it would print if it had waited, and ends when the tasks have
//! ended. Nothing but the directory is asked, so what ends is what the directory says.
//!
//! Holds: each byte is printed once, but for a task that runs again, which is printed from its beginning; memory is bounded
//! by one look.

use super::lines::Lines;
use super::{Directory, broken, choose, passing};
use crate::client::arguments::{OutputLogArgs, StreamCatArgs, StreamShowArgs};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::platform::terminal;
use hq_core::idset::IdSet;
use hq_journal::reading::RealDisk;
use hq_journal::stream::{Ending, Follower, Instance, Key, News, Outcome};
use std::sync::Arc;
use std::time::Duration;

/// Shortest pause between two looks, after one at which something was new.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause; while nothing is new, each is twice the one before.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Bytes that one look reads, and sorts by time.
const LOOK_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The time between two looks.
struct Pause(Duration);

impl Pause {
    /// Waits, longer each time while nothing is new.
    fn wait(&mut self, is_new: bool) {
        self.0 = if is_new { PAUSE_MIN } else { PAUSE_MAX.min(self.0.saturating_mul(2)) };
        terminal::pause_while_read(self.0);
    }
}

/// Says what cannot be read.
fn name_damage(follower: &mut Follower, dir: &mut Directory) {
    for sentence in follower.take_damage() {
        log::error!("{sentence}");
        dir.damaged += 1;
    }
}

/// Prints what comes after what `dir` has found, until it is interrupted.
///
/// # Errors
/// See [`Error`].
pub(super) fn show(
    dir: &mut Directory,
    args: &StreamShowArgs,
    mut lines: Lines,
    server_uid: Option<&str>,
    console: &mut Console,
) -> Result<(), Error> {
    let scope = &args.scope;
    let mut follower = Follower::behind(Arc::new(RealDisk), &dir.streams, server_uid);
    let mut pause = Pause(PAUSE_MIN);
    loop {
        let mut new: Vec<(u64, Key, u8, Vec<u8>)> = Vec::new();
        let look = follower.look(LOOK_BYTES_MAX, &mut |news| {
            if let News::Output(shown) = news {
                lines.widen(shown.key);
                if choose::is_shown(scope, shown.key, shown.channel) {
                    new.push((shown.time_us, shown.key, shown.channel, shown.bytes.to_vec()));
                }
            }
            Ok(())
        });
        let more = look.map_err(broken)?;
        new.sort_by_key(|(time_us, key, channel, _)| (*time_us, *key, *channel));
        for (_, key, channel, bytes) in &new {
            console.text(&lines.line(*key, *channel, bytes))?;
        }
        console.flush()?;
        name_damage(&mut follower, dir);
        if !more {
            pause.wait(!new.is_empty());
        }
    }
}

/// How far a `cat` has come.
enum Step {
    /// Everything that is wanted was printed.
    Done,
    /// The directory has to be looked at anew.
    Again,
    /// So too, but it has nothing yet.
    Later,
}

/// Which tasks come next.
struct Next<'a> {
    args: &'a StreamCatArgs,
    /// Number of the next one, of those that were asked for.
    place: usize,
    /// The last one that was printed, of all.
    last: Option<u32>,
}

/// Runs `cat --follow`.
///
/// # Errors
/// See [`Error`].
pub(super) fn cat(args: &OutputLogArgs, wanted: &StreamCatArgs, console: &mut Console) -> Result<(), Error> {
    console.is_raw();
    let mut next = Next { args: wanted, place: 0, last: None };
    let (mut pause, mut damaged) = (Pause(PAUSE_MIN), 0);
    loop {
        let step = match Directory::open_if_there(args)? {
            None => Step::Later,
            Some(mut dir) => {
                let uid = args.server_uid.as_ref().map(|uid| uid.0.as_str());
                let step = match &wanted.task {
                    Some(ids) => next.of_ids(ids, &mut dir, uid, console)?,
                    None => next.of_all(&mut dir, uid, console)?,
                };
                dir.name_damage();
                damaged += dir.damaged;
                step
            }
        };
        console.flush()?;
        match step {
            Step::Done => return super::verdict(damaged),
            Step::Again => pause = Pause(PAUSE_MIN),
            Step::Later => pause.wait(false),
        }
    }
}

impl Next<'_> {
    fn of_ids(
        &mut self,
        ids: &IdSet,
        dir: &mut Directory,
        uid: Option<&str>,
        console: &mut Console,
    ) -> Result<Step, Error> {
        for task in ids.iter().skip(self.place) {
            let Some(newest) = dir.streams.newest(self.args.job, task).map_err(broken)? else { return Ok(Step::Later) };
            print(dir, &newest, self.args, console)?;
            self.place += 1;
            if !is_over(&newest) {
                follow(dir, newest.key, self.args, uid, console)?;
                return Ok(Step::Again);
            }
        }
        Ok(Step::Done)
    }

    fn of_all(&mut self, dir: &mut Directory, uid: Option<&str>, console: &mut Console) -> Result<Step, Error> {
        let (mut open, mut any, mut failure) = (None, false, None);
        let last = &mut self.last;
        let begun = *last;
        dir.streams
            .for_each_task(Some(self.args.job), &mut |all| {
                let Some(newest) = all.last() else { return true };
                any = true;
                if begun.is_some_and(|last| newest.key.task <= last) {
                    return true;
                }
                failure = print(dir, newest, self.args, console).err();
                *last = Some(newest.key.task);
                open = Some(newest.key).filter(|_| !is_over(newest));
                open.is_none() && failure.is_none()
            })
            .map_err(broken)?;
        failure.map_or(Ok(()), Err)?;
        if let Some(key) = open {
            follow(dir, key, self.args, uid, console)?;
            return Ok(Step::Again);
        }
        // Others may have begun meanwhile.
        Ok(if !any {
            Step::Later
        } else if *last == begun {
            Step::Done
        } else {
            Step::Again
        })
    }
}

/// Whether nothing more is to come of a task, as far as the directory knows.
fn is_over(newest: &Instance) -> bool {
    newest.finished && is_end(newest.outcome)
}

/// A task that ended with its worker runs again.
fn is_end(outcome: Option<Outcome>) -> bool {
    outcome.is_none_or(|outcome| outcome.ending != Ending::Interrupted)
}

fn print(dir: &Directory, instance: &Instance, args: &StreamCatArgs, console: &mut Console) -> Result<(), Error> {
    let channel = args.channel.number();
    passing(|verdict| dir.streams.read(instance, channel, &mut |_, bytes| verdict(console.bytes(bytes)))).map(drop)
}

/// Prints what a task writes behind what `dir` has found, until it has ended.
fn follow(
    dir: &mut Directory,
    mut key: Key,
    args: &StreamCatArgs,
    uid: Option<&str>,
    console: &mut Console,
) -> Result<(), Error> {
    let mut follower = Follower::behind(Arc::new(RealDisk), &dir.streams, uid);
    let (mut pause, mut is_ended) = (Pause(PAUSE_MIN), false);
    while !is_ended {
        console.flush()?;
        let mut is_new = false;
        let more = passing(|verdict| {
            follower.look(LOOK_BYTES_MAX, &mut |news| match news {
                News::Output(shown) if (shown.key.job, shown.key.task) == (key.job, key.task) && shown.key >= key => {
                    if shown.key > key {
                        (key, is_ended) = (shown.key, false);
                    }
                    is_new = true;
                    if shown.channel == args.channel.number() { verdict(console.bytes(shown.bytes)) } else { Ok(()) }
                }
                News::End(of, outcome) if *of == key => {
                    is_ended = is_end(*outcome);
                    Ok(())
                }
                _ => Ok(()),
            })
        })?;
        name_damage(&mut follower, dir);
        if !more && !is_ended {
            console.flush()?;
            pause.wait(is_new);
        }
    }
    Ok(())
}
