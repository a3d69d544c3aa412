//! `shoal-bench check`: how fast and how cheaply clients verify data, against each other and against the disk.
//!
//! A check is timed from the start of the client's process until it exits or, for daemons that have no such command,
//! until it serves the torrent. Starting a process is part of it, and takes some 10 ms for most, 0.1 s for Python.
//!
//! On a cold file `fio` reads the same file in the same run, with O_DIRECT, 1 MiB at a time and 16 deep: the speed that
//! the disk has. All clients may use all cores. Buffered readers fill the page cache; it is emptied before each of them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::data::{self, Recipe, Torrent};
use crate::measure::{self, Machine};
use crate::report::{self, CheckReport, CheckRow};
use crate::seeder::process::{Process, free_address};
use crate::seeder::{Check, Client, ClientName, Job, Programs, find_clients, scratch};
use crate::{Common, GIB};

/// Options of `shoal-bench check`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    programs: Programs,
    /// Whom to measure; those that are not installed are skipped with a word about it
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "shoal,libtorrent,rqbit,rtorrent,aria2"
    )]
    clients: Vec<ClientName>,
    /// Size of the file, in MiB
    #[arg(long, default_value_t = 4096)]
    mib: u64,
    /// Piece length, in KiB
    #[arg(long, default_value_t = 1024)]
    piece_kib: u32,
    /// The cores of the clients [default: all]
    #[arg(long, value_delimiter = ',')]
    cores: Option<Vec<usize>>,
}

/// Where the file is when a check begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Cold,
    Cached,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            State::Cold => "cold",
            State::Cached => "cached",
        }
    }

    /// fio goes around the page cache, so it has nothing to say about a file in it.
    fn admits(self, reader: &Reader) -> bool {
        self == State::Cold || matches!(reader, Reader::Client(_))
    }

    fn establish(self, torrent: &Torrent) -> Result<()> {
        match self {
            State::Cold => torrent.evict(),
            State::Cached => torrent.preload(),
        }
    }
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CheckSample {
    gib: f64,
    /// From the start of the process until it was done.
    pub(crate) seconds: f64,
    /// CPU time of the process.
    cpu_seconds: f64,
}

impl CheckSample {
    fn new(torrent: &Torrent, elapsed: Duration, cpu: Duration) -> CheckSample {
        CheckSample {
            gib: torrent.shape.length as f64 / GIB as f64,
            seconds: elapsed.as_secs_f64(),
            cpu_seconds: cpu.as_secs_f64(),
        }
    }

    /// Data checked per second.
    pub(crate) fn gib_per_s(&self) -> f64 {
        self.gib / self.seconds
    }

    /// CPU time per GiB checked.
    pub(crate) fn cpu_s_per_gib(&self) -> f64 {
        self.cpu_seconds / self.gib
    }
}

/// Who reads the file.
enum Reader {
    /// `fio`, which does nothing else with it.
    Disk,
    /// A client that verifies it.
    Client(Box<dyn Client>),
}

impl Reader {
    fn name(&self) -> &'static str {
        match self {
            Reader::Disk => report::DISK_READER,
            Reader::Client(client) => client.name().text(),
        }
    }
}

/// Measures everything that was asked for and prints the report.
pub(crate) fn run(options: &CheckOptions) -> Result<()> {
    let work = options.common.work_directory()?;
    data::ensure_room(&work, options.mib << 20)?;
    // The same torrent as in `seed --scenario cold`, so that it is generated once.
    let name = format!("cold-{}m-{}k", options.mib, options.piece_kib);
    let torrent = Recipe::new(&name, options.mib << 20, options.piece_kib << 10).prepare(&work)?;
    let all_cores = || Ok::<_, std::io::Error>((0..std::thread::available_parallelism()?.get()).collect());
    let cores = options.cores.clone().map_or_else(all_cores, Ok)?;

    let (readers, skipped) = find_readers(options);
    let setting = Setting {
        torrent: &torrent,
        work: &work,
        cores: &cores,
    };
    let mut report = CheckReport::new(Machine::describe(&work), skipped);
    for state in [State::Cold, State::Cached] {
        let admitted: Vec<&(Reader, String)> = readers
            .iter()
            .filter(|(reader, _)| state.admits(reader))
            .collect();
        let mut rows: Vec<CheckRow> = admitted
            .iter()
            .map(|(reader, version)| CheckRow::new(state.text(), reader.name(), version))
            .collect();
        for run in 1..=options.common.runs {
            for (row, (reader, _)) in rows.iter_mut().zip(&admitted) {
                state.establish(&torrent)?;
                let outcome = setting.measure(reader);
                eprintln!("{} run {run} {}: {}", row.state, row.client, said(&outcome));
                row.add(outcome);
            }
        }
        report.rows.extend(rows);
    }
    report.print(options.common.json)
}

/// The readers that are installed with their versions, and a sentence about each that is not.
fn find_readers(options: &CheckOptions) -> (Vec<(Reader, String)>, Vec<String>) {
    let (clients, mut skipped) = find_clients(&options.clients, &options.programs);
    let mut readers = Vec::new();
    match fio_version() {
        Ok(version) => readers.push((Reader::Disk, version)),
        Err(error) => skipped.push(format!("fio skipped: {error:#}")),
    }
    readers.extend(
        clients
            .into_iter()
            .map(|found| (Reader::Client(found.client), found.version)),
    );
    (readers, skipped)
}

fn said(outcome: &Result<CheckSample>) -> String {
    match outcome {
        Ok(sample) => format!("{:.2} s, {:.3} CPU s/GiB", sample.seconds, sample.cpu_s_per_gib()),
        Err(error) => format!("failed: {error:#}"),
    }
}

/// What every measurement has in common.
struct Setting<'a> {
    torrent: &'a Torrent,
    work: &'a Path,
    cores: &'a [usize],
}

impl Setting<'_> {
    fn measure(&self, reader: &Reader) -> Result<CheckSample> {
        let client = match reader {
            Reader::Disk => return read_with_fio(self.torrent),
            Reader::Client(client) => client,
        };
        let scratch = scratch(self.work, client.name())?;
        let job = Job {
            torrents: std::slice::from_ref(self.torrent),
            data: self.torrent.directory(),
            scratch: &scratch,
            address: free_address()?,
            cores: self.cores,
        };
        let (elapsed, cpu) = check(client.check(&job)?, &job)?;
        Ok(CheckSample::new(self.torrent, elapsed, cpu))
    }
}

/// Runs one check from start to end; returns how long it took and its CPU time.
fn check(check: Check, job: &Job<'_>) -> Result<(Duration, Duration)> {
    let begin = Instant::now();
    match check {
        Check::Exits(command) => {
            let mut process = Process::start(&command, job)?;
            let (status, cpu) = process.wait()?;
            let elapsed = begin.elapsed();
            ensure!(
                status.success(),
                "it ended ({status}); its last words: {}",
                process.last_words()
            );
            Ok((elapsed, cpu.total()))
        }
        Check::Serves(command) => {
            let mut process = Process::start(&command, job)?;
            process.wait_until_ready(job, None)?;
            Ok((begin.elapsed(), measure::cpu_time(process.id())?))
        }
    }
}

fn fio_version() -> Result<String> {
    let output = Command::new("fio")
        .arg("--version")
        .output()
        .context("fio does not run")?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim()
        .trim_start_matches("fio-")
        .to_owned())
}

/// Reads the file as fast as the disk gives it.
fn read_with_fio(torrent: &Torrent) -> Result<CheckSample> {
    let mut command = Command::new("fio");
    command.args([
        "--name=read",
        "--rw=read",
        "--bs=1M",
        "--iodepth=16",
        "--direct=1",
        "--ioengine=libaio",
    ]);
    command
        .args(["--readonly", "--output-format=json"])
        .arg(format!("--filename={}", torrent.file.display()));
    let output = command.output().context("fio does not run")?;
    ensure!(
        output.status.success(),
        "fio failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let job = &report["jobs"][0];
    let runtime_ms = job["read"]["runtime"]
        .as_f64()
        .context("fio's report has no read.runtime")?;
    let cpu_percent = ["usr_cpu", "sys_cpu"]
        .map(|field| job[field].as_f64().unwrap_or(0.0))
        .iter()
        .sum::<f64>();
    let elapsed = Duration::from_secs_f64(runtime_ms / 1e3);
    Ok(CheckSample::new(
        torrent,
        elapsed,
        elapsed.mul_f64(cpu_percent / 100.0),
    ))
}
