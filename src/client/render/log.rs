//! Log lines on the standard error: `2030-01-02T03:04:05Z WARN something`.
//!
//! Scripts match the level and the text, so the form is fixed; debugging has another form with the module.
//!
//! Holds: parts are separated by exactly one blank; a message cannot contain control characters but newlines.

use super::color::{Color, Palette, Style};
use super::time::log_stamp;
use super::{escape, gauge};
use ::log::{Level, LevelFilter};
use hq_core::time::{Span, Time};
use std::io::{IsTerminal, Write};
use std::time::SystemTime;

/// What decides the form and the level of log lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogOptions {
    /// `--debug`.
    pub debug: bool,
    /// Whether only errors are told: the mode `quiet`, whose callers often join the two streams into one.
    pub quiet: bool,
    /// The value of `RUST_LOG`: filters that override the level.
    pub rust_log: Option<String>,
    /// Whether lines are coloured.
    pub palette: Palette,
}

impl LogOptions {
    /// What the environment says: `RUST_LOG`, and `RUST_LOG_STYLE` (`always`, `never`, else by the terminal).
    pub fn from_env(debug: bool, quiet: bool) -> Self {
        let style = std::env::var("RUST_LOG_STYLE").unwrap_or_default();
        let palette = match style.as_str() {
            "always" => Palette::ON,
            "never" => Palette::OFF,
            _ if std::io::stderr().is_terminal() => Palette::ON,
            _ => Palette::OFF,
        };
        Self { debug, quiet, rust_log: std::env::var("RUST_LOG").ok(), palette }
    }

    /// Whether lines have the form for debugging.
    pub fn is_detailed(&self) -> bool {
        self.debug || self.rust_log.as_deref().is_some_and(|filters| filters.contains("debug"))
    }

    /// The level where no filter says otherwise.
    pub fn level(&self) -> LevelFilter {
        match (self.debug, self.quiet) {
            (true, _) => LevelFilter::Debug,
            (false, true) => LevelFilter::Error,
            (false, false) => LevelFilter::Info,
        }
    }
}

/// Starts logging to the standard error; a second call in a process has no effect.
pub fn init(options: &LogOptions) {
    // A second start, as in tests, keeps the first one.
    let _ = builder(options).try_init();
}

fn builder(options: &LogOptions) -> env_logger::Builder {
    let (detailed, palette) = (options.is_detailed(), options.palette);
    let mut builder = env_logger::Builder::new();
    builder.filter_level(options.level());
    if let Some(filters) = &options.rust_log {
        builder.parse_filters(filters);
    }
    builder.format(move |out, record| {
        gauge::clear();
        let message = record.args().to_string();
        out.write_all(format_line(now(), record.level(), record.target(), &message, detailed, palette).as_bytes())
    });
    builder
}

/// One line of the log, with its newline.
pub fn format_line(time: Time, level: Level, module: &str, message: &str, detailed: bool, palette: Palette) -> String {
    let color = match level {
        Level::Error => Color::Red,
        Level::Warn => Color::Yellow,
        Level::Info => Color::Green,
        Level::Debug => Color::Blue,
        Level::Trace => Color::Cyan,
    };
    let level = palette.paint(Style { bold: true, ..color.style() }, level.as_str());
    let (stamp, message) = (log_stamp(time, detailed), escape::text(message));
    if detailed { format!("[{stamp} {level} {module}] {message}\n") } else { format!("{stamp} {level} {message}\n") }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time(Span::from_duration(since).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Time = Time(1_893_553_445_006_000);

    #[test]
    fn lines() {
        let line = |level, text, detailed| format_line(MOMENT, level, "hq::x", text, detailed, Palette::OFF);
        assert_eq!(line(Level::Warn, "something", false), "2030-01-02T03:04:05Z WARN something\n");
        assert_eq!(line(Level::Debug, "x", true), "[2030-01-02T03:04:05.006Z DEBUG hq::x] x\n");
        assert_eq!(line(Level::Info, "a\nb\u{1b}c", false), "2030-01-02T03:04:05Z INFO a\nb\\x1bc\n");
        let colored = format_line(MOMENT, Level::Error, "", "x", false, Palette::ON);
        assert_eq!(colored, "2030-01-02T03:04:05Z \x1b[1;31mERROR\x1b[0m x\n");
    }

    #[test]
    fn options() {
        let with = |debug, filters: &str| LogOptions { debug, rust_log: Some(filters.into()), ..Default::default() };
        assert_eq!(LogOptions::default().level(), LevelFilter::Info);
        assert!(!LogOptions::default().is_detailed());
        let quiet = LogOptions { quiet: true, ..Default::default() };
        assert_eq!((quiet.level(), quiet.is_detailed()), (LevelFilter::Error, false));
        assert_eq!(LogOptions { debug: true, ..quiet }.level(), LevelFilter::Debug);
        assert!(with(true, "").is_detailed() && with(true, "").level() == LevelFilter::Debug);
        assert!(with(false, "hq=debug").is_detailed());
        assert!(!with(false, "hq=warn").is_detailed());
    }

    #[test]
    fn filters_override_the_level() {
        let enabled = |options: &LogOptions, level, target| {
            let record = ::log::Record::builder().level(level).target(target).build();
            builder(options).build().matches(&record)
        };
        let plain = LogOptions::default();
        assert!(enabled(&plain, Level::Info, "a") && !enabled(&plain, Level::Debug, "a"));
        let filtered = LogOptions { rust_log: Some("a=debug,b=error".into()), ..plain };
        assert!(enabled(&filtered, Level::Debug, "a::x") && !enabled(&filtered, Level::Warn, "b"));
        assert!(enabled(&filtered, Level::Info, "c"));
        let quiet = LogOptions { quiet: true, ..LogOptions::default() };
        assert!(enabled(&quiet, Level::Error, "a") && !enabled(&quiet, Level::Warn, "a"));
        assert!(enabled(&LogOptions { rust_log: Some("info".into()), ..quiet }, Level::Info, "a"));
    }
}
