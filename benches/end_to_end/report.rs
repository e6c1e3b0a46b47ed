//! The table of results: limit, ours, theirs, ratios.
//!
//! All figures of one run stand in one table, so that they can be copied and compared as they are.
//!
//! What holds: a ratio is always "ours by the limit" or "ours by theirs"; whether more or less is better is said.

/// Whether a larger figure is the better one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Rates.
    More,
    /// Times, bytes.
    Less,
}

/// One figure.
pub struct Line {
    /// What was measured, with its unit.
    pub what: String,
    /// What the machine does without us, if there is such a thing.
    pub limit: Option<f64>,
    /// Ours.
    pub own: f64,
    /// The second binary's.
    pub other: Option<f64>,
    /// Direction.
    pub better: Better,
}

/// All figures so far.
pub struct Report {
    lines: Vec<Line>,
    with_other: bool,
}

impl Report {
    /// An empty table.
    pub fn new(with_other: bool) -> Report {
        Report { lines: Vec::new(), with_other }
    }

    /// Adds a figure, and shows it at once on stderr.
    pub fn add(&mut self, line: Line) {
        eprintln!("   {}: {}", line.what, number(line.own));
        self.lines.push(line);
    }

    /// Prints the table as Markdown.
    pub fn print(&self) {
        let mut rows = vec![self.head()];
        rows.extend(self.lines.iter().map(|line| self.row(line)));
        let widths: Vec<usize> = (0..rows[0].len())
            .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        println!();
        for (index, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
            println!("| {} |", cells.join(" | "));
            if index == 0 {
                let rules: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
                println!("| {} |", rules.join(" | "));
            }
        }
    }

    fn head(&self) -> Vec<String> {
        let mut head = vec!["what", "better", "limit", "hq", "hq / limit"];
        if self.with_other {
            head.extend(["other", "hq / other"]);
        }
        head.into_iter().map(str::to_owned).collect()
    }

    fn row(&self, line: &Line) -> Vec<String> {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let ratio = |base: Option<f64>| {
            base.filter(|base| *base > 0.0).map_or_else(|| "-".to_owned(), |base| format!("{:.2}", line.own / base))
        };
        let better = if line.better == Better::More { "more" } else { "less" };
        let mut row =
            vec![line.what.clone(), better.to_owned(), shown(line.limit), number(line.own), ratio(line.limit)];
        if self.with_other {
            row.extend([shown(line.other), ratio(line.other)]);
        }
        row
    }
}

/// Three digits that mean something.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.01 || size == 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}
