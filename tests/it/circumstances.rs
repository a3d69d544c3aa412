//! The same blocks under other circumstances: little memory, few descriptors, another file system, another address.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use shoal_tests::fetch::{Fetch, REQUESTS_LEN, fetch_all};
use shoal_tests::peer::{FAST_AND_EXTENDED, Message, PLAIN, Peer};
use shoal_tests::place::Place;
use shoal_tests::process::{Seed, Signal, run, shoal, shoal_seed, shoal_seed_with_descriptors};
use shoal_tests::random::Random;
use shoal_tests::sample::{Block, Sample};

const KIB: u32 = 1024;

/// `shoal seed` of `sample` with these lines as its configuration.
fn seed_with(place: &Place, sample: &Sample, configuration: &str) -> Seed {
    let path = place.path().join("config.yaml");
    fs::write(&path, configuration).expect("a writable place");
    let mut command = shoal_seed(place, &[place.add(sample)]);
    command.arg("--config").arg(path);
    Seed::start(command)
}

/// Several peers fetch everything at the same time, each in an order of its own.
fn fetch_in_many_orders(seed: &Seed, sample: &Sample, peers_len: usize) {
    thread::scope(|scope| {
        for peer in 0..peers_len {
            scope.spawn(move || {
                let mut blocks = sample.blocks();
                Random::named(&format!("order {peer}")).shuffle(&mut blocks);
                let fetch = Fetch::start(seed.address(), sample, FAST_AND_EXTENDED);
                let fetched = fetch.and_then(|mut fetch| fetch.blocks(&blocks, 100));
                fetched.unwrap_or_else(|error| panic!("peer {peer}: {error}\n{}", seed.process().said()));
            });
        }
    });
}

#[test]
fn a_cache_far_smaller_than_what_is_wanted() {
    // Every block is wanted eight times in random order: pieces are promoted and evicted all the time.
    let (place, sample) = (
        Place::new(),
        Sample::file("larger.bin", 48 * 1024 * 1024 + 1, 512 * KIB),
    );
    let seed = seed_with(&place, &sample, "arena_size: 16MiB\ncache_size: 2MiB\n");
    fetch_in_many_orders(&seed, &sample, 8);
}

#[test]
fn no_cache_at_all() {
    let (place, sample) = (
        Place::new(),
        Sample::file("uncached.bin", 12 * 1024 * 1024 + 1, 256 * KIB),
    );
    let seed = seed_with(&place, &sample, "cache_size: 0\n");
    fetch_in_many_orders(&seed, &sample, 4);
}

#[test]
fn files_read_through_the_page_cache() {
    let (place, sample) = (
        Place::new(),
        Sample::file("buffered.bin", 12 * 1024 * 1024 + 1, 256 * KIB),
    );
    let seed = seed_with(&place, &sample, "io_mode: buffered\n");
    fetch_in_many_orders(&seed, &sample, 4);
}

#[test]
fn files_that_are_in_memory() {
    // tmpfs has O_DIRECT only since Linux 6.6, and no disk below it.
    let (place, sample) = (
        Place::below(Path::new("/dev/shm")),
        Sample::file("memory.bin", 4_000_001, 64 * KIB),
    );
    let seed = Seed::of(&place, &[place.add(&sample)]);
    fetch_in_many_orders(&seed, &sample, 4);
}

#[test]
fn one_slot_for_several_peers() {
    // Whoever waits is choked, and gets its turn when the others are done.
    let (place, sample) = (
        Place::new(),
        Sample::file("one at a time.bin", 2_000_001, 64 * KIB),
    );
    let seed = seed_with(&place, &sample, "upload_slots: 1\n");
    fetch_in_many_orders(&seed, &sample, 3);
}

/// 300 files in one torrent.
fn many_files() -> Sample {
    let files: Vec<_> = (0..300)
        .map(|index| (format!("{index:03}"), 5_000 + index))
        .collect();
    let files: Vec<_> = files.iter().map(|(path, len)| (path.as_str(), *len)).collect();
    Sample::directory("many files", &files, 32 * KIB)
}

#[test]
fn more_files_than_may_be_open() {
    let (place, sample) = (Place::new(), many_files());
    let seed = seed_with(&place, &sample, "files_open_max: 16\n");
    fetch_in_many_orders(&seed, &sample, 4);
}

#[test]
fn more_files_than_there_are_descriptors() {
    let (place, sample) = (Place::new(), many_files());
    let seed = Seed::start(shoal_seed_with_descriptors(128, &place, &[place.add(&sample)]));
    fetch_in_many_orders(&seed, &sample, 4);
}

#[test]
fn peers_over_ipv6() {
    let (place, sample) = (Place::new(), Sample::file("six.bin", 1_000_001, 64 * KIB));
    let mut command = shoal_seed(&place, &[place.add(&sample)]);
    command.args(["--listen", "[::1]:0"]);
    let seed = Seed::start(command);
    assert!(seed.address().is_ipv6());
    fetch_all(seed.address(), &sample).expect("the torrent is served");
}

#[test]
fn a_process_that_is_stopped_and_continued() {
    let (place, sample) = (Place::new(), Sample::file("paused.bin", 4_000_001, 64 * KIB));
    let seed = Seed::of(&place, &[place.add(&sample)]);
    let blocks = sample.blocks();
    let (first, second) = blocks.split_at(blocks.len() / 2);
    let mut fetch = Fetch::start(seed.address(), &sample, FAST_AND_EXTENDED).expect("a peer is welcome");
    fetch.blocks(first, REQUESTS_LEN).expect("nothing is wrong yet");
    seed.process().signal(Signal::STOP);
    fetch.want(second);
    let late = Peer::connect(seed.address()).expect("the kernel accepts for it");
    seed.process().signal(Signal::CONT);
    fetch.blocks(&[], REQUESTS_LEN).expect("it goes on");
    drop(late);
    fetch_all(seed.address(), &sample).expect("a later peer is served");
}

#[test]
fn peers_that_read_late_get_every_block() {
    // What the socket did not take is sent from where it stopped, in the middle of a block or of a header.
    let (place, sample) = (
        Place::new(),
        Sample::file("late.bin", 8 * 1024 * 1024 + 1, 256 * KIB),
    );
    let seed = Seed::of(&place, &[place.add(&sample)]);
    let blocks = sample.blocks();
    let requests: Vec<u8> = blocks
        .iter()
        .flat_map(|block| Message::Request(*block).encode())
        .collect();
    let ask = |_| {
        let mut peer = Peer::unchoked(seed.address(), sample.info_hash(), PLAIN).expect("a peer is unchoked");
        peer.send(&requests).expect("the seed reads requests");
        peer
    };
    let mut late: Vec<_> = (0..16).map(ask).collect();
    fetch_all(seed.address(), &sample).expect("a peer that reads is served meanwhile");
    for peer in &mut late {
        let mut missing = blocks.len();
        while missing > 0 {
            let Message::Piece { piece, offset, data } = peer.receive().expect("the seed goes on") else {
                continue;
            };
            let block = Block {
                piece,
                offset,
                len: data.len() as u32,
            };
            assert!(
                data == sample.bytes_of(block),
                "{block:?} differs from the original"
            );
            missing -= 1;
        }
    }
}

#[test]
fn torrents_that_share_their_data() {
    // Cross-seeding: other metainfo, other pieces, the same file.
    let place = Place::new();
    let samples = [32, 64, 256].map(|length| Sample::file("shared.bin", 3_000_001, length * KIB));
    let torrents = samples.each_ref().map(|sample| {
        sample.write(&place.data()).expect("the content can be written");
        place.add_metainfo(&sample.piece_len().to_string(), &sample.metainfo(None))
    });
    let seed = Seed::of(&place, &torrents);
    for sample in &samples {
        fetch_in_many_orders(&seed, sample, 3);
    }
}

#[test]
fn wrong_pieces_are_neither_announced_nor_sent() {
    let (place, sample) = (
        Place::new(),
        Sample::file("partly wrong.bin", 10 * 64 * 1024, 64 * KIB),
    );
    let torrent = place.add(&sample);
    let path = place.data().join(sample.name());
    let mut bytes = fs::read(&path).expect("the content was written");
    for wrong in [0, 9] {
        bytes[wrong * 64 * 1024 + 77] ^= 1;
    }
    fs::write(&path, bytes).expect("a writable place");
    let seed = Seed::of(&place, &[torrent]);
    let mut peer = Peer::greet(seed.address(), sample.info_hash(), PLAIN).expect("a peer is welcome");
    let bits = peer.receive_until(|message| match message {
        Message::Bitfield { bits } => Some(bits),
        _ => None,
    });
    assert_eq!(bits.expect("a bitfield comes first"), [0b0111_1111, 0b1000_0000]);
    let mut fetch = Fetch::start(seed.address(), &sample, FAST_AND_EXTENDED).expect("a peer is welcome");
    for piece in 1..9 {
        fetch
            .blocks(&sample.blocks_of(piece), REQUESTS_LEN)
            .expect("right pieces are served");
    }
    let mut peer = fetch.into_peer();
    for wrong in [0, 9] {
        let block = sample.blocks_of(wrong)[0];
        let answer = peer.say(&Message::Request(block)).and_then(|()| peer.receive());
        assert!(
            matches!(answer, Ok(Message::Reject(rejected)) if rejected == block),
            "{answer:?}"
        );
    }
}

#[test]
fn data_that_is_no_file_is_one_clear_sentence() {
    let (place, sample) = (Place::new(), Sample::file("odd", 100_000, 16 * KIB));
    let torrent = place.add_metainfo("odd", &sample.metainfo(None));
    let path = place.data().join("odd");
    let check = |name: &str| {
        for arguments in [
            ["--listen", "127.0.0.1:0"].as_slice(),
            &["--listen", "127.0.0.1:0", "--trust"],
        ] {
            let mut command = shoal();
            command
                .arg("seed")
                .arg(&torrent)
                .arg("--data")
                .arg(place.data())
                .args(arguments);
            let finished = run(command);
            assert_eq!(finished.status.code(), Some(2), "{name}: {finished:#?}");
            assert_eq!(finished.stderr.len(), 1, "{name}: {finished:#?}");
        }
    };
    check("nothing");
    fs::create_dir(&path).expect("a writable place");
    check("a directory");
    fs::remove_dir(&path).expect("an empty directory");
    // Opening a pipe waits for whoever writes to it, unless one knows better.
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .expect("coreutils are installed")
            .success()
    );
    check("a pipe");
    for target in ["/dev/zero", "odd"] {
        fs::remove_file(&path).expect("a writable place");
        std::os::unix::fs::symlink(target, &path).expect("a writable place");
        check(target);
    }
}
