//! What the measurements say: medians, ratios and their spread, as tables for people or as JSON.
//!
//! Every figure is a median over the runs, with the lowest and highest beside it where they matter. Ratios are shoal's
//! median divided by the competitor's: below 1 is better for CPU time, above 1 for throughput.

mod statistics;
mod table;
#[cfg(test)]
mod tests;

use anyhow::Result;
use serde::Serialize;

use crate::check::CheckSample;
use crate::measure::Machine;
use crate::seed::{Sample, Scenario};
use crate::seeder::ClientName;
use statistics::Spread;
use table::Table;

/// What everybody's reading speed is compared with.
pub(crate) const DISK_READER: &str = "fio";

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

/// Two medians and what the first is of the second.
#[derive(Debug, Serialize)]
struct Ratio {
    scenario: String,
    /// What is compared.
    of: String,
    /// With what.
    to: String,
    cpu_s_per_gib: f64,
    gib_per_s: f64,
}

/// Everything that `shoal-bench seed` found out.
#[derive(Debug, Serialize)]
pub(crate) struct SeedReport {
    machine: Machine,
    skipped: Vec<String>,
    pub(crate) rows: Vec<SeedRow>,
    ratios: Vec<Ratio>,
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
        self.ratios = self.compare();
        if json {
            println!("{}", serde_json::to_string_pretty(&self)?);
        } else {
            print!("{}", self.text());
        }
        Ok(())
    }

    fn compare(&self) -> Vec<Ratio> {
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
        rivals.chain(variations).collect()
    }

    fn text(&self) -> String {
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
        if !self.ratios.is_empty() {
            let mut table = Table::new(&["scenario", "ratio", "CPU s/GiB", "GiB/s"]);
            for ratio in &self.ratios {
                let name = format!("{} / {}", ratio.of, ratio.to);
                let (cpu, throughput) = (ratio.cpu_s_per_gib, ratio.gib_per_s);
                table.add(vec![
                    ratio.scenario.clone(),
                    name,
                    format!("{cpu:.2}"),
                    format!("{throughput:.2}"),
                ]);
            }
            text.push('\n');
            text.push_str(&table.text());
        }
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

fn header(machine: &Machine) -> String {
    format!(
        "{}, {} cores, {} MiB, Linux {}, {}, {} UTC\n{}\n\n",
        machine.cpu,
        machine.cores,
        machine.memory_mib,
        machine.kernel,
        machine.disk,
        machine.date,
        machine.command
    )
}

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
