//! The thread that shows on the file system that this server lives.
//!
//! Workers that hear nothing look there; see `docs/decisions/0007-workers-that-go-away.md`. It has a thread of its own,
//! since a file system may be slow or stuck.
//!
//! What holds: `steady_since` says nothing unless every sign up to now was written in time, whatever froze or hung.

use crate::access::SignWriter;
use crate::platform::clock;
use hq_core::limits;
use hq_core::time::{Span, Time};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When signs were written, by the clock of [`clock::since_boot`]: the first and the last of an unbroken row.
#[derive(Debug, Clone, Copy, Default)]
pub struct SignRow(Option<(Duration, Duration)>);

impl SignRow {
    /// A sign was written.
    pub fn wrote(&mut self, now: Duration) {
        let gap_max = limits::SIGN_GAP_MAX.to_duration();
        let first = self.0.filter(|(_, last)| now.saturating_sub(*last) <= gap_max).map_or(now, |(first, _)| first);
        self.0 = Some((first, now));
    }

    /// For how long signs have been shown without a gap; none when the last one is too old.
    pub fn steady(&self, now: Duration) -> Option<Duration> {
        let (first, last) = self.0?;
        (now.saturating_sub(last) <= limits::SIGN_GAP_MAX.to_duration()).then(|| now.saturating_sub(first))
    }
}

/// What the thread has shown.
#[derive(Debug, Default)]
pub(super) struct Signs {
    written: Mutex<SignRow>,
}

impl Signs {
    /// Starts the thread, which ends with the process.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(writer: Option<SignWriter>) -> std::io::Result<Arc<Self>> {
        let signs = Arc::new(Self::default());
        if let Some(writer) = writer {
            let weak = Arc::downgrade(&signs);
            std::thread::Builder::new().name("sign".to_owned()).spawn(move || {
                let mut writer = writer;
                let mut failed = false;
                while let Some(signs) = weak.upgrade() {
                    match writer.write() {
                        Ok(()) => signs.wrote(clock::since_boot()),
                        Err(error) if !failed => log::warn!("{error}; silent workers keep their tasks until it can be"),
                        Err(_) => {}
                    }
                    failed = signs.steady(clock::since_boot()).is_none();
                    drop(signs);
                    std::thread::sleep(limits::SIGN_STEP.to_duration());
                }
            })?;
        }
        Ok(signs)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SignRow> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrote(&self, now: Duration) {
        self.lock().wrote(now);
    }

    fn steady(&self, now: Duration) -> Option<Duration> {
        self.lock().steady(now)
    }

    /// Since when signs have been shown without a gap, seen at `now`.
    pub(super) fn steady_since(&self, now: Time) -> Option<Time> {
        let steady = self.steady(clock::since_boot())?;
        Some(Time(now.0.saturating_sub(Span::from_duration(steady).0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_begins_a_new_row() {
        let mut signs = SignRow::default();
        let at = Duration::from_secs;
        assert_eq!(signs.steady(at(9)), None);
        for second in 10..20 {
            signs.wrote(at(second));
        }
        assert_eq!(signs.steady(at(21)), Some(at(11)));
        assert_eq!(signs.steady(at(24)), None, "nothing was shown for too long");
        signs.wrote(at(24));
        assert_eq!(signs.steady(at(24)), Some(at(0)));
        signs.wrote(at(28));
        assert_eq!(signs.steady(at(29)), Some(at(5)));
    }
}
