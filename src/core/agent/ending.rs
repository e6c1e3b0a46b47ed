//! How attempts end, and how the agent itself does.
//!
//! A task is ended by one procedure, whoever wants it: asked by a signal, given a grace, killed with its group.
//!
//! What holds: resources come back when the process is gone, never before; an outcome is made exactly once; an
//! attempt that was dropped makes none.

use super::command::{ProcessEnd, ProcessStatus, Timer};
use super::effect::{AgentEffect, Awaited, KillKind};
use super::held::{Clocks, Doom, Held, HeldState, Terms};
use super::machine::{Agent, Output};
use crate::attempt::{Attempt, Ending, Outcome};
use crate::limits;
use crate::retry::FailureCause;
use crate::time::{Span, Time};
use crate::worker::{LostReason, OnServerLost};

/// How long what was killed may take to be gone when the worker ends, after the longest grace of its tasks.
const SHUTDOWN_SPAN: Span = Span::from_secs(4);

/// The agent is about to exit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Departure {
    code: u8,
    reason: Option<LostReason>,
    /// Whether running tasks were asked to end.
    asked: bool,
}

impl Departure {
    /// Whether the worker ends without hearing what the server has made durable.
    pub(super) fn is_final(self) -> bool {
        self.asked || self.reason.is_none()
    }
}

impl Agent {
    /// An attempt shall end for a reason.
    pub(super) fn doom(&mut self, now: Time, attempt: Attempt, why: Doom, out: &mut Output) {
        let Some(held) = self.held.get_mut(&attempt) else { return };
        match &mut held.state {
            HeldState::Queued { .. } => {
                let variant = held.variant;
                self.unqueue(attempt, out);
                if why == Doom::Canceled {
                    let outcome =
                        Outcome { attempt, ended: now, ending: Ending::Canceled, variant, ..Outcome::default() };
                    out.report.ended.push(self.outbox.put(outcome));
                }
            }
            HeldState::Starting { doom, .. } => *doom = (*doom).max(Some(why)),
            HeldState::Running { doom, clocks, terms, .. } => {
                let asked = doom.is_some();
                *doom = (*doom).max(Some(why));
                disarm(attempt, clocks, out);
                if !asked {
                    Self::ask_to_end(attempt, terms, out);
                }
            }
        }
    }

    pub(super) fn time_limit_reached(&mut self, now: Time, attempt: Attempt, out: &mut Output) {
        if let Some(Held { state: HeldState::Running { clocks: Clocks { limit: true, .. }, .. }, .. }) =
            self.held.get(&attempt)
        {
            self.doom(now, attempt, Doom::TimeLimit, out);
        }
    }

    /// The end is near.
    pub(super) fn warn(&mut self, attempt: Attempt, out: &mut Output) {
        let Some(Held { state: HeldState::Running { clocks, terms, started, .. }, .. }) = self.held.get_mut(&attempt)
        else {
            return;
        };
        if std::mem::take(&mut clocks.warning)
            && let Some((signal, _)) = terms.warning(*started, self.life_end)
        {
            clocks.warned = Some(signal);
            out.effects.push(AgentEffect::Warn { attempt, signal });
        }
    }

    /// The grace is over.
    pub(super) fn kill_now(&self, attempt: Attempt, out: &mut Output) {
        if let Some(Held { state: HeldState::Running { doom: Some(_), .. }, .. }) = self.held.get(&attempt) {
            out.effects.push(AgentEffect::Kill { attempt, kind: KillKind::Kill });
        }
    }

    pub(super) fn spawn_failed(&mut self, attempt: Attempt, own: Verdict, at: Time, out: &mut Output) {
        if !matches!(self.held.get(&attempt), Some(Held { state: HeldState::Starting { .. }, .. })) {
            return;
        }
        let Some(Held { variant, state: HeldState::Starting { allocation, doom, .. } }) = self.held.remove(&attempt)
        else {
            return;
        };
        self.started -= 1;
        self.allocator.release(&allocation);
        self.blocks.released(doom.is_some());
        let Verdict { ending, text, cause } = verdict_of(doom, || own);
        let outcome = Outcome { attempt, ended: at, ending, error: text, variant, cause, ..Outcome::default() };
        self.conclude(doom, outcome, out);
    }

    pub(super) fn process_ended(&mut self, attempt: Attempt, end: ProcessEnd, at: Time, out: &mut Output) {
        if !matches!(self.held.get(&attempt), Some(Held { state: HeldState::Running { .. }, .. })) {
            return;
        }
        let Some(Held { variant, state: HeldState::Running { allocation, started, terms, mut clocks, doom } }) =
            self.held.remove(&attempt)
        else {
            return;
        };
        self.started -= 1;
        self.allocator.release(&allocation);
        self.blocks.released(doom.is_some());
        disarm(attempt, &mut clocks, out);
        if doom.is_some() {
            out.effects.push(AgentEffect::DisarmTimer(Timer::KillGrace(attempt)));
        }
        let (exit_code, signal) = match end.status {
            ProcessStatus::Code(code) => (Some(code), None),
            ProcessStatus::Signal(signal, _) => (None, Some(signal)),
            ProcessStatus::Lost => (None, None),
        };
        let (cpu_us, memory_kib) = (end.cpu_us, end.memory_kib);
        let warned = clocks.warned.map(|signal| (signal, terms.ends_by_limit(started, self.life_end)));
        let Verdict { ending, text, cause } = verdict_of(doom, || judge(end, warned));
        let outcome = Outcome {
            number: 0,
            attempt,
            started: Some(started),
            ended: at,
            ending,
            error: text,
            exit_code,
            signal,
            cpu_us,
            memory_kib,
            variant,
            cause,
        };
        self.conclude(doom, outcome, out);
    }

    fn conclude(&mut self, doom: Option<Doom>, mut outcome: Outcome, out: &mut Output) {
        if doom != Some(Doom::Dropped) {
            cut(&mut outcome.error, limits::ERROR_BYTES_MAX);
            out.report.ended.push(self.outbox.put(outcome));
        }
    }

    /// The worker takes nothing new, gives back what has not started, and exits once nothing runs any more.
    pub(super) fn begin_departure(&mut self, reason: LostReason, out: &mut Output) {
        if self.departure.is_none() {
            self.departure = Some(Departure { code: 0, reason: Some(reason), asked: false });
            out.effects.push(AgentEffect::Draining);
            self.retract_all(out);
        }
    }

    /// As [`begin_departure`](Self::begin_departure), and what runs may go on.
    pub(super) fn drain(&mut self, out: &mut Output) {
        if self.departure.is_none() {
            self.begin_departure(LostReason::Stopped, out);
            self.await_end(out);
        }
    }

    fn await_end(&self, out: &mut Output) {
        let awaited = if self.started == 0 { Awaited::Nothing } else { Awaited::Finishing };
        out.effects.push(AgentEffect::Awaits(awaited));
    }

    /// The worker shall end. Asked a second time, it does not wait for its tasks any more.
    pub(super) fn leave(&mut self, now: Time, reason: LostReason, out: &mut Output) {
        self.begin_departure(reason, out);
        self.end_all(now, out);
    }

    fn retract_all(&mut self, out: &mut Output) {
        let all: Vec<Attempt> = self.held.keys().copied().collect();
        all.into_iter().for_each(|attempt| self.retract(attempt, out));
    }

    /// The server may have given the attempts to others: what waits goes back, and what runs is killed, for no fault of
    /// its own.
    pub(super) fn lease_over(&mut self, now: Time, out: &mut Output) {
        let all: Vec<Attempt> = self.held.keys().copied().collect();
        for attempt in all {
            self.retract(attempt, out);
            self.doom(now, attempt, Doom::Interrupted, out);
            if let Some(Held { state: HeldState::Starting { is_lapsed, .. }, .. }) = self.held.get_mut(&attempt) {
                *is_lapsed = true;
            }
            self.kill_now(attempt, out);
        }
    }

    /// The server stayed away for too long.
    pub(super) fn lease_expired(&mut self, now: Time, out: &mut Output) {
        if self.departure.is_some_and(Departure::is_final) {
            return;
        }
        self.departure = Some(Departure { code: 1, reason: None, asked: false });
        match self.config.on_server_lost {
            OnServerLost::Stop => self.end_all(now, out),
            OnServerLost::FinishRunning => self.await_end(out),
        }
    }

    /// Asks all running tasks to end, or when they were asked before, kills them.
    fn end_all(&mut self, now: Time, out: &mut Output) {
        let Some(departure) = &mut self.departure else { return };
        let at_once = std::mem::replace(&mut departure.asked, true);
        let queued = |held: &Held| matches!(held.state, HeldState::Queued { .. });
        let started: Vec<Attempt> = self.held.iter().filter(|(_, h)| !queued(h)).map(|(attempt, _)| *attempt).collect();
        if !at_once && !started.is_empty() {
            let graces = started.iter().filter_map(|attempt| self.held.get(attempt)?.terms()).map(Terms::grace);
            let after = Span(graces.max().unwrap_or_default().0.saturating_add(SHUTDOWN_SPAN.0));
            out.effects.push(AgentEffect::Awaits(Awaited::Stopping));
            out.effects.push(AgentEffect::ArmTimer { after, timer: Timer::Shutdown });
        }
        for attempt in started {
            self.doom(now, attempt, Doom::Interrupted, out);
            if at_once {
                self.kill_now(attempt, out);
            }
        }
    }

    /// Exits once nothing runs any more. A worker that has time for its tasks has it also for their outcomes.
    pub(super) fn depart_when_done(&mut self, out: &mut Output) {
        let leaves = |departure: Departure| departure.is_final() || self.outbox.waiting().is_empty();
        if self.started == 0 && self.departure.is_some_and(leaves) {
            self.depart(out);
        }
    }

    /// Exits now; what never started goes back.
    pub(super) fn depart(&mut self, out: &mut Output) {
        let Some(Departure { code, reason, .. }) = self.departure else { return };
        if self.exited {
            return;
        }
        self.retract_all(out);
        self.exited = true;
        out.effects.push(AgentEffect::Exit { code, leaving: reason });
    }
}

/// How an attempt ended, for users and for rules.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) ending: Ending,
    pub(super) text: String,
    pub(super) cause: FailureCause,
}

/// The ending by the reason for which the attempt was ended, or else by itself.
pub(super) fn verdict_of(doom: Option<Doom>, own: impl FnOnce() -> Verdict) -> Verdict {
    let (ending, text, cause) = match doom {
        None => return own(),
        Some(Doom::TimeLimit) => (Ending::Failed, "Time limit reached", FailureCause::TimeLimit),
        Some(Doom::Interrupted) => (Ending::Interrupted, "", FailureCause::Other),
        Some(Doom::Canceled | Doom::Dropped) => (Ending::Canceled, "", FailureCause::Other),
    };
    Verdict { ending, text: text.to_owned(), cause }
}

/// What a process's end means when nobody asked for it. With the warning that it got, if any: the signal, and whether
/// its time limit was the end that it was warned of.
fn judge(end: ProcessEnd, warned: Option<(i32, bool)>) -> Verdict {
    let ProcessEnd { status, error, note, mut cause, .. } = end;
    let (usual, usual_cause) = match status {
        ProcessStatus::Code(0) if error.is_none() => {
            return Verdict { ending: Ending::Finished, text: String::new(), cause: FailureCause::Other };
        }
        // It ended well; what failed is said beside it.
        ProcessStatus::Code(0) => (String::new(), FailureCause::Other),
        ProcessStatus::Code(code) => (format!("Program terminated with exit code {code}."), FailureCause::Exit),
        ProcessStatus::Signal(signal, name) => {
            let text = format!("Program terminated with exit code -1. Received signal {signal} ({name}).");
            (text, FailureCause::Signal)
        }
        ProcessStatus::Lost => ("Program terminated, but its exit code is unknown.".to_owned(), FailureCause::Other),
    };
    let mut text = error.unwrap_or(usual);
    if let (ProcessStatus::Signal(signal, _), Some((warning, is_limit))) = (status, warned)
        && signal == warning
    {
        // Nobody else sent it, as far as is known.
        let (of, why) = if is_limit {
            ("its time limit", FailureCause::TimeLimit)
        } else {
            ("the end of its worker's life", FailureCause::Other)
        };
        text.push_str(&format!("\nIt was warned of {of} by this signal and did not handle it."));
        cause = cause.or(Some(why));
    }
    if let Some(note) = note {
        text.push('\n');
        text.push_str(&note);
    }
    Verdict { ending: Ending::Failed, text, cause: cause.unwrap_or(usual_cause) }
}

/// The timers of a task that ends are not needed any more.
fn disarm(attempt: Attempt, clocks: &mut Clocks, out: &mut Output) {
    if std::mem::take(&mut clocks.limit) {
        out.effects.push(AgentEffect::DisarmTimer(Timer::TimeLimit(attempt)));
    }
    if std::mem::take(&mut clocks.warning) {
        out.effects.push(AgentEffect::DisarmTimer(Timer::Warning(attempt)));
    }
}

/// Cuts a text to at most so many bytes, between characters.
fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}
