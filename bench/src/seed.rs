//! `shoal-bench seed`: how fast and how cheaply clients seed, side by side.
//!
//! A [`Scenario`] is a named workload. Every run of a client in a scenario is a fresh process on its own cores, warmed up
//! where the scenario says so, and measured over one window; its CPU time and memory are read at the window's edges. Runs
//! are interleaved (every client once, then every client again), because a shared machine's speed drifts by more than
//! the differences that matter; what is compared is the medians.

mod scenario;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::data::{self, Torrent};
use crate::load::wire::Extensions;
use crate::load::{Drain, Load, LoadSpec, Manner, Pattern, Window};
use crate::measure::{self, Machine, Memory};
use crate::report::{self, SeedReport, SeedRow};
use crate::seeder::process::{Process, free_address};
use crate::seeder::{Client, ClientName, Found, Job, Programs, find_clients, scratch};
use crate::{Common, GIB};
pub(crate) use scenario::{Scenario, Span};
use scenario::{ScenarioName, scenarios};

/// Options of `shoal-bench seed`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SeedOptions {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    programs: Programs,
    /// What to measure, in this order
    #[arg(
        long = "scenario",
        value_enum,
        value_delimiter = ',',
        default_value = "cold,hot"
    )]
    scenarios: Vec<ScenarioName>,
    /// Whom to measure; those that are not installed are skipped with a word about it
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "shoal,libtorrent,rqbit,rtorrent,ideal"
    )]
    clients: Vec<ClientName>,
    /// Connections to the seeder (the scenario `many` has its own numbers)
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Requests outstanding on each connection
    #[arg(long, default_value_t = 250)]
    depth: usize,
    /// Answered requests are replaced by new ones this many at a time
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// How the pieces are dealt out to the connections
    #[arg(long, value_enum, default_value = "split")]
    pattern: Pattern,
    /// What becomes of the payload
    #[arg(long, value_enum, default_value = "copy")]
    drain: Drain,
    /// Compare every byte with what it must be (slow: for correctness, not for numbers)
    #[arg(long, conflicts_with = "drain")]
    verify: bool,
    /// Receive up to this many KiB at once; less costs the generator more, with a thousand connections twice as much
    #[arg(long, value_name = "KIB", default_value_t = 1024)]
    receive_kib: usize,
    /// Do not offer the fast extension (BEP 6)
    #[arg(long)]
    no_fast: bool,
    /// Do not offer the extension protocol (BEP 10)
    #[arg(long)]
    no_extended: bool,
    /// Measured drains of the hot torrent, after one that is not measured
    #[arg(long, default_value_t = 8)]
    laps: u32,
    /// Length of the window in the scenarios `many` and `cores`, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Size of the cold torrent, in MiB
    #[arg(long, default_value_t = 4096)]
    cold_mib: u64,
    /// Size of the hot torrent, in MiB
    #[arg(long, default_value_t = 512)]
    hot_mib: u64,
    /// Piece length, in KiB
    #[arg(long, default_value_t = 1024)]
    piece_kib: u32,
    /// Give everybody a cold file in the scenario `cold`; otherwise the competitors find it in the page cache
    #[arg(long)]
    all_cold: bool,
    /// The cores of the seeder
    #[arg(long, value_delimiter = ',', default_value = "0")]
    seeder_cores: Vec<usize>,
    /// The cores of the load generator
    #[arg(long, value_delimiter = ',', default_value = "1")]
    load_cores: Vec<usize>,
}

impl SeedOptions {
    fn manner(&self) -> Manner {
        Manner {
            depth: self.depth,
            batch: self.batch,
            pattern: self.pattern,
            drain: self.drain,
            verify: self.verify,
            receive_len: self.receive_kib << 10,
            offered: Extensions {
                fast: !self.no_fast,
                extended: !self.no_extended,
            },
        }
    }
}

/// One measured window.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    /// Payload received, in GiB.
    pub(crate) gib: f64,
    /// Length of the window.
    pub(crate) seconds: f64,
    /// Payload per second.
    pub(crate) gib_per_s: f64,
    /// CPU time of the seeder per GiB of payload.
    pub(crate) cpu_s_per_gib: f64,
    /// The same with the CPU time of the load generator added. On loopback some of a sender's work is done in the
    /// receiver's context when that is the slower one, so a seeder that outruns the generator looks cheaper than it is;
    /// here nothing is lost.
    pub(crate) cpu_both_s_per_gib: f64,
    /// From request to complete block.
    pub(crate) latency: Latency,
    /// Rate of the slowest connection as a part of the mean rate: 1 is perfectly fair, 0 is starvation.
    pub(crate) slowest_share: f64,
    /// Memory of the seeder at the end of the window.
    pub(crate) memory: Memory,
    /// Part of its cores' time that the seeder used: well below 1 it waited for the disk, the generator or others.
    pub(crate) seeder_busy: f64,
    /// Part of its cores' time that the load generator used: near 1 it was the limit, not the seeder.
    pub(crate) generator_busy: f64,
    /// Time on all of these cores that went to others, as a part of one CPU: other processes, and the hypervisor's other
    /// machines. Above a tenth or so the sample says more about the neighbours than about the seeder.
    pub(crate) disturbed: f64,
}

/// Percentiles of the time from a request until its block was complete, in ms.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

/// Measures everything that was asked for and prints the report.
pub(crate) fn run(options: &SeedOptions) -> Result<()> {
    measure::raise_descriptor_limit()?;
    let work = options.common.work_directory()?;
    let scenarios = scenarios(options)?;
    let bytes = scenarios
        .iter()
        .flat_map(|scenario| &scenario.torrents)
        .map(|recipe| recipe.shape.length);
    data::ensure_room(&work, bytes.sum())?;
    let machine = Machine::describe(&work);
    measure::pin_this_thread(&options.load_cores)?;

    let (clients, skipped) = find_clients(&options.clients, &options.programs);
    let mut report = SeedReport::new(machine, skipped);
    for scenario in &scenarios {
        let torrents = scenario
            .torrents
            .iter()
            .map(|recipe| recipe.prepare(&work))
            .collect::<Result<Vec<_>>>()?;
        let admitted: Vec<&Found> = clients
            .iter()
            .filter(|found| scenario.admits(found.client.name()))
            .collect();
        let mut rows: Vec<SeedRow> = admitted
            .iter()
            .map(|found| SeedRow::new(scenario, found.client.name(), &found.version))
            .collect();
        let setting = Setting {
            options,
            scenario,
            torrents: &torrents,
            work: &work,
        };
        for run in 1..=options.common.runs {
            for (row, found) in rows.iter_mut().zip(&admitted) {
                let outcome = setting.measure(found.client.as_ref());
                eprintln!("{}", report::progress(scenario, row.client, run, &outcome));
                row.add(outcome);
            }
        }
        report.rows.extend(rows);
    }
    report.print(options.common.json)
}

/// Everything that one measurement depends on besides the client.
struct Setting<'a> {
    options: &'a SeedOptions,
    scenario: &'a Scenario,
    torrents: &'a [Torrent],
    work: &'a Path,
}

impl Setting<'_> {
    /// Starts the client, loads it, and reads what the window cost.
    fn measure(&self, client: &dyn Client) -> Result<Sample> {
        let scratch = scratch(self.work, client.name())?;
        let job = Job {
            torrents: self.torrents,
            data: self.torrents[0].directory(),
            scratch: &scratch,
            address: free_address()?,
            cores: &self.scenario.seeder_cores,
        };
        self.torrents.iter().try_for_each(Torrent::preload)?;
        let mut process = Process::start(&client.seed(&job)?, &job)?;
        process.wait_until_ready(&job, client.ready_line())?;
        if self.scenario.cold && (self.options.all_cold || client.name() == ClientName::Shoal) {
            self.torrents.iter().try_for_each(Torrent::evict)?;
        }
        let spec = LoadSpec {
            address: job.address,
            torrents: self.torrents.to_vec(),
            connections: self.scenario.connections,
            manner: self.options.manner(),
            cores: self.scenario.load_cores.clone(),
        };
        self.observe(&process, &spec)
            .with_context(|| format!("(its last words: {})", process.last_words()))
    }

    fn observe(&self, process: &Process, spec: &LoadSpec) -> Result<Sample> {
        let mut load = Load::connect(spec)?;
        if self.scenario.warm {
            load.drain(1)?;
        }
        let mut cores = [&spec.cores[..], &self.scenario.seeder_cores].concat();
        cores.sort_unstable();
        cores.dedup();
        let cores_before = measure::core_time(&cores)?;
        let cpu_before = measure::cpu_time(process.id())?;
        let window = match self.scenario.span {
            Span::Laps(laps) => load.drain(laps)?,
            Span::Time(time) => load.run_for(time)?,
        };
        let cost = Cost {
            seeder_cpu: measure::cpu_time(process.id())? - cpu_before,
            cores: measure::core_time(&cores)? - cores_before,
            memory: Memory::of(process.id())?,
        };
        Ok(Sample::new(&window, &cost, self.scenario))
    }
}

/// What a window cost besides time.
struct Cost {
    seeder_cpu: Duration,
    /// Time that all cores of the run were busy for anybody.
    cores: Duration,
    memory: Memory,
}

impl Sample {
    fn new(window: &Window, cost: &Cost, scenario: &Scenario) -> Sample {
        let gib = window.bytes() as f64 / GIB as f64;
        let seconds = window.elapsed().as_secs_f64();
        let part = |time: Duration, cores: usize| time.as_secs_f64() / seconds / cores as f64;
        let percentile = |quantile| window.latency_us.value_at_quantile(quantile) as f64 / 1e3;
        Sample {
            gib,
            seconds,
            gib_per_s: gib / seconds,
            cpu_s_per_gib: cost.seeder_cpu.as_secs_f64() / gib,
            cpu_both_s_per_gib: (cost.seeder_cpu + window.generator_cpu).as_secs_f64() / gib,
            latency: Latency {
                p50_ms: percentile(0.5),
                p99_ms: percentile(0.99),
                p999_ms: percentile(0.999),
                max_ms: percentile(1.0),
            },
            slowest_share: slowest_share(window),
            memory: cost.memory,
            seeder_busy: part(cost.seeder_cpu, scenario.seeder_cores.len()),
            generator_busy: part(window.generator_cpu, scenario.load_cores.len()),
            disturbed: part(
                cost.cores.saturating_sub(cost.seeder_cpu + window.generator_cpu),
                1,
            ),
        }
    }
}

/// The lowest rate of a connection as a part of the mean rate.
fn slowest_share(window: &Window) -> f64 {
    let rates: Vec<f64> = window
        .shares
        .iter()
        .map(|share| share.bytes as f64 / share.elapsed.as_secs_f64().max(1e-9))
        .collect();
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    if mean > 0.0 { slowest / mean } else { 0.0 }
}
