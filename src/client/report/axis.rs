//! Axes: where a chart has marks, and what they say.
//!
//! Charts over time share one scale: the window is [`TIME_UNITS`] wide, whatever its length, so that paths stay short and
//! exact.
//!
//! Holds: an axis has a bounded number of marks.

use super::text;
use super::window::Window;

/// Width of the window in the units of paths.
pub const TIME_UNITS: u64 = 100_000;
/// Distances of marks of time, in seconds, that people can count in, up to a day.
const TIME_STEPS: [u64; 18] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400];
const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;

/// A mark: its place from 0 to 1, and what it says.
pub type Mark = (f64, String);

/// The scale of time of a window.
#[derive(Debug, Clone, Copy)]
pub struct TimeScale {
    /// First microsecond.
    pub from: u64,
    /// How many are shown, at least one.
    pub span: u64,
}

impl TimeScale {
    /// The scale of a window.
    pub fn of(window: &Window) -> Self {
        Self { from: window.from(), span: (window.end() - window.from()).max(1) }
    }

    /// A place in the units of paths.
    pub fn units(&self, place: u64) -> u64 {
        let offset = u128::from(place.saturating_sub(self.from)) * u128::from(TIME_UNITS);
        u64::try_from(offset / u128::from(self.span)).unwrap_or(TIME_UNITS).min(TIME_UNITS)
    }

    /// Marks for the whole window.
    pub fn marks(&self) -> Vec<Mark> {
        let step = time_step(self.span);
        let first = self.from.div_ceil(step);
        let places = (first..).map(|index| index.saturating_mul(step));
        let inside = places.take_while(|place| *place <= self.from.saturating_add(self.span)).take(24);
        inside.map(|place| ((place - self.from) as f64 / self.span as f64, text::place(place))).collect()
    }
}

/// A distance of marks so that there are about eight.
fn time_step(span: u64) -> u64 {
    let wanted = (span / 8).max(1);
    if wanted < SECOND {
        return (nice(wanted as f64) as u64).max(1);
    }
    let known = TIME_STEPS.into_iter().map(|seconds| seconds * SECOND).find(|step| *step >= wanted);
    known.unwrap_or_else(|| DAY.saturating_mul(nice(wanted as f64 / DAY as f64).ceil() as u64))
}

/// The next number of the form 1, 2 or 5 times a power of ten.
pub fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1e-9).log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    factors.into_iter().map(|factor| factor * power).find(|nice| *nice >= value * 0.999_999).unwrap_or(power * 10.0)
}

/// The end of an axis of counts that goes up to `largest`, and its marks.
pub fn counts(largest: f64) -> (f64, Vec<Mark>) {
    let step = nice(largest.max(1.0) / 4.5).max(1.0);
    let marks = (largest.max(1.0) / step).ceil();
    let end = marks * step;
    (end, (0..=marks as usize).map(|index| (index as f64 / marks, text::count((index as f64 * step) as u64))).collect())
}

/// Marks for percents.
pub fn percents() -> Vec<Mark> {
    (0..=4u8).map(|quarter| (f64::from(quarter) / 4.0, format!("{} %", u32::from(quarter) * 25))).collect()
}

/// A scale of spans: even, or by powers when they differ much.
#[derive(Debug, Clone, Copy)]
pub struct SpanScale {
    low: f64,
    high: f64,
    by_powers: bool,
}

impl SpanScale {
    /// For spans between these, in microseconds.
    pub fn new(least: f64, largest: f64) -> Self {
        let (least, largest) = (least.max(1.0), largest.max(1.0));
        if largest > least * 20.0 {
            let (low, high) = ((least.log10() - 0.05).max(0.0), largest.log10() + 0.05);
            Self { low, high, by_powers: true }
        } else {
            let pad = ((largest - least) * 0.05).max(largest * 0.01);
            Self { low: (least - pad).max(0.0), high: largest + pad, by_powers: false }
        }
    }

    /// The place of a span, from 0 to 1.
    pub fn place(&self, us: f64) -> f64 {
        let value = if self.by_powers { us.max(1.0).log10() } else { us };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The span at a place.
    pub fn span(&self, place: f64) -> f64 {
        let value = self.low + place * (self.high - self.low);
        if self.by_powers { 10f64.powf(value) } else { value }
    }

    /// The marks.
    pub fn marks(&self) -> Vec<Mark> {
        let mark = |us: f64| (self.place(us), text::span(us));
        if self.by_powers {
            let powers = self.low.ceil() as i32..=self.high.floor() as i32;
            let few = self.high - self.low < 2.5;
            let inner = if few { &[1.0, 2.0, 5.0][..] } else { &[1.0][..] };
            let all = powers.flat_map(|power| inner.iter().map(move |factor| factor * 10f64.powi(power)));
            return all.filter(|us| us.log10() <= self.high).map(mark).collect();
        }
        let step = nice((self.high - self.low) / 7.0);
        let first = (self.low / step).ceil();
        let places = (0..12u8).map(|index| (first + f64::from(index)) * step);
        places.take_while(|us| *us <= self.high).map(mark).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::time::{Span, Time};

    #[test]
    fn marks_of_time_are_few_and_round() {
        for (seconds, last) in [(1, "1s"), (60, "1m"), (3_600, "1h"), (86_400, "1d"), (86_400 * 400, "400d")] {
            let mut window = Window::new(Time(0), None, None);
            window.reaches(Time(0).after(Span::from_secs(seconds)));
            let marks = TimeScale::of(&window).marks();
            assert!((4..=13).contains(&marks.len()), "{seconds}: {marks:?}");
            assert_eq!(marks.last().unwrap().1, last);
        }
        let empty = TimeScale::of(&Window::new(Time(0), None, None));
        assert!(empty.marks().len() <= 2 && empty.units(5) == TIME_UNITS);
    }

    #[test]
    fn marks_of_counts() {
        let words = |largest: f64| counts(largest).1.into_iter().map(|(_, word)| word).collect::<Vec<_>>();
        assert_eq!(words(1.0), ["0", "1"]);
        assert_eq!(words(4.0), ["0", "1", "2", "3", "4"]);
        assert_eq!(words(23_000.0), ["0", "10,000", "20,000", "30,000"]);
    }

    #[test]
    fn scales_of_spans_go_both_ways() {
        for scale in [SpanScale::new(1_000.0, 5_000.0), SpanScale::new(1.0, 1e12), SpanScale::new(7.0, 7.0)] {
            for part in [0.0, 0.3, 1.0] {
                assert!((scale.place(scale.span(part)) - part).abs() < 1e-9, "{scale:?}");
            }
            assert!((1..=16).contains(&scale.marks().len()), "{:?}", scale.marks());
        }
    }
}
