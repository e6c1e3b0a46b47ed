//! How often a worker may tell how busy its hardware is.
//!
//! Overviews go into the journal, so a worker that sends them without end would fill the disk.
//!
//! Invariants: over any time, no more are let through than the interval that the worker registered with allows, and one;
//! none of a worker that registered without an interval.

use hq_core::limits;
use hq_core::time::Span;
use tokio::time::Instant;

/// Lets overviews of one connection through, or not.
#[derive(Debug)]
pub struct Overviews {
    /// What a worker said, and not less than the least.
    interval: Option<Span>,
    /// When the next one may come.
    next: Option<Instant>,
}

impl Overviews {
    /// For a worker that registered with this interval.
    pub fn new(interval: Option<Span>) -> Self {
        Self { interval: interval.map(|interval| interval.max(limits::OVERVIEW_INTERVAL_MIN)), next: None }
    }

    /// Whether one that came now is kept.
    pub fn admit(&mut self, now: Instant) -> bool {
        let Some(interval) = self.interval else { return false };
        // Two may come closer together than they were sent: half an interval is lent.
        let due = self.next.unwrap_or(now);
        if now + interval.to_duration() / 2 < due {
            return false;
        }
        self.next = Some(due.max(now) + interval.to_duration());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn floods_are_cut_and_jitter_is_not() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut steady = Overviews::new(Some(Span::from_secs(1)));
        for ms in [0, 1_000, 1_600, 3_000, 4_000] {
            assert!(steady.admit(at(ms)), "{ms}");
        }
        let mut flood = Overviews::new(Some(Span::from_ms(1)));
        assert!((99..=102).contains(&(0..10_000).filter(|ms| flood.admit(at(*ms))).count()));
        assert!(!Overviews::new(None).admit(begin));
    }
}
