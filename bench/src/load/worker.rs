//! One thread of the load generator: a tokio-uring runtime on its own core with its part of the connections.
//!
//! It obeys orders and reports after each. Between orders nothing runs and no read is armed, so a seeder's cost outside of
//! windows is not ours. It measures only what the generator itself can see; the seeder's CPU time is read by whoever gives
//! the orders, when a report arrives.

use std::cell::Cell;
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_uring::net::TcpStream;

use super::connection::{Connection, Latencies};
use super::plan::{Extent, Plan, Seat};
use super::{LoadSpec, Order, Report, STALL_MAX, Share, Window};
use crate::measure;

/// How often a worker that waits for its connections looks whether anything still moves.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// A connection and its place among those of its torrent.
struct Member {
    connection: Connection,
    seat: Seat,
    torrent: usize,
}

/// The body of the thread: connects, then performs orders until there are no more. Errors end it.
pub(super) fn run(
    spec: &LoadSpec,
    index: usize,
    orders: &mpsc::Receiver<Order>,
    reports: &mpsc::Sender<Result<Report>>,
) {
    let entries = (spec.connections * 2).clamp(256, 16_384).next_power_of_two();
    let runtime = measure::pin_this_thread(&spec.cores[index..=index]).and_then(|()| {
        Ok(tokio_uring::Runtime::new(
            tokio_uring::builder().entries(entries),
        )?)
    });
    // Nobody reads a report any more when the load was dropped; then there is nothing left to do either.
    let _ = match runtime {
        Err(error) => reports.send(Err(error.context("cannot start the load generator"))),
        Ok(runtime) => runtime.block_on(async {
            match serve(spec, index, orders, reports).await {
                Ok(()) => Ok(()),
                Err(error) => reports.send(Err(error)),
            }
        }),
    };
}

async fn serve(
    spec: &LoadSpec,
    index: usize,
    orders: &mpsc::Receiver<Order>,
    reports: &mpsc::Sender<Result<Report>>,
) -> Result<()> {
    let mut members = connect(spec, index).await?;
    let _ = reports.send(Ok(Report::Connected));
    // Waiting here blocks the runtime, on purpose: between orders all connections rest.
    while let Ok(order) = orders.recv() {
        match order {
            Order::Drain { laps } => {
                let mut fetching = Fetching::begin(spec, members, Extent::Laps(laps))?;
                while fetching.step(WATCH_INTERVAL).await? {}
                let _ = reports.send(Ok(Report::Done(fetching.window()?)));
                members = fetching.rested;
            }
            Order::RunFor(time) => {
                let mut fetching = Fetching::begin(spec, members, Extent::Endless)?;
                fetching.wait(time).await?;
                let _ = reports.send(Ok(Report::Done(fetching.window()?)));
                fetching.end();
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn connect(spec: &LoadSpec, index: usize) -> Result<Vec<Member>> {
    let mut tasks = JoinSet::new();
    let torrents = spec.torrents.len() as u32;
    for place in (index as u32..spec.connections).step_by(spec.cores.len()) {
        let torrent = (place % torrents) as usize;
        // The first torrents have one connection more when the division leaves a rest.
        let of = (spec.connections - torrent as u32).div_ceil(torrents);
        let seat = Seat {
            index: place / torrents,
            of,
        };
        let (address, manner) = (spec.address, spec.manner);
        let described = spec.torrents[torrent].clone();
        tasks.spawn_local(async move {
            let connection = timeout(STALL_MAX, Connection::open(address, place, described, manner)).await;
            let connection = connection.map_err(|_| anyhow!("not unchoked within {STALL_MAX:?}"))?;
            let connection = connection.with_context(|| format!("connection {place}"))?;
            Ok::<Member, anyhow::Error>(Member {
                connection,
                seat,
                torrent,
            })
        });
    }
    let mut members = Vec::with_capacity(tasks.len());
    while let Some(joined) = tasks.join_next().await {
        members.push(joined??);
    }
    Ok(members)
}

/// A connection that has everything it wanted, or failed.
struct Fetched {
    place: usize,
    member: Member,
    at: Instant,
    outcome: Result<()>,
}

/// All connections at work, each in a task of its own, and what can be seen of them meanwhile.
struct Fetching {
    tasks: JoinSet<Fetched>,
    begin: Instant,
    cpu_before: Duration,
    latencies: Rc<Latencies>,
    streams: Vec<Rc<TcpStream>>,
    received: Vec<Rc<Cell<u64>>>,
    received_before: Vec<u64>,
    finished: Vec<Option<Instant>>,
    rested: Vec<Member>,
    moved: (u64, Instant),
}

impl Fetching {
    fn begin(spec: &LoadSpec, members: Vec<Member>, extent: Extent) -> Result<Fetching> {
        let received: Vec<_> = members
            .iter()
            .map(|member| member.connection.received())
            .collect();
        let begin = Instant::now();
        let mut fetching = Fetching {
            tasks: JoinSet::new(),
            begin,
            cpu_before: thread_cpu()?,
            latencies: Rc::new(Latencies::new()),
            streams: members.iter().map(|member| member.connection.stream()).collect(),
            received_before: received.iter().map(|received| received.get()).collect(),
            received,
            finished: vec![None; members.len()],
            rested: Vec::with_capacity(members.len()),
            moved: (0, begin),
        };
        for (place, mut member) in members.into_iter().enumerate() {
            let shape = spec.torrents[member.torrent].shape;
            let plan = Plan::new(shape, spec.manner.pattern, extent, member.seat);
            let latencies = Rc::clone(&fetching.latencies);
            fetching.tasks.spawn_local(async move {
                let outcome = member.connection.fetch(plan, &latencies).await;
                Fetched {
                    place,
                    member,
                    at: Instant::now(),
                    outcome,
                }
            });
        }
        Ok(fetching)
    }

    /// Waits for the next connection to have everything, but not longer than `patience`. `false` when all have.
    async fn step(&mut self, patience: Duration) -> Result<bool> {
        match timeout(patience, self.tasks.join_next()).await {
            Ok(None) => return Ok(false),
            Ok(Some(joined)) => {
                let fetched = joined?;
                fetched
                    .outcome
                    .with_context(|| format!("connection {}", fetched.place))?;
                self.finished[fetched.place] = Some(fetched.at);
                self.rested.push(fetched.member);
            }
            Err(_) => self.ensure_moving()?,
        }
        Ok(true)
    }

    /// Lets the connections work for this long.
    async fn wait(&mut self, time: Duration) -> Result<()> {
        while let Some(left) = time
            .checked_sub(self.begin.elapsed())
            .filter(|left| !left.is_zero())
        {
            self.step(left.min(WATCH_INTERVAL)).await?;
        }
        Ok(())
    }

    /// Fails when nothing has come for too long.
    fn ensure_moving(&mut self) -> Result<()> {
        let bytes = self.received.iter().map(|received| received.get()).sum();
        if bytes != self.moved.0 {
            self.moved = (bytes, Instant::now());
        }
        ensure!(
            self.moved.1.elapsed() < STALL_MAX,
            "the seeder stopped sending: nothing came for {STALL_MAX:?}"
        );
        Ok(())
    }

    /// Everything up to now.
    fn window(&self) -> Result<Window> {
        let all_finished: Option<Vec<Instant>> = self.finished.iter().copied().collect();
        let end = all_finished
            .and_then(|all| all.into_iter().max())
            .unwrap_or_else(Instant::now);
        let shares = (0..self.received.len()).map(|place| Share {
            bytes: self.received[place].get() - self.received_before[place],
            elapsed: self.finished[place].unwrap_or(end) - self.begin,
        });
        Ok(Window {
            begin: self.begin,
            end,
            shares: shares.collect(),
            latency_us: self.latencies.so_far(),
            generator_cpu: thread_cpu()? - self.cpu_before,
        })
    }

    /// Ends all connections. Their tasks are dropped before they could notice; the runtime, when it is dropped, waits for
    /// the operations that they had in flight, which the closed sockets complete at once.
    fn end(self) {
        for stream in &self.streams {
            // The seeder may have closed it already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// CPU time that this thread has used.
fn thread_cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
