//! Many equal peers at one core: how fast the simulation is, and whether everybody gets the same.
//!
//! Nothing goes wrong here ([`Faults::PERFORMANCE`]). Peers differ in nothing but the order in which they ask, so whoever is served later
//! than the others is starved by the shard.
//!
//! [`Faults::PERFORMANCE`]: super::faults::Faults::PERFORMANCE

use std::rc::Rc;
use std::time::Duration;

use shoal_world::Time;

use super::Simulation;
use super::cast::{self, Guest};
use super::daemon::Options;
use super::dice::Dice;
use super::disk::Drive;
use super::faults::Faults;
use super::network::Link;
use super::scripts::{Fetcher, Script, Wishes};
use super::swarm::{Defect, caught};
use super::torrent::Torrent;

/// Virtual time that no crowd needs.
const TIME_MAX: Duration = Duration::from_secs(3600);

/// Who comes, and what the daemon has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// How many peers.
    pub peers: u32,
    /// Blocks that each of them wants.
    pub blocks: u32,
    /// Bytes per second that each can take.
    pub rate: u64,
    /// Length of the one file, in bytes.
    pub file_len: u32,
    /// Extents of the core.
    pub extents: u32,
    /// Framed extents of the core.
    pub frames: u32,
    /// The daemon's drive.
    pub drive: Drive,
}

/// How it went.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// Virtual time from the first connection to the last block.
    pub time: Duration,
    /// Bytes of blocks that arrived.
    pub delivered_bytes: u64,
    /// Events that happened.
    pub events: u64,
    /// When the peers were finished, the first first.
    pub finished: Vec<Duration>,
}

impl Crowd {
    /// Lets everybody fetch, and stops the daemon.
    ///
    /// # Errors
    /// What was broken.
    pub fn run(self) -> Result<Pace, Defect> {
        caught(Gathered(self.gather()), Gathered::run)
    }

    fn gather(self) -> Simulation {
        let mut simulation = Simulation::new(1);
        simulation.set_faults(&Faults::PERFORMANCE);
        let torrent = Torrent::new(5, 1 << 18, &[i64::from(self.file_len)]);
        let torrents: Rc<[Rc<Torrent>]> = vec![Rc::new(torrent)].into();
        let options = Options {
            extents: self.extents,
            frames: self.frames,
            buffers: 1_024,
            ..cast::options(&mut simulation, 1, 1, self.drive)
        };
        let link = Link {
            up: 100 << 30,
            down: 100 << 30,
            ..Link::FAST
        };
        simulation.commons.network.attach(options.address.ip(), link);
        cast::start(&mut simulation, options, &torrents);
        let mut dice = Dice::new(1, "crowd");
        let pieces = torrents[0].pieces();
        for index in 0..self.peers {
            let first = dice.below(pieces);
            let blocks = (0..pieces).flat_map(|piece| torrents[0].blocks_of((first + piece) % pieces));
            let wishes = Wishes {
                blocks: blocks.take(self.blocks as usize).collect(),
                pipeline: 16,
                ..Wishes::plain(&torrents[0])
            };
            let guest = Guest {
                host: index as u16,
                link: self.link(),
                daemon: 0,
                behaviour: Box::new(Fetcher::new(wishes)),
                appetite: None,
                arrives: Duration::from_micros(u64::from(index) * 50),
                seed: u64::from(index),
            };
            cast::invite(&mut simulation, &torrents, guest);
        }
        simulation
    }

    fn link(self) -> Link {
        Link {
            up: self.rate,
            down: self.rate,
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
            buffer: 64 * 1024,
        }
    }
}

struct Gathered(Simulation);

impl AsMut<Simulation> for Gathered {
    fn as_mut(&mut self) -> &mut Simulation {
        &mut self.0
    }
}

impl Gathered {
    fn run(&mut self) -> Pace {
        let simulation = &mut self.0;
        let until = Time::ZERO + TIME_MAX;
        // The counterparts cost more than the question whether all of them are satisfied.
        while !simulation.scripts.last().is_some_and(Script::is_satisfied) && simulation.next(until) {}
        while simulation.scripts.iter().any(|script| !script.is_satisfied()) {
            let before = simulation.commons.clock.now();
            let second = before + Duration::from_secs(1);
            while simulation.next(second.min(until)) {}
            assert!(before < until, "{}", simulation.describe_unsatisfied());
        }
        let finished = simulation.scripts.iter().filter_map(Script::satisfied_at);
        let mut finished: Vec<Duration> = finished.map(|at| at.since(Time::ZERO)).collect();
        finished.sort();
        let pace = Pace {
            time: finished.last().copied().unwrap_or_default(),
            delivered_bytes: simulation.commons.taps.delivered_bytes(),
            events: simulation.commons.clock.announced(),
            finished,
        };
        simulation.stop_and_drain();
        pace
    }
}
