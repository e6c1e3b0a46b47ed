//! A quantity over time, made of changes, in bounded memory.
//!
//! While there are few changes they are kept. When there are many, the mean of the quantity in each of a bounded number of
//! equal bins is kept instead; a bin becomes twice as wide whenever time grows beyond the last one. Changes may come in any
//! order of time.
//!
//! Holds: the mean of a bin is that of the whole quantity over the bin, however many changes there were.

/// Changes that are kept as they are.
const EXACT_MAX: usize = 1_000;
/// Width of a bin at the beginning, in microseconds.
const WIDTH_MIN: u64 = 1_000;

/// What a quantity is from a moment on: microseconds, value.
pub type Step = (u64, f64);

/// Means in bins of equal width.
#[derive(Debug, Clone)]
pub struct Bins {
    from: u64,
    width: u64,
    max: usize,
    /// For each bin: by how much the quantity changes there, and what these changes add to the mean of that bin.
    changes: Vec<(f64, f64)>,
}

impl Bins {
    /// At most `max` bins (an even number) from `from` on.
    pub fn new(from: u64, max: usize) -> Self {
        Self { from, width: WIDTH_MIN, max: max.max(2), changes: Vec::new() }
    }

    /// The quantity changes by `delta` at `at`.
    pub fn add(&mut self, at: u64, delta: f64) {
        let offset = at.saturating_sub(self.from);
        while offset / self.width >= self.max as u64 {
            self.widen();
        }
        let bin = (offset / self.width) as usize;
        if self.changes.len() <= bin {
            self.changes.resize(bin + 1, (0.0, 0.0));
        }
        let rest = (self.width - offset % self.width) as f64 / self.width as f64;
        if let Some((change, part)) = self.changes.get_mut(bin) {
            *change += delta;
            *part += delta * rest;
        }
    }

    fn widen(&mut self) {
        let pairs = self.changes.chunks(2).map(|pair| {
            let (first, first_part) = pair.first().copied().unwrap_or_default();
            let (second, second_part) = pair.get(1).copied().unwrap_or_default();
            (first + second, (first_part + first + second_part) / 2.0)
        });
        self.changes = pairs.collect();
        self.width = self.width.saturating_mul(2);
    }

    /// Widens the bins until one is at least so wide.
    pub fn widen_to(&mut self, width: u64) {
        while self.width < width {
            self.widen();
        }
    }

    /// Width of a bin in microseconds.
    pub fn width(&self) -> u64 {
        self.width
    }

    /// Puts another quantity on top of this one.
    pub fn join(&mut self, mut other: Self) {
        self.widen_to(other.width);
        other.widen_to(self.width);
        if self.changes.len() < other.changes.len() {
            self.changes.resize(other.changes.len(), (0.0, 0.0));
        }
        for (own, add) in self.changes.iter_mut().zip(other.changes) {
            *own = (own.0 + add.0, own.1 + add.1);
        }
    }

    /// The mean of each bin up to `end`.
    pub fn means(&self, end: u64) -> Vec<f64> {
        let count = (end.saturating_sub(self.from) / self.width + 1).min(self.max as u64 * 2) as usize;
        let mut value = 0.0;
        let mut means = Vec::with_capacity(count);
        for bin in 0..count {
            let (change, part) = self.changes.get(bin).copied().unwrap_or_default();
            means.push(clean(value + part));
            value += change;
        }
        means
    }
}

/// Without what rounding leaves.
fn clean(value: f64) -> f64 {
    if value < 1e-7 { 0.0 } else { value }
}

/// A quantity over time.
#[derive(Debug, Clone)]
pub struct Series {
    exact: Option<Vec<(u64, f64)>>,
    bins: Bins,
}

impl Series {
    /// Zero from `from` on, with at most `bins` bins.
    pub fn new(from: u64, bins: usize) -> Self {
        Self { exact: Some(Vec::new()), bins: Bins::new(from, bins) }
    }

    /// The quantity changes by `delta` at `at`.
    pub fn add(&mut self, at: u64, delta: f64) {
        self.bins.add(at, delta);
        if let Some(exact) = &mut self.exact {
            exact.push((at, delta));
            if exact.len() > EXACT_MAX {
                self.exact = None;
            }
        }
    }

    /// Whether it ever changed.
    pub fn is_empty(&self) -> bool {
        self.bins.changes.is_empty()
    }

    /// The integral up to `end`, in microseconds.
    pub fn area(&self, end: u64) -> f64 {
        let bins = &self.bins;
        let spans = (0u64..).map(|bin| {
            let start = bins.from.saturating_add(bins.width.saturating_mul(bin));
            end.saturating_sub(start).min(bins.width) as f64
        });
        match &self.exact {
            Some(exact) => exact.iter().map(|(at, delta)| delta * end.saturating_sub(*at) as f64).sum(),
            None => bins.means(end).iter().zip(spans).map(|(mean, span)| mean * span).sum(),
        }
    }

    /// The steps of several quantities, up to `end`: all exact, or all as means of the same bins.
    pub fn steps(all: &[&Series], end: u64) -> Vec<Vec<Step>> {
        if all.iter().all(|series| series.exact.is_some()) {
            return all.iter().map(|series| series.exact_steps(end)).collect();
        }
        let width = all.iter().map(|series| series.bins.width()).max().unwrap_or(WIDTH_MIN);
        let binned = |series: &&Series| {
            let mut bins = series.bins.clone();
            bins.widen_to(width);
            let places = (0..).map(|bin| bins.from.saturating_add(width.saturating_mul(bin)));
            places.zip(bins.means(end)).collect()
        };
        all.iter().map(binned).collect()
    }

    fn exact_steps(&self, end: u64) -> Vec<Step> {
        let mut changes: Vec<(u64, f64)> = self.exact.clone().unwrap_or_default();
        changes.retain(|(at, _)| *at <= end);
        changes.sort_by_key(|(at, _)| *at);
        let mut steps: Vec<Step> = vec![(self.bins.from, 0.0)];
        let mut value = 0.0;
        for (at, delta) in changes {
            value += delta;
            match steps.last_mut() {
                Some(last) if last.0 == at => last.1 = clean(value),
                _ => steps.push((at, clean(value))),
            }
        }
        steps
    }
}

/// `above / below` at every step of either; zero where there is nothing below.
pub fn ratio(above: &[Step], below: &[Step]) -> Vec<Step> {
    let mut places: Vec<u64> = above.iter().chain(below).map(|(at, _)| *at).collect();
    places.sort_unstable();
    places.dedup();
    let (mut a, mut b) = (above.iter().peekable(), below.iter().peekable());
    let (mut over, mut under) = (0.0, 0.0);
    let mut steps = Vec::with_capacity(places.len());
    for place in places {
        while let Some((_, value)) = a.next_if(|(at, _)| *at <= place) {
            over = *value;
        }
        while let Some((_, value)) = b.next_if(|(at, _)| *at <= place) {
            under = *value;
        }
        steps.push((place, if under > 0.0 { (over / under).min(1.0) } else { 0.0 }));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the integral of all changes, in any order and at any width.
        #[test]
        fn means_are_those_of_the_whole(
            changes in prop::collection::vec((0u64..200_000, -3i32..4), 1..40),
        ) {
            let mut bins = Bins::new(0, 8);
            for (at, delta) in &changes {
                bins.add(*at, f64::from(*delta) + 100.0);
            }
            let width = bins.width();
            for (bin, mean) in bins.means(250_000).iter().enumerate() {
                let (start, end) = (bin as u64 * width, (bin as u64 + 1) * width);
                let area: f64 = changes
                    .iter()
                    .map(|(at, delta)| {
                        (f64::from(*delta) + 100.0) * (end.saturating_sub((*at).max(start))) as f64
                    })
                    .sum();
                let expected = area / width as f64;
                prop_assert!((mean - expected).abs() < 1e-6 * expected.max(1.0), "{bin}: {mean} {expected}");
            }
        }
    }

    #[test]
    fn few_changes_are_exact() {
        let mut series = Series::new(0, 4);
        for (at, delta) in [(70, 1.0), (10, 2.0), (70, 1.0), (90, -4.0), (500, 1.0)] {
            series.add(at, delta);
        }
        assert_eq!(Series::steps(&[&series], 100), [vec![(0, 0.0), (10, 2.0), (70, 4.0), (90, 0.0)]]);
    }

    #[test]
    fn many_changes_take_bounded_memory() {
        let mut series = Series::new(0, 64);
        for step in 0..100_000u64 {
            series.add(step * 1_000_000, if step % 2 == 0 { 1.0 } else { -1.0 });
        }
        assert!(series.exact.is_none() && series.bins.changes.len() <= 64);
        let steps = Series::steps(&[&series], 100_000_000_000);
        let inner = steps[0].get(1..steps[0].len() - 2).unwrap();
        assert!(!inner.is_empty() && inner.iter().all(|(_, value)| (value - 0.5).abs() < 0.01), "{inner:?}");
    }

    #[test]
    fn joined_bins_are_the_sum() {
        let (mut a, mut b) = (Bins::new(0, 4), Bins::new(0, 4));
        a.add(0, 1.0);
        b.add(5_000, 2.0);
        a.join(b);
        assert_eq!((a.width(), a.means(7_999)), (2_000, vec![1.0, 1.0, 2.0, 3.0]));
    }

    #[test]
    fn shares_are_taken_at_every_step() {
        let above = [(0, 0.0), (10, 1.0), (30, 0.0)];
        let below = [(0, 0.0), (5, 2.0), (20, 1.0), (40, 0.0)];
        let expected = [(0, 0.0), (5, 0.0), (10, 0.5), (20, 1.0), (30, 0.0), (40, 0.0)];
        assert_eq!(ratio(&above, &below), expected);
    }
}
