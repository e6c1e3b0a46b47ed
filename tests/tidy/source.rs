//! A Rust file with its code and its comments told apart.
//!
//! Rules about code must not be fooled by a word in a comment or a brace in a string, so both are blanked out first;
//! a full parser is not needed for that.
//!
//! What holds: `code` and `raw` have the same lines; what was a comment or the inside of a literal is spaces.

/// One Rust file.
pub struct Source {
    /// Relative to the root of the repository.
    pub path: String,
    /// The text as it stands.
    pub raw: String,
    /// The text with comments and the insides of literals blanked.
    pub code: String,
}

impl Source {
    /// Blanks the comments and literals of `raw`.
    pub fn new(path: &str, raw: &str) -> Source {
        Source { path: path.to_owned(), raw: raw.to_owned(), code: blank(raw) }
    }

    /// The lines of code with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// `path:line: ` in front of a violation.
    pub fn at(&self, line: usize) -> String {
        format!("{}:{line}: ", self.path)
    }
}

/// Whether `byte` can be part of a Rust identifier.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The position after each place where `word` stands as a whole word in `line`.
pub fn word_ends(line: &str, word: &str) -> Vec<usize> {
    let bytes = line.as_bytes();
    line.match_indices(word)
        .filter(|(start, _)| {
            let before = start.checked_sub(1).map(|index| bytes[index]);
            let after = bytes.get(start + word.len()).copied();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
        .map(|(start, _)| start + word.len())
        .collect()
}

fn blank(raw: &str) -> String {
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match token_end(bytes, at) {
            Some(end) => end,
            None => {
                out.push(bytes[at]);
                at += 1;
                continue;
            }
        };
        out.extend(bytes[at..end].iter().map(|&byte| if byte == b'\n' { b'\n' } else { b' ' }));
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The end of the comment or literal that starts at `at`, if one does.
fn token_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Some(at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(at + block_comment(rest));
    }
    let starts_word = at == 0 || !is_word(bytes[at - 1]);
    match bytes[at] {
        b'"' => Some(at + quoted(rest, 1)),
        b'b' if starts_word && rest.starts_with(b"b\"") => Some(at + quoted(rest, 2)),
        b'r' | b'b' | b'c' if starts_word => raw_string(rest).map(|length| at + length),
        b'\'' => character(rest).map(|length| at + length),
        _ => None,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], open: usize) -> usize {
    let mut at = open;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = if rest.starts_with(b"br") || rest.starts_with(b"cr") { 2 } else { 1 };
    if rest[prefix - 1] != b'r' {
        return None;
    }
    let hashes = rest[prefix..].iter().take_while(|&&byte| byte == b'#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = &rest[open + 1..];
    let length = body.windows(close.len()).position(|window| window == close).unwrap_or(body.len());
    Some((open + 1 + length + close.len()).min(rest.len()))
}

/// The length of a character literal; none for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return rest.iter().skip(3).position(|&byte| byte == b'\'').map(|index| index + 4);
    }
    let text = std::str::from_utf8(&rest[1..rest.len().min(6)]).or_else(|e| {
        let valid = e.valid_up_to();
        std::str::from_utf8(&rest[1..=valid])
    });
    let width = text.ok()?.chars().next()?.len_utf8();
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

#[test]
fn comments_and_literals_are_blanked() {
    let check = |raw: &str, expect: &str| assert_eq!(Source::new("x.rs", raw).code, expect);
    check("a // { \"\nb", "a       \nb");
    check("a /* x /* y */ } */ b", "a                   b");
    check("f(\"a\\\"}\", '}', '\\'', 'é')", "f(      ,    ,     ,     )");
    check("r#\"a\"}\"# b\"}\" x", "              x");
    check("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
    check("for r in b {}", "for r in b {}");
}

#[test]
fn words_are_whole() {
    assert_eq!(word_ends("unsafe unsafe_code my_unsafe (unsafe)", "unsafe"), vec![6, 36]);
}
