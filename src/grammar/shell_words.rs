//! A command as one text: words, split and unquoted as a POSIX shell does it, with nothing replaced.
//!
//! Holds: a text that is not quoted well is one word, the name of a program, since that is what it has always meant; the
//! words that are quoted and joined are read as they were.

use super::Error;

/// Reads the words; one at least.
///
/// # Errors
/// A text without a word.
pub fn parse(text: &str) -> Result<Vec<String>, Error> {
    let words = shlex::split(text).unwrap_or_else(|| vec![text.to_owned()]);
    if words.is_empty() {
        return Err(Error::unexpected("a program and its arguments", text, 0..text.len()));
    }
    Ok(words)
}

/// The words of a command, as one value of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellWords(pub Vec<String>);

/// As [`parse`].
///
/// # Errors
/// As [`parse`].
pub fn parse_command(text: &str) -> Result<ShellWords, Error> {
    parse(text).map(ShellWords)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_as_a_shell_reads_them() {
        for (text, words) in [
            ("a b  c", &["a", "b", "c"][..]),
            (r#"sh -c 'echo "$0" >> seen'"#, &["sh", "-c", r#"echo "$0" >> seen"#]),
            (r"sh -c 'echo \$0'", &["sh", "-c", r"echo \$0"]),
            (r#"a\ b "c \" d" e''f"#, &["a b", "c \" d", "ef"]),
            ("''", &[""]),
            ("it's", &["it's"]),
            ("\"open", &["\"open"]),
        ] {
            assert_eq!(parse(text).unwrap(), words, "{text}");
        }
        for empty in ["", "  ", "\t"] {
            assert!(parse(empty).is_err());
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read(words in proptest::collection::vec("[^\\x00]{0,12}", 1..6)) {
            let text = shlex::try_join(words.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(parse(&text), Ok(words));
        }
    }
}
