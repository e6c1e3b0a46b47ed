//! The command reference of the manual, made from the definition of the command line.
//!
//! Help, completions, the pages of `hq generate-man` and this page have one source, so none of them can be out of date.
//!
//! Holds: every command and option that help shows is on the page; the page in the tree is the one that this makes.

use crate::blessed;
use clap::{Arg, Command, CommandFactory};
use hyperqueue::client::arguments::Cli;
use std::fmt::Write;

/// Columns of a line of text.
const COLUMNS: usize = 118;

const HEAD: &str = "\
# Commands

Every command with its options. What is here is also shown by `--help` of each command, and by `man` after
`hq generate-man DIR`; all three are made from one definition.
";

#[test]
fn the_command_reference_is_up_to_date() {
    blessed::check("docs/guide/commands.md", &page());
}

fn page() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = HEAD.to_owned();
    let _ = writeln!(page, "\n## Options of every command\n");
    root.get_arguments().filter(|arg| arg.is_global_set() && !arg.is_hide_set()).for_each(|arg| option(&mut page, arg));
    for group in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        command(&mut page, group);
    }
    page
}

fn command(page: &mut String, command_: &Command) {
    let name = command_.get_bin_name().unwrap_or_else(|| command_.get_name());
    let _ = writeln!(page, "\n## `{name}`\n");
    let about = command_.get_long_about().or_else(|| command_.get_about());
    prose(page, &about.map(ToString::to_string).unwrap_or_default(), "");
    let usage = command_.clone().render_usage().to_string();
    let _ = writeln!(page, "\n```\n{}\n```", usage.trim_start_matches("Usage: "));
    let own: Vec<&Arg> = command_.get_arguments().filter(|arg| is_own(arg)).collect();
    if !own.is_empty() {
        page.push('\n');
    }
    own.iter().filter(|arg| arg.is_positional()).for_each(|arg| option(page, arg));
    own.iter().filter(|arg| !arg.is_positional()).for_each(|arg| option(page, arg));
    if let Some(after) = command_.get_after_long_help().or_else(|| command_.get_after_help()) {
        page.push('\n');
        prose(page, &after.to_string(), "");
    }
    command_.get_subcommands().filter(|inner| !inner.is_hide_set()).for_each(|inner| command(page, inner));
}

fn is_own(arg: &Arg) -> bool {
    !arg.is_global_set() && !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

/// One item of a list: the option with its value, what it is, and what it may be.
fn option(page: &mut String, arg: &Arg) {
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut paragraphs: Vec<String> = help.split("\n\n").map(str::to_owned).collect();
    paragraphs[0] = format!("`{}`: {}", shown(arg), paragraphs[0]);
    let mut notes = Vec::new();
    if arg.get_action().takes_values() {
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if !defaults.is_empty() {
            notes.push(format!("Default: `{}`.", defaults.join(",")));
        }
    }
    notes.extend(arg.get_env().map(|name| format!("Environment: `{}`.", name.to_string_lossy())));
    if !notes.is_empty() {
        paragraphs.push(notes.join(" "));
    }
    for (number, paragraph) in paragraphs.iter().enumerate() {
        if number > 0 {
            page.push('\n');
        }
        wrap(page, &escaped(paragraph), if number == 0 { "* " } else { "  " }, "  ");
    }
    let values = if arg.get_action().takes_values() { arg.get_possible_values() } else { Vec::new() };
    let values: Vec<_> = values.iter().filter(|value| !value.is_hide_set()).collect();
    for value in &values {
        let about = value.get_help().map(|help| format!(": {help}")).unwrap_or_default();
        wrap(page, &escaped(&format!("`{}`{about}", value.get_name())), "  * ", "    ");
    }
}

fn shown(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let value = names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" ");
    let value = if arg.get_action().takes_values() { value } else { String::new() };
    let flags: Vec<String> = [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|long| format!("--{long}"))]
        .into_iter()
        .flatten()
        .collect();
    match (flags.is_empty(), value.is_empty()) {
        (true, _) => value,
        (false, true) => flags.join(", "),
        (false, false) => format!("{} {value}", flags.join(", ")),
    }
}

/// Paragraphs; lines that begin with two blanks are examples.
fn prose(page: &mut String, text: &str, indent: &str) {
    for (number, paragraph) in text.split("\n\n").enumerate() {
        if number > 0 {
            page.push('\n');
        }
        let (mut plain, mut example) = (String::new(), String::new());
        for line in paragraph.lines() {
            match line.strip_prefix("  ") {
                Some(line) => {
                    let _ = writeln!(example, "{line}");
                }
                None => {
                    let _ = write!(plain, "{line} ");
                }
            }
        }
        wrap(page, &escaped(plain.trim_end()), indent, indent);
        if !example.is_empty() {
            let gap = if plain.is_empty() { "" } else { "\n" };
            let _ = write!(page, "{gap}```\n{example}```\n");
        }
    }
}

/// The text without anything that Markdown would take for a tag or an emphasis; code stays as it is.
fn escaped(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(number, part)| match number % 2 {
        0 => part.replace('<', "\\<").replace('*', "\\*").replace("%{", "%\\{"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

fn wrap(page: &mut String, text: &str, first: &str, rest: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.len() + 1 + word.len() > COLUMNS {
            let _ = writeln!(page, "{line}");
            line = rest.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    if !is_empty {
        let _ = writeln!(page, "{line}");
    }
}
