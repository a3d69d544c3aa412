//! Many equal peers at one core: how fast the simulation is, and whether everybody gets the same.
//!
//! Nothing goes wrong here ([`Faults::PERFORMANCE`]). Peers differ in nothing but the order in which they ask, so whoever is served later
//! than the others is starved by the shard.
//!
//! [`Faults::PERFORMANCE`]: super::faults::Faults::PERFORMANCE

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use shoal_shard::Settings;
use shoal_world::{CoreIndex, Time};

use super::daemon::{self, Daemon, Options};
use super::dice::{Chance, Dice};
use super::disk::{Disk, Drive};
use super::faults::Faults;
use super::network::Link;
use super::scripts::{Alarm, Fetcher, Script, Wishes};
use super::swarm::{Defect, caught};
use super::torrent::Torrent;
use super::{Event, Simulation};

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
        simulation.commons.network.faults = Faults::PERFORMANCE;
        let torrent = Torrent::new(5, 1 << 18, &[i64::from(self.file_len)]);
        let torrents: Rc<[Rc<Torrent>]> = vec![Rc::new(torrent)].into();
        simulation.commons.disks.push(Disk::new(1, self.drive));
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 6881);
        let link = Link {
            up: 100 << 30,
            down: 100 << 30,
            ..Link::FAST
        };
        simulation.commons.network.attach(address.ip(), link);
        let options = Options {
            address,
            parties: simulation.parties_for_daemon(1),
            disk: 0,
            extents: self.extents,
            frames: self.frames,
            buffers: 1_024,
            descriptors: self.peers as usize + 1_000,
            settings: settings(self.peers),
            seed: 1,
        };
        let daemon = Daemon::new(&mut simulation.commons, options, &torrents);
        simulation.add_daemon(daemon);
        let mut dice = Dice::new(1, "crowd");
        for index in 0..self.peers {
            self.add_peer(&mut simulation, &torrents, index, &mut dice);
        }
        simulation
    }

    fn add_peer(
        self,
        simulation: &mut Simulation,
        torrents: &Rc<[Rc<Torrent>]>,
        index: u32,
        dice: &mut Dice,
    ) {
        let [.., a, b] = index.to_be_bytes();
        let ip = IpAddr::V4(Ipv4Addr::new(10, 1, a, b));
        let link = Link {
            up: self.rate,
            down: self.rate,
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
            buffer: 64 * 1024,
        };
        simulation.commons.network.attach(ip, link);
        let party = simulation.party_for_script();
        let torrent = &torrents[0];
        let pieces = torrent.pieces();
        let first = dice.below(pieces);
        let blocks = (0..pieces).flat_map(|piece| torrent.blocks_of((first + piece) % pieces));
        let wishes = Wishes {
            torrent: torrent.clone(),
            blocks: blocks.take(self.blocks as usize).collect(),
            extended: true,
            pipeline: 16,
            cancels: Chance::NEVER,
            loses_interest: Chance::NEVER,
        };
        let fetcher = Box::new(Fetcher::new(wishes));
        let peer = SocketAddr::new(ip, 6881);
        let script = Script::new(
            party,
            peer,
            simulation.daemons[0].address(),
            torrents,
            fetcher,
            u64::from(index),
        );
        let arrives = Duration::from_micros(u64::from(index) * 50);
        simulation
            .commons
            .clock
            .after(arrives, Event::Script(party, Alarm::Connect));
        simulation.scripts.push(script);
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

fn settings(peers: u32) -> Settings {
    Settings {
        core: CoreIndex(0),
        cores: 1,
        peer_id: daemon::peer_id(),
        client: "shoal/simulated".to_owned(),
        upload_slots: None,
        peers_max: peers + 100,
        peers_per_address_max: 10,
        requests_per_peer_max: 250,
        handshake_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(180),
        send_stall_timeout: Duration::from_secs(60),
        files_open_max: 10,
    }
}
