//! The standard output of a command: where results go, in the mode that was asked for.
//!
//! Scripts parse this stream, so each command says what it prints in which mode, and nothing else gets here.
//!
//! Holds: in JSON mode there is exactly one value: `{}` when the command had none, the error when it failed before it had
//! one; only `cli` output is coloured.

use super::error::Error;
use super::render::OutputMode;
use super::render::color::{ColorPolicy, Palette};
use super::render::json;
use crate::platform::terminal;
use serde_json::{Map, Value};
use std::io::{self, BufWriter, Stdout, Write};

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// The standard output in a mode.
pub struct Console {
    mode: OutputMode,
    palette: Palette,
    out: BufWriter<Stdout>,
    has_printed: bool,
    wants_value: bool,
}

impl Console {
    /// The standard output of this process.
    pub fn new(mode: OutputMode, colors: ColorPolicy) -> Self {
        let palette = match mode {
            OutputMode::Cli => Palette::new(colors, terminal::stdout_is_terminal()),
            OutputMode::Json | OutputMode::Quiet => Palette::OFF,
        };
        let out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
        Self { mode, palette, out, has_printed: false, wants_value: mode == OutputMode::Json }
    }

    /// The mode.
    pub fn mode(&self) -> OutputMode {
        self.mode
    }

    /// The colours of the mode.
    pub fn palette(&self) -> Palette {
        self.palette
    }

    /// Prints a text as it is.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn text(&mut self, text: &str) -> Result<(), Error> {
        self.bytes(text.as_bytes())
    }

    /// Prints bytes as they are.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.has_printed |= !bytes.is_empty();
        self.out.write_all(bytes).map_err(Error::Output)
    }

    /// Prints the value of the command in JSON mode.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn json(&mut self, value: &Value) -> Result<(), Error> {
        (self.has_printed, self.wants_value) = (true, false);
        json::write(&mut self.out, value).map_err(Error::Output)
    }

    /// As [`Console::json`], for a value that is made while it is printed.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn json_tree(&mut self, tree: &json::Tree<'_>) -> Result<(), Error> {
        (self.has_printed, self.wants_value) = (true, false);
        json::write_tree(&mut self.out, tree).map_err(Error::Output)
    }

    /// Says that what the command prints is not a JSON value, and that none shall follow it.
    pub fn is_raw(&mut self) {
        self.wants_value = false;
    }

    /// The mode in which an error is told: where something stands on the standard output already, text beside it, since
    /// a second value would make the first one unreadable too.
    pub fn error_mode(&self) -> OutputMode {
        if self.has_printed { OutputMode::Quiet } else { self.mode }
    }

    /// Hands everything printed so far to the system.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.out.flush().map_err(Error::Output)
    }

    /// Ends the output of a successful command.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn finish(&mut self) -> Result<(), Error> {
        if self.wants_value {
            self.json(&Value::Object(Map::new()))?;
        }
        self.flush()
    }
}
