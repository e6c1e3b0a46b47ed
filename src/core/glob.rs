//! Patterns of names: `*` for any text, `?` for one character, `[a-z]` and `[!a-z]` for one of a set or none of it.
//!
//! A backslash takes the meaning from the character behind it; a `[` that is never closed is itself.
//!
//! What holds: any text is a pattern; matching takes at most the product of both lengths.

/// Whether the whole name matches the pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // Behind the last star: what is left of the pattern there, and of the name that the star has not swallowed.
    let mut star: Option<(&str, &str)> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix('*') {
            star = Some((rest, name));
            pattern = rest;
            continue;
        }
        let mut characters = name.chars();
        let next = characters.next();
        if next.is_none() && pattern.is_empty() {
            return true;
        }
        if let (Some(c), Some(rest)) = (next, next.and_then(|c| one(pattern, c))) {
            (pattern, name) = (rest, name.get(c.len_utf8()..).unwrap_or_default());
            continue;
        }
        // The last star takes one character more; those before it need not be tried again.
        let Some((rest, from)) = star else { return false };
        let Some(swallowed) = from.chars().next() else { return false };
        let from = from.get(swallowed.len_utf8()..).unwrap_or_default();
        star = Some((rest, from));
        (pattern, name) = (rest, from);
    }
}

/// What follows the first part of the pattern, if that part is there and takes this character.
fn one(pattern: &str, c: char) -> Option<&str> {
    let mut parts = pattern.chars();
    match parts.next()? {
        '?' => Some(parts.as_str()),
        '\\' => {
            let escaped = parts.next().unwrap_or('\\');
            (escaped == c).then_some(parts.as_str())
        }
        '[' => match set(parts.as_str(), c) {
            Some((holds, rest)) => holds.then_some(rest),
            None => (c == '[').then_some(parts.as_str()),
        },
        plain => (plain == c).then_some(parts.as_str()),
    }
}

/// Whether the set that was opened holds the character, and what follows the set; none when it is never closed.
fn set(text: &str, c: char) -> Option<(bool, &str)> {
    let (negated, text) = match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut characters = text.chars();
    let mut found = false;
    let mut first = true;
    loop {
        let low = characters.next()?;
        if low == ']' && !first {
            return Some((found != negated, characters.as_str()));
        }
        first = false;
        let mut ahead = characters.clone();
        let high = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(high)) if high != ']' => {
                characters = ahead;
                high
            }
            _ => low,
        };
        found |= (low..=high).contains(&c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads() {
        for (pattern, name, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("a*c", "abcbc", true),
            ("a*d", "abc", false),
            ("**b", "ab", true),
            ("?", "é", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[a-]", "-", true),
            ("[a", "[a", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("\\", "\\", true),
            ("Job", "job", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_cost_little() {
        let (pattern, name) = ("*a".repeat(100) + "b", "a".repeat(4_000));
        assert!(!matches(&pattern, &name));
    }

    /// What a pattern of stars, question marks and letters means, as simply as it can be said.
    fn naive(pattern: &[char], name: &[char]) -> bool {
        match (pattern.first(), name.first()) {
            (None, None) => true,
            (Some('*'), None) => naive(&pattern[1..], name),
            (Some('*'), Some(_)) => naive(&pattern[1..], name) || naive(pattern, &name[1..]),
            (Some('?'), Some(_)) => naive(&pattern[1..], &name[1..]),
            (Some(p), Some(c)) => p == c && naive(&pattern[1..], &name[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn stars_are_tried_everywhere(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            let letters = |text: &str| text.chars().collect::<Vec<char>>();
            prop_assert_eq!(matches(&pattern, &name), naive(&letters(&pattern), &letters(&name)));
        }

        #[test]
        fn any_text_is_a_pattern(pattern in "\\PC{0,20}", name in "\\PC{0,20}") {
            matches(&pattern, &name);
            prop_assert!(matches("*", &name));
        }
    }
}
