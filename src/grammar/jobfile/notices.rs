//! What is said about a job file that was understood, but is better written otherwise.
//!
//! A generated file says the same thing in each of its tasks; a user reads it once.
//!
//! Holds: no sentence is kept twice, and at most [`NOTICES_MAX`] are.

/// Sentences that are said about one file.
const NOTICES_MAX: usize = 10;

/// Sentences, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Notices {
    kept: Vec<String>,
    more: usize,
}

impl Notices {
    /// Adds a sentence.
    pub(super) fn say(&mut self, sentence: String) {
        match self.kept.len() {
            _ if self.kept.contains(&sentence) => {}
            0..NOTICES_MAX => self.kept.push(sentence),
            _ => self.more += 1,
        }
    }

    /// All sentences, and how many more there would be.
    pub(super) fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.kept.push(format!("... and {} more of this kind", self.more));
        }
        self.kept
    }
}
