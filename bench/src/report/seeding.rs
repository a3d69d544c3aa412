//! The report of `shoal-bench seed`: a row for every client in every scenario, ratios between rows, and the caveats.
//!
//! A caveat is derived from the samples, never from what the options promised: a generator that was the limit, cores that
//! others used, clients that failed or were not there. A row without any sample stays in the table as failed.

use anyhow::Result;
use serde::Serialize;

use super::header;
use super::ratio::{Ratio, ratio_table};
use super::statistics::Spread;
use super::table::Table;
use crate::measure::Machine;
use crate::seed::{Sample, Scenario};
use crate::seeder::ClientName;

/// A generator busier than this was the limit of what was measured.
const GENERATOR_BUSY_LIMIT: f64 = 0.95;

/// A sample that lost more than this part of a CPU to others is worth a warning.
const DISTURBED_LIMIT: f64 = 0.1;

/// All samples of a client in a scenario.
#[derive(Debug, Serialize)]
pub(crate) struct SeedRow {
    pub(crate) scenario: String,
    pub(crate) connections: u32,
    #[serde(skip)]
    baseline: Option<String>,
    /// Whether seeder and generator had to share a core.
    cores_shared: bool,
    pub(crate) client: ClientName,
    pub(crate) version: String,
    pub(crate) samples: Vec<Sample>,
    pub(crate) failures: Vec<String>,
    summary: Option<SeedSummary>,
}

/// Medians of a row, and spreads where the report shows them.
#[derive(Debug, Clone, Serialize)]
struct SeedSummary {
    gib_per_s: Spread,
    cpu_s_per_gib: Spread,
    cpu_both_s_per_gib: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    slowest_share: f64,
    resident_peak_mib: f64,
    held_mib: f64,
    seeder_busy: f64,
    generator_busy: f64,
    disturbed: f64,
}

impl SeedSummary {
    fn of(samples: &[Sample]) -> Option<SeedSummary> {
        let spread = |value: fn(&Sample) -> f64| Spread::of(samples.iter().map(value));
        let median = |value: fn(&Sample) -> f64| spread(value).map(|spread| spread.median);
        Some(SeedSummary {
            gib_per_s: spread(|sample| sample.gib_per_s)?,
            cpu_s_per_gib: spread(|sample| sample.cpu_s_per_gib)?,
            cpu_both_s_per_gib: median(|sample| sample.cpu_both_s_per_gib)?,
            p50_ms: median(|sample| sample.latency.p50_ms)?,
            p99_ms: median(|sample| sample.latency.p99_ms)?,
            p999_ms: median(|sample| sample.latency.p999_ms)?,
            max_ms: median(|sample| sample.latency.max_ms)?,
            slowest_share: median(|sample| sample.slowest_share)?,
            resident_peak_mib: median(|sample| sample.memory.resident_peak_kib as f64 / 1024.0)?,
            held_mib: median(|sample| sample.memory.held_kib() as f64 / 1024.0)?,
            seeder_busy: median(|sample| sample.seeder_busy)?,
            generator_busy: median(|sample| sample.generator_busy)?,
            disturbed: median(|sample| sample.disturbed)?,
        })
    }
}

impl SeedRow {
    /// A row without samples yet.
    pub(crate) fn new(scenario: &Scenario, client: ClientName, version: &str) -> SeedRow {
        SeedRow {
            scenario: scenario.name.clone(),
            connections: scenario.connections,
            baseline: scenario.baseline.clone(),
            cores_shared: scenario
                .seeder_cores
                .iter()
                .any(|core| scenario.load_cores.contains(core)),
            client,
            version: version.to_owned(),
            samples: Vec::new(),
            failures: Vec::new(),
            summary: None,
        }
    }

    /// Takes the outcome of one more run.
    pub(crate) fn add(&mut self, outcome: Result<Sample>) {
        match outcome {
            Ok(sample) => self.samples.push(sample),
            Err(error) => self.failures.push(format!("{error:#}")),
        }
        self.summary = SeedSummary::of(&self.samples);
    }
}

/// Everything that `shoal-bench seed` found out.
#[derive(Debug, Serialize)]
pub(crate) struct SeedReport {
    machine: Machine,
    skipped: Vec<String>,
    pub(crate) rows: Vec<SeedRow>,
    pub(super) ratios: Vec<Ratio>,
}

impl SeedReport {
    /// A report without rows.
    pub(crate) fn new(machine: Machine, skipped: Vec<String>) -> SeedReport {
        SeedReport {
            machine,
            skipped,
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

    /// Finds the ratios that the rows allow: shoal with each rival, and variations with their baseline.
    pub(super) fn compare(&mut self) {
        let ours = self.rows.iter().filter(|row| row.client == ClientName::Shoal);
        let rivals = ours.flat_map(|ours| {
            let same_scenario =
                move |row: &&SeedRow| row.scenario == ours.scenario && row.client != ours.client;
            self.rows
                .iter()
                .filter(same_scenario)
                .filter_map(|rival| ratio(ours, rival, rival.client.text()))
        });
        let variations = self.rows.iter().filter_map(|row| {
            let baseline = row.baseline.as_ref()?;
            let same_client = |other: &&SeedRow| other.client == row.client && other.scenario == *baseline;
            ratio(
                row,
                self.rows.iter().find(same_client)?,
                &format!("itself in {baseline}"),
            )
        });
        self.ratios = rivals.chain(variations).collect();
    }

    pub(super) fn text(&self) -> String {
        let mut text = header(&self.machine);
        let mut table = Table::new(&[
            "scenario",
            "client",
            "GiB/s",
            "(min-max)",
            "CPU s/GiB",
            "(min-max)",
            "both",
            "p50 ms",
            "p99",
            "p99.9",
            "max",
            "slowest",
            "peak RSS",
            "held MiB",
            "busy",
            "load busy",
        ]);
        for row in &self.rows {
            table.add(seed_cells(row));
        }
        text.push_str(&table.text());
        text.push_str(&ratio_table(&self.ratios));
        text.push_str(&self.notes());
        text
    }

    /// What a reader must know before believing the table.
    fn notes(&self) -> String {
        let mut notes = self.skipped.clone();
        for row in &self.rows {
            let name = format!("{} in {}", row.client.text(), row.scenario);
            notes.extend(
                row.failures
                    .iter()
                    .map(|failure| format!("{name} failed: {failure}")),
            );
            if row.cores_shared {
                notes.push(format!(
                    "{name}: the generator has no core of its own here, so throughput is too low"
                ));
            }
            let Some(summary) = &row.summary else { continue };
            if summary.generator_busy > GENERATOR_BUSY_LIMIT {
                notes.push(format!(
                    "{name}: the load generator was the limit (try --drain trunc)"
                ));
            }
            if summary.disturbed > DISTURBED_LIMIT {
                let percent = summary.disturbed * 100.0;
                notes.push(format!(
                    "{name}: others used {percent:.0} % of a CPU on these cores; measure again"
                ));
            }
        }
        notes
            .iter()
            .map(|note| format!("\nnote: {note}"))
            .collect::<String>()
            + "\n"
    }
}

/// `None` when one of them has no sample.
fn ratio(ours: &SeedRow, other: &SeedRow, to: &str) -> Option<Ratio> {
    let (summary, against) = (ours.summary.as_ref()?, other.summary.as_ref()?);
    Some(Ratio {
        scenario: ours.scenario.clone(),
        of: ours.client.text().to_owned(),
        to: to.to_owned(),
        cpu_s_per_gib: summary.cpu_s_per_gib.median / against.cpu_s_per_gib.median,
        gib_per_s: summary.gib_per_s.median / against.gib_per_s.median,
        synced_gib_per_s: None,
    })
}

fn seed_cells(row: &SeedRow) -> Vec<String> {
    let mut cells = vec![
        row.scenario.clone(),
        format!("{} {}", row.client.text(), row.version),
    ];
    let Some(summary) = &row.summary else {
        cells.push("failed".to_owned());
        return cells;
    };
    cells.extend([
        format!("{:.2}", summary.gib_per_s.median),
        summary.gib_per_s.range(2),
        format!("{:.3}", summary.cpu_s_per_gib.median),
        summary.cpu_s_per_gib.range(3),
        format!("{:.3}", summary.cpu_both_s_per_gib),
    ]);
    cells.extend(
        [summary.p50_ms, summary.p99_ms, summary.p999_ms, summary.max_ms].map(|ms| format!("{ms:.1}")),
    );
    cells.extend([
        format!("{:.2}", summary.slowest_share),
        format!("{:.0}", summary.resident_peak_mib),
        format!("{:.0}", summary.held_mib),
        format!("{:.0} %", summary.seeder_busy * 100.0),
        format!("{:.0} %", summary.generator_busy * 100.0),
    ]);
    cells
}

/// One line about a run that has just ended.
pub(crate) fn progress(
    scenario: &Scenario,
    client: ClientName,
    run: u32,
    outcome: &Result<Sample>,
) -> String {
    let name = format!("{} run {run} {}", scenario.name, client.text());
    match outcome {
        Err(error) => format!("{name}: failed: {error:#}"),
        Ok(sample) => format!(
            "{name}: {:.2} GiB/s, {:.3} CPU s/GiB, generator {:.0} % busy, others {:.0} %",
            sample.gib_per_s,
            sample.cpu_s_per_gib,
            sample.generator_busy * 100.0,
            sample.disturbed * 100.0
        ),
    }
}
