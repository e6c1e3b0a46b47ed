//! `hq journal report`: one HTML file that shows what happened, made from a journal.
//!
//! Events are folded into a [`model`] one by one, and the model is drawn as a page that needs nothing but a browser.
//!
//! **Invariant:** neither the memory that a report takes nor the size of its page grows with the length of the journal;
//! what is drawn is bounded by pixels and rows.

mod axis;
mod bands;
mod chart;
mod failures;
mod jobs;
mod model;
mod page;
mod requests;
mod series;
mod sketch;
mod spread;
mod tables;
mod text;
mod timeline;
mod window;
mod workers;

use hq_core::event::Event;
use hq_core::time::{Span, Time};
use model::Model;
use std::fmt;

/// Why there is no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The first event is not the start of a server.
    NoServerStart,
    /// There is no event.
    Empty,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoServerStart => "Journal does not start with server start event",
            Self::Empty => "Empty journal",
        })
    }
}

impl std::error::Error for Error {}

/// A report that is being made.
#[derive(Debug, Default)]
pub struct Report {
    start: Option<Span>,
    end: Option<Span>,
    model: Option<Model>,
}

impl Report {
    /// A report about a part of the time, both ends counted from the first event.
    pub fn new(start: Option<Span>, end: Option<Span>) -> Self {
        Self { start, end, model: None }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// [`Error::NoServerStart`].
    pub fn add(&mut self, at: Time, event: &Event) -> Result<(), Error> {
        match &mut self.model {
            Some(model) => model.add(at, event),
            None => self.model = Some(Model::begin(at, event, self.start, self.end)?),
        }
        Ok(())
    }

    /// The page.
    ///
    /// # Errors
    /// [`Error::Empty`].
    pub fn finish(self) -> Result<String, Error> {
        let mut model = self.model.ok_or(Error::Empty)?;
        model.finish();
        Ok(page::page(&model))
    }
}

#[cfg(test)]
mod tests;
