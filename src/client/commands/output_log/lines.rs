//! Lines of output with whose they are in front: `JOB.TASK:CHANNEL> DATA`.
//!
//! Holds: on a terminal the data cannot overwrite the prefix; in a file or pipe they are what the task wrote, but for bytes
//! that are no UTF-8.

use crate::client::render::color::{Color, Palette, Style};
use crate::client::render::escape;
use crate::platform::terminal;
use hq_journal::stream::Key;
use std::borrow::Cow;

/// Background colours of the prefix, by task id.
const BACKGROUNDS: [Color; 6] = [Color::Red, Color::Green, Color::Yellow, Color::Blue, Color::Magenta, Color::Cyan];

/// How lines are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines {
    palette: Palette,
    is_terminal: bool,
    job_max: u32,
    task_max: u32,
}

impl Lines {
    pub(super) fn new(palette: Palette) -> Self {
        Self { palette, is_terminal: terminal::stdout_is_terminal(), job_max: 0, task_max: 0 }
    }

    /// The numbers are padded so that this one fits.
    pub(super) fn widen(&mut self, key: Key) {
        (self.job_max, self.task_max) = (self.job_max.max(key.job), self.task_max.max(key.task));
    }

    /// A chunk or line of output; one newline at least ends it.
    pub(super) fn line(&self, key: Key, channel: u8, bytes: &[u8]) -> String {
        let data = String::from_utf8_lossy(bytes);
        let data: Cow<'_, str> = if self.is_terminal { escape::output(&data) } else { data.as_ref().into() };
        let (job_width, task_width) = (digits(self.job_max), digits(self.task_max));
        let prefix = format!("{:0job_width$}.{:0task_width$}:{channel}>", key.job, key.task);
        let background = BACKGROUNDS.get(key.task as usize % BACKGROUNDS.len()).copied();
        let prefix = self.palette.paint(Style { background, ..Style::PLAIN }, &prefix);
        let newline = if data.ends_with('\n') { "" } else { "\n" };
        format!("{prefix} {data}{newline}")
    }
}

fn digits(number: u32) -> usize {
    number.to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_prefixed_and_ends_with_a_newline() {
        let lines = |palette| Lines { palette, is_terminal: false, job_max: 6, task_max: 12 };
        let key = |task| Key { job: 6, task, ..Key::default() };
        let shown = |task, channel, data: &str| lines(Palette::OFF).line(key(task), channel, data.as_bytes());
        assert_eq!(shown(8, 0, "hello"), "6.08:0> hello\n");
        assert_eq!(shown(12, 1, "oops\nx\n"), "6.12:1> oops\nx\n");
        assert_eq!(lines(Palette::ON).line(key(8), 0, b"hello"), "\u{1b}[43m6.08:0>\u{1b}[0m hello\n");
    }
}
