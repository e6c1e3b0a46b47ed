//! How far a long piece of work is, on a terminal: reading a large file, exporting a journal, starting a server.
//!
//! It is for a person who waits, so it is on the standard error, comes only when the work has taken a moment, and goes
//! without a trace: when the work is done, and before a log line.
//!
//! Holds: nothing is drawn unless the mode is `cli` and the standard error is a terminal; where the work prints, also
//! only while the standard output is none, since the two would mix.

use super::OutputMode;
use crate::platform::terminal;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What is done sooner is not shown.
const SHOWN_AFTER: Duration = Duration::from_millis(500);
/// Pause between two pictures of a gauge that knows no steps.
const TICK_SPAN: Duration = Duration::from_millis(100);

/// Whether a person may be shown something; set once, when a command starts.
static IS_ALLOWED: AtomicBool = AtomicBool::new(false);
/// What is on the terminal now.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, shown as KiB, MiB and so on.
    Bytes,
    /// Things: the number.
    Things,
}

/// Work of which one knows how far it is. It is taken away when it is dropped.
pub struct Gauge {
    what: &'static str,
    unit: Unit,
    total: Option<u64>,
    done: u64,
    begun: Instant,
    may_show: bool,
}

/// Work of which one knows only that it goes on. It is taken away when it is dropped.
pub struct Pulse {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A reader that counts what is read.
pub struct Counted<R> {
    inner: R,
    gauge: Gauge,
}

/// Says in which mode the command runs; without it nothing is ever shown.
pub fn allow(mode: OutputMode) {
    IS_ALLOWED.store(mode == OutputMode::Cli && terminal::stderr_is_terminal(), Ordering::Relaxed);
}

/// Takes away what is shown, so that a line can be printed. It comes again with the next step.
pub fn clear() {
    if let Some(bar) = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).take() {
        bar.finish_and_clear();
    }
}

impl Gauge {
    /// Work that prints nothing meanwhile; `total` if it is known.
    pub fn silent(what: &'static str, unit: Unit, total: Option<u64>) -> Self {
        let may_show = IS_ALLOWED.load(Ordering::Relaxed);
        Self { what, unit, total, done: 0, begun: Instant::now(), may_show }
    }

    /// Work whose result goes to the standard output meanwhile.
    pub fn beside_output(what: &'static str, unit: Unit, total: Option<u64>) -> Self {
        let gauge = Self::silent(what, unit, total);
        Self { may_show: gauge.may_show && !terminal::stdout_is_terminal(), ..gauge }
    }

    /// So much more is done.
    pub fn add(&mut self, count: u64) {
        self.done = self.done.saturating_add(count);
        if !self.may_show || self.begun.elapsed() < SHOWN_AFTER {
            return;
        }
        let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
        shown.get_or_insert_with(|| bar(self.what, self.unit, self.total)).set_position(self.done);
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        if self.may_show {
            clear();
        }
    }
}

impl Pulse {
    /// Shows `what` as soon as the work has taken a moment.
    pub fn new(what: &'static str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let thread = IS_ALLOWED.load(Ordering::Relaxed).then(|| {
            thread::spawn(move || {
                let begun = Instant::now();
                while !flag.load(Ordering::Acquire) {
                    thread::park_timeout(TICK_SPAN);
                    if begun.elapsed() >= SHOWN_AFTER && !flag.load(Ordering::Acquire) {
                        let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
                        shown.get_or_insert_with(|| pulse(what)).tick();
                    }
                }
            })
        });
        Self { is_over, thread }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A thread that panicked has nothing left to take away.
            let _ = thread.join();
            clear();
        }
    }
}

impl<R> Counted<R> {
    /// Counts in bytes what is read of `inner`; `total` if it is known.
    pub fn new(inner: R, what: &'static str, total: Option<u64>) -> Self {
        Self { inner, gauge: Gauge::silent(what, Unit::Bytes, total) }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.gauge.add(read as u64);
        Ok(read)
    }
}

fn bar(what: &'static str, unit: Unit, total: Option<u64>) -> ProgressBar {
    let template = match (total, unit) {
        (Some(_), Unit::Bytes) => "{msg} [{bar:30.green}] {bytes}/{total_bytes}",
        (Some(_), Unit::Things) => "{msg} [{bar:30.green}] {human_pos}/{human_len}",
        (None, Unit::Bytes) => "{msg} {spinner} {bytes}",
        (None, Unit::Things) => "{msg} {spinner} {human_pos}",
    };
    let bar = ProgressBar::with_draw_target(total, indicatif::ProgressDrawTarget::stderr());
    bar.with_style(style(template)).with_message(what)
}

fn pulse(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, indicatif::ProgressDrawTarget::stderr());
    bar.with_style(style("{msg} {spinner}")).with_message(what)
}

/// The templates are constants, so that the plain style is never needed.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("##.").tick_chars("|/-\\ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_one() {
        for (total, unit) in
            [(Some(1), Unit::Bytes), (Some(1), Unit::Things), (None, Unit::Bytes), (None, Unit::Things)]
        {
            drop(bar("Reading", unit, total));
        }
        for template in ["{msg} {spinner}", "{msg} [{bar:30.green}] {bytes}/{total_bytes}"] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn what_is_counted_is_passed_on() {
        let mut text = String::new();
        Counted::new(&b"some bytes"[..], "Reading", Some(10)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "some bytes");
        // Nothing was allowed, so nothing is shown.
        assert!(SHOWN.lock().unwrap().is_none());
        drop(Pulse::new("Waiting"));
    }
}
