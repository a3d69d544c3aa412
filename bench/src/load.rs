//! The load generator: many scripted downloaders that keep a seeder busy and measure what they get.
//!
//! Every connection is a task on a tokio-uring runtime; one runtime runs on each of the generator's cores. A load is
//! driven in steps, so that the caller can read the seeder's CPU time exactly around the part that counts:
//! [`Load::connect`] returns when every connection was unchoked, [`Load::drain`] when every connection received its
//! share, [`Load::run_for`] after a fixed time.
//!
//! What it is not: a BitTorrent client. It never has a piece, never stores one, and trusts what it receives unless asked
//! to verify. Nothing here comes from the engine.
//!
//! Invariants: a window contains whole blocks only; a connection's share is measured over the time in which that
//! connection was busy; a stall of [`STALL_MAX`] is an error, never a number.

mod connection;
mod plan;
#[cfg(test)]
mod tests;
pub(crate) mod wire;
mod worker;

use std::net::SocketAddrV4;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::data::Torrent;
pub(crate) use plan::Pattern;
use wire::Extensions;

/// A seeder that sends nothing at all for this long is reported as stalled. libtorrent, the slowest to begin, needs up
/// to ten seconds before it unchokes a new peer.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(30);

/// The longest latency that is told apart, in µs: longer than any stall we accept.
const LATENCY_MAX_US: u64 = 60_000_000;

const _: () = assert!(LATENCY_MAX_US > STALL_MAX.as_micros() as u64);

/// What happens to a block's payload when it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Drain {
    /// It is received into memory, as a real client would; every message is parsed.
    Copy,
    /// The kernel throws it away uncopied (`MSG_TRUNC`, see tcp(7)); the header of every sixteenth block is parsed and
    /// must be where it is expected. Shows what a seeder can do when this program's own copying is the limit.
    Trunc,
}

/// What every connection does.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Manner {
    /// Requests that each connection keeps outstanding.
    pub(crate) depth: usize,
    /// Requests are sent this many at a time, as soon as so many have been answered.
    pub(crate) batch: usize,
    /// How the pieces are dealt out.
    pub(crate) pattern: Pattern,
    /// What becomes of the payload.
    pub(crate) drain: Drain,
    /// Whether every byte is compared with what it must be.
    pub(crate) verify: bool,
    /// Bytes taken from a socket at once, and held for it, when payload is copied.
    pub(crate) receive_len: usize,
    /// What the handshake offers.
    #[serde(skip)]
    pub(crate) offered: Extensions,
}

/// A whole load: who is asked, by how many, from which cores.
#[derive(Debug, Clone)]
pub(crate) struct LoadSpec {
    /// The seeder.
    pub(crate) address: SocketAddrV4,
    /// What it seeds; connections are spread over these evenly.
    pub(crate) torrents: Vec<Torrent>,
    /// Number of connections over all torrents.
    pub(crate) connections: u32,
    /// How each of them behaves.
    pub(crate) manner: Manner,
    /// The cores that generate the load, one thread each.
    pub(crate) cores: Vec<usize>,
}

/// What one connection received.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share {
    /// Payload, in bytes.
    pub(crate) bytes: u64,
    /// From the beginning of the window until it had everything it wanted, or the window ended.
    pub(crate) elapsed: Duration,
}

/// What happened between two moments.
#[derive(Debug)]
pub(crate) struct Window {
    /// When the first request was written.
    pub(crate) begin: Instant,
    /// When the last block was complete, or time was up.
    pub(crate) end: Instant,
    /// What each connection received.
    pub(crate) shares: Vec<Share>,
    /// From the writing of a request until its block was complete, in µs.
    pub(crate) latency_us: Histogram<u64>,
    /// CPU time of the generator's own threads.
    pub(crate) generator_cpu: Duration,
}

impl Window {
    /// Payload that all connections received, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.shares.iter().map(|share| share.bytes).sum()
    }

    /// Length of the window.
    pub(crate) fn elapsed(&self) -> Duration {
        self.end - self.begin
    }

    fn absorb(&mut self, other: &Window) -> Result<()> {
        self.begin = self.begin.min(other.begin);
        self.end = self.end.max(other.end);
        self.shares.extend_from_slice(&other.shares);
        self.latency_us.add(&other.latency_us)?;
        self.generator_cpu += other.generator_cpu;
        Ok(())
    }
}

/// What a worker is told to do next.
#[derive(Debug, Clone, Copy)]
enum Order {
    Drain { laps: u32 },
    RunFor(Duration),
}

/// What a worker says after connecting and after every order.
#[derive(Debug)]
enum Report {
    Connected,
    Done(Window),
}

/// A thread with its runtime and its part of the connections.
#[derive(Debug)]
struct Worker {
    orders: mpsc::Sender<Order>,
    reports: mpsc::Receiver<Result<Report>>,
}

impl Worker {
    fn report(&self) -> Result<Report> {
        self.reports
            .recv()
            .context("a thread of the load generator died")?
    }
}

/// A running load whose connections are all unchoked. Dropping it closes them.
#[derive(Debug)]
pub(crate) struct Load {
    workers: Vec<Worker>,
}

impl Load {
    /// Opens all connections and waits until each was unchoked.
    pub(crate) fn connect(spec: &LoadSpec) -> Result<Load> {
        let workers = (0..spec.cores.len())
            .map(|index| {
                let (orders, orders_taken) = mpsc::channel();
                let (reports_given, reports) = mpsc::channel();
                let spec = spec.clone();
                thread::Builder::new()
                    .name(format!("load-{index}"))
                    .spawn(move || worker::run(&spec, index, &orders_taken, &reports_given))?;
                Ok(Worker { orders, reports })
            })
            .collect::<Result<Vec<_>>>()?;
        for worker in &workers {
            let Report::Connected = worker.report()? else {
                panic!("a worker reports its connections before anything else");
            };
        }
        Ok(Load { workers })
    }

    /// Lets every connection fetch its share `laps` times; returns when the last one has all of it.
    pub(crate) fn drain(&mut self, laps: u32) -> Result<Window> {
        self.perform(Order::Drain { laps })
    }

    /// Lets every connection fetch as much as it can for this long, and then closes them.
    pub(crate) fn run_for(mut self, time: Duration) -> Result<Window> {
        self.perform(Order::RunFor(time))
    }

    fn perform(&mut self, order: Order) -> Result<Window> {
        for worker in &self.workers {
            worker
                .orders
                .send(order)
                .context("a thread of the load generator died")?;
        }
        let mut total: Option<Window> = None;
        for worker in &self.workers {
            let Report::Done(window) = worker.report()? else {
                panic!("a worker answers an order with a window");
            };
            match &mut total {
                None => total = Some(window),
                Some(total) => total.absorb(&window)?,
            }
        }
        total.ok_or_else(|| anyhow!("a load needs at least one core"))
    }
}

/// A histogram as every part of the generator uses it.
fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are constants in order")
}
