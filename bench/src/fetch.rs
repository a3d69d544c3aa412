//! `shoal-bench fetch`: how fast and how cheaply clients fetch a torrent onto a disk, side by side.
//!
//! Every run is a fresh process with an empty directory, pinned with all of its threads to its own cores. All of them
//! fetch from the same process on other cores: the ideal sender, which answers from memory at as many addresses as the
//! [`Scenario`] has peers. A client is done when its process has ended; by then it has verified everything and given it to
//! the kernel. What the kernel still owes the disk is paid by a `syncfs` that is timed by itself, and then all data is
//! dropped from the page cache, read back from the disk and compared byte by byte: a run with a wrong byte is a failure.
//!
//! Runs are interleaved and what is compared is the medians, as in `seed`. What is not measured here: discovery, many
//! torrents, several files.

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use nix::unistd::{Pid, syncfs};
use serde::Serialize;

use crate::data::{self, Recipe, Torrent};
use crate::measure::{self, Machine, monotonic};
use crate::report::{FetchReport, FetchRow};
use crate::seeder::ideal::{Visit, serve_command};
use crate::seeder::process::{Cost, Process, free_address};
use crate::seeder::{Client, ClientName, Job, Programs, find_clients, scratch};
use crate::{Common, GIB};

/// The last byte of the first peer's address in 127.0.0.0/24. The client itself has 127.0.0.1, and one may not dial
/// oneself.
const FIRST_PEER: u8 = 2;

/// How long the seeder may take to notice that a client that has ended has hung up.
const VISIT_END_MAX: Duration = Duration::from_secs(10);

/// How often one looks whether it has.
const VISIT_INTERVAL: Duration = Duration::from_millis(5);

/// Options of `shoal-bench fetch`.
#[derive(Debug, Clone, Args)]
pub(crate) struct FetchOptions {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    programs: Programs,
    /// What to measure, in this order
    #[arg(
        long = "scenario",
        value_enum,
        value_delimiter = ',',
        default_value = "one,eight,hundred"
    )]
    scenarios: Vec<Scenario>,
    /// Whom to measure; those that are not installed are skipped with a word about it
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "shoal,libtorrent,rqbit"
    )]
    clients: Vec<ClientName>,
    /// Size of the torrent, in MiB; the seeder holds it in memory
    #[arg(long, default_value_t = 4096)]
    mib: u64,
    /// Piece length, in KiB; 16 makes 262,144 pieces of 4 GiB
    #[arg(long, default_value_t = 1024)]
    piece_kib: u32,
    /// The cores of the client, hashing included
    #[arg(long, value_delimiter = ',', default_value = "0")]
    fetcher_cores: Vec<usize>,
    /// The core of the seeder, which has one thread; several let the kernel choose
    #[arg(long, value_delimiter = ',', default_value = "1")]
    seeder_cores: Vec<usize>,
}

/// How many peers have the torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scenario {
    /// One peer.
    One,
    /// Eight peers.
    Eight,
    /// A hundred peers at once.
    Hundred,
}

impl Scenario {
    /// Its name in the report.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Scenario::One => "one",
            Scenario::Eight => "eight",
            Scenario::Hundred => "hundred",
        }
    }

    /// Number of peers.
    fn peers(self) -> u8 {
        match self {
            Scenario::One => 1,
            Scenario::Eight => 8,
            Scenario::Hundred => 100,
        }
    }

    /// The scenario that this one is a variation of: the report compares a client with itself there.
    pub(crate) fn baseline(self) -> Option<Scenario> {
        (self != Scenario::One).then_some(Scenario::One)
    }
}

/// One torrent fetched, from the start of the client's process until its data was on the disk.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FetchSample {
    /// Size of the torrent.
    pub(crate) gib: f64,
    /// From the start of the process until it had ended.
    pub(crate) seconds: f64,
    /// From the start of the process until the seeder sent it the first payload.
    pub(crate) first_payload_seconds: f64,
    /// From the last payload that the seeder sent until the process had ended.
    pub(crate) after_payload_seconds: f64,
    /// From the end of the process until everything that it wrote was on the disk.
    pub(crate) sync_seconds: f64,
    /// CPU time of the process in user mode.
    pub(crate) user_seconds: f64,
    /// CPU time of the kernel on its behalf.
    pub(crate) system_seconds: f64,
    /// CPU time of the seeder meanwhile.
    pub(crate) seeder_seconds: f64,
    /// The most memory that was ever resident, mapped file pages included.
    pub(crate) resident_peak_kib: u64,
    /// Bytes that the process had the kernel write, as a part of the torrent's.
    pub(crate) written_share: f64,
    /// Bytes that the seeder sent, headers included, as a part of the torrent's: above 1 by what was asked for twice.
    pub(crate) sent_share: f64,
    /// Part of its cores' time that the process used.
    pub(crate) fetcher_busy: f64,
    /// Part of its cores' time that the seeder used: near 1 it was the limit.
    pub(crate) seeder_busy: f64,
    /// Time on all of these cores that went to others until the process had ended, as a part of one CPU. The kernel's
    /// writeback of what a client left in the page cache belongs to it.
    pub(crate) others_busy: f64,
}

impl FetchSample {
    /// Payload per second until the process had ended.
    pub(crate) fn gib_per_s(&self) -> f64 {
        self.gib / self.seconds
    }

    /// Payload per second until it was on the disk.
    pub(crate) fn synced_gib_per_s(&self) -> f64 {
        self.gib / (self.seconds + self.sync_seconds)
    }

    /// CPU time of the process per GiB.
    pub(crate) fn cpu_s_per_gib(&self) -> f64 {
        (self.user_seconds + self.system_seconds) / self.gib
    }

    /// The part of it that was the kernel's.
    pub(crate) fn system_s_per_gib(&self) -> f64 {
        self.system_seconds / self.gib
    }

    /// CPU time of process and seeder per GiB: on loopback the kernel's work for one may be done in the other's name.
    pub(crate) fn cpu_both_s_per_gib(&self) -> f64 {
        self.cpu_s_per_gib() + self.seeder_seconds / self.gib
    }
}

/// What is known after a run. Moments are [`monotonic`].
#[derive(Debug, Clone, Copy)]
struct Observed {
    /// When the process was started.
    begun: Duration,
    /// When it had ended, and what it cost.
    cost: Cost,
    /// What the seeder says about it.
    visit: Visit,
    /// CPU time of the seeder.
    seeder_cpu: Duration,
    /// Time that all cores of the run were busy for anybody but the bench itself.
    cores: Duration,
    /// How long the `syncfs` afterwards took.
    sync: Duration,
}

impl FetchSample {
    fn new(torrent_len: u64, observed: &Observed, fetcher_cores: usize, seeder_cores: usize) -> FetchSample {
        let Observed { cost, visit, .. } = observed;
        let elapsed = cost.ended - observed.begun;
        let part = |time: Duration, cores: usize| time.as_secs_f64() / elapsed.as_secs_f64() / cores as f64;
        let accounted = cost.cpu.total() + observed.seeder_cpu;
        FetchSample {
            gib: torrent_len as f64 / GIB as f64,
            seconds: elapsed.as_secs_f64(),
            first_payload_seconds: (visit.first_sent - observed.begun).as_secs_f64(),
            after_payload_seconds: cost.ended.saturating_sub(visit.last_sent).as_secs_f64(),
            sync_seconds: observed.sync.as_secs_f64(),
            user_seconds: cost.cpu.user.as_secs_f64(),
            system_seconds: cost.cpu.system.as_secs_f64(),
            seeder_seconds: observed.seeder_cpu.as_secs_f64(),
            resident_peak_kib: cost.resident_peak_kib,
            written_share: cost.written_len as f64 / torrent_len as f64,
            sent_share: visit.sent_len as f64 / torrent_len as f64,
            fetcher_busy: part(cost.cpu.total(), fetcher_cores),
            seeder_busy: part(observed.seeder_cpu, seeder_cores),
            others_busy: part(observed.cores.saturating_sub(accounted), 1),
        }
    }
}

/// Measures everything that was asked for and prints the report.
pub(crate) fn run(options: &FetchOptions) -> Result<()> {
    measure::raise_descriptor_limit()?;
    let work = options.common.work_directory()?;
    let len = options.mib << 20;
    // The file that only says what is right, and one that is fetched.
    data::ensure_room(&work, 2 * len)?;
    // The same torrent as in `seed --scenario cold`, so that it is generated once.
    let name = format!("cold-{}m-{}k", options.mib, options.piece_kib);
    let torrent = Recipe::new(&name, len, options.piece_kib << 10).prepare(&work)?;
    let machine = Machine::describe(&work);
    measure::pin_this_thread(&options.seeder_cores)?;

    let (clients, skipped) = find_clients(&options.clients, &options.programs);
    let mut report = FetchReport::new(machine, skipped, measure::fresh_memory_s_per_gib()?);
    let seeder = Seeder::start(options, &torrent, &work)?;
    for &scenario in &options.scenarios {
        let mut rows: Vec<FetchRow> = clients
            .iter()
            .map(|found| FetchRow::new(scenario, found.client.name(), &found.version))
            .collect();
        let setting = Setting {
            options,
            torrent: &torrent,
            work: &work,
            seeder: &seeder,
            peers: &seeder.addresses[..usize::from(scenario.peers())],
        };
        for run in 1..=options.common.runs {
            for (row, found) in rows.iter_mut().zip(&clients) {
                let outcome = setting.measure(found.client.as_ref());
                eprintln!(
                    "{} run {run} {}: {}",
                    scenario.text(),
                    row.client.text(),
                    said(&outcome)
                );
                row.add(outcome);
            }
        }
        report.rows.extend(rows);
    }
    report.print(options.common.json)
}

fn said(outcome: &Result<FetchSample>) -> String {
    match outcome {
        Err(error) => format!("failed: {error:#}"),
        Ok(sample) => format!(
            "{:.2} GiB/s, {:.2} synced, {:.3} CPU s/GiB, seeder {:.0} % busy, others {:.0} %",
            sample.gib_per_s(),
            sample.synced_gib_per_s(),
            sample.cpu_s_per_gib(),
            sample.seeder_busy * 100.0,
            sample.others_busy * 100.0
        ),
    }
}

/// The ideal sender, under the addresses of all peers that any scenario asks for.
struct Seeder {
    process: Process,
    addresses: Vec<SocketAddrV4>,
}

impl Seeder {
    fn start(options: &FetchOptions, torrent: &Torrent, work: &Path) -> Result<Seeder> {
        let peers = options.scenarios.iter().map(|scenario| scenario.peers()).max();
        let addresses = peer_addresses(peers.unwrap_or(1), free_address()?.port());
        let torrents = std::slice::from_ref(torrent);
        let job = Job {
            torrents,
            data: torrent.directory(),
            scratch: &scratch(work, ClientName::Ideal)?,
            address: addresses[0],
            cores: &options.seeder_cores,
        };
        let mut process = Process::start(&serve_command(torrents, &addresses)?, &job)?;
        process
            .wait_until_ready(&job, None)
            .context("the seeder does not start")?;
        Ok(Seeder { process, addresses })
    }

    /// What it has told so far.
    fn visits(&self) -> Result<Vec<Visit>> {
        let lines = self.process.lines()?;
        Ok(lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    /// What it sent since it had told about `before` visits, once that is all of the torrent.
    fn visit_since(&self, before: usize, torrent: &Torrent) -> Result<Visit> {
        let begin = Instant::now();
        loop {
            let visits = self.visits()?;
            match visits[before..].iter().copied().reduce(Visit::and) {
                Some(visit) if visit.sent_len >= torrent.shape.length => return Ok(visit),
                _ => thread::sleep(VISIT_INTERVAL),
            }
            ensure!(
                begin.elapsed() < VISIT_END_MAX,
                "it ended well without having fetched everything from the seeder"
            );
        }
    }
}

/// Where the peers listen: one port on addresses of their own, because clients take one connection per address.
fn peer_addresses(peers: u8, port: u16) -> Vec<SocketAddrV4> {
    (FIRST_PEER..FIRST_PEER + peers)
        .map(|host| SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, host), port))
        .collect()
}

/// Everything that one measurement depends on besides the client.
struct Setting<'a> {
    options: &'a FetchOptions,
    torrent: &'a Torrent,
    work: &'a Path,
    seeder: &'a Seeder,
    peers: &'a [SocketAddrV4],
}

impl Setting<'_> {
    /// Gives the client an empty directory, and deletes what it made of it.
    fn measure(&self, client: &dyn Client) -> Result<FetchSample> {
        let output = self.work.join("fetched");
        // A run that was interrupted leaves its own.
        remove(&output)?;
        fs::create_dir_all(&output)?;
        let sample = self.fetch(client, &output);
        remove(&output)?;
        sample
    }

    /// Has the client fetch everything, and compares what it wrote.
    fn fetch(&self, client: &dyn Client, output: &Path) -> Result<FetchSample> {
        let scratch = scratch(self.work, client.name())?;
        let job = Job {
            torrents: std::slice::from_ref(self.torrent),
            data: output,
            scratch: &scratch,
            address: free_address()?,
            cores: &self.options.fetcher_cores,
        };
        // What others left to be written is not to be paid for by the one that is measured.
        syncfs(File::open(output)?)?;
        let observed = self.observe(client, &job)?;
        let fetched = self.torrent.at(output);
        fetched
            .evict()
            .with_context(|| format!("cannot open {}", fetched.file.display()))?;
        fetched.compare()?;
        let (fetcher_cores, seeder_cores) = (&self.options.fetcher_cores, &self.options.seeder_cores);
        Ok(FetchSample::new(
            self.torrent.shape.length,
            &observed,
            fetcher_cores.len(),
            seeder_cores.len(),
        ))
    }

    fn observe(&self, client: &dyn Client, job: &Job<'_>) -> Result<Observed> {
        let command = client.fetch(job, self.peers)?;
        let mut cores = [&self.options.fetcher_cores[..], &self.options.seeder_cores].concat();
        cores.sort_unstable();
        cores.dedup();
        let visits = self.seeder.visits()?.len();
        let seeder_before = measure::cpu_time(self.seeder.process.id())?;
        let cores_before = measure::core_time(&cores)?;
        let ours_before = measure::cpu_time(Pid::this())?;
        let begun = monotonic()?;
        let cost = Process::start(&command, job)?.watch()?;
        let seeder_cpu = measure::cpu_time(self.seeder.process.id())? - seeder_before;
        let cores = measure::core_time(&cores)? - cores_before;
        let ours = measure::cpu_time(Pid::this())? - ours_before;
        syncfs(File::open(job.data)?)?;
        let synced = monotonic()?;
        Ok(Observed {
            begun,
            cost,
            visit: self.seeder.visit_since(visits, self.torrent)?,
            seeder_cpu,
            cores: cores.saturating_sub(ours),
            sync: synced - cost.ended,
        })
    }
}

/// Deletes a directory with all that is in it, if it is there.
fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", directory.display()))
        }
        _ => Ok(()),
    }
}
