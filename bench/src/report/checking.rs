//! The report of `shoal-bench check`: a row for every reader of the file, from the disk and from the page cache.
//!
//! On a cold file each reader's speed is also given as a part of what `fio` reads, which is what the disk has.

use anyhow::Result;
use serde::Serialize;

use super::header;
use super::statistics::Spread;
use super::table::Table;
use crate::check::CheckSample;
use crate::measure::Machine;

/// What everybody's reading speed is compared with.
pub(crate) const DISK_READER: &str = "fio";

/// All samples of one reader of the file.
#[derive(Debug, Serialize)]
pub(crate) struct CheckRow {
    /// `cold` or `cached`.
    pub(crate) state: &'static str,
    /// A client, or `fio`.
    pub(crate) client: String,
    pub(crate) version: String,
    pub(crate) samples: Vec<CheckSample>,
    pub(crate) failures: Vec<String>,
    summary: Option<CheckSummary>,
}

#[derive(Debug, Clone, Serialize)]
struct CheckSummary {
    seconds: Spread,
    gib_per_s: f64,
    cpu_s_per_gib: Spread,
}

impl CheckRow {
    /// A row without samples yet.
    pub(crate) fn new(state: &'static str, client: &str, version: &str) -> CheckRow {
        let (client, version) = (client.to_owned(), version.to_owned());
        CheckRow {
            state,
            client,
            version,
            samples: Vec::new(),
            failures: Vec::new(),
            summary: None,
        }
    }

    /// Takes the outcome of one more run.
    pub(crate) fn add(&mut self, outcome: Result<CheckSample>) {
        match outcome {
            Ok(sample) => self.samples.push(sample),
            Err(error) => self.failures.push(format!("{error:#}")),
        }
        let spread = |value: fn(&CheckSample) -> f64| Spread::of(self.samples.iter().map(value));
        self.summary = spread(|sample| sample.seconds)
            .zip(spread(CheckSample::gib_per_s))
            .and_then(|(seconds, gib_per_s)| {
                let cpu_s_per_gib = spread(CheckSample::cpu_s_per_gib)?;
                Some(CheckSummary {
                    seconds,
                    gib_per_s: gib_per_s.median,
                    cpu_s_per_gib,
                })
            });
    }
}

/// Everything that `shoal-bench check` found out.
#[derive(Debug, Serialize)]
pub(crate) struct CheckReport {
    machine: Machine,
    skipped: Vec<String>,
    pub(crate) rows: Vec<CheckRow>,
}

impl CheckReport {
    /// A report without rows.
    pub(crate) fn new(machine: Machine, skipped: Vec<String>) -> CheckReport {
        CheckReport {
            machine,
            skipped,
            rows: Vec::new(),
        }
    }

    /// Writes it to stdout.
    pub(crate) fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
        } else {
            print!("{}", self.text());
        }
        Ok(())
    }

    fn text(&self) -> String {
        let columns = [
            "file",
            "reader",
            "seconds",
            "(min-max)",
            "GiB/s",
            "CPU s/GiB",
            "(min-max)",
            "speed / fio",
        ];
        let mut table = Table::new(&columns);
        for row in &self.rows {
            table.add(self.check_cells(row));
        }
        let mut text = header(&self.machine) + &table.text();
        let failures = self.rows.iter().flat_map(|row| {
            let name = format!("{} on a {} file failed", row.client, row.state);
            row.failures
                .iter()
                .map(move |failure| format!("{name}: {failure}"))
        });
        for note in self.skipped.iter().cloned().chain(failures) {
            text.push_str(&format!("\nnote: {note}"));
        }
        text + "\n"
    }

    fn check_cells(&self, row: &CheckRow) -> Vec<String> {
        let mut cells = vec![row.state.to_owned(), format!("{} {}", row.client, row.version)];
        let Some(summary) = &row.summary else {
            cells.push("failed".to_owned());
            return cells;
        };
        let same_file = |other: &&CheckRow| other.state == row.state && other.client == DISK_READER;
        let fio = self
            .rows
            .iter()
            .find(same_file)
            .and_then(|fio| fio.summary.as_ref());
        cells.extend([
            format!("{:.2}", summary.seconds.median),
            summary.seconds.range(2),
            format!("{:.2}", summary.gib_per_s),
            format!("{:.3}", summary.cpu_s_per_gib.median),
            summary.cpu_s_per_gib.range(3),
            fio.map_or_else(String::new, |fio| {
                format!("{:.2}", summary.gib_per_s / fio.gib_per_s)
            }),
        ]);
        cells
    }
}
