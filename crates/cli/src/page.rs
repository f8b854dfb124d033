//! Text for people on standard output: headings, aligned fields, tables.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::screen::Screen;

/// A page that is being written.
pub(crate) struct Page<'s> {
    screen: &'s Screen,
    text: String,
}

impl<'s> Page<'s> {
    pub(crate) fn new(screen: &'s Screen) -> Self {
        Self { screen, text: String::new() }
    }

    pub(crate) fn finish(self) {
        self.screen.out(&self.text);
    }

    /// A heading as Heroku's: `=== demo Config Vars`, and an empty line.
    pub(crate) fn heading(&mut self, text: &str) {
        let _ = writeln!(self.text, "=== {text}\n");
    }

    /// One line.
    pub(crate) fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{text}");
    }

    /// Aligned `Label:  value` lines. A value of several lines goes on below itself.
    pub(crate) fn fields<'f>(&mut self, fields: impl IntoIterator<Item = (&'f str, String)>) {
        let fields: Vec<_> = fields.into_iter().collect();
        let width = fields.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0) + 1;
        for (label, value) in fields {
            let value = value.replace('\n', &format!("\n{:1$}", "", width + 2));
            let _ = writeln!(self.text, "{:width$}  {value}", format!("{label}:"));
        }
    }

    /// A table with a header. On a terminal it is cut to its width.
    pub(crate) fn table<const N: usize>(&mut self, header: [&str; N], rows: &[[String; N]]) {
        let mut widths = header.map(|name| name.chars().count());
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let header = self.row(&header.map(str::to_owned), &widths);
        let header = self.screen.dim(&header);
        self.line(&header);
        for row in rows {
            let row = self.row(row, &widths);
            self.line(&row);
        }
    }

    /// A table of figures: the columns from `first` on are numbers, which end below each other.
    pub(crate) fn figures<const N: usize>(
        &mut self,
        header: [&str; N],
        first: usize,
        rows: &[[String; N]],
    ) {
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].as_str()).chain([header[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let aligned = |cells: [&str; N]| -> [String; N] {
            std::array::from_fn(|column| match column {
                column if column < first => cells[column].to_owned(),
                column => format!("{:>1$}", cells[column], widths[column]),
            })
        };
        let rows: Vec<_> = rows
            .iter()
            .map(|row| aligned(std::array::from_fn(|column| row[column].as_str())))
            .collect();
        let header = aligned(header);
        self.table(std::array::from_fn(|column| header[column].as_str()), &rows);
    }

    fn row(&self, cells: &[String], widths: &[usize]) -> String {
        let mut row = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(row, "{cell:width$}  ");
        }
        let row = row.trim_end();
        match self.screen.columns {
            Some(columns) if row.chars().count() > columns && columns > 1 => {
                row.chars().take(columns - 1).chain(['…']).collect()
            }
            _ => row.to_owned(),
        }
    }

    /// A moment: local and relative on a terminal, RFC 3339 elsewhere.
    pub(crate) fn time(&self, text: &str) -> String {
        let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
        if !self.screen.terminals.out {
            return time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        }
        let local = time.to_zoned(self.screen.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z");
        format!("{local} (~ {} ago)", span((self.screen.now)().as_second() - time.as_second()))
    }

    /// A moment of a sequence in which milliseconds count.
    pub(crate) fn exact_time(&self, text: &str) -> String {
        let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
        if !self.screen.terminals.out {
            return time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        }
        time.to_zoned(self.screen.zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
    }
}

/// A span of time in its largest unit.
fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}
