//! A plain text table: two columns of words to the left, figures to the right.

/// Columns that hold words; all others hold figures.
const WORD_COLUMNS: usize = 2;

/// Rows of cells under a heading.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    columns: usize,
}

impl Table {
    /// An empty table under these headings.
    pub(super) fn new(headings: &[&str]) -> Table {
        let rows = vec![headings.iter().map(|&heading| heading.to_owned()).collect()];
        Table {
            rows,
            columns: headings.len(),
        }
    }

    /// Adds a row; cells missing at its end are empty.
    pub(super) fn add(&mut self, mut cells: Vec<String>) {
        assert!(
            cells.len() <= self.columns,
            "a row has no more cells than the table has columns"
        );
        cells.resize(self.columns, String::new());
        self.rows.push(cells);
    }

    /// The table as lines of text.
    pub(super) fn text(&self) -> String {
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .expect("the headings are a row")
        };
        let widths: Vec<usize> = (0..self.columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| {
                    if column < WORD_COLUMNS {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}
