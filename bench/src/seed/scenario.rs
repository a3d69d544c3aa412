//! The named workloads of `shoal-bench seed`.
//!
//! A scenario is plain data: which torrents, how many connections, from which state, for how long, on which cores. All
//! clients get the same one. It knows nothing about clients, except that the ideal sender cannot be cold.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use super::SeedOptions;
use crate::data::{Place, Recipe};
use crate::seeder::ClientName;

/// Connections of the scenario `many`; the first is what the others are compared with.
const MANY_CONNECTIONS: [u32; 3] = [8, 64, 1_000];

/// A family of workloads, as asked for on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioName {
    /// A large torrent, fetched once; shoal reads it from the disk.
    Cold,
    /// A torrent that fits every cache, fetched again and again.
    Hot,
    /// The hot torrent with 8, 64 and 1,000 connections for a fixed time.
    Many,
    /// Two torrents on one core and on two.
    Cores,
}

/// How long a window lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// Until every connection has its share this many times.
    Laps(u32),
    /// This long.
    Time(Duration),
}

/// One workload.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// Its name in the report.
    pub(crate) name: String,
    /// What is seeded.
    pub(crate) torrents: Vec<Recipe>,
    /// Connections over all torrents.
    pub(crate) connections: u32,
    /// Whether shoal starts without the data in the page cache.
    pub(crate) cold: bool,
    /// Whether every connection fetches its share once before the window.
    pub(crate) warm: bool,
    /// How long the window lasts.
    pub(crate) span: Span,
    /// The cores of the seeder.
    pub(crate) seeder_cores: Vec<usize>,
    /// The cores of the load generator.
    pub(crate) load_cores: Vec<usize>,
    /// The scenario that this one is a variation of: the report compares a client with itself there.
    pub(crate) baseline: Option<String>,
}

impl Scenario {
    /// Whether it makes sense for this client: the ideal sender holds everything in memory, so it is never cold.
    pub(crate) fn admits(&self, client: ClientName) -> bool {
        !(self.cold && client == ClientName::Ideal)
    }
}

/// The workloads that were asked for.
pub(super) fn scenarios(options: &SeedOptions) -> Result<Vec<Scenario>> {
    let mut list = Vec::new();
    for name in &options.scenarios {
        match name {
            ScenarioName::Cold => list.push(cold(options)),
            ScenarioName::Hot => list.push(hot(options)),
            ScenarioName::Many => list.extend(MANY_CONNECTIONS.map(|connections| many(options, connections))),
            ScenarioName::Cores => list.extend(cores(options)?),
        }
    }
    Ok(list)
}

fn recipe(options: &SeedOptions, name: &str, mib: u64) -> Recipe {
    let name = format!("{name}-{mib}m-{}k", options.piece_kib);
    Recipe::new(&name, mib << 20, options.piece_kib << 10)
}

fn cold(options: &SeedOptions) -> Scenario {
    Scenario {
        name: "cold".to_owned(),
        torrents: vec![recipe(options, "cold", options.cold_mib)],
        connections: options.connections,
        cold: true,
        warm: false,
        span: Span::Laps(1),
        seeder_cores: options.seeder_cores.clone(),
        load_cores: options.load_cores.clone(),
        baseline: None,
    }
}

fn hot(options: &SeedOptions) -> Scenario {
    Scenario {
        name: "hot".to_owned(),
        torrents: vec![recipe(options, "hot", options.hot_mib)],
        cold: false,
        warm: true,
        span: Span::Laps(options.laps),
        ..cold(options)
    }
}

fn many(options: &SeedOptions, connections: u32) -> Scenario {
    let baseline = (connections != MANY_CONNECTIONS[0]).then(|| format!("many-{}", MANY_CONNECTIONS[0]));
    Scenario {
        name: format!("many-{connections}"),
        connections,
        span: Span::Time(Duration::from_secs(options.seconds)),
        baseline,
        ..hot(options)
    }
}

/// A torrent that belongs to one of two cores.
fn placed(options: &SeedOptions, core: u32) -> Recipe {
    Recipe {
        place: Place { core, of: 2 },
        ..recipe(options, &format!("core{core}"), options.hot_mib)
    }
}

/// The same load on one seeder core and on two. The generator has the same cores both times: those that neither needs,
/// or, on a machine without any, all of them, which the report then shows as a busy generator.
fn cores(options: &SeedOptions) -> Result<[Scenario; 2]> {
    let machine: Vec<usize> = (0..std::thread::available_parallelism()?.get()).collect();
    ensure!(machine.len() >= 2, "the scenario `cores` needs two cores");
    let (seeder_cores, rest) = machine.split_at(2);
    let load_cores = if rest.is_empty() {
        seeder_cores
    } else {
        &rest[..rest.len().min(2)]
    };
    let on = |name: &str, cores: &[usize], baseline: Option<&str>| Scenario {
        name: name.to_owned(),
        torrents: [0, 1].map(|core| placed(options, core)).to_vec(),
        span: Span::Time(Duration::from_secs(options.seconds)),
        seeder_cores: cores.to_vec(),
        load_cores: load_cores.to_vec(),
        baseline: baseline.map(str::to_owned),
        ..hot(options)
    };
    Ok([
        on("cores-1", &seeder_cores[..1], None),
        on("cores-2", seeder_cores, Some("cores-1")),
    ])
}
