//! The part of a journal's time that a report is about.
//!
//! Times of a report are microseconds since the first event. What happened before the window still counts for what is
//! there when it begins; what happened after it is not looked at.
//!
//! Holds: a place that is given out lies within the window.

use hq_core::time::{Span, Time};

/// From when to when.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    base: Time,
    from: u64,
    to: u64,
    last: u64,
    asked: (Option<u64>, Option<u64>),
}

impl Window {
    /// The window of a journal that begins at `base`, between two distances from that.
    pub fn new(base: Time, start: Option<Span>, end: Option<Span>) -> Self {
        let from = start.map_or(0, |span| span.0);
        let asked = (start.map(|span| span.0), end.map(|span| span.0));
        Self { base, from, to: end.map_or(u64::MAX, |span| span.0.max(from)), last: from, asked }
    }

    /// The ends that were asked for.
    pub fn bounds(&self) -> (Option<u64>, Option<u64>) {
        self.asked
    }

    /// Notes that the journal goes on until here.
    pub fn reaches(&mut self, at: Time) {
        self.last = self.last.max(at.since(self.base).0.min(self.to));
    }

    /// Whether something at this time is after the window.
    pub fn is_past(&self, at: Time) -> bool {
        at.since(self.base).0 > self.to
    }

    /// Whether something at this time is counted.
    pub fn counts(&self, at: Time) -> bool {
        (self.from..=self.to).contains(&at.since(self.base).0)
    }

    /// Where a change at this time is drawn: what happened before is there from the beginning.
    pub fn place(&self, at: Time) -> u64 {
        at.since(self.base).0.clamp(self.from, self.to)
    }

    /// The time of the first event.
    pub fn base(&self) -> Time {
        self.base
    }

    /// Where the window begins.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// Where the window, or the journal in it, ends.
    pub fn end(&self) -> u64 {
        self.last.max(self.from)
    }

    /// The time at a place.
    pub fn time_at(&self, place: u64) -> Time {
        self.base.after(Span(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_within() {
        let mut window = Window::new(Time(100), Some(Span(10)), Some(Span(50)));
        assert_eq!((window.place(Time(50)), window.place(Time(130)), window.place(Time(500))), (10, 30, 50));
        assert!(!window.counts(Time(105)) && window.counts(Time(110)) && window.counts(Time(150)));
        assert!(window.is_past(Time(151)) && !window.is_past(Time(150)));
        assert_eq!(window.end(), 10);
        window.reaches(Time(130));
        assert_eq!(window.end(), 30);
        window.reaches(Time(900));
        assert_eq!(window.end(), 50);
    }

    #[test]
    fn an_end_before_the_start_leaves_one_moment() {
        let window = Window::new(Time(0), Some(Span(10)), Some(Span(5)));
        assert!(window.counts(Time(10)) && !window.counts(Time(9)) && !window.counts(Time(11)));
    }
}
