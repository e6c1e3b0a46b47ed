//! Texts of the page: escaped, and numbers and spans as people read them.
//!
//! Names and errors of a journal come from anywhere; on the page they are text and nothing else.
//!
//! Holds: what [`escape()`] gives has no character that begins a tag, an entity or ends an attribute.

use crate::client::render::escape;

/// Safe between tags and within quoted attributes; control characters are shown as escapes.
pub fn escape(text: &str) -> String {
    let line = escape::line(text);
    let mut safe = String::with_capacity(line.len() + 8);
    for c in line.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// A text of at most so many characters.
pub fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With at most so many decimals, and none that say nothing.
pub fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// `87 %`.
pub fn percent(part: f64) -> String {
    let value = part * 100.0;
    format!("{} %", number(value, usize::from(value > 0.0 && value < 10.0)))
}

/// A span with three digits that count: `1.25 ms`, `12.3 s`, `4m 10s`, `2h 5m`, `3d 4h`.
pub fn span(us: f64) -> String {
    let three = |value: f64| number(value, if value < 10.0 { 2 } else { usize::from(value < 100.0) });
    let seconds = (us / 1e6).round() as u64;
    match us {
        us if us < 1_000.0 => format!("{} µs", three(us)),
        us if us < 999_500.0 => format!("{} ms", three(us / 1e3)),
        us if us < 59.95e6 => format!("{} s", three(us / 1e6)),
        _ if seconds < 3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A place on an axis of time: `0`, `250ms`, `1m30s`, `2d6h`; exact to a microsecond.
pub fn place(us: u64) -> String {
    if us == 0 {
        return "0".to_owned();
    }
    let (seconds, rest) = (us / 1_000_000, us % 1_000_000);
    let mut text = String::new();
    for (unit, size, of) in [("d", 86_400, u64::MAX), ("h", 3_600, 24), ("m", 60, 60)] {
        let amount = seconds / size % of;
        if amount > 0 {
            text.push_str(&format!("{amount}{unit}"));
        }
    }
    match (seconds % 60, rest) {
        (0, 0) => {}
        (0, rest) if seconds == 0 => text.push_str(&format!("{}ms", number(rest as f64 / 1e3, 3))),
        (whole, rest) => text.push_str(&format!("{}s", number(whole as f64 + rest as f64 / 1e6, 6))),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        assert_eq!(escape("<script>\"'&\u{1b}"), "&lt;script&gt;&quot;&#39;&amp;\\x1b");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("äöü", 3), "äöü");
    }

    #[test]
    fn numbers_and_spans() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!((number(1.50, 2).as_str(), number(-0.0, 1).as_str(), number(20.0, 0).as_str()), ("1.5", "0", "20"));
        assert_eq!(
            (percent(0.871).as_str(), percent(0.0512).as_str(), percent(1.0).as_str()),
            ("87 %", "5.1 %", "100 %")
        );
        for (us, text) in [
            (12.0, "12 µs"),
            (1_250.0, "1.25 ms"),
            (12_340_000.0, "12.3 s"),
            (250e6, "4m 10s"),
            (7_500e6, "2h 5m"),
            (273_600e6, "3d 4h"),
        ] {
            assert_eq!(span(us), text);
        }
        for (us, text) in
            [(0, "0"), (250_000, "250ms"), (1_500_000, "1.5s"), (90_000_000, "1m30s"), (194_400_000_000, "2d6h")]
        {
            assert_eq!(place(us), text);
        }
    }
}
