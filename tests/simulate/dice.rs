//! Chance that comes from a seed and from nothing else.

/// A source of numbers: splitmix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

/// One step of splitmix64: spreads the bits of a number.
pub fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { state: spread(seed) }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        spread(self.state)
    }

    /// A number below `end`; 0 for an end of 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    /// A number from `low` to `high`, both included.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in so many of a thousand cases.
    pub fn permille(&mut self, chance: u64) -> bool {
        self.below(1_000) < chance
    }

    /// A span whose size, not only its value, is chosen at random.
    pub fn span(&mut self, low: u64, high: u64) -> u64 {
        let top = low.max(1) << self.below(64 - u64::from((high.max(1) / low.max(1)).leading_zeros()));
        self.within(low, top.clamp(low, high))
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.below(from.len() as u64) as usize;
        from.get(at)
    }
}
