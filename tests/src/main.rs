//! `shoal-tests`: runs simulated swarms by their seeds, to repeat a failure or to look for new ones.
//!
//!     shoal-tests swarm --seed 17 --trace      everything that happens in the swarm of seed 17
//!     shoal-tests swarm --seeds 0..5000        five thousand swarms on all cores
//!     shoal-tests crowd --peers 10000          how fast ten thousand connections are simulated

use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use clap::{Parser, Subcommand};
use shoal_tests::sim::crowd::Crowd;
use shoal_tests::sim::disk::Drive;
use shoal_tests::sim::swarm::{self, Preset};

/// Runs simulated swarms by their seeds.
#[derive(Parser)]
#[command(name = "shoal-tests")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A daemon, a crowd of peers, and faults.
    Swarm {
        /// How wild it is: `lite` or `swarm`.
        #[arg(long, default_value = "swarm", value_parser = preset)]
        preset: Preset,
        /// One seed.
        #[arg(long, conflicts_with = "seeds", required_unless_present = "seeds")]
        seed: Option<u64>,
        /// Many seeds, as in `0..5000`.
        #[arg(long, value_parser = seeds)]
        seeds: Option<Range<u64>>,
        /// Print everything that happens.
        #[arg(long)]
        trace: bool,
    },
    /// Many equal peers at one core: virtual time against real time.
    Crowd {
        /// How many peers.
        #[arg(long, default_value_t = 10_000)]
        peers: u32,
        /// Blocks of 16 KiB that each of them wants.
        #[arg(long, default_value_t = 30)]
        blocks: u32,
        /// Bytes per second that each of them can take.
        #[arg(long, default_value_t = 20_000)]
        rate: u64,
    },
}

fn preset(text: &str) -> Result<Preset, String> {
    Preset::named(text).ok_or_else(|| format!("{text} is neither lite nor swarm"))
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("a range is written 0..5000")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    Ok(number(first)?..number(end)?)
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Swarm {
            preset,
            seed,
            seeds,
            trace,
        } => {
            let seeds = seeds.or(seed.map(|seed| seed..seed + 1)).unwrap_or(0..0);
            let failed = run_all(preset, seeds, trace);
            if failed.is_empty() {
                return ExitCode::SUCCESS;
            }
            eprintln!("{} seeds failed: {failed:?}", failed.len());
            ExitCode::FAILURE
        }
        Command::Crowd { peers, blocks, rate } => run_crowd(peers, blocks, rate),
    }
}

fn run_crowd(peers: u32, blocks: u32, rate: u64) -> ExitCode {
    let crowd = Crowd {
        peers,
        blocks,
        rate,
        file_len: 256 << 20,
        extents: 256,
        frames: 512,
        drive: Drive::FLASH,
    };
    let began = Instant::now();
    let pace = match crowd.run() {
        Ok(pace) => pace,
        Err(defect) => {
            eprintln!("{}\n{}", defect.message, defect.tail.join("\n"));
            return ExitCode::FAILURE;
        }
    };
    let real = began.elapsed().as_secs_f64();
    let time = pace.time.as_secs_f64();
    println!(
        "{peers} connections: {time:.1} s of virtual time in {real:.1} s, {:.1} times as fast; {:.2} GiB, {:.1} million events",
        time / real,
        pace.delivered_bytes as f64 / f64::from(1 << 30),
        pace.events as f64 / 1e6,
    );
    ExitCode::SUCCESS
}

/// Runs every seed, as many at a time as there are processors. Those that failed.
fn run_all(preset: Preset, seeds: Range<u64>, trace: bool) -> Vec<u64> {
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, |count| count.get());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    if !run_one(preset, seed, trace)
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.push(seed);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_default()
}

fn run_one(preset: Preset, seed: u64, trace: bool) -> bool {
    match swarm::run(preset, seed, trace) {
        Ok(outcome) => {
            println!("seed {seed}: {outcome:?}");
            true
        }
        Err(defect) => {
            println!("{}", defect.report(preset, seed));
            false
        }
    }
}
