//! Random choices that can be repeated.
//!
//! A failing run names its seed, and the same seed makes the same choices again.
//!
//! Holds: the numbers depend on the seed alone (splitmix64, Steele, Lea and Flood 2014).

/// A source of choices.
#[derive(Debug, Clone)]
pub struct Seed(u64);

impl Seed {
    /// The source that belongs to a number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The source that the variable `HQ_SEED` names, else that of 1; its number is printed.
    pub fn from_env() -> Self {
        let number = number_from_env("HQ_SEED").unwrap_or(1);
        eprintln!("HQ_SEED={number}");
        Self::new(number)
    }

    /// A source of its own for a part of the test.
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number from 0 to `end - 1`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of the choices.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).expect("a small number")]
    }
}

/// The number in a variable of the environment.
pub fn number_from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// How often a campaign does its worst: `usual` times in each run of all tests, or as often as `HQ_CAMPAIGN` says.
pub fn rounds(usual: u64) -> u64 {
    number_from_env("HQ_CAMPAIGN").unwrap_or(usual)
}
