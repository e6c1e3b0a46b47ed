//! Files of at most 500 lines, functions of at most 70.
//!
//! What is short can be read whole; what grew long once never shrinks by itself. The lists of exceptions are ratchets:
//! an entry may go down and away, never up.
//!
//! What holds: a list entry that is higher than needed, or no longer needed, is a violation as well.

use super::source::{Source, is_word, word_ends};

/// Lines of a file.
pub const FILE_LINES_MAX: usize = 500;
/// Lines of a function, from `fn` to its closing brace.
pub const FUNCTION_LINES_MAX: usize = 70;

/// Files that are longer: path, lines.
pub const LONG_FILES: &[(&str, usize)] = &[("src/core/machine_tests.rs", 617), ("src/core/state/image.rs", 548)];
/// Functions that are longer: `path::name`, lines.
pub const LONG_FUNCTIONS: &[(&str, usize)] = &[];

/// Files and functions that are too long, and list entries that are too generous.
pub fn violations(files: &[Source], long_files: &[(&str, usize)], long_functions: &[(&str, usize)]) -> Vec<String> {
    let mut found = Vec::new();
    let file_lengths: Vec<(String, usize)> =
        files.iter().map(|file| (file.path.clone(), file.raw.lines().count())).collect();
    let mut function_lengths: Vec<(String, usize)> = Vec::new();
    for file in files {
        for (name, lines) in functions(file) {
            let key = format!("{}::{name}", file.path);
            match function_lengths.iter_mut().find(|(other, _)| *other == key) {
                Some((_, longest)) => *longest = lines.max(*longest),
                None => function_lengths.push((key, lines)),
            }
        }
    }
    compare("file", &file_lengths, FILE_LINES_MAX, long_files, &mut found);
    compare("function", &function_lengths, FUNCTION_LINES_MAX, long_functions, &mut found);
    found
}

fn compare(what: &str, have: &[(String, usize)], most: usize, list: &[(&str, usize)], found: &mut Vec<String>) {
    for (name, lines) in have {
        let allowed = list.iter().find(|(entry, _)| entry == name).map(|(_, lines)| *lines);
        match allowed {
            None if *lines > most => found.push(format!("{name}: a {what} of {lines} lines; at most {most}: split it")),
            Some(allowed) if *lines > allowed.max(most) => {
                found.push(format!("{name}: grew to {lines} lines; the list allows {allowed}: split it"));
            }
            Some(allowed) if *lines < allowed || *lines <= most => {
                found.push(format!("{name}: has {lines} lines, the list still allows {allowed}: lower or remove it"));
            }
            _ => {}
        }
    }
    for (entry, _) in list {
        if !have.iter().any(|(name, _)| name == entry) {
            found.push(format!("{entry}: is listed as a long {what} but is not there: remove the entry"));
        }
    }
}

/// The functions of a file with their lengths in lines. A function inside another counts for both.
pub fn functions(file: &Source) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut offset = 0;
    for line in file.code.split_inclusive('\n') {
        for end in word_ends(line, "fn") {
            let name: String =
                line[end..].trim_start().bytes().take_while(|&byte| is_word(byte)).map(char::from).collect();
            if name.is_empty() {
                continue;
            }
            if let Some(length) = body_lines(&file.code[offset + end..]) {
                found.push((name, length));
            }
        }
        offset += line.len();
    }
    found
}

/// Lines up to the brace that closes the body which opens first; none for a declaration without a body.
fn body_lines(code: &str) -> Option<usize> {
    let (mut depth, mut brackets, mut lines) = (0_usize, 0_i32, 1_usize);
    for byte in code.bytes() {
        match byte {
            b'\n' => lines += 1,
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b';' if depth == 0 && brackets == 0 => return None,
            b'{' => depth += 1,
            b'}' if depth <= 1 => return (depth == 1).then_some(lines),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[test]
fn functions_are_measured_from_fn_to_the_closing_brace() {
    let text =
        "fn one() {}\ntrait T {\n    fn none(&self, x: [u8; 3]);\n}\n/// fn not\nfn four(\n) -> u8 {\n    '}';\n}\n";
    let expect = vec![("one".to_owned(), 1), ("four".to_owned(), 4)];
    assert_eq!(functions(&Source::new("x.rs", text)), expect);
}

#[test]
fn a_long_file_or_function_is_found_and_the_list_only_shrinks() {
    let long = Source::new("long.rs", &format!("fn f() {{\n{}}}\n", "    g();\n".repeat(600)));
    let short = Source::new("short.rs", "fn f() {}\n");
    let check = |files: &[Source], files_list: &[(&str, usize)], functions_list: &[(&str, usize)], expect: usize| {
        let found = violations(files, files_list, functions_list);
        assert_eq!(found.len(), expect, "{found:?}");
    };
    check(std::slice::from_ref(&short), &[], &[], 0);
    check(std::slice::from_ref(&long), &[], &[], 2);
    check(std::slice::from_ref(&long), &[("long.rs", 602)], &[("long.rs::f", 602)], 0);
    check(std::slice::from_ref(&long), &[("long.rs", 601)], &[("long.rs::f", 602)], 1);
    check(std::slice::from_ref(&long), &[("long.rs", 603)], &[("long.rs::f", 603)], 2);
    check(std::slice::from_ref(&short), &[("short.rs", 600), ("gone.rs", 501)], &[], 2);
}
