//! ASCII tables: vertical ones for one object, horizontal ones for lists.
//!
//! Scripts read these tables, so their form is fixed: `+`, `-` and `|`, one blank on both sides, columns as wide as
//! their widest cell, no cut to the terminal's width.
//!
//! Holds: every line of a table has the same display width, whatever its cells contain.

use super::color::{Palette, Style};
use super::escape;
use unicode_width::UnicodeWidthStr;

/// Where a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Align {
    /// To the left.
    #[default]
    Left,
    /// To the right.
    Right,
}

/// The content of a cell: pieces of text with their styles; newlines make lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    spans: Vec<(Style, String)>,
}

/// The head of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    title: String,
    align: Align,
}

/// A table to be filled and rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    header: Vec<Cell>,
    aligns: Vec<Align>,
    rows: Vec<Vec<Cell>>,
}

/// A cell as it will be printed: lines of styled pieces without control characters.
type Lines = Vec<Vec<(Style, String)>>;

impl Cell {
    /// A cell in one style.
    pub fn styled(style: Style, text: impl Into<String>) -> Self {
        Self { spans: vec![(style, text.into())] }
    }

    /// The cell with a state's word in capitals and in its colour.
    pub fn state(word: &str) -> Self {
        Self::styled(Style::of_state(word), word.to_uppercase())
    }

    /// This cell followed by more text.
    #[must_use]
    pub fn then(mut self, style: Style, text: impl Into<String>) -> Self {
        self.spans.push((style, text.into()));
        self
    }

    fn lines(&self) -> Lines {
        let mut lines: Lines = vec![Vec::new()];
        let last = self.spans.len().saturating_sub(1);
        for (at, (style, text)) in self.spans.iter().enumerate() {
            let text = if at == last { text.strip_suffix('\n').unwrap_or(text) } else { text };
            for (number, line) in text.split('\n').enumerate() {
                if number > 0 {
                    lines.push(Vec::new());
                }
                if let Some(current) = lines.last_mut() {
                    current.push((*style, escape::line(line).into_owned()));
                }
            }
        }
        lines
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(Style::PLAIN, text)
    }
}

impl Column {
    /// A column with its cells to the left.
    pub fn left(title: impl Into<String>) -> Self {
        Self { title: title.into(), align: Align::Left }
    }

    /// A column with its cells to the right; the title stands on the left.
    pub fn right(title: impl Into<String>) -> Self {
        Self { title: title.into(), align: Align::Right }
    }
}

impl Table {
    /// A table of labels and values, without a header.
    pub fn vertical() -> Self {
        Self { header: Vec::new(), aligns: vec![Align::Left; 2], rows: Vec::new() }
    }

    /// A list with these columns.
    pub fn horizontal(columns: impl IntoIterator<Item = Column>) -> Self {
        let (header, aligns) =
            columns.into_iter().map(|column| (Cell::styled(Style::BOLD, column.title), column.align)).unzip();
        Self { header, aligns, rows: Vec::new() }
    }

    /// Adds a line to a vertical table.
    pub fn line(&mut self, label: &str, value: impl Into<Cell>) {
        self.rows.push(vec![Cell::styled(Style::BOLD, label), value.into()]);
    }

    /// Adds a row to a list; missing cells are empty, cells beyond the columns are left out.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut cells: Vec<Cell> = cells.into_iter().collect();
        cells.resize(self.aligns.len(), Cell::default());
        self.rows.push(cells);
    }

    /// The table as text, with a newline after each line.
    pub fn render(&self, palette: Palette) -> String {
        // Once for the widths and once for the text: the lines of all rows at a time take more memory than the table.
        let lines = |row: &[Cell]| row.iter().map(Cell::lines).collect::<Vec<Lines>>();
        let mut widths = vec![0; self.aligns.len()];
        for row in self.rows.iter().chain([&self.header]) {
            for (width, cell) in widths.iter_mut().zip(lines(row)) {
                *width = cell.iter().map(|line| line_width(line)).chain([*width]).max().unwrap_or(0);
            }
        }
        let border: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect();
        let mut out = format!("{border}+\n");
        if !self.header.is_empty() {
            print_row(&mut out, &lines(&self.header), &widths, &[], palette);
            if !self.rows.is_empty() {
                out.push_str(&format!("{border}+\n"));
            }
        }
        for row in &self.rows {
            print_row(&mut out, &lines(row), &widths, &self.aligns, palette);
        }
        out.push_str(&format!("{border}+\n"));
        out
    }
}

fn line_width(line: &[(Style, String)]) -> usize {
    line.iter().map(|(_, text)| text.width()).sum()
}

fn print_row(out: &mut String, row: &[Lines], widths: &[usize], aligns: &[Align], palette: Palette) {
    let height = row.iter().map(Vec::len).max().unwrap_or(0);
    for number in 0..height {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let line = cell.get(number).map_or(&[][..], Vec::as_slice);
            let padding = " ".repeat(width.saturating_sub(line_width(line)));
            let right = aligns.get(column) == Some(&Align::Right);
            out.push_str("| ");
            if right {
                out.push_str(&padding);
            }
            for (style, text) in line {
                out.push_str(&palette.paint(*style, text));
            }
            if !right {
                out.push_str(&padding);
            }
            out.push(' ');
        }
        out.push_str("|\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::render::color::Color;
    use proptest::prelude::*;

    #[test]
    fn a_list() {
        let mut table = Table::horizontal([
            Column::right("ID"),
            Column::left("Name"),
            Column::left("State"),
            Column::left("Tasks"),
        ]);
        table.row(["7".into(), "date".into(), Cell::state("finished"), "1".into()]);
        let expected = "\
+----+------+----------+-------+
| ID | Name | State    | Tasks |
+----+------+----------+-------+
|  7 | date | FINISHED | 1     |
+----+------+----------+-------+
";
        assert_eq!(table.render(Palette::OFF), expected);
        let colored = table.render(Palette::ON);
        assert!(colored.contains("|  7 | date | \x1b[32mFINISHED\x1b[0m | 1     |\n"));
        assert!(colored.contains("| \x1b[1mID\x1b[0m | "));
    }

    #[test]
    fn an_empty_list() {
        let table = Table::horizontal([Column::left("ID"), Column::left("Name")]);
        assert_eq!(table.render(Palette::OFF), "+----+------+\n| ID | Name |\n+----+------+\n");
    }

    #[test]
    fn cells_with_several_lines() {
        let mut table =
            Table::horizontal(["Worker Id", "Runnable", "Variant", "Type", "Provides", "Request"].map(Column::left));
        table.row(["7", "Yes (1/2)", "0", "cpus", "8", "6"].map(Cell::from));
        table.row(["", "", "1", "time\ncpus\n", "unknown\n8", "5m\n12"].map(Cell::from));
        let expected = "\
+-----------+-----------+---------+------+----------+---------+
| Worker Id | Runnable  | Variant | Type | Provides | Request |
+-----------+-----------+---------+------+----------+---------+
| 7         | Yes (1/2) | 0       | cpus | 8        | 6       |
|           |           | 1       | time | unknown  | 5m      |
|           |           |         | cpus | 8        | 12      |
+-----------+-----------+---------+------+----------+---------+
";
        assert_eq!(table.render(Palette::OFF), expected);
    }

    #[test]
    fn one_object() {
        let mut table = Table::vertical();
        table.line("ID", "1");
        table.line("State", Cell::from("[##]\n").then(Color::Red.style(), "FAILED (1)").then(Style::PLAIN, "\nX (2)"));
        table.line("Name", "日本\u{1b}[2J");
        let expected = "\
+-------+-------------+
| ID    | 1           |
| State | [##]        |
|       | FAILED (1)  |
|       | X (2)       |
| Name  | 日本\\x1b[2J |
+-------+-------------+
";
        assert_eq!(table.render(Palette::OFF), expected);
        assert!(table.render(Palette::ON).contains("|       | \x1b[31mFAILED (1)\x1b[0m  |\n"));
    }

    proptest! {
        #[test]
        fn lines_are_equally_wide(texts in proptest::collection::vec("\\PC{0,8}|[\u{0}-\u{1f}a]{0,5}", 0..9)) {
            let mut table = Table::horizontal([Column::right("A"), Column::left("B"), Column::left("C")]);
            for row in texts.chunks(3) {
                table.row(row.iter().map(|text| Cell::from(text.as_str())));
            }
            let shown = table.render(Palette::OFF);
            // Characters that join with a neighbour are counted in their pieces, as terminals mostly do.
            let parts = |line: &str| line.split(' ').map(|part| part.width() + 1).sum::<usize>();
            let widths: Vec<usize> = shown.lines().map(parts).collect();
            prop_assert!(widths.iter().all(|width| *width == widths[0]), "{}", shown);
        }
    }
}
