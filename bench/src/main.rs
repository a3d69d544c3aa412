//! `shoal-bench`: named workloads, real competitors side by side, a report.
//!
//! ```text
//! cargo run --release -p shoal-bench -- seed                    cold and hot, against everything that is installed
//! cargo run --release -p shoal-bench -- seed --scenario many    64 and 1,000 connections, with fairness
//! cargo run --release -p shoal-bench -- seed --verify           every byte compared; for correctness, not for speed
//! cargo run --release -p shoal-bench -- check                   verifying 4 GiB, against the disk's own speed
//! cargo run --release -p shoal-bench -- fetch                   fetching 4 GiB from one peer, from 8 and from 100
//! ```
//!
//! `bench/README.md` says what every figure means and how to install the competitors. The bench drives finished programs
//! through the interfaces that their users have, and uses nothing of the engine. Data is generated once into a work
//! directory and stays there for the next run (`--work`, by default `shoal-bench` in Cargo's target directory).

mod check;
mod data;
mod fetch;
mod load;
mod measure;
mod report;
mod seed;
mod seeder;

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

/// Bytes of a GiB.
const GIB: u64 = 1 << 30;

/// Measures shoal and its competitors side by side.
#[derive(Debug, Parser)]
#[command(version)]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Seeding: throughput, CPU time per GiB, latency, fairness and memory
    Seed(Box<seed::SeedOptions>),
    /// Checking: time and CPU time per GiB, from the disk and from the page cache
    Check(Box<check::CheckOptions>),
    /// Fetching: throughput and CPU time per GiB onto the disk, from one peer and from many
    Fetch(Box<fetch::FetchOptions>),
    /// The ideal sender: a client of `seed`, the seeder of `fetch`
    #[command(hide = true)]
    Ideal {
        /// The torrents, as JSON
        torrents: String,
        /// Where it listens
        #[arg(required = true)]
        addresses: Vec<SocketAddrV4>,
    },
}

/// What all measurements have in common.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Runs of everything, interleaved; the report has their medians
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Where the data and the clients' state go; it is reused, and may be removed at any time
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Print JSON with every sample instead of a table
    #[arg(long)]
    json: bool,
}

impl Common {
    /// The work directory that was asked for, or the one in Cargo's target directory, which git does not see.
    fn work_directory(&self) -> Result<PathBuf> {
        if let Some(work) = &self.work {
            return Ok(std::path::absolute(work)?);
        }
        let ours = std::env::current_exe()?;
        let target = ours
            .ancestors()
            .nth(2)
            .context("cargo puts executables two directories deep")?;
        Ok(target.join("shoal-bench"))
    }
}

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().task {
        Task::Seed(options) => seed::run(&options),
        Task::Check(options) => check::run(&options),
        Task::Fetch(options) => fetch::run(&options),
        Task::Ideal { torrents, addresses } => ideal(&torrents, &addresses),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shoal-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn ideal(torrents: &str, addresses: &[SocketAddrV4]) -> Result<()> {
    measure::raise_descriptor_limit()?;
    seeder::serve_ideal(&serde_json::from_str::<Vec<data::Torrent>>(torrents)?, addresses)
}
