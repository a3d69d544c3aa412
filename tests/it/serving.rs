//! Every block of every layout, compared with the original.

use std::collections::BTreeSet;
use std::thread;

use shoal_tests::fetch::{Fetch, REQUESTS_LEN, fetch_all};
use shoal_tests::peer::{FAST_AND_EXTENDED, Message, PLAIN, Peer};
use shoal_tests::place::Place;
use shoal_tests::process::{Seed, run, shoal, shoal_seed};
use shoal_tests::random::Random;
use shoal_tests::sample::{BLOCK_LEN, Block, Sample};

const KIB: u32 = 1024;

/// Torrents that have little in common but that each is an ordinary torrent.
fn samples() -> Vec<Sample> {
    vec![
        Sample::file("one byte", 1, 16 * KIB),
        Sample::file("last piece of one byte", 40 * 16 * 1024 + 1, 16 * KIB),
        Sample::file("whole pieces", 8 * 256 * 1024, 256 * KIB),
        Sample::file("last block short", 5 * 1024 * 1024 + 77, 1024 * KIB),
        Sample::file("pieces of three blocks", 1_000_000, 48 * KIB),
        // Neither a power of two nor whole blocks: each piece ends with a block of 3,616 bytes.
        Sample::file("pieces of 20,000 bytes", 777_777, 20_000),
        Sample::directory(
            "files across pieces",
            &[
                ("a", 100_000),
                ("b", 1),
                ("c", 65_535),
                ("d", 0),
                ("e", 262_144),
                ("f", 333_333),
            ],
            64 * KIB,
        ),
        Sample::directory(
            "names — ünïcode and spaces",
            &[
                ("Ωmega/deep/er/ø file.bin", 54_321),
                ("Ωmega/empty", 0),
                ("ファイル 1.txt", 1_234),
                ("z", 99_999),
            ],
            32 * KIB,
        ),
        many_small_files(),
    ]
}

fn many_small_files() -> Sample {
    let files: Vec<_> = (0..300)
        .map(|index| (format!("{:02}/{index:03}.dat", index % 7), index * 11))
        .collect();
    let files: Vec<_> = files.iter().map(|(path, len)| (path.as_str(), *len)).collect();
    Sample::directory("many small files", &files, 16 * KIB)
}

fn seed_of(samples: &[Sample]) -> (Place, Seed) {
    let place = Place::new();
    let torrents: Vec<_> = samples.iter().map(|sample| place.add(sample)).collect();
    let seed = Seed::of(&place, &torrents);
    (place, seed)
}

#[test]
fn seed_serves_every_block() {
    let samples = samples();
    let (_place, seed) = seed_of(&samples);
    for sample in &samples {
        fetch_all(seed.address(), sample).unwrap_or_else(|error| panic!("{}: {error}", sample.name()));
    }
}

#[test]
fn seed_serves_every_block_in_any_order_to_a_plain_peer() {
    let samples = samples();
    let (_place, seed) = seed_of(&samples);
    for sample in &samples {
        let mut blocks = sample.blocks();
        Random::named(sample.name()).shuffle(&mut blocks);
        let mut fetch = Fetch::start(seed.address(), sample, PLAIN).expect("a plain peer is welcome");
        fetch
            .blocks(&blocks, 16)
            .unwrap_or_else(|error| panic!("{}: {error}", sample.name()));
    }
}

#[test]
fn requests_of_unusual_size_and_alignment_are_served() {
    let samples = samples();
    let (_place, seed) = seed_of(&samples);
    let mut random = Random::named("unusual");
    for sample in &samples {
        let unusual = sample.blocks().into_iter().map(|block| {
            let skipped = random.below(block.len as usize) as u32;
            let len = 1 + random.below((block.len - skipped) as usize) as u32;
            Block {
                offset: block.offset + skipped,
                len,
                ..block
            }
        });
        let unusual: Vec<_> = unusual.collect();
        let mut fetch = Fetch::start(seed.address(), sample, FAST_AND_EXTENDED).expect("a peer is welcome");
        fetch
            .blocks(&unusual, 64)
            .unwrap_or_else(|error| panic!("{}: {error}", sample.name()));
    }
}

#[test]
fn requests_across_the_usual_block_boundary_are_served() {
    let sample = Sample::file("straddled", 2 * 1024 * 1024, 256 * KIB);
    let (_place, seed) = seed_of(std::slice::from_ref(&sample));
    let straddling = sample
        .blocks()
        .into_iter()
        .filter(|block| block.offset + 2 * BLOCK_LEN <= sample.piece_len());
    let straddling: Vec<_> = straddling
        .map(|block| Block {
            offset: block.offset + 4_097,
            ..block
        })
        .collect();
    let mut fetch = Fetch::start(seed.address(), &sample, FAST_AND_EXTENDED).expect("a peer is welcome");
    fetch
        .blocks(&straddling, REQUESTS_LEN)
        .expect("straddling requests are served");
}

#[test]
fn requests_longer_than_a_block_are_served() {
    // Some clients ask for 32 KiB and more at a time; 128 KiB is what the reference client once took as the most.
    let sample = Sample::file("long requests", 3 * 1024 * 1024, 512 * KIB);
    let (_place, seed) = seed_of(std::slice::from_ref(&sample));
    for len in [32 * KIB, 100_000, 128 * KIB] {
        let offsets = (0..sample.piece_len() - len).step_by(len as usize);
        let long = (0..sample.pieces())
            .flat_map(|piece| offsets.clone().map(move |offset| Block { piece, offset, len }));
        let mut fetch = Fetch::start(seed.address(), &sample, FAST_AND_EXTENDED).expect("a peer is welcome");
        fetch
            .blocks(&long.collect::<Vec<_>>(), 20)
            .unwrap_or_else(|error| panic!("{len}: {error}"));
    }
}

#[test]
fn a_block_asked_for_again_is_sent_again() {
    let sample = Sample::file("again", 1024 * 1024, 64 * KIB);
    let (_place, seed) = seed_of(std::slice::from_ref(&sample));
    let mut peer = Peer::unchoked(seed.address(), sample.info_hash(), PLAIN).expect("a peer is unchoked");
    let block = sample.blocks()[5];
    peer.send(&Message::Request(block).encode().repeat(100))
        .expect("the seed reads requests");
    for _ in 0..100 {
        let data = peer.receive_until(|message| match message {
            Message::Piece { data, .. } => Some(data),
            _ => None,
        });
        assert!(data.expect("the seed goes on") == sample.bytes_of(block));
    }
}

#[test]
fn a_torrent_fetched_again_and_again_stays_the_original() {
    // What is asked for again moves to the hot cache; its copies must not differ, nor may those that follow an eviction.
    let samples = [
        Sample::file("hot.bin", 6 * 1024 * 1024 + 5, 512 * KIB),
        many_small_files(),
    ];
    let (_place, seed) = seed_of(&samples);
    for _ in 0..6 {
        for sample in &samples {
            fetch_all(seed.address(), sample).expect("the torrent is served again");
        }
    }
}

#[test]
fn many_connections_are_served_whichever_core_accepts_them() {
    // The kernel spreads connections over the listeners of both cores without knowing where a torrent lives:
    // with 32 connections for each of 8 torrents about half of them are handed over.
    let samples: Vec<_> = (0..8)
        .map(|index| Sample::file(&format!("part {index}"), 300_000 + index * 4_099, 32 * KIB))
        .collect();
    let (_place, seed) = seed_of(&samples);
    thread::scope(|scope| {
        for sample in &samples {
            for connection in 0..32 {
                let address = seed.address();
                scope.spawn(move || {
                    let fetched = fetch_all(address, sample);
                    fetched.unwrap_or_else(|error| {
                        panic!("{}, connection {connection}: {error}", sample.name())
                    });
                });
            }
        }
    });
}

#[test]
fn peers_of_one_torrent_do_not_disturb_each_other() {
    let sample = Sample::file("shared.bin", 4 * 1024 * 1024 + 1, 256 * KIB);
    let (_place, seed) = seed_of(std::slice::from_ref(&sample));
    thread::scope(|scope| {
        for connection in 0..24 {
            let (address, sample) = (seed.address(), &sample);
            scope.spawn(move || {
                let mut blocks = sample.blocks();
                Random::named(&connection.to_string()).shuffle(&mut blocks);
                let reserved = if connection % 2 == 0 {
                    PLAIN
                } else {
                    FAST_AND_EXTENDED
                };
                let mut fetch = Fetch::start(address, sample, reserved).expect("a peer is welcome");
                fetch
                    .blocks(&blocks, 1 + connection * 10)
                    .unwrap_or_else(|error| panic!("{connection}: {error}"));
            });
        }
    });
}

/// Reads on to a message, past those that every peer gets. None of them may tell of several pieces.
fn next_word(peer: &mut Peer) -> Message {
    let word = peer.receive_until(|message| match message {
        Message::HaveAll | Message::Bitfield { .. } | Message::Suggest { .. } => {
            panic!("more than one piece: {message:?}")
        }
        Message::HaveNone | Message::Extended { .. } | Message::AllowedFast { .. } => None,
        message => Some(message),
    });
    word.expect("a word")
}

/// The piece that a peer is told of next.
fn next_told(peer: &mut Peer) -> u32 {
    match next_word(peer) {
        Message::Have { piece } => piece,
        message => panic!("not a piece: {message:?}"),
    }
}

fn super_seed_of(sample: &Sample) -> (Place, Seed) {
    let place = Place::new();
    let mut command = shoal_seed(&place, &[place.add(sample)]);
    command.arg("--super-seed");
    (place, Seed::start(command))
}

#[test]
fn a_super_seed_tells_of_one_piece_at_a_time() {
    let sample = Sample::file("brand new", 5 * 16 * 1024, 16 * KIB);
    let (_place, seed) = super_seed_of(&sample);
    for reserved in [FAST_AND_EXTENDED, PLAIN] {
        let greet = || Peer::greet(seed.address(), sample.info_hash(), reserved).expect("welcome");
        let (mut one, mut other) = (greet(), greet());
        let told = [next_told(&mut one), next_told(&mut other)];
        assert_ne!(told[0], told[1], "each spreads what the other does not have");
        // One has passed its piece on when the other has it.
        other.say(&Message::Have { piece: told[0] }).expect("heard");
        let next = next_told(&mut one);
        assert!(!told.contains(&next), "{next} after {told:?}");
    }
}

#[test]
fn a_super_seed_gives_a_lonely_shoal_everything() {
    let sample = Sample::file("for a shoal", 300_000, 16 * KIB);
    let (place, seed) = super_seed_of(&sample);
    let out = place.path().join("out");
    let mut command = shoal();
    command
        .arg("download")
        .arg(place.path().join("for a shoal.torrent"))
        .arg("--out")
        .arg(&out);
    command.args(["--cores", "0", "--peer", &seed.address().to_string()]);
    let finished = run(command);
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    sample.assert_present_in(&out);
}

#[test]
fn a_super_seed_gives_a_lonely_peer_everything() {
    let sample = Sample::file("for one", 5 * 16 * 1024, 16 * KIB);
    let (_place, seed) = super_seed_of(&sample);
    let mut peer = Peer::greet(seed.address(), sample.info_hash(), FAST_AND_EXTENDED).expect("welcome");
    let mut told = next_told(&mut peer);
    peer.say(&Message::Interested).expect("heard");
    assert_eq!(next_word(&mut peer), Message::Unchoke);
    let mut had = BTreeSet::new();
    loop {
        assert!(had.insert(told), "{told} twice");
        let block = sample.blocks_of(told)[0];
        peer.say(&Message::Request(block)).expect("heard");
        let Message::Piece { piece, data, .. } = next_word(&mut peer) else {
            panic!("no block of {told}");
        };
        assert!(piece == told && data == sample.bytes_of(block));
        peer.say(&Message::Have { piece }).expect("heard");
        if had.len() == 5 {
            break;
        }
        told = next_told(&mut peer);
    }
}
