//! Lines `#HQ` at the top of a script: where they stand, and how a line becomes arguments.
//!
//! A script that carries its own options is submitted the same way by everybody. Which options may stand there is the
//! command line's to say; here a text becomes words.
//!
//! Holds: any bytes give words or an [`Error`]; only the first [`SCAN_BYTES_MAX`] bytes are looked at.

use super::Error;
use super::cursor::{Cursor, is_blank};
use std::fmt;

/// Bytes of a script that are looked at.
pub const SCAN_BYTES_MAX: usize = 32 * 1024;
/// What a line with options begins with.
const MARK: &[u8] = b"#HQ ";

/// What stands at the top of a script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The words of the first line, if it begins with `#!`: an interpreter and its arguments.
    pub shebang: Vec<String>,
    /// The words of all directives, in their order.
    pub words: Vec<String>,
}

/// A line that cannot be split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// The line, from 1.
    pub line: usize,
    /// Why.
    pub cause: LineCause,
}

/// Why a line cannot be split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineCause {
    /// A quote where it cannot stand.
    Malformed(Error),
    /// It is no UTF-8.
    Encoding,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            LineCause::Malformed(error) => write!(f, "line {}: {error}", self.line),
            LineCause::Encoding => write!(f, "line {}: the line is not UTF-8", self.line),
        }
    }
}

impl std::error::Error for LineError {}

/// Reads the top of a script: lines of comments and empty lines, up to the first other one.
///
/// # Errors
/// A directive or a first line `#!` that cannot be split.
pub fn scan(script: &[u8]) -> Result<Header, LineError> {
    let mut header = Header::default();
    for (index, line) in head(script).split(|byte| *byte == b'\n').enumerate() {
        let line = if index == 0 { line } else { line.trim_ascii_start() };
        let at = |cause| LineError { line: index + 1, cause };
        let words = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes.trim_ascii()).map_err(|_| at(LineCause::Encoding))?;
            split(text).map_err(|error| at(LineCause::Malformed(error)))
        };
        match line.strip_prefix(b"#!") {
            Some(rest) if index == 0 => header.shebang = words(rest)?,
            _ => match line.trim_ascii_start() {
                [] => {}
                line if line.starts_with(MARK) => {
                    header.words.extend(words(line.get(MARK.len()..).unwrap_or_default())?)
                }
                [b'#', ..] => {}
                _ => break,
            },
        }
    }
    Ok(header)
}

/// What is looked at: whole lines only, since the first half of an option may be another option.
fn head(script: &[u8]) -> &[u8] {
    match script.get(..SCAN_BYTES_MAX) {
        None => script,
        Some(head) if script.len() == SCAN_BYTES_MAX => head,
        Some(head) => head.iter().rposition(|byte| *byte == b'\n').and_then(|end| head.get(..end)).unwrap_or_default(),
    }
}

/// Splits a line into words at blanks. A part in double quotes may have blanks and ends its word; a backslash takes the
/// meaning from a blank or double quote behind it, and is itself elsewhere.
///
/// # Errors
/// A quote that is not closed, and one whose part does not end a word.
pub fn split(line: &str) -> Result<Vec<String>, Error> {
    let mut cursor = Cursor::new(line);
    let mut words = Vec::new();
    loop {
        cursor.blanks();
        if cursor.is_end() {
            return Ok(words);
        }
        words.push(word(&mut cursor)?);
    }
}

fn word(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let mut word = String::new();
    loop {
        word.push_str(cursor.take_while(|c| !is_blank(c) && c != '"' && c != '\\'));
        if cursor.eat('\\') {
            let taken = cursor.peek().filter(|c| is_blank(*c) || *c == '"');
            word.push(taken.unwrap_or('\\'));
            if let Some(c) = taken {
                cursor.eat(c);
            }
        } else if cursor.eat('"') {
            quoted(cursor, &mut word)?;
            return match cursor.peek() {
                Some(c) if !is_blank(c) => Err(cursor.unexpected("a blank or the end after a closing quote")),
                _ => Ok(word),
            };
        } else {
            return Ok(word);
        }
    }
}

/// Reads up to the closing quote.
fn quoted(cursor: &mut Cursor<'_>, word: &mut String) -> Result<(), Error> {
    loop {
        word.push_str(cursor.take_while(|c| c != '"' && c != '\\'));
        if cursor.eat('"') {
            return Ok(());
        }
        if !cursor.eat('\\') {
            return Err(cursor.unexpected("a closing `\"`"));
        }
        word.push(if cursor.eat('"') { '"' } else { '\\' });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splits() {
        for (line, words) in [
            ("", &[][..]),
            ("  --cpus=2\t--name x ", &["--cpus=2", "--name", "x"]),
            (r#"--cpus="2 compact" --name "a b""#, &["--cpus=2 compact", "--name", "a b"]),
            (r#"--name a\ b --env=X=\"y\""#, &["--name", "a b", "--env=X=\"y\""]),
            (r#""a \"b\" \c" \d e\"#, &[r#"a "b" \c"#, r"\d", r"e\"]),
            ("'a b'", &["'a", "b'"]),
            (r#"--name="""#, &["--name="]),
            (r#""" x"#, &["", "x"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        for (line, place) in [(r#"a"b c"d"#, 6..7), (r#""a"#, 2..2), (r#""a\""#, 4..4), (r#""a""b""#, 3..4)] {
            assert_eq!(split(line).unwrap_err().bytes(), place, "{line}");
        }
    }

    fn scanned(script: &str) -> (String, String) {
        let header = scan(script.as_bytes()).unwrap();
        (header.shebang.join("|"), header.words.join("|"))
    }

    #[test]
    fn reads_the_top_of_a_script() {
        let script = "#!/bin/bash -l\n#HQ --a\n\n  #HQ  --b=1 \r\n# note\n#HQ\t--c\n#HQ--d\n#HQ\necho\n#HQ --e\n";
        assert_eq!(scanned(script), ("/bin/bash|-l".into(), "--a|--b=1".into()));
        assert_eq!(scanned("#! /usr/bin/env  x\n"), ("/usr/bin/env|x".into(), String::new()));
        // Only at the very beginning is it a line for the kernel.
        assert_eq!(scanned("\n#!/bin/sh\n#HQ --a"), (String::new(), "--a".into()));
        assert_eq!(scanned(" #!/bin/sh\n#HQ --a"), (String::new(), "--a".into()));
        assert_eq!(scanned("#HQ --a\n#HQ x"), (String::new(), "--a|x".into()));
        assert_eq!(scanned("echo\n#HQ --a"), (String::new(), String::new()));
        assert_eq!(scanned(""), (String::new(), String::new()));
    }

    #[test]
    fn errors_name_the_line() {
        let error = scan(b"#!/bin/sh\n#HQ --a\n#HQ a\"b\"c\n").unwrap_err().to_string();
        assert!(error.starts_with("line 3: unexpected token") && error.ends_with("\n  a\"b\"c\n      ^"), "{error}");
        assert_eq!(scan(b"#HQ \xff\n").unwrap_err().to_string(), "line 1: the line is not UTF-8");
        assert!(scan(b"#!/bin/sh \"\n").is_err());
        assert!(scan(b"# \xff\n\xff").is_ok());
    }

    #[test]
    fn only_whole_lines_of_the_first_part_count() {
        let filler = "#".repeat(99) + "\n";
        let lines = filler.repeat(SCAN_BYTES_MAX / filler.len());
        let rest = SCAN_BYTES_MAX - lines.len();
        let script = |option: &str| scanned(&format!("{lines}#HQ {option}\n#HQ --late\n")).1;
        // The newline of the directive is the last byte that is looked at, then the first that is not.
        assert_eq!(script(&"x".repeat(rest - 5)), "x".repeat(rest - 5));
        assert_eq!(script(&"x".repeat(rest - 4)), "");
    }

    /// Writes a word so that `split` reads it back.
    fn quote(word: &str) -> String {
        let escape = |c: char| if is_blank(c) || c == '"' { vec!['\\', c] } else { vec![c] };
        let text: String = word.chars().flat_map(escape).collect();
        if text.is_empty() { "\"\"".to_owned() } else { text }
    }

    proptest! {
        #[test]
        fn quote_then_split_is_identity(words in proptest::collection::vec("[a\" é\t'=-]{0,6}", 0..5)) {
            let line = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split(&line).unwrap(), words);
        }

        #[test]
        fn any_bytes_give_words_or_an_error(places in proptest::collection::vec(0usize..10, 0..60)) {
            let script: Vec<u8> = places.iter().map(|at| b"#HQ! \n\"\\\xff\t"[*at]).collect();
            let _ = scan(&script);
        }
    }
}
