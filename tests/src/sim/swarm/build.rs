//! Who takes part in a swarm: what the seed chooses before anything happens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use shoal_shard::Settings;
use shoal_world::CoreIndex;

use super::super::daemon::{self, Daemon, Options};
use super::super::dice::{Chance, Dice};
use super::super::disk::{Disk, Drive};
use super::super::network::Link;
use super::super::scripts::{Alarm, Behaviour, Fetcher, LIES, Nuisance, Offence, Script, Wishes};
use super::super::torrent::Torrent;
use super::super::{Event, Simulation};
use crate::sample::Block;

/// Peers come within this time.
const ARRIVALS: Duration = Duration::from_secs(20);

/// Blocks that one peer wants at most: 4 MiB, or the debug build would spend its time copying.
const BLOCKS_MAX: usize = 256;

/// The daemon, its peers and their torrents.
pub(super) fn simulation(seed: u64, dice: &mut Dice) -> (Simulation, Rc<[Rc<Torrent>]>) {
    let mut simulation = Simulation::new(seed);
    let torrents: Vec<Rc<Torrent>> = (0..dice.within(1..=4)).map(|_| Rc::new(torrent(dice))).collect();
    let torrents: Rc<[Rc<Torrent>]> = torrents.into();
    let drive = dice.pick(&[Drive::FLASH, Drive::FLASH, Drive::SPINNING]);
    simulation.commons.disks.push(Disk::new(seed, drive));
    let options = options(&mut simulation, seed, dice);
    let (address, settings) = (options.address, options.settings.clone());
    let daemon = Daemon::new(&mut simulation.commons, options, &torrents);
    simulation.add_daemon(daemon);
    for index in 0..dice.within(2..=20) {
        let ip = IpAddr::V4(Ipv4Addr::new(10, 1, 0, index as u8 + 1));
        simulation.commons.network.attach(ip, link(dice));
        let party = simulation.party_for_script();
        let torrent = torrents[dice.below(torrents.len() as u32) as usize].clone();
        let behaviour = behaviour(&torrent, &settings, dice);
        let mut script = Script::new(
            party,
            SocketAddr::new(ip, 6881),
            address,
            &torrents,
            behaviour,
            dice.word(),
        );
        if dice.below(5) == 0 {
            script = script.with_appetite(dice.within(500..=60_000) as usize, Duration::from_millis(100));
        }
        let arrives = dice.duration(Duration::ZERO..=ARRIVALS);
        simulation
            .commons
            .clock
            .after(arrives, Event::Script(party, Alarm::Connect));
        simulation.scripts.push(script);
    }
    (simulation, torrents)
}

fn options(simulation: &mut Simulation, seed: u64, dice: &mut Dice) -> Options {
    let address: SocketAddr = "10.0.0.1:6881".parse().expect("an address");
    simulation.commons.network.attach(address.ip(), Link::FAST);
    let cores = dice.within(1..=3) as u16;
    let settings = settings(dice);
    Options {
        address,
        parties: simulation.parties_for_daemon(cores),
        disk: 0,
        extents: dice.pick(&[2, 3, 4, 8, 16, 64]),
        frames: dice.pick(&[0, 1, 2, 8, 32]),
        buffers: dice.pick(&[2, 8, 64]),
        // The session keeps files to their share of the descriptors; what is left is for connections.
        descriptors: settings.files_open_max as usize + dice.pick(&[6, 30, 1000]),
        settings,
        seed,
    }
}

/// What an operator may choose, from the narrow to the generous.
fn settings(dice: &mut Dice) -> Settings {
    Settings {
        core: CoreIndex(0),
        cores: 1,
        peer_id: daemon::peer_id(),
        client: "shoal/simulated".to_owned(),
        upload_slots: dice.pick(&[None, None, Some(1), Some(4)]),
        peers_max: dice.pick(&[6, 30, 1000]),
        peers_per_address_max: dice.pick(&[1, 3, 100]),
        requests_per_peer_max: dice.pick(&[50, 250, 500]),
        handshake_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(180),
        send_stall_timeout: Duration::from_secs(60),
        files_open_max: dice.pick(&[1, 4, 100]),
    }
}

/// Files of every kind: large, tiny, empty, padding, and now and then a terabyte.
fn torrent(dice: &mut Dice) -> Torrent {
    let piece_len = dice.pick(&[16_384_u32, 32_768, 65_536, 100_000, 262_144, 1 << 20]);
    let key = dice.word();
    if dice.below(12) == 0 {
        return Torrent::new(key, 1 << 24, &[1 << 40]);
    }
    let mut lengths: Vec<i64> = (0..dice.within(1..=10))
        .map(|_| match dice.below(8) {
            0 => 0,
            1 => -i64::from(dice.within(1..=70_000)),
            2 | 3 => i64::from(dice.within(1..=5_000)),
            4..=6 => i64::from(dice.within(1..=700_000)),
            _ => i64::from(dice.within(1..=40) << 16),
        })
        .collect();
    lengths.push(i64::from(dice.within(1..=300_000)));
    Torrent::new(key, piece_len, &lengths)
}

/// From a modem to a rack.
fn link(dice: &mut Dice) -> Link {
    let down = dice.pick(&[40_000_u64, 1 << 20, 1 << 24, 1 << 28]);
    Link {
        up: down / dice.pick(&[1, 4, 10]),
        down,
        latency: dice.duration(Duration::from_micros(50)..=Duration::from_millis(150)),
        jitter: dice.duration(Duration::ZERO..=Duration::from_millis(20)),
        buffer: dice.pick(&[4_096, 65_536, 262_144, 1 << 20]),
    }
}

fn behaviour(torrent: &Rc<Torrent>, settings: &Settings, dice: &mut Dice) -> Box<dyn Behaviour> {
    let offence = match dice.below(20) {
        0 => Offence::Mute,
        1 => Offence::Silent,
        2 | 3 => Offence::Liar(dice.below(LIES)),
        4 => Offence::Greedy,
        5 => Offence::Spoofer,
        6 if dice.below(2) == 0 => Offence::SelfConnector(*settings.peer_id.as_bytes()),
        _ => return Box::new(Fetcher::new(wishes(torrent, settings, dice))),
    };
    Box::new(Nuisance::new(offence, torrent))
}

fn wishes(torrent: &Rc<Torrent>, settings: &Settings, dice: &mut Dice) -> Wishes {
    let mut blocks: Vec<Block> = Vec::new();
    if torrent.pieces() > 2_000 {
        for _ in 0..8 {
            let piece = dice.below(torrent.pieces());
            blocks.extend(torrent.blocks_of(piece).take(8));
        }
        blocks.extend(torrent.blocks_of(torrent.pieces() - 1).last());
    } else {
        blocks.extend((0..torrent.pieces()).flat_map(|piece| torrent.blocks_of(piece)));
    }
    if dice.below(2) == 0 {
        dice.shuffle(&mut blocks);
    }
    if dice.below(3) == 0 {
        blocks.truncate(1 + dice.below(blocks.len() as u32) as usize);
    }
    blocks.truncate(BLOCKS_MAX);
    let pipeline = dice
        .pick(&[1, 4, 16, 64, 400])
        .min(settings.requests_per_peer_max as usize);
    Wishes {
        torrent: torrent.clone(),
        blocks,
        extended: dice.below(3) > 0,
        pipeline,
        cancels: dice.pick(&[Chance::NEVER, Chance::NEVER, Chance::one_in(20)]),
        loses_interest: dice.pick(&[Chance::NEVER, Chance::NEVER, Chance::one_in(100)]),
    }
}
