//! Tables in texts: checked for their form, then written again with what is volatile replaced.
//!
//! A column that contains something volatile may have any width, so its width is made that of the placeholders; every other
//! column stays as it is, and so do its blanks.
//!
//! Holds: a table whose lines are not all as wide as its border fails the test.

use crate::volatile::Volatile;

/// A column: its cells from top to bottom as they stand, with the blanks around the content.
type Column = Vec<String>;

/// The text with placeholders; tables keep their form.
pub fn settle(text: &str, volatile: &Volatile) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut out = String::new();
    let mut at = 0;
    while at < lines.len() {
        let length = table_length(&lines[at..]);
        if length == 0 {
            out.push_str(&volatile.text(lines[at]));
            at += 1;
        } else {
            out.push_str(&table(&lines[at..at + length], volatile));
            at += length;
        }
    }
    out
}

fn is_border(line: &str) -> bool {
    line.len() > 2 && line.starts_with("+-") && line.trim_end().chars().all(|c| matches!(c, '+' | '-'))
}

/// Lines of the table with which `lines` begin; 0 where there is none.
fn table_length(lines: &[&str]) -> usize {
    if !lines.first().is_some_and(|line| is_border(line)) {
        return 0;
    }
    let ends = |at: &usize| is_border(lines[*at]) && !lines.get(at + 1).is_some_and(|line| line.starts_with('|'));
    let end = (1..lines.len()).find(ends).unwrap_or_else(|| panic!("a table has no end:\n{}", lines.concat()));
    end + 1
}

fn table(lines: &[&str], volatile: &Volatile) -> String {
    let lines: Vec<Vec<char>> = lines.iter().map(|line| line.trim_end_matches('\n').chars().collect()).collect();
    let whole = || lines.iter().map(|line| line.iter().collect::<String>() + "\n").collect::<String>();
    let bars: Vec<usize> = (0..lines[0].len()).filter(|at| lines[0][*at] == '+').collect();
    let is_border = |line: &Vec<char>| line[0] == '+';
    for line in &lines {
        assert_eq!(line.len(), lines[0].len(), "the lines of a table differ in width:\n{}", whole());
        let bar = if is_border(line) { '+' } else { '|' };
        assert!(bars.iter().all(|at| line[*at] == bar), "the columns of a table do not align:\n{}", whole());
    }
    let has_header = lines.iter().filter(|line| is_border(line)).count() > 2;
    let rows: Vec<&Vec<char>> = lines.iter().filter(|line| !is_border(line)).collect();
    let mut columns: Vec<Column> = bars
        .windows(2)
        .map(|pair| rows.iter().map(|row| row[pair[0] + 1..pair[1]].iter().collect()).collect())
        .collect();
    let labels: Vec<String> = columns[0].iter().map(|cell| cell.trim().to_owned()).collect();
    for column in &mut columns {
        let title = has_header.then(|| column[0].trim().to_owned());
        settle_column(column, |row| title.clone().unwrap_or_else(|| labels[row].clone()), volatile);
    }
    render(&lines.iter().map(is_border).collect::<Vec<_>>(), &columns)
}

fn settle_column(column: &mut Column, label: impl Fn(usize) -> String, volatile: &Volatile) {
    let old: Vec<String> = column.iter().map(|cell| cell.trim().to_owned()).collect();
    let new: Vec<String> = old
        .iter()
        .enumerate()
        .map(|(row, cell)| match label(row) {
            title if title == *cell => volatile.text(cell),
            label => volatile.cell(&label, cell),
        })
        .collect();
    if old == new {
        return;
    }
    let is_right = column.iter().any(|cell| cell.starts_with("  ") && !cell.ends_with("  ") && !cell.trim().is_empty());
    let width = new.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    for (cell, text) in column.iter_mut().zip(new) {
        *cell = if is_right { format!(" {text:>width$} ") } else { format!(" {text:<width$} ") };
    }
}

fn render(borders: &[bool], columns: &[Column]) -> String {
    let mut out = String::new();
    let mut row = 0;
    for is_border in borders {
        let bar = if *is_border { '+' } else { '|' };
        for column in columns {
            out.push(bar);
            match is_border {
                true => out.push_str(&"-".repeat(column[0].chars().count())),
                false => out.push_str(&column[row]),
            }
        }
        out.push(bar);
        out.push('\n');
        row += usize::from(!is_border);
    }
    out
}

#[test]
fn only_volatile_columns_change() {
    let volatile = Volatile::new(std::path::Path::new("/tmp/x"));
    let text = "\
+----+------------+----------+
| ID | Name       | Makespan |
+----+------------+----------+
|  7 | /tmp/x/abc | 3m 2s    |
|    | d          |          |
+----+------------+----------+
done
";
    let expected = "\
+----+-----------+----------+
| ID | Name      | Makespan |
+----+-----------+----------+
|  7 | <DIR>/abc | <SPAN>   |
|    | d         |          |
+----+-----------+----------+
done
";
    assert_eq!(settle(text, &volatile), expected);
    let vertical = "+-----+-------+\n| Pid | 12345 |\n| A   | b     |\n+-----+-------+\n";
    let expected = "+-----+-------+\n| Pid | <PID> |\n| A   | b     |\n+-----+-------+\n";
    assert_eq!(settle(&vertical.repeat(2), &volatile), expected.repeat(2));
}

#[test]
fn a_crooked_table_is_found() {
    for (table, why) in [
        ("+---+\n| a |\n| bc |\n+---+\n", "differ in width"),
        ("+---+---+\n| a | b |\n| a   b |\n+---+---+\n", "do not align"),
        ("+---+\n| a |\n", "has no end"),
    ] {
        let settled = std::panic::catch_unwind(|| settle(table, &Volatile::new(std::path::Path::new("/tmp/x"))));
        let message = settled.expect_err("a failure").downcast::<String>().expect("a text");
        assert!(message.contains(why), "{message}");
    }
}
