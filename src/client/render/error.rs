//! Errors as users see them: the message with its causes, as text or JSON, and the exit codes.
//!
//! Every failing command ends through here, so that scripts can rely on stream, form and code.
//!
//! Holds: an error is printed once: on the standard error, or in JSON mode on the standard output.

use super::{OutputMode, escape, json};
use std::error::Error;
use std::process::ExitCode;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, which includes most cases of "not found".
    Success,
    /// 1: an error at run time.
    Failure,
    /// 2: the command line is wrong.
    Usage,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// A printed error: what goes to which stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// For the standard output.
    pub stdout: String,
    /// For the standard error.
    pub stderr: String,
}

/// The message, then, if there are causes, an empty line, `Caused by:` and the indented causes, numbered when
/// there is more than one.
pub fn text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    if !causes.is_empty() {
        text.push_str("\n\nCaused by:");
    }
    let numbered = causes.len() > 1;
    for (number, cause) in causes.iter().enumerate() {
        let (first, next) = if numbered { (format!("{number:>5}: "), " ".repeat(7)) } else { (indent(), indent()) };
        for (at, line) in cause.lines().enumerate() {
            text.push('\n');
            text.push_str(if at == 0 { &first } else { &next });
            text.push_str(line);
        }
    }
    text
}

fn indent() -> String {
    " ".repeat(4)
}

/// Prints the text of an error for an output mode.
pub fn report(mode: OutputMode, text: &str) -> Report {
    match mode {
        OutputMode::Json => Report { stdout: json::pretty(&serde_json::json!({ "error": text })), ..Report::default() },
        OutputMode::Cli | OutputMode::Quiet => {
            Report { stderr: format!("{}\n", escape::text(text)), ..Report::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Chain(&'static str, Option<Box<Chain>>);

    impl fmt::Display for Chain {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Chain {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &dyn Error)
        }
    }

    fn chain(messages: &[&'static str]) -> Chain {
        Chain(messages[0], (messages.len() > 1).then(|| Box::new(chain(&messages[1..]))))
    }

    #[test]
    fn causes_are_listed() {
        assert_eq!(text(&chain(&["it failed"])), "it failed");
        assert_eq!(text(&chain(&["it failed", "disk\nfull"])), "it failed\n\nCaused by:\n    disk\n    full");
        let two = "it failed\n\nCaused by:\n    0: a\n    1: b\n       c";
        assert_eq!(text(&chain(&["it failed", "a", "b\nc"])), two);
    }

    #[test]
    fn each_mode_has_its_stream() {
        let json = report(OutputMode::Json, "a\n\nb \u{1b}");
        assert_eq!(json.stdout, "{\n  \"error\": \"a\\n\\nb \\u001b\"\n}\n");
        assert_eq!(json.stderr, "");
        for mode in [OutputMode::Cli, OutputMode::Quiet] {
            let expected = Report { stdout: String::new(), stderr: "a\nb\\x1b\n".into() };
            assert_eq!(report(mode, "a\nb\u{1b}"), expected);
        }
    }

    #[test]
    fn exit_codes() {
        assert_eq!([Exit::Success, Exit::Failure, Exit::Usage].map(Exit::code), [0, 1, 2]);
    }
}
