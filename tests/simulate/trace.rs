//! What happened, as one number for every history and as text for one that is looked at.

use crate::dice::spread;

/// The trace of one history.
#[derive(Debug, Default)]
pub struct Trace {
    pub hash: u64,
    /// The last lines; all of them when they are wanted.
    pub lines: Vec<String>,
    pub is_wanted: bool,
}

impl Trace {
    /// Notes something that is the same each time that the seed is run.
    pub fn note(&mut self, words: &[u64]) {
        for word in words {
            self.hash = spread(self.hash ^ word);
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.note(&[u64::from_le_bytes(word)]);
        }
    }

    /// A line for who reads it.
    pub fn say(&mut self, now: u64, line: impl FnOnce() -> String) {
        if self.is_wanted {
            self.lines.push(format!("{:>12.6} {}", now as f64 / 1e6, line()));
        }
    }
}
