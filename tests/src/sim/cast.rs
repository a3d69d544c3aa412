//! Who takes part: what all scenarios need to put a daemon and its guests on the stage.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use shoal_proto::peer_id::PeerId;
use shoal_shard::{Algorithm, Settings, Slots};
use shoal_world::CoreIndex;

use super::daemon::{Daemon, Options};
use super::dice::Chance;
use super::disk::{Disk, Drive};
use super::network::Link;
use super::scripts::{Alarm, Behaviour, Script};
use super::torrent::Torrent;
use super::{Event, Simulation};

/// A host whose sockets hold less than one block.
pub const NARROW: Link = Link {
    buffer: 12_000,
    ..Link::FAST
};

/// Settings that limit nobody.
pub fn settings() -> Settings {
    Settings {
        core: CoreIndex(0),
        cores: 1,
        peer_id: PeerId::ours(*b"simulation00"),
        client: "shoal/simulated".to_owned(),
        upload_slots: Slots::Unlimited,
        choking: Algorithm::RoundRobin,
        peers_max: 20_000,
        peers_per_address_max: 100,
        requests_per_peer_max: 250,
        handshake_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(180),
        send_stall_timeout: Duration::from_secs(60),
        throttles: Default::default(),
        seed: 1,
        files_open_max: 10,
    }
}

/// A daemon with so many cores, a disk of its own and little memory.
pub fn options(simulation: &mut Simulation, cores: u16, seed: u64, drive: Drive) -> Options {
    let disk = simulation.commons.disks.len();
    simulation.commons.disks.push(Disk::new(seed, drive));
    let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, disk as u8 + 1));
    simulation.commons.network.attach(ip, Link::FAST);
    Options {
        address: SocketAddr::new(ip, 6881),
        parties: simulation.parties_for_daemon(cores),
        disk,
        extents: 2,
        frames: 1,
        buffers: 4,
        descriptors: 20_000,
        settings: settings(),
        seed,
        absent: Chance::NEVER,
        errand: None,
    }
}

/// Puts a daemon on the stage and starts it.
pub fn start(simulation: &mut Simulation, options: Options, torrents: &Rc<[Rc<Torrent>]>) {
    let (ip, fetches) = (options.address.ip(), options.errand.is_some());
    let daemon = Daemon::new(&mut simulation.commons, options, torrents);
    let taps = &mut simulation.commons.taps;
    if fetches {
        taps.fetches(ip, torrents);
    } else {
        for torrent in torrents.iter() {
            taps.possesses(ip, torrent, daemon.has(torrent));
        }
    }
    simulation.add_daemon(daemon);
}

/// A peer that will come to a daemon.
#[derive(Debug)]
pub struct Guest {
    /// Its host; guests may share one.
    pub host: u16,
    /// Its host's link.
    pub link: Link,
    /// To which daemon it comes.
    pub daemon: usize,
    /// What it does.
    pub behaviour: Box<dyn Behaviour>,
    /// Bytes that it reads at a time, and how long it rests then. `None`: everything at once.
    pub appetite: Option<(usize, Duration)>,
    /// When it comes.
    pub arrives: Duration,
    /// The seed of its dice.
    pub seed: u64,
}

/// Puts a peer on the stage; it may ask for any of these torrents. Where it is.
pub fn invite(simulation: &mut Simulation, torrents: &Rc<[Rc<Torrent>]>, guest: Guest) -> IpAddr {
    let [a, b] = guest.host.to_be_bytes();
    let ip = IpAddr::V4(Ipv4Addr::new(10, 1, a, b));
    simulation.commons.network.attach(ip, guest.link);
    let party = simulation.party_for_script();
    let target = simulation.daemons[guest.daemon].address();
    let peer = SocketAddr::new(ip, 6881);
    let mut script = Script::new(party, peer, target, torrents, guest.behaviour, guest.seed);
    if let Some((bytes, rest)) = guest.appetite {
        script = script.with_appetite(bytes, rest);
    }
    let comes = Event::Script(party, Alarm::Connect);
    simulation.commons.clock.after(guest.arrives, comes);
    simulation.scripts.push(script);
    ip
}
