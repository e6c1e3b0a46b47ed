//! Colours of `cli` output: the policy, the styles of states, and painting.
//!
//! Styles are data until the last moment, so that widths are counted without escape sequences and output that is
//! not coloured contains none.
//!
//! Holds: what is painted with colours off, or with the plain style, is the text itself.

use std::borrow::Cow;

/// The value of `--colors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorPolicy {
    /// Colours when the standard output is a terminal.
    #[default]
    Auto,
    /// Colours always.
    Always,
    /// Colours never.
    Never,
}

/// A colour of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Color {
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
    BrightRed,
}

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Colour of the letters.
    pub color: Option<Color>,
    /// Colour behind them.
    pub background: Option<Color>,
    /// Whether they are bold.
    pub bold: bool,
}

/// Whether to paint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Palette {
    on: bool,
}

impl Color {
    /// The number of the colour in an escape sequence, for letters.
    fn code(self) -> u8 {
        match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Blue => 34,
            Self::Magenta => 35,
            Self::Cyan => 36,
            Self::BrightRed => 91,
        }
    }

    /// The style with letters in this colour.
    pub const fn style(self) -> Style {
        Style { color: Some(self), background: None, bold: false }
    }
}

impl Style {
    /// As the terminal shows text by default.
    pub const PLAIN: Style = Style { color: None, background: None, bold: false };
    /// Labels and headers.
    pub const BOLD: Style = Style { color: None, background: None, bold: true };
    /// Error texts.
    pub const ERROR: Style = Color::Red.style();

    /// The style of a state's word, such as `RUNNING`, `running` or `OPENED`; plain for other words.
    pub fn of_state(word: &str) -> Style {
        match word.to_ascii_uppercase().as_str() {
            "WAITING" | "OPENED" => Color::Cyan.style(),
            "RUNNING" => Color::Yellow.style(),
            "FINISHED" => Color::Green.style(),
            "FAILED" => Color::Red.style(),
            "CANCELED" => Color::Magenta.style(),
            "ABORTED" => Color::Blue.style(),
            _ => Style::PLAIN,
        }
    }

    fn codes(self) -> Vec<u8> {
        let background = self.background.map(|color| color.code() + 10);
        [self.bold.then_some(1), self.color.map(Color::code), background].into_iter().flatten().collect()
    }
}

impl Palette {
    /// No colours: for `json` and `quiet`, and for text that goes to files.
    pub const OFF: Palette = Palette { on: false };
    /// Colours.
    pub const ON: Palette = Palette { on: true };

    /// The palette of a policy, given whether the standard output is a terminal.
    pub fn new(policy: ColorPolicy, stdout_is_terminal: bool) -> Self {
        let on = match policy {
            ColorPolicy::Auto => stdout_is_terminal,
            ColorPolicy::Always => true,
            ColorPolicy::Never => false,
        };
        Self { on }
    }

    /// `text` in `style`. The text is taken as it is: escape what comes from users first.
    pub fn paint(self, style: Style, text: &str) -> Cow<'_, str> {
        let codes = style.codes();
        if !self.on || codes.is_empty() || text.is_empty() {
            return Cow::Borrowed(text);
        }
        let codes: Vec<String> = codes.iter().map(u8::to_string).collect();
        Cow::Owned(format!("\x1b[{}m{text}\x1b[0m", codes.join(";")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        assert_eq!(Palette::new(ColorPolicy::Auto, true), Palette::ON);
        assert_eq!(Palette::new(ColorPolicy::Auto, false), Palette::OFF);
        assert_eq!(Palette::new(ColorPolicy::Always, false), Palette::ON);
        assert_eq!(Palette::new(ColorPolicy::Never, true), Palette::OFF);
    }

    #[test]
    fn paints() {
        assert_eq!(Palette::OFF.paint(Style::BOLD, "x"), "x");
        assert_eq!(Palette::ON.paint(Style::PLAIN, "x"), "x");
        assert_eq!(Palette::ON.paint(Style::BOLD, ""), "");
        assert_eq!(Palette::ON.paint(Style::of_state("FINISHED"), "ok"), "\x1b[32mok\x1b[0m");
        assert_eq!(Palette::ON.paint(Style { bold: true, ..Color::BrightRed.style() }, "x"), "\x1b[1;91mx\x1b[0m");
        let behind = Style { background: Some(Color::Cyan), ..Style::PLAIN };
        assert_eq!(Palette::ON.paint(behind, "x"), "\x1b[46mx\x1b[0m");
        assert_eq!(Style::of_state("nothing"), Style::PLAIN);
        assert_eq!(Style::of_state("canceled"), Color::Magenta.style());
    }
}
