//! Sweeps over one small conversation: the N-th operation fails, the stream is cut at byte N, the daemon dies after operation
//! N, for every N until a run ends without reaching it.
//!
//! The scenario is always the same: a daemon on one core with little memory, a torrent of files of every kind, and three
//! peers, one that knows the extensions, one that does not, one that reads slowly. Whatever happens to them, all three have
//! their blocks in the end, and nothing is left after the stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use shoal_shard::Settings;
use shoal_world::{CoreIndex, Time};

use super::daemon::{self, Daemon, Options};
use super::dice::Chance;
use super::disk::{Disk, Drive};
use super::network::Link;
use super::scripts::{Alarm, Fetcher, Script, Wishes};
use super::swarm::{Defect, caught};
use super::torrent::Torrent;
use super::{Event, Simulation};

/// Virtual time in which the three peers have everything, whatever happened: waiting for a silent connection takes three
/// minutes, and no more than one thing goes wrong.
const TIME_MAX: Duration = Duration::from_secs(600);

/// What is different in one run of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// This operation fails.
    Fails(u64),
    /// The first connection breaks when so many bytes went this way.
    Breaks {
        /// From the peer to the daemon.
        to_daemon: bool,
        /// How many bytes went.
        after: u64,
    },
    /// The daemon is killed after this operation.
    Dies {
        /// How many operations it performed.
        after: u64,
        /// The machine loses its power.
        power: bool,
    },
}

/// Runs the small scenario with one mishap. Whether the run came to it.
///
/// # Errors
/// What was broken.
pub fn run(mishap: Mishap) -> Result<bool, Defect> {
    caught(Small(small()), |small| small.run(mishap))
}

struct Small(Simulation);

impl AsMut<Simulation> for Small {
    fn as_mut(&mut self) -> &mut Simulation {
        &mut self.0
    }
}

impl Small {
    fn run(&mut self, mishap: Mishap) -> bool {
        let simulation = &mut self.0;
        let mut reached = false;
        match mishap {
            Mishap::Fails(operation) => simulation.daemons[0].fails(operation),
            Mishap::Breaks { to_daemon, after } => {
                simulation.commons.network.break_first(to_daemon, after);
            }
            Mishap::Dies { .. } => {}
        }
        let until = Time::ZERO + TIME_MAX;
        while simulation.scripts.iter().any(|script| !script.is_satisfied()) {
            assert!(
                simulation.next(until),
                "not everybody finished after {mishap:?}: {}",
                simulation.describe_unsatisfied()
            );
            if let Mishap::Dies { after, power } = mishap
                && !reached
                && simulation.daemons[0].performed() >= after
            {
                reached = true;
                let Simulation { daemons, commons, .. } = &mut *simulation;
                daemons[0].kill(commons, power);
                daemons[0].start(commons);
            }
        }
        let performed = simulation.daemons[0].performed();
        simulation.stop_and_drain();
        match mishap {
            Mishap::Fails(operation) => performed >= operation,
            Mishap::Breaks { .. } => simulation.commons.network.broke_first(),
            Mishap::Dies { .. } => reached,
        }
    }
}

fn small() -> Simulation {
    let mut simulation = Simulation::new(1);
    let torrent = Torrent::new(77, 32_768, &[200_000, -1_000, 3, 0, 300_000]);
    let torrents: Rc<[Rc<Torrent>]> = vec![Rc::new(torrent)].into();
    simulation.commons.disks.push(Disk::new(1, Drive::FLASH));
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 6881);
    simulation.commons.network.attach(address.ip(), Link::FAST);
    let options = Options {
        address,
        parties: simulation.parties_for_daemon(1),
        disk: 0,
        extents: 2,
        frames: 1,
        buffers: 4,
        descriptors: 100,
        settings: settings(),
        seed: 1,
    };
    let daemon = Daemon::new(&mut simulation.commons, options, &torrents);
    simulation.add_daemon(daemon);
    for (index, extended) in [true, false, true].into_iter().enumerate() {
        let ip = IpAddr::V4(Ipv4Addr::new(10, 1, 0, index as u8 + 1));
        let link = Link {
            buffer: 12_000,
            ..Link::FAST
        };
        simulation.commons.network.attach(ip, link);
        let party = simulation.party_for_script();
        let wishes = Wishes {
            torrent: torrents[0].clone(),
            blocks: (0..torrents[0].pieces())
                .flat_map(|piece| torrents[0].blocks_of(piece))
                .collect(),
            extended,
            pipeline: 3,
            cancels: Chance::NEVER,
            loses_interest: Chance::NEVER,
        };
        let peer = SocketAddr::new(ip, 6881);
        let fetcher = Box::new(Fetcher::new(wishes));
        let mut script = Script::new(party, peer, address, &torrents, fetcher, index as u64);
        if index == 2 {
            script = script.with_appetite(6_000, Duration::from_millis(5));
        }
        let arrives = Duration::from_millis(index as u64);
        simulation
            .commons
            .clock
            .after(arrives, Event::Script(party, Alarm::Connect));
        simulation.scripts.push(script);
    }
    simulation
}

fn settings() -> Settings {
    Settings {
        core: CoreIndex(0),
        cores: 1,
        peer_id: daemon::peer_id(),
        client: "shoal/simulated".to_owned(),
        upload_slots: None,
        peers_max: 100,
        peers_per_address_max: 10,
        requests_per_peer_max: 50,
        handshake_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(180),
        send_stall_timeout: Duration::from_secs(60),
        files_open_max: 2,
    }
}
