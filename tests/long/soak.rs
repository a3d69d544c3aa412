//! Peers come, take something and go, honestly or not, many thousand times; the process stays as it was.

use std::fs;
use std::thread;

use shoal_tests::fetch::{Fetch, fetch_all};
use shoal_tests::peer::{FAST_AND_EXTENDED, Message, PLAIN, Peer};
use shoal_tests::place::Place;
use shoal_tests::process::{Seed, Signal, allow_many_descriptors};
use shoal_tests::random::Random;
use shoal_tests::sample::Sample;

/// Rounds before memory is looked at for the first time: caches and pools have their size by then.
const WARM_UP_ROUNDS: usize = 20;

const ROUNDS: usize = 400;

/// Peers side by side in a round.
const PEERS_LEN: usize = 50;

/// What memory may grow by in all rounds: far below one leaked kilobyte per connection (20,000 connections).
const GROWTH_MAX_KIB: u64 = 16 * 1024;

/// One visit of a peer, of a kind that `random` chooses.
fn visit(seed: &Seed, sample: &Sample, random: &mut Random) {
    let (address, hash) = (seed.address(), sample.info_hash());
    let mut blocks = sample.blocks();
    random.shuffle(&mut blocks);
    blocks.truncate(random.below(100));
    match random.below(5) {
        0 => drop(Peer::connect(address).expect("the seed accepts")),
        1 => drop(Peer::greet(address, hash, PLAIN).expect("a peer is welcome")),
        2 => {
            // Asks and leaves without having read.
            let mut peer = Peer::unchoked(address, hash, FAST_AND_EXTENDED).expect("a peer is unchoked");
            let requests: Vec<u8> = blocks
                .iter()
                .flat_map(|block| Message::Request(*block).encode())
                .collect();
            peer.send(&requests).expect("the seed reads requests");
        }
        3 => {
            let mut peer = Peer::greet(address, hash, FAST_AND_EXTENDED).expect("a peer is welcome");
            peer.send(&random.bytes(200)).expect("the seed reads");
        }
        _ => {
            let mut fetch = Fetch::start(address, sample, FAST_AND_EXTENDED).expect("a peer is welcome");
            fetch.blocks(&blocks, 16).expect("blocks are served");
        }
    }
}

fn resident_kib(process_id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process_id}/status")).expect("the process runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("every process has memory");
    line.trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number of kB")
}

#[test]
fn twenty_thousand_visits_leave_nothing_behind() {
    allow_many_descriptors();
    let place = Place::new();
    let sample = Sample::file("visited.bin", 64 * 1024 * 1024 + 1, 256 * 1024);
    let seed = Seed::of(&place, &[place.add(&sample)]);
    let mut warm_kib = 0;
    for round in 0..ROUNDS {
        thread::scope(|scope| {
            for peer in 0..PEERS_LEN {
                let mut random = Random::named(&format!("{round}/{peer}"));
                let (seed, sample) = (&seed, &sample);
                scope.spawn(move || visit(seed, sample, &mut random));
            }
        });
        if round == WARM_UP_ROUNDS {
            fetch_all(seed.address(), &sample).expect("an honest peer is served");
            warm_kib = resident_kib(seed.process().id());
        }
    }
    fetch_all(seed.address(), &sample).expect("an honest peer is served");
    let grown_kib = resident_kib(seed.process().id()).saturating_sub(warm_kib);
    assert!(
        grown_kib <= GROWTH_MAX_KIB,
        "memory grew from {warm_kib} KiB by {grown_kib} KiB"
    );
    assert_eq!(seed.stop(Signal::TERM).status.code(), Some(0));
}
