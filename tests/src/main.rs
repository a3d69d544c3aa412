//! `shoal-tests`: runs simulated swarms by their seeds, to repeat a failure or to look for new ones; and breaks the engine
//! on purpose, to see that its tests notice.
//!
//!     shoal-tests swarm --seed 17 --trace      everything that happens in the swarm of seed 17
//!     shoal-tests swarm --seeds 0..5000        five thousand swarms on all cores
//!     shoal-tests sweep dies 40 --trace        the small conversation whose daemon dies after operation 40
//!     shoal-tests crowd --peers 10000          how fast ten thousand connections are simulated
//!     shoal-tests mutations --only 3           whether the tests notice the third of the lines that are broken on purpose

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use shoal_shard::Slots;
use shoal_tests::mutations;
use shoal_tests::sim::crowd::Crowd;
use shoal_tests::sim::disk::Drive;
use shoal_tests::sim::exchange;
use shoal_tests::sim::faults::Faults;
use shoal_tests::sim::flock::Flock;
use shoal_tests::sim::swarm::{self, Defect, Outcome, Preset};
use shoal_tests::sim::sweeps::{self, Mishap};

/// Runs simulated swarms by their seeds, and breaks the engine on purpose.
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
        /// Daemons fetch from each other instead of being asked by scripted peers.
        #[arg(long)]
        fetch: bool,
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
    /// One run of a sweep: a small conversation to which one thing happens.
    Sweep {
        /// What happens: operation N `fails`, the daemon `dies` after operation N or `loses-power`, the first connection
        /// `breaks` after N bytes from its peer, or `breaks-back` after N bytes to it.
        #[arg(value_parser = ["fails", "dies", "loses-power", "breaks", "breaks-back"])]
        what: String,
        /// Which one, or how many.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        number: u64,
        /// Print everything that happens.
        #[arg(long)]
        trace: bool,
    },
    /// Many equal peers at one core: virtual time against real time.
    Crowd {
        /// How many peers.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=65_535))]
        peers: u32,
        /// Blocks of 16 KiB that each of them wants.
        #[arg(long, default_value_t = 30)]
        blocks: u32,
        /// Bytes per second that each of them can take.
        #[arg(long, default_value_t = 20_000)]
        rate: u64,
    },
    /// One narrow seeder and many equal fetchers: how long they need against what the seeder's link dictates.
    Flock {
        /// How many fetchers.
        #[arg(long, default_value_t = 50)]
        fetchers: u32,
        /// Length of the torrent in MiB.
        #[arg(long, default_value_t = 64)]
        mebibytes: u32,
        /// Length of a piece in KiB.
        #[arg(long, default_value_t = 256)]
        piece_kibibytes: u32,
        /// Peers that the seeder serves at a time; 0: all.
        #[arg(long, default_value_t = 8)]
        seeder_slots: u32,
        /// Peers that each fetcher serves at a time; 0: all.
        #[arg(long, default_value_t = 8)]
        fetcher_slots: u32,
        /// Bytes per second that leave the seeder.
        #[arg(long, default_value_t = 1 << 20)]
        seeder_up: u64,
        /// Bytes per second that leave each fetcher.
        #[arg(long, default_value_t = 2 << 20)]
        fetcher_up: u64,
        /// The seeder tells every peer of one piece at a time (BEP 16).
        #[arg(long)]
        super_seeds: bool,
        /// Some of the things that go wrong on healthy systems go wrong.
        #[arg(long)]
        faults: bool,
        /// The seed of all dice.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Breaks one line after another of those that tests/README.md lists, and runs the tests that have to notice.
    Mutations {
        /// One row of the list, counted from 1.
        #[arg(long)]
        only: Option<usize>,
    },
}

/// What is made of a seed, and how to say so.
#[derive(Clone, Copy)]
struct Scenario {
    run: fn(Preset, u64, bool) -> Result<Outcome, Defect>,
    command: fn(Preset, u64) -> String,
}

impl Scenario {
    const SWARM: Scenario = Scenario {
        run: swarm::run,
        command: swarm::command,
    };
    const EXCHANGE: Scenario = Scenario {
        run: exchange::run,
        command: exchange::command,
    };
}

fn preset(text: &str) -> Result<Preset, String> {
    Preset::named(text).ok_or_else(|| format!("{text} is neither lite nor swarm"))
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("a range is written 0..5000")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    let seeds = number(first)?..number(end)?;
    if seeds.is_empty() {
        return Err(format!("{text} holds no seed"));
    }
    Ok(seeds)
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Swarm {
            preset,
            fetch,
            seed,
            seeds,
            trace,
        } => {
            let seeds = seeds
                .or(seed.map(|seed| seed..seed.saturating_add(1)))
                .unwrap_or(0..1);
            let scenario = if fetch {
                Scenario::EXCHANGE
            } else {
                Scenario::SWARM
            };
            run_swarms(scenario, preset, seeds, trace)
        }
        Command::Sweep { what, number, trace } => run_sweep(mishap(&what, number), trace),
        Command::Crowd { peers, blocks, rate } => run_crowd(peers, blocks, rate),
        Command::Flock {
            fetchers,
            mebibytes,
            piece_kibibytes,
            seeder_slots,
            fetcher_slots,
            seeder_up,
            fetcher_up,
            super_seeds,
            faults,
            seed,
        } => run_flock(&Flock {
            fetchers,
            file_len: mebibytes << 20,
            piece_len: piece_kibibytes << 10,
            seeder_up,
            fetcher_up,
            seeder_slots: slots(seeder_slots),
            fetcher_slots: slots(fetcher_slots),
            super_seeds,
            faults: if faults { Faults::LITE } else { Faults::NONE },
            seed,
        }),
        Command::Mutations { only } => run_mutations(only),
    }
}

fn mishap(what: &str, number: u64) -> Mishap {
    match what {
        "fails" => Mishap::Fails(number),
        "dies" | "loses-power" => Mishap::Dies {
            after: number,
            power: what == "loses-power",
        },
        _ => Mishap::Breaks {
            to_daemon: what == "breaks",
            after: number,
        },
    }
}

fn run_sweep(mishap: Mishap, trace: bool) -> ExitCode {
    match sweeps::run(mishap, trace) {
        Ok(reached) => {
            println!(
                "{mishap:?}: {}",
                if reached { "survived" } else { "never came to it" }
            );
            ExitCode::SUCCESS
        }
        Err(defect) => {
            println!("{}", defect.report(&mishap.command()));
            ExitCode::FAILURE
        }
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
    let processor = processor_seconds();
    let time = pace.time.as_secs_f64();
    println!(
        "{peers} connections: {time:.1} s of virtual time in {real:.1} s ({processor:.1} s on the processor), {:.1} times as \
         fast; {:.2} GiB, {:.1} million events",
        time / real,
        pace.delivered_bytes as f64 / f64::from(1 << 30),
        pace.events as f64 / 1e6,
    );
    // On a machine that does other things as well, only the time on the processor says anything.
    if processor > time {
        eprintln!("that is slower than real time");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn slots(count: u32) -> Slots {
    if count == 0 {
        Slots::Unlimited
    } else {
        Slots::Fixed(count)
    }
}

fn run_flock(flock: &Flock) -> ExitCode {
    let pace = match flock.run() {
        Ok(pace) => pace,
        Err(defect) => {
            eprintln!("{}\n{}", defect.message, defect.tail.join("\n"));
            return ExitCode::FAILURE;
        }
    };
    let middle = pace.finished[pace.finished.len() / 2];
    println!(
        "{} fetchers: {:.2} times the least time of {:.0} s; half were finished after {:.0} s, the first after {:.0} s; the \
         seeder sent {:.2} copies; {:.1} % wasted, {:.1} % of requests doubled; nobody waited longer than {:.1} s for a piece",
        pace.finished.len(),
        pace.times(),
        pace.least.as_secs_f64(),
        middle.as_secs_f64(),
        pace.finished[0].as_secs_f64(),
        pace.seeder_copies,
        pace.wasted * 100.0,
        pace.doubled * 100.0,
        pace.longest_wait.as_secs_f64(),
    );
    ExitCode::SUCCESS
}

/// Time that this thread has spent on a processor: the first number of schedstat, in nanoseconds (proc(5)).
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent: Option<f64> = text.split(' ').next().and_then(|number| number.parse().ok());
    spent.unwrap_or(0.0) / 1e9
}

/// What is built for it stays below the target directory, so that a second run builds only what is broken.
fn run_mutations(only: Option<usize>) -> ExitCode {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkout = package.parent().expect("the package stands in the root");
    let target = env::var_os("CARGO_TARGET_DIR").map_or(checkout.join("target"), PathBuf::from);
    match mutations::run(checkout, &target.join("mutations"), only) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every seed, as many at a time as there are processors.
fn run_swarms(scenario: Scenario, preset: Preset, seeds: Range<u64>, trace: bool) -> ExitCode {
    let next = AtomicU64::new(seeds.start);
    let threads = thread::available_parallelism().map_or(1, |count| count.get());
    let totals: Vec<Totals> = thread::scope(|scope| {
        let run = || {
            let mut totals = Totals::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return totals;
                }
                match (scenario.run)(preset, seed, trace) {
                    Ok(outcome) => totals.add(outcome),
                    Err(defect) => {
                        println!("{}", defect.report(&(scenario.command)(preset, seed)));
                        totals.failed.push(seed);
                    }
                }
            }
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let ended = running.into_iter().map(|thread| thread.join());
        ended.map(|totals| totals.expect("defects are caught")).collect()
    });
    let totals = totals.into_iter().fold(Totals::default(), Totals::and);
    println!("{totals}");
    if totals.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What many runs were like together.
#[derive(Debug, Default)]
struct Totals {
    runs: u64,
    hash: u64,
    time: Duration,
    delivered_bytes: u64,
    operations: u64,
    failures: BTreeMap<String, u32>,
    failed: Vec<u64>,
}

impl Totals {
    fn add(&mut self, outcome: Outcome) {
        self.runs += 1;
        self.hash ^= outcome.hash;
        self.time += outcome.time;
        self.delivered_bytes += outcome.delivered_bytes;
        self.operations += outcome.operations;
        for (cause, times) in outcome.failures {
            // Lengths and the like differ from run to run.
            let kind = cause.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
            *self.failures.entry(kind).or_insert(0) += times;
        }
    }

    fn and(mut self, other: Totals) -> Totals {
        self.runs += other.runs;
        self.hash ^= other.hash;
        self.time += other.time;
        self.delivered_bytes += other.delivered_bytes;
        self.operations += other.operations;
        for (cause, times) in other.failures {
            *self.failures.entry(cause).or_insert(0) += times;
        }
        self.failed.extend(other.failed);
        self
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} swarms kept every rule: {} operations, {} MiB delivered, {:.1} hours of virtual time, trace {:016x}",
            self.runs,
            self.operations,
            self.delivered_bytes >> 20,
            self.time.as_secs_f64() / 3600.0,
            self.hash,
        )?;
        write!(
            f,
            "torrents given up for a reason, and served again: {:?}",
            self.failures
        )?;
        if !self.failed.is_empty() {
            write!(f, "\n{} swarms failed: {:?}", self.failed.len(), self.failed)?;
        }
        Ok(())
    }
}
