//! The report of `shoal-bench fetch`: a row for every client in every scenario, ratios between rows, and the caveats.
//!
//! As in the report of seeding, a caveat is derived from the samples. The caveat about others is missing on purpose: here
//! the kernel's own writeback is among them, so a high figure is a property of the client as often as of the neighbours.

use anyhow::Result;
use serde::Serialize;

use super::header;
use super::ratio::{Ratio, ratio_table};
use super::statistics::Spread;
use super::table::Table;
use crate::fetch::{FetchSample, Scenario};
use crate::measure::Machine;
use crate::seeder::ClientName;

/// A seeder busier than this was the limit of what was measured.
const SEEDER_BUSY_LIMIT: f64 = 0.95;

/// Where memory costs more CPU time than this, in s/GiB, somebody else is behind it: a kernel that has its memory needs
/// 0.2 to 0.4.
const FRESH_MEMORY_LIMIT: f64 = 0.8;

/// All samples of a client in a scenario.
#[derive(Debug, Serialize)]
pub(crate) struct FetchRow {
    pub(crate) scenario: Scenario,
    pub(crate) client: ClientName,
    pub(crate) version: String,
    pub(crate) samples: Vec<FetchSample>,
    pub(crate) failures: Vec<String>,
    pub(super) summary: Option<FetchSummary>,
}

/// Medians of a row, and spreads where the report shows them.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FetchSummary {
    pub(super) gib_per_s: Spread,
    pub(super) synced_gib_per_s: Spread,
    pub(super) cpu_s_per_gib: Spread,
    system_s_per_gib: f64,
    cpu_both_s_per_gib: f64,
    first_payload_seconds: f64,
    after_payload_seconds: f64,
    sync_seconds: f64,
    resident_peak_mib: f64,
    written_share: f64,
    sent_share: f64,
    fetcher_busy: f64,
    seeder_busy: f64,
    others_busy: f64,
}

impl FetchSummary {
    fn of(samples: &[FetchSample]) -> Option<FetchSummary> {
        let spread = |value: fn(&FetchSample) -> f64| Spread::of(samples.iter().map(value));
        let median = |value: fn(&FetchSample) -> f64| spread(value).map(|spread| spread.median);
        Some(FetchSummary {
            gib_per_s: spread(FetchSample::gib_per_s)?,
            synced_gib_per_s: spread(FetchSample::synced_gib_per_s)?,
            cpu_s_per_gib: spread(FetchSample::cpu_s_per_gib)?,
            system_s_per_gib: median(FetchSample::system_s_per_gib)?,
            cpu_both_s_per_gib: median(FetchSample::cpu_both_s_per_gib)?,
            first_payload_seconds: median(|sample| sample.first_payload_seconds)?,
            after_payload_seconds: median(|sample| sample.after_payload_seconds)?,
            sync_seconds: median(|sample| sample.sync_seconds)?,
            resident_peak_mib: median(|sample| sample.resident_peak_kib as f64 / 1024.0)?,
            written_share: median(|sample| sample.written_share)?,
            sent_share: median(|sample| sample.sent_share)?,
            fetcher_busy: median(|sample| sample.fetcher_busy)?,
            seeder_busy: median(|sample| sample.seeder_busy)?,
            others_busy: median(|sample| sample.others_busy)?,
        })
    }
}

impl FetchRow {
    /// A row without samples yet.
    pub(crate) fn new(scenario: Scenario, client: ClientName, version: &str) -> FetchRow {
        FetchRow {
            scenario,
            client,
            version: version.to_owned(),
            samples: Vec::new(),
            failures: Vec::new(),
            summary: None,
        }
    }

    /// Takes the outcome of one more run.
    pub(crate) fn add(&mut self, outcome: Result<FetchSample>) {
        match outcome {
            Ok(sample) => self.samples.push(sample),
            Err(error) => self.failures.push(format!("{error:#}")),
        }
        self.summary = FetchSummary::of(&self.samples);
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![
            self.scenario.text().to_owned(),
            format!("{} {}", self.client.text(), self.version),
        ];
        let Some(summary) = &self.summary else {
            cells.push("failed".to_owned());
            return cells;
        };
        cells.extend([
            format!("{:.2}", summary.gib_per_s.median),
            summary.gib_per_s.range(2),
            format!("{:.2}", summary.synced_gib_per_s.median),
            summary.synced_gib_per_s.range(2),
            format!("{:.3}", summary.cpu_s_per_gib.median),
            summary.cpu_s_per_gib.range(3),
            format!("{:.3}", summary.system_s_per_gib),
            format!("{:.3}", summary.cpu_both_s_per_gib),
        ]);
        cells.extend(
            [
                summary.first_payload_seconds,
                summary.after_payload_seconds,
                summary.sync_seconds,
            ]
            .map(|seconds| format!("{seconds:.2}")),
        );
        cells.push(format!("{:.0}", summary.resident_peak_mib));
        cells.extend([summary.written_share, summary.sent_share].map(|share| format!("{share:.2}")));
        cells.extend(
            [summary.fetcher_busy, summary.seeder_busy, summary.others_busy]
                .map(|part| format!("{:.0} %", part * 100.0)),
        );
        cells
    }
}

/// Everything that `shoal-bench fetch` found out.
#[derive(Debug, Serialize)]
pub(crate) struct FetchReport {
    machine: Machine,
    skipped: Vec<String>,
    /// CPU time that it takes to get a GiB of memory that was free for long.
    fresh_memory_s_per_gib: f64,
    pub(crate) rows: Vec<FetchRow>,
    pub(super) ratios: Vec<Ratio>,
}

impl FetchReport {
    /// A report without rows.
    pub(crate) fn new(machine: Machine, skipped: Vec<String>, fresh_memory_s_per_gib: f64) -> FetchReport {
        FetchReport {
            machine,
            skipped,
            fresh_memory_s_per_gib,
            rows: Vec::new(),
            ratios: Vec::new(),
        }
    }

    /// Writes it to stdout.
    pub(crate) fn print(mut self, json: bool) -> Result<()> {
        self.compare();
        if json {
            println!("{}", serde_json::to_string_pretty(&self)?);
        } else {
            print!("{}", self.text());
        }
        Ok(())
    }

    /// Finds the ratios that the rows allow: shoal with each rival, and more peers with one.
    pub(super) fn compare(&mut self) {
        let ours = self.rows.iter().filter(|row| row.client == ClientName::Shoal);
        let rivals = ours.flat_map(|ours| {
            let is_rival = move |row: &&FetchRow| row.scenario == ours.scenario && row.client != ours.client;
            let rivals = self.rows.iter().filter(is_rival);
            rivals.filter_map(|rival| ratio(ours, rival, rival.client.text()))
        });
        let variations = self.rows.iter().filter_map(|row| {
            let baseline = row.scenario.baseline()?;
            let is_same = |other: &&FetchRow| other.client == row.client && other.scenario == baseline;
            let to = format!("itself in {}", baseline.text());
            ratio(row, self.rows.iter().find(is_same)?, &to)
        });
        self.ratios = rivals.chain(variations).collect();
    }

    pub(super) fn text(&self) -> String {
        let mut table = Table::new(&[
            "scenario",
            "client",
            "GiB/s",
            "(min-max)",
            "synced",
            "(min-max)",
            "CPU s/GiB",
            "(min-max)",
            "system",
            "both",
            "first s",
            "after s",
            "sync s",
            "peak RSS",
            "written",
            "sent",
            "busy",
            "seeder busy",
            "others",
        ]);
        for row in &self.rows {
            table.add(row.cells());
        }
        header(&self.machine) + &table.text() + &ratio_table(&self.ratios) + &self.notes()
    }

    /// What a reader must know before believing the table.
    fn notes(&self) -> String {
        let mut notes = self.skipped.clone();
        if self.fresh_memory_s_per_gib > FRESH_MEMORY_LIMIT {
            notes.push(format!(
                "free memory costs {:.1} CPU s/GiB to take here, so clients that fill the page cache look expensive",
                self.fresh_memory_s_per_gib
            ));
        }
        for row in &self.rows {
            let name = format!("{} from {}", row.client.text(), row.scenario.text());
            let failures = row.failures.iter();
            notes.extend(failures.map(|failure| format!("{name} failed: {failure}")));
            if row
                .summary
                .as_ref()
                .is_some_and(|summary| summary.seeder_busy > SEEDER_BUSY_LIMIT)
            {
                notes.push(format!("{name}: the seeder was the limit"));
            }
        }
        let notes = notes.iter().map(|note| format!("\nnote: {note}"));
        notes.collect::<String>() + "\n"
    }
}

/// `None` when one of them has no sample.
fn ratio(ours: &FetchRow, other: &FetchRow, to: &str) -> Option<Ratio> {
    let (summary, against) = (ours.summary.as_ref()?, other.summary.as_ref()?);
    Some(Ratio {
        scenario: ours.scenario.text().to_owned(),
        of: ours.client.text().to_owned(),
        to: to.to_owned(),
        cpu_s_per_gib: summary.cpu_s_per_gib.median / against.cpu_s_per_gib.median,
        gib_per_s: summary.gib_per_s.median / against.gib_per_s.median,
        synced_gib_per_s: Some(summary.synced_gib_per_s.median / against.synced_gib_per_s.median),
    })
}
