//! Who takes part in a swarm: what the seed chooses before anything happens.

use std::rc::Rc;
use std::time::Duration;

use shoal_shard::{Algorithm, Settings, Slots};

use super::super::Simulation;
use super::super::cast::{self, Guest};
use super::super::dice::{Chance, Dice};
use super::super::disk::Drive;
use super::super::network::Link;
use super::super::scripts::{Babbler, Behaviour, Fetcher, LIES, Nuisance, Offence, Wishes};
use super::super::torrent::Torrent;
use super::FAULTS_END;
use crate::sample::{BLOCK_LEN, Block};

/// Peers come within this time.
const ARRIVALS: Duration = Duration::from_secs(20);

/// Bytes that one peer wants at most; with more, the tests would spend their time copying.
const BYTES_MAX: usize = 4 << 20;

/// The daemon, its peers and their torrents.
pub(super) fn simulation(seed: u64, dice: &mut Dice) -> (Simulation, Rc<[Rc<Torrent>]>) {
    let mut simulation = Simulation::new(seed);
    let torrents: Vec<Rc<Torrent>> = (0..dice.within(1..=4)).map(|_| Rc::new(torrent(dice))).collect();
    let torrents: Rc<[Rc<Torrent>]> = torrents.into();
    let cores = dice.within(1..=3) as u16;
    let drive = dice.pick(&[Drive::FLASH, Drive::FLASH, Drive::SPINNING]);
    let mut options = cast::options(&mut simulation, cores, seed, drive);
    options.settings = settings(dice);
    options.extents = dice.pick(&[2, 3, 4, 8, 16, 64]);
    options.frames = dice.pick(&[0, 1, 2, 8, 32]);
    options.buffers = dice.pick(&[2, 8, 64]);
    // The session keeps files to their share of the descriptors; what is left is for connections.
    options.descriptors = options.settings.files_open_max as usize + dice.pick(&[6, 30, 1000]);
    options.absent = dice.pick(&[Chance::NEVER, Chance::NEVER, Chance::one_in(5)]);
    let settings = options.settings.clone();
    cast::start(&mut simulation, options, &torrents);
    for index in 0..dice.within(2..=20) as u16 {
        // Some share a host, as people behind one router do.
        let host = if index > 0 && dice.below(6) == 0 {
            index
        } else {
            index + 1
        };
        let torrent = torrents[dice.below(torrents.len() as u32) as usize].clone();
        let has = simulation.daemons[0].has(&torrent);
        let guest = Guest {
            host,
            link: link(dice),
            daemon: 0,
            behaviour: behaviour(&torrent, &has, &settings, dice),
            appetite: (dice.below(5) == 0)
                .then(|| (dice.within(500..=60_000) as usize, Duration::from_millis(100))),
            arrives: dice.duration(Duration::ZERO..=ARRIVALS),
            seed: dice.word(),
        };
        cast::invite(&mut simulation, &torrents, guest);
    }
    // When nothing goes wrong any more, somebody comes to every torrent: the daemon still accepts and serves.
    for torrent in torrents.iter() {
        let has = simulation.daemons[0].has(torrent);
        let wishes = Wishes {
            blocks: wishes(torrent, &has, &settings, dice).blocks,
            pipeline: 4,
            ..Wishes::plain(torrent)
        };
        let guest = Guest {
            host: 100,
            link: Link::FAST,
            daemon: 0,
            behaviour: Box::new(Fetcher::new(wishes)),
            appetite: None,
            arrives: FAULTS_END + dice.duration(Duration::ZERO..=Duration::from_secs(5)),
            seed: dice.word(),
        };
        cast::invite(&mut simulation, &torrents, guest);
    }
    (simulation, torrents)
}

/// What an operator may choose, from the narrow to the generous.
fn settings(dice: &mut Dice) -> Settings {
    Settings {
        upload_slots: dice.pick(&[
            Slots::Unlimited,
            Slots::Unlimited,
            Slots::Fixed(1),
            Slots::Fixed(4),
        ]),
        choking: Algorithm::RoundRobin,
        peers_max: dice.pick(&[6, 30, 1000]),
        peers_per_address_max: dice.pick(&[1, 3, 100]),
        requests_per_peer_max: dice.pick(&[50, 250, 500]),
        files_open_max: dice.pick(&[1, 4, 100]),
        ..cast::settings()
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

fn behaviour(
    torrent: &Rc<Torrent>,
    has: &[bool],
    settings: &Settings,
    dice: &mut Dice,
) -> Box<dyn Behaviour> {
    let offence = match dice.below(20) {
        0 => Offence::Mute,
        1 => Offence::Silent,
        2 | 3 => Offence::Liar(dice.below(LIES)),
        4 => Offence::Greedy,
        5 => Offence::Spoofer,
        6 if dice.below(2) == 0 => Offence::SelfConnector(*settings.peer_id.as_bytes()),
        7 => {
            return Box::new(Babbler::new(
                torrent,
                (0..300).map(|_| dice.word() as u8).collect(),
            ));
        }
        _ => return Box::new(Fetcher::new(wishes(torrent, has, settings, dice))),
    };
    Box::new(Nuisance::new(offence, torrent, FAULTS_END))
}

fn wishes(torrent: &Rc<Torrent>, has: &[bool], settings: &Settings, dice: &mut Dice) -> Wishes {
    let mut pieces: Vec<u32> = (0..torrent.pieces())
        .filter(|piece| has[*piece as usize])
        .collect();
    if pieces.len() > 2_000 {
        dice.shuffle(&mut pieces);
        pieces.truncate(8);
    }
    // Most clients ask for 16 KiB, but the protocol does not.
    let len = dice.pick(&[BLOCK_LEN, BLOCK_LEN, BLOCK_LEN, 1_000, 128 * 1024, 99_999]);
    let mut blocks: Vec<Block> = pieces
        .into_iter()
        .flat_map(|piece| torrent.cut(piece, len).take(8))
        .collect();
    if dice.below(2) == 0 {
        dice.shuffle(&mut blocks);
    }
    if dice.below(3) == 0 {
        blocks.truncate(1 + dice.below(blocks.len().max(1) as u32) as usize);
    }
    blocks.truncate(BYTES_MAX / len as usize);
    let pipeline = dice.pick(&[1, 4, 16, 64, 400]);
    let extended = dice.below(3) > 0;
    Wishes {
        torrent: torrent.clone(),
        blocks,
        metadata: extended && dice.below(4) == 0,
        extended,
        pipeline: pipeline.min(settings.requests_per_peer_max as usize),
        cancels: dice.pick(&[Chance::NEVER, Chance::NEVER, Chance::one_in(20)]),
        loses_interest: dice.pick(&[Chance::NEVER, Chance::NEVER, Chance::one_in(100)]),
        tells: dice.below(3) == 0,
    }
}
