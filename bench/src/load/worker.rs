//! One thread of the load generator: a tokio-uring runtime on its own core with its part of the connections.

use std::cell::Cell;
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::{Connection, Tally};
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
        members = perform(spec, members, order, reports).await?;
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

/// What can be seen of the connections while their tasks own them.
struct Watch {
    begin: Instant,
    cpu_before: Duration,
    tally: Rc<Tally>,
    streams: Vec<Rc<tokio_uring::net::TcpStream>>,
    received: Vec<Rc<Cell<u64>>>,
    received_before: Vec<u64>,
    finished: Vec<Option<Instant>>,
}

impl Watch {
    fn new(members: &[Member]) -> Result<Watch> {
        let received: Vec<_> = members
            .iter()
            .map(|member| member.connection.received())
            .collect();
        Ok(Watch {
            begin: Instant::now(),
            cpu_before: thread_cpu()?,
            tally: Rc::new(Tally::new()),
            streams: members.iter().map(|member| member.connection.stream()).collect(),
            received_before: received.iter().map(|received| received.get()).collect(),
            received,
            finished: vec![None; members.len()],
        })
    }

    fn bytes(&self) -> u64 {
        self.received.iter().map(|received| received.get()).sum()
    }

    /// Everything up to now.
    fn window(&self) -> Result<Window> {
        let end = self.finished.iter().copied().collect::<Option<Vec<_>>>();
        let end = end
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
            latency_us: self.tally.latency_us.borrow().clone(),
            generator_cpu: thread_cpu()? - self.cpu_before,
        })
    }

    /// Ends all connections; what they still wait for completes as closed.
    fn close(&self) {
        self.tally.closing.set(true);
        for stream in &self.streams {
            // The seeder may have closed it already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Carries out one order and reports its window.
async fn perform(
    spec: &LoadSpec,
    members: Vec<Member>,
    order: Order,
    reports: &mpsc::Sender<Result<Report>>,
) -> Result<Vec<Member>> {
    let (extent, time) = match order {
        Order::Drain { laps } => (Extent::Laps(laps), None),
        Order::RunFor(time) => (Extent::Endless, Some(time)),
    };
    let mut watch = Watch::new(&members)?;
    let mut tasks = JoinSet::new();
    for (place, mut member) in members.into_iter().enumerate() {
        let shape = spec.torrents[member.torrent].shape;
        let plan = Plan::new(shape, spec.manner.pattern, extent, member.seat);
        let tally = Rc::clone(&watch.tally);
        tasks.spawn_local(async move {
            let outcome = member.connection.fetch(plan, &tally).await;
            (place, member, Instant::now(), outcome)
        });
    }
    let mut rested = Vec::with_capacity(tasks.len());
    let mut window = None;
    let mut moved = (watch.bytes(), Instant::now());
    loop {
        let rest = time
            .filter(|_| window.is_none())
            .map(|time| time.saturating_sub(watch.begin.elapsed()));
        match timeout(
            rest.unwrap_or(WATCH_INTERVAL).min(WATCH_INTERVAL),
            tasks.join_next(),
        )
        .await
        {
            Ok(None) => break,
            Ok(Some(joined)) => {
                let (place, member, at, outcome) = joined?;
                outcome.with_context(|| format!("connection {place}"))?;
                watch.finished[place] = Some(at);
                rested.push(member);
            }
            Err(_) => ensure_moving(&mut moved, watch.bytes())?,
        }
        if window.is_none() && time.is_some_and(|time| watch.begin.elapsed() >= time) {
            window = Some(());
            let _ = reports.send(Ok(Report::Done(watch.window()?)));
            watch.close();
        }
    }
    if window.is_none() {
        let _ = reports.send(Ok(Report::Done(watch.window()?)));
    }
    Ok(rested)
}

/// Fails when nothing has come for too long.
fn ensure_moving(moved: &mut (u64, Instant), bytes: u64) -> Result<()> {
    if bytes != moved.0 {
        *moved = (bytes, Instant::now());
    } else if moved.1.elapsed() >= STALL_MAX {
        bail!("the seeder stopped sending: nothing came for {STALL_MAX:?}");
    }
    Ok(())
}

/// CPU time that this thread has used.
fn thread_cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
