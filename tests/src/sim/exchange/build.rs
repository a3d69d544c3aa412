//! Who takes part in an exchange: what the seed chooses before anything happens.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use shoal_proto::peer_id::PeerId;
use shoal_shard::{Algorithm, Order, Settings, Slots};

use super::super::Simulation;
use super::super::cast::{self, Guest};
use super::super::daemon::{Errand, Options};
use super::super::dice::Dice;
use super::super::disk::Drive;
use super::super::network::Link;
use super::super::scripts::{Offerer, Trick};
use super::super::torrent::Torrent;

/// Extents that a shard keeps for serving whatever it fetches.
const SERVING_EXTENTS: u32 = 64;

/// Seeders first, then fetchers, each of which knows somebody who came before it.
pub(super) fn simulation(seed: u64, dice: &mut Dice) -> Simulation {
    let mut simulation = Simulation::new(seed);
    let torrents: Vec<Rc<Torrent>> = (0..dice.pick(&[1, 1, 1, 2]))
        .map(|_| Rc::new(torrent(dice)))
        .collect();
    let torrents: Rc<[Rc<Torrent>]> = torrents.into();
    let seeders = dice.pick(&[1, 1, 2]);
    let fetchers = dice.within(1..=6) as usize;
    let mut known: Vec<SocketAddr> = Vec::new();
    for number in 0..seeders + fetchers {
        let options = options(&mut simulation, number, dice);
        let ip = options.address.ip();
        simulation.commons.network.attach(ip, link(dice));
        simulation.commons.manners.enrol(ip, &torrents);
        let errand = (number >= seeders).then(|| Errand {
            peers: acquaintances(&known, dice),
            order: dice.pick(&[Order::RarestFirst, Order::RarestFirst, Order::Sequential]),
        });
        known.push(options.address);
        cast::start(&mut simulation, Options { errand, ..options }, &torrents);
    }
    let dice = &mut Dice::new(seed, "tricks");
    for host in 0..dice.pick(&[0, 0, 1, 3]) {
        let trick = dice.pick(&Trick::ALL);
        let guest = Guest {
            host,
            link: link(dice),
            daemon: seeders + dice.below(fetchers as u32) as usize,
            behaviour: Box::new(Offerer::new(&torrents[0], trick)),
            appetite: None,
            arrives: dice.duration(Duration::ZERO..=Duration::from_secs(2)),
            seed: dice.word(),
        };
        let ip = cast::invite(&mut simulation, &torrents, guest);
        if matches!(trick, Trick::Corrupts(_)) {
            simulation.commons.manners.lies(ip);
        }
    }
    simulation
}

fn options(simulation: &mut Simulation, number: usize, dice: &mut Dice) -> Options {
    let cores = dice.pick(&[1, 1, 2]);
    let drive = dice.pick(&[Drive::FLASH, Drive::FLASH, Drive::SPINNING]);
    let mut options = cast::options(simulation, cores, dice.word(), drive);
    options.extents = SERVING_EXTENTS + dice.pick(&[5, 8, 20, 64]);
    options.frames = dice.pick(&[0, 1, 8]);
    options.buffers = dice.pick(&[2, 8, 64]);
    options.settings = Settings {
        peer_id: PeerId::ours(
            *format!("simulation{number:02}")
                .as_bytes()
                .first_chunk()
                .expect("12 bytes"),
        ),
        upload_slots: dice.pick(&[Slots::Unlimited, Slots::Fixed(1), Slots::Fixed(4), Slots::ByRate]),
        choking: dice.pick(&[Algorithm::RoundRobin, Algorithm::Fastest, Algorithm::AntiLeech]),
        requests_per_peer_max: dice.pick(&[50, 250, 500]),
        files_open_max: dice.pick(&[1, 4, 100]),
        seed: dice.word(),
        ..cast::settings()
    };
    options
}

/// Some of those who are there, at least one.
fn acquaintances(known: &[SocketAddr], dice: &mut Dice) -> Vec<SocketAddr> {
    let mut some = known.to_vec();
    dice.shuffle(&mut some);
    some.truncate(dice.within(1..=known.len() as u32) as usize);
    some
}

/// Files of every kind, and pieces of every size that fits into the memory of the smallest fetcher.
fn torrent(dice: &mut Dice) -> Torrent {
    let piece_len = dice.pick(&[16_384_u32, 32_768, 65_536, 100_000, 262_144, 1 << 20]);
    let key = dice.word();
    let mut lengths: Vec<i64> = (0..dice.within(1..=8))
        .map(|_| match dice.below(8) {
            0 => 0,
            1 => -i64::from(dice.within(1..=70_000)),
            2 | 3 => i64::from(dice.within(1..=5_000)),
            4..=6 => i64::from(dice.within(1..=700_000)),
            _ => i64::from(dice.within(1..=80) << 16),
        })
        .collect();
    lengths.push(i64::from(dice.within(1..=300_000)));
    Torrent::new(key, piece_len, &lengths)
}

/// From a slow line to a rack.
fn link(dice: &mut Dice) -> Link {
    let down = dice.pick(&[1 << 19_u64, 1 << 20, 1 << 22, 100 << 20]);
    Link {
        up: down / dice.pick(&[1, 2, 4]),
        down,
        latency: dice.duration(Duration::from_micros(50)..=Duration::from_millis(150)),
        jitter: dice.duration(Duration::ZERO..=Duration::from_millis(20)),
        buffer: dice.pick(&[16_384, 65_536, 262_144, 1 << 20]),
    }
}
