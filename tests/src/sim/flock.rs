//! Many equal fetchers and one seeder whose upload is narrow: how much longer everybody needs than the seeder alone dictates.
//!
//! The seeder's link carries one copy of the torrent in a certain time, and nobody can be finished earlier. Every fetcher
//! can send twice as fast as the seeder unless told otherwise, so that the seeder is what is scarce and a swarm that shares
//! well needs little more. What delays it is what the seeder
//! sends twice, what lies at peers that nobody asks, and the end.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use shoal_proto::peer_id::PeerId;
use shoal_shard::{Order, Settings, Slots};
use shoal_world::Time;

use super::Simulation;
use super::cast;
use super::daemon::{Daemon, Errand};
use super::dice::Dice;
use super::disk::Drive;
use super::faults::Faults;
use super::network::Link;
use super::swarm::{Defect, caught};
use super::torrent::Torrent;

/// Times that the seeder's own after which the flock is given up.
const TIMES_MAX: u32 = 20;

/// Who comes, and what they can do.
#[derive(Clone, Debug)]
pub struct Flock {
    /// How many fetchers.
    pub fetchers: u32,
    /// Length of the one file, in bytes.
    pub file_len: u32,
    /// Length of a piece, in bytes.
    pub piece_len: u32,
    /// Bytes per second that leave the seeder.
    pub seeder_up: u64,
    /// Bytes per second that leave each fetcher; four times as many reach it.
    pub fetcher_up: u64,
    /// Whom the seeder serves at a time.
    pub seeder_slots: Slots,
    /// Whom each fetcher serves at a time.
    pub fetcher_slots: Slots,
    /// The seeder tells every peer of one piece at a time (BEP 16).
    pub super_seeds: bool,
    /// What goes wrong all the time.
    pub faults: Faults,
    /// The seed of all dice.
    pub seed: u64,
}

/// How it went.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// Virtual time in which the seeder could send the torrent once.
    pub least: Duration,
    /// Virtual time until the last was finished, and when each of the others was.
    pub finished: Vec<Duration>,
    /// The longest time in which a fetcher got no piece while it missed some.
    pub longest_wait: Duration,
    /// How often the seeder sent the torrent.
    pub seeder_copies: f64,
    /// Part of all blocks that came and were not needed.
    pub wasted: f64,
    /// Part of all requests that went to a second peer.
    pub doubled: f64,
}

impl Pace {
    /// How many times as long as the seeder alone dictates.
    pub fn times(&self) -> f64 {
        let last = self.finished.last().copied().unwrap_or_default();
        last.as_secs_f64() / self.least.as_secs_f64()
    }
}

impl Flock {
    /// Lets everybody fetch.
    ///
    /// # Errors
    /// What was broken.
    pub fn run(&self) -> Result<Pace, Defect> {
        caught(Gathered(self.gather()), |gathered| self.watch(&mut gathered.0))
    }

    fn gather(&self) -> Simulation {
        let mut simulation = Simulation::new(self.seed);
        let mut dice = Dice::new(self.seed, "flock");
        let torrent = Torrent::new(dice.word() | 1, self.piece_len, &[i64::from(self.file_len)]);
        let torrents: Rc<[Rc<Torrent>]> = vec![Rc::new(torrent)].into();
        let mut known: Vec<SocketAddr> = Vec::new();
        for number in 0..=self.fetchers {
            let is_seeder = number == 0;
            let mut options = cast::options(&mut simulation, 1, dice.word(), Drive::FLASH);
            let (up, upload_slots) = if is_seeder {
                (self.seeder_up, self.seeder_slots)
            } else {
                (self.fetcher_up, self.fetcher_slots)
            };
            let link = Link {
                up,
                down: 4 * up,
                latency: dice.duration(Duration::from_millis(5)..=Duration::from_millis(50)),
                jitter: Duration::from_millis(2),
                buffer: 128 * 1024,
            };
            simulation.commons.network.attach(options.address.ip(), link);
            simulation.commons.manners.enrol(options.address.ip(), &torrents);
            options.extents = 64 + 64;
            options.buffers = 64;
            options.settings = Settings {
                peer_id: PeerId::ours(
                    *format!("flock{number:07}")
                        .as_bytes()
                        .first_chunk()
                        .expect("12 bytes"),
                ),
                seed: dice.word(),
                upload_slots,
                ..cast::settings()
            };
            options.errand = (!is_seeder).then(|| Errand {
                peers: known.clone(),
                order: Order::RarestFirst,
            });
            known.push(options.address);
            cast::start(&mut simulation, options, &torrents);
        }
        if self.super_seeds {
            let Simulation { daemons, commons, .. } = &mut simulation;
            daemons[0].super_seed(commons);
        }
        simulation.set_faults(&self.faults);
        simulation
    }

    fn watch(&self, simulation: &mut Simulation) -> Pace {
        let least = Duration::from_secs_f64(f64::from(self.file_len) / self.seeder_up as f64);
        let until = Time::ZERO + least * TIMES_MAX;
        while simulation
            .daemons
            .iter()
            .any(|daemon| daemon.fetches() && !daemon.has_finished())
        {
            let before = simulation.commons.clock.now();
            let second = before + Duration::from_secs(1);
            while simulation.next(second.min(until)) {}
            let left = || {
                simulation
                    .daemons
                    .iter()
                    .filter(|daemon| daemon.fetches() && !daemon.has_finished())
            };
            let left = || left().map(Daemon::describe_progress).collect::<Vec<_>>();
            assert!(
                before < until,
                "not finished in {TIMES_MAX} times the least time: {:?}",
                left()
            );
        }
        let finished = simulation.daemons.iter().filter_map(Daemon::finished_at);
        let mut finished: Vec<Duration> = finished
            .map(|at| at.since(Time::ZERO))
            .filter(|after| !after.is_zero())
            .collect();
        finished.sort();
        let counters = simulation.daemons.iter().flat_map(Daemon::counters);
        let (came, wasted) = counters.fold((0, 0), |(came, wasted), counters| {
            (came + counters.downloaded_bytes, wasted + counters.wasted_bytes)
        });
        let (requests, doubled) = simulation.commons.manners.requests();
        let pace = Pace {
            least,
            finished,
            longest_wait: simulation
                .daemons
                .iter()
                .map(Daemon::longest_wait)
                .max()
                .unwrap_or_default(),
            seeder_copies: simulation.daemons[0].uploaded_bytes() as f64 / f64::from(self.file_len),
            wasted: wasted as f64 / came.max(1) as f64,
            doubled: doubled as f64 / requests.max(1) as f64,
        };
        simulation.set_faults(&Faults::NONE);
        simulation.stop_and_drain();
        for daemon in &simulation.daemons {
            daemon.assert_claims(&simulation.commons);
        }
        pace
    }
}

struct Gathered(Simulation);

impl AsMut<Simulation> for Gathered {
    fn as_mut(&mut self) -> &mut Simulation {
        &mut self.0
    }
}
