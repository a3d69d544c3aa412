//! Two rows of a report and what the first is of the second.

use serde::Serialize;

use super::table::Table;

/// What one median is of another.
#[derive(Debug, Serialize)]
pub(super) struct Ratio {
    pub(super) scenario: String,
    /// What is compared.
    pub(super) of: String,
    /// With what.
    pub(super) to: String,
    pub(super) cpu_s_per_gib: f64,
    pub(super) gib_per_s: f64,
    /// Until the data was on the disk, where that is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) synced_gib_per_s: Option<f64>,
}

/// The table of all ratios below an empty line, or nothing.
pub(super) fn ratio_table(ratios: &[Ratio]) -> String {
    let Some(first) = ratios.first() else {
        return String::new();
    };
    let mut headings = vec!["scenario", "ratio", "CPU s/GiB", "GiB/s"];
    headings.extend(first.synced_gib_per_s.map(|_| "synced"));
    let mut table = Table::new(&headings);
    for ratio in ratios {
        let mut cells = vec![ratio.scenario.clone(), format!("{} / {}", ratio.of, ratio.to)];
        let figures = [
            Some(ratio.cpu_s_per_gib),
            Some(ratio.gib_per_s),
            ratio.synced_gib_per_s,
        ];
        cells.extend(figures.into_iter().flatten().map(|figure| format!("{figure:.2}")));
        table.add(cells);
    }
    format!("\n{}", table.text())
}
