//! The programs that are measured: shoal and its competitors, each in a file of its own behind [`Client`].
//!
//! A client says how it is started to seed, to check or to fetch, nothing more. Starting, pinning, waiting until it serves and
//! ending it are the same for all of them and live in [`process`]. Each is configured to be as fast as it can be for this
//! work by its own documented settings: no discovery, no encryption, no rate limits, enough slots for every connection.
//!
//! Settings that a competitor's file changes are listed in that file with the reason. None of them is weakened.

mod aria2;
pub(crate) mod ideal;
mod libtorrent;
pub(crate) mod process;
mod rqbit;
mod rtorrent;
mod shoal;
mod transmission;

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::data::Torrent;
pub(crate) use ideal::serve as serve_ideal;

/// The most connections that any scenario opens, with room for probes: what clients are given as their limits.
const CONNECTIONS_MAX: u32 = 2_000;

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientName {
    /// The engine of this repository.
    Shoal,
    /// libtorrent-rasterbar from PyPI, with its `high_performance_seed` settings.
    Libtorrent,
    /// rqbit, from crates.io.
    Rqbit,
    /// rTorrent, from the distribution.
    Rtorrent,
    /// transmission-daemon, from the distribution.
    Transmission,
    /// aria2, from the distribution.
    Aria2,
    /// A sender of ready-made answers from memory, part of this program: the ceiling of the load generator, not a client.
    Ideal,
}

impl ClientName {
    /// Its name in reports and on the command line.
    pub(crate) fn text(self) -> &'static str {
        match self {
            ClientName::Shoal => "shoal",
            ClientName::Libtorrent => "libtorrent",
            ClientName::Rqbit => "rqbit",
            ClientName::Rtorrent => "rtorrent",
            ClientName::Transmission => "transmission",
            ClientName::Aria2 => "aria2",
            ClientName::Ideal => "ideal",
        }
    }
}

/// Where to find the programs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Programs {
    /// The shoal to measure [default: built from this workspace, which never measures a stale one]
    #[arg(long, value_name = "PATH")]
    pub(crate) shoal: Option<PathBuf>,
    /// One more argument for the subcommand of shoal that is measured; may be given several times
    #[arg(long = "shoal-arg", value_name = "ARG", allow_hyphen_values = true)]
    pub(crate) shoal_arguments: Vec<String>,
    /// A Python that can import libtorrent
    #[arg(long, value_name = "PATH", default_value = "python3")]
    pub(crate) python: PathBuf,
    /// rqbit (`cargo install rqbit --no-default-features --features rust-tls`)
    #[arg(long, value_name = "PATH", default_value = "rqbit")]
    pub(crate) rqbit: PathBuf,
    /// rTorrent
    #[arg(long, value_name = "PATH", default_value = "rtorrent")]
    pub(crate) rtorrent: PathBuf,
    /// transmission-daemon
    #[arg(long, value_name = "PATH", default_value = "transmission-daemon")]
    pub(crate) transmission: PathBuf,
    /// aria2c
    #[arg(long, value_name = "PATH", default_value = "aria2c")]
    pub(crate) aria2: PathBuf,
}

/// What a client is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    /// What it seeds, checks or fetches.
    pub(crate) torrents: &'a [Torrent],
    /// The directory with the data files of all of them, or where they shall go.
    pub(crate) data: &'a Path,
    /// An empty directory for its settings and state.
    pub(crate) scratch: &'a Path,
    /// Where it listens for peers.
    pub(crate) address: SocketAddrV4,
    /// The cores it may use.
    pub(crate) cores: &'a [usize],
}

/// How one sees that a client is done with a check.
#[derive(Debug)]
pub(crate) enum Check {
    /// It exits successfully.
    Exits(Command),
    /// It goes on to seed, which it does only with complete data.
    Serves(Command),
}

/// A program under measurement.
pub(crate) trait Client {
    /// Which one it is.
    fn name(&self) -> ClientName;

    /// Its version, or in the error why it cannot be measured here.
    fn version(&self) -> Result<String>;

    /// The command that seeds complete data, without checking it first where the client can be told so. An error where
    /// a client cannot serve such a load at all.
    fn seed(&self, job: &Job<'_>) -> Result<Command>;

    /// The command that checks data.
    fn check(&self, job: &Job<'_>) -> Result<Check>;

    /// The command that fetches the torrents from these peers into the job's directory and exits successfully once it has
    /// verified everything and handed it to the kernel. An error where a client cannot be told about peers.
    fn fetch(&self, job: &Job<'_>, peers: &[SocketAddrV4]) -> Result<Command>;

    /// The line on stdout that says it serves, for clients that have one; others are asked over the wire.
    fn ready_line(&self) -> Option<&'static str> {
        None
    }
}

/// The client with this name.
pub(crate) fn client(name: ClientName, programs: &Programs) -> Box<dyn Client> {
    match name {
        ClientName::Shoal => Box::new(shoal::Shoal::new(
            programs.shoal.clone(),
            programs.shoal_arguments.clone(),
        )),
        ClientName::Libtorrent => Box::new(libtorrent::Libtorrent {
            python: programs.python.clone(),
        }),
        ClientName::Rqbit => Box::new(rqbit::Rqbit {
            program: programs.rqbit.clone(),
        }),
        ClientName::Rtorrent => Box::new(rtorrent::Rtorrent {
            program: programs.rtorrent.clone(),
        }),
        ClientName::Transmission => Box::new(transmission::Transmission {
            program: programs.transmission.clone(),
        }),
        ClientName::Aria2 => Box::new(aria2::Aria2 {
            program: programs.aria2.clone(),
        }),
        ClientName::Ideal => Box::new(ideal::Ideal),
    }
}

/// A client that is installed here.
pub(crate) struct Found {
    /// How it is run.
    pub(crate) client: Box<dyn Client>,
    /// What it says its version is.
    pub(crate) version: String,
}

/// The clients that can be measured, and a sentence about each that cannot.
pub(crate) fn find_clients(names: &[ClientName], programs: &Programs) -> (Vec<Found>, Vec<String>) {
    let mut found = Vec::new();
    let mut skipped = Vec::new();
    for &name in names {
        let client = client(name, programs);
        match client.version() {
            Ok(version) => found.push(Found { client, version }),
            Err(error) => skipped.push(format!("{} skipped: {error:#}", name.text())),
        }
    }
    for line in &skipped {
        eprintln!("{line}");
    }
    (found, skipped)
}

/// An empty directory for a client's settings and state.
pub(crate) fn scratch(work: &Path, client: ClientName) -> Result<PathBuf> {
    let scratch = work.join("scratch").join(client.text());
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    Ok(scratch)
}

/// What a program prints about its version: the first word with a digit and a dot in it.
fn version_of(program: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| anyhow!("{} does not run: {error}", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let looks_right =
        |word: &&str| word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit());
    let version = text
        .split_whitespace()
        .map(|word| word.trim_matches(['v', ',', ':']))
        .find(looks_right);
    let version = version.ok_or_else(|| {
        let said = text.lines().last().unwrap_or("nothing");
        anyhow!("{} does not tell its version, it says: {said}", program.display())
    })?;
    Ok(version.trim_end_matches('.').to_owned())
}

/// Addresses as one argument.
fn joined(peers: &[SocketAddrV4]) -> String {
    let peers: Vec<String> = peers.iter().map(SocketAddrV4::to_string).collect();
    peers.join(",")
}

/// The `.torrent` files of a job, as arguments.
fn metainfos<'a>(job: &Job<'a>) -> impl Iterator<Item = &'a PathBuf> {
    job.torrents.iter().map(|torrent| &torrent.metainfo)
}
