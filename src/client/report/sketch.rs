//! Quantiles of any number of spans, in bounded memory.
//!
//! The first thousand are kept; beside them all are counted in buckets whose width grows with the value, as HdrHistogram
//! does: 64 to each power of two.
//!
//! Holds: count, least, largest and mean are exact; a quantile is exact for up to a thousand spans and otherwise off by
//! less than one part in 64.

/// Spans that are kept as they are.
const EXACT_MAX: usize = 1_000;
/// Bits of a value that its bucket tells.
const BITS: u32 = 6;
const IN_POWER: usize = 1 << BITS;

/// Spans, in microseconds.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    exact: Vec<u64>,
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    least: u64,
    largest: u64,
}

/// The five numbers of a box, and the mean; in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The smallest.
    pub least: f64,
    /// One in twenty is below.
    pub low: f64,
    /// A quarter is below.
    pub lower: f64,
    /// Half are below.
    pub median: f64,
    /// Three quarters are below.
    pub upper: f64,
    /// One in twenty is above.
    pub high: f64,
    /// The largest.
    pub largest: f64,
    /// The mean.
    pub mean: f64,
}

fn bucket_of(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    shift as usize * IN_POWER + (value >> shift) as usize
}

/// First value of a bucket, and how many it covers.
fn range_of(bucket: usize) -> (u64, u64) {
    let shift = (bucket / IN_POWER).saturating_sub(1);
    let top = (bucket - shift * IN_POWER) as u64;
    (top << shift, 1 << shift)
}

impl Sketch {
    /// Counts a span.
    pub fn add(&mut self, us: u64) {
        self.least = if self.count == 0 { us } else { self.least.min(us) };
        self.largest = self.largest.max(us);
        self.count += 1;
        self.sum += u128::from(us);
        if self.exact.len() < EXACT_MAX {
            self.exact.push(us);
        }
        let bucket = bucket_of(us);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The summary; none of nothing.
    pub fn summary(&self) -> Option<Summary> {
        if self.count == 0 {
            return None;
        }
        let sorted = self.exact().map(|spans| {
            let mut sorted = spans.to_vec();
            sorted.sort_unstable();
            sorted
        });
        let at = |part: f64| match &sorted {
            Some(sorted) => exact_quantile(sorted, part),
            None => self.quantile(part),
        };
        Some(Summary {
            least: self.least as f64,
            low: at(0.05),
            lower: at(0.25),
            median: at(0.5),
            upper: at(0.75),
            high: at(0.95),
            largest: self.largest as f64,
            mean: self.sum as f64 / self.count as f64,
        })
    }

    fn quantile(&self, part: f64) -> f64 {
        let wanted = part * (self.count - 1) as f64;
        let mut before = 0u64;
        for (bucket, count) in self.buckets.iter().enumerate() {
            before += count;
            if before as f64 > wanted {
                let (first, width) = range_of(bucket);
                let middle = first as f64 + (width - 1) as f64 / 2.0;
                return middle.clamp(self.least as f64, self.largest as f64);
            }
        }
        self.largest as f64
    }

    /// All spans, while they are few.
    pub fn exact(&self) -> Option<&[u64]> {
        (self.count == self.exact.len() as u64).then_some(self.exact.as_slice())
    }

    /// The counts by bucket: first value, how many values the bucket covers, how many spans are in it.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.buckets.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bucket, count)| {
            let (first, width) = range_of(bucket);
            (first, width, *count)
        })
    }
}

/// By interpolation between neighbours.
fn exact_quantile(sorted: &[u64], part: f64) -> f64 {
    let place = part * sorted.len().saturating_sub(1) as f64;
    let value = |index: usize| sorted.get(index).or(sorted.last()).copied().unwrap_or(0) as f64;
    let (below, above) = (value(place.floor() as usize), value(place.ceil() as usize));
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_value_is_in_its_bucket(value in any::<u64>(), shift in 0u32..64) {
            let value = value >> shift;
            let (first, width) = range_of(bucket_of(value));
            prop_assert!(first <= value && value - first < width, "{value}: {first} {width}");
            prop_assert!(width <= 1 || width <= first / 32);
        }

        #[test]
        fn quantiles_are_near(values in prop::collection::vec(1u64..1_000_000_000, EXACT_MAX + 1..EXACT_MAX + 500)) {
            let mut sketch = Sketch::default();
            values.iter().for_each(|value| sketch.add(*value));
            let mut sorted = values;
            sorted.sort_unstable();
            let summary = sketch.summary().unwrap();
            for (near, part) in [(summary.low, 0.05), (summary.median, 0.5), (summary.high, 0.95)] {
                let exact = sorted[(part * (sorted.len() - 1) as f64) as usize] as f64;
                prop_assert!((near - exact).abs() <= exact / 32.0 + 1.0, "{near} {exact}");
            }
            prop_assert_eq!(summary.least, sorted[0] as f64);
            prop_assert_eq!(summary.largest, sorted[sorted.len() - 1] as f64);
        }
    }

    #[test]
    fn few_are_exact() {
        let mut sketch = Sketch::default();
        assert_eq!(sketch.summary(), None);
        [4, 1, 3, 2].into_iter().for_each(|value| sketch.add(value));
        let summary = sketch.summary().unwrap();
        assert_eq!((summary.lower, summary.median, summary.upper, summary.mean), (1.75, 2.5, 3.25, 2.5));
        assert_eq!(sketch.buckets().map(|(_, _, count)| count).sum::<u64>(), 4);
    }
}
