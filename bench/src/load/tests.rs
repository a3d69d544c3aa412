//! The load generator against senders whose answers are known: the ideal one, and scripted ones that misbehave.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use super::wire::{Block, Deframer, Event, HANDSHAKE_LEN, Message};
use super::*;
use crate::data::Recipe;
use crate::seeder::process::free_address;
use crate::seeder::serve_ideal;

/// 24 pieces of four blocks; the last piece is one block and a bit.
const LENGTH: u64 = 23 * 65_536 + 16_384 + 77;

fn manner() -> Manner {
    Manner {
        depth: 20,
        batch: 4,
        pattern: Pattern::Split,
        drain: Drain::Copy,
        verify: true,
        receive_len: 50_000,
        offered: Extensions {
            fast: true,
            extended: true,
        },
    }
}

fn torrent(work: &std::path::Path, name: &str) -> Torrent {
    Recipe::new(name, LENGTH, 65_536).prepare(work).unwrap()
}

/// A load on whatever listens at `address`; `None`, with a word about it, where io_uring is refused.
fn connect(
    address: SocketAddrV4,
    torrents: &[Torrent],
    connections: u32,
    manner: Manner,
) -> Option<Result<Load>> {
    if let Err(error) = tokio_uring::Runtime::new(&tokio_uring::builder()) {
        eprintln!("skipped: io_uring is refused here ({error})");
        return None;
    }
    let cores = vec![0];
    let spec = LoadSpec {
        address,
        torrents: torrents.to_vec(),
        connections,
        manner,
        cores,
    };
    Some(Load::connect(&spec))
}

/// Starts the ideal sender and waits until it listens.
fn ideal(torrents: &[Torrent]) -> SocketAddrV4 {
    let address = free_address().unwrap();
    let torrents = torrents.to_vec();
    thread::spawn(move || serve_ideal(&torrents, &[address]).unwrap());
    while TcpStream::connect(address).is_err() {
        thread::yield_now();
    }
    address
}

#[test]
fn a_drain_fetches_every_byte_as_often_as_asked() {
    let work = tempfile::tempdir().unwrap();
    let torrents = [torrent(work.path(), "first"), torrent(work.path(), "second")];
    let address = ideal(&torrents);
    for pattern in [Pattern::Split, Pattern::Strided, Pattern::Random, Pattern::Same] {
        let Some(load) = connect(address, &torrents, 6, Manner { pattern, ..manner() }) else {
            return;
        };
        let mut load = load.unwrap();
        let times = if pattern == Pattern::Same { 3 } else { 1 };
        assert_eq!(load.drain(1).unwrap().bytes(), 2 * times * LENGTH, "{pattern:?}");
        let window = load.drain(3).unwrap();
        assert_eq!(window.bytes(), 6 * times * LENGTH, "{pattern:?}");
        assert_eq!(window.shares.len(), 6);
        let blocks = 3 * 2 * times * (23 * 4 + 2);
        assert_eq!(window.latency_us.len(), blocks, "one latency for every block");
    }
}

#[test]
fn throwing_away_counts_the_same_bytes() {
    let work = tempfile::tempdir().unwrap();
    let torrents = [torrent(work.path(), "thrown")];
    let address = ideal(&torrents);
    let manner = Manner {
        drain: Drain::Trunc,
        verify: false,
        ..manner()
    };
    let Some(load) = connect(address, &torrents, 3, manner) else {
        return;
    };
    let window = load.unwrap().drain(5).unwrap();
    assert_eq!(window.bytes(), 5 * LENGTH);
    assert_eq!(window.latency_us.len(), 5 * (23 * 4 + 2));
}

#[test]
fn a_timed_run_ends_although_the_plan_never_does() {
    let work = tempfile::tempdir().unwrap();
    let torrents = [torrent(work.path(), "timed")];
    let address = ideal(&torrents);
    let Some(load) = connect(address, &torrents, 40, manner()) else {
        return;
    };
    let window = load.unwrap().run_for(Duration::from_millis(50)).unwrap();
    assert!(window.bytes() > 0);
    assert_eq!(window.shares.len(), 40);
}

/// One scripted seeder for one connection: has everything, and answers each message as `answer` says.
fn scripted(
    torrent: &Torrent,
    mut answer: impl FnMut(&mut TcpStream, Message) -> std::io::Result<()> + Send + 'static,
) -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let info_hash = torrent.info_hash;
    thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut theirs = [0; HANDSHAKE_LEN];
        stream.read_exact(&mut theirs)?;
        let offered = Extensions {
            fast: true,
            extended: false,
        };
        stream.write_all(&wire::handshake(info_hash, [b's'; 20], offered))?;
        stream.write_all(&[0, 0, 0, 1, 14, 0, 0, 0, 1, 1])?; // have-all, unchoke
        let mut deframer = Deframer::new();
        let mut buffer = [0; 4096];
        loop {
            let taken = stream.read(&mut buffer)?;
            if taken == 0 {
                return Ok(());
            }
            let mut input = &buffer[..taken];
            while let Some(event) = deframer.next(&mut input).expect("we send no nonsense") {
                if let Event::Message(message) = event {
                    answer(&mut stream, message)?;
                }
            }
        }
    });
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

fn block_message(torrent: &Torrent, block: Block) -> Vec<u8> {
    let mut message = wire::block_header(block).to_vec();
    let mut payload = vec![0; block.len as usize];
    let begin = u64::from(block.piece) * u64::from(torrent.shape.piece_length);
    torrent
        .content
        .fill(begin + u64::from(block.offset), &mut payload);
    message.extend_from_slice(&payload);
    message
}

fn reject(block: Block) -> Vec<u8> {
    let mut message = Vec::new();
    wire::request(&mut message, block);
    message[4] = 16;
    message
}

#[test]
fn what_was_rejected_is_asked_for_again() {
    let work = tempfile::tempdir().unwrap();
    let torrent = torrent(work.path(), "rejected");
    let served = torrent.clone();
    let mut requests = 0;
    let address = scripted(&torrent, move |stream, message| {
        let Message::Request(block) = message else {
            return Ok(());
        };
        requests += 1;
        let answer = if requests % 3 == 0 {
            reject(block)
        } else {
            block_message(&served, block)
        };
        stream.write_all(&answer)
    });
    let Some(load) = connect(address, &[torrent], 1, manner()) else {
        return;
    };
    assert_eq!(load.unwrap().drain(1).unwrap().bytes(), LENGTH);
}

/// The error of a drain from a seeder that answers requests with `answer`.
fn failure(name: &str, answer: fn(&Torrent, Block) -> Vec<u8>) -> Option<String> {
    let work = tempfile::tempdir().unwrap();
    let torrent = torrent(work.path(), name);
    let served = torrent.clone();
    let address = scripted(&torrent, move |stream, message| {
        let Message::Request(block) = message else {
            return Ok(());
        };
        stream.write_all(&answer(&served, block))
    });
    let outcome = connect(address, &[torrent], 1, manner())?.unwrap().drain(1);
    Some(format!("{:#}", outcome.unwrap_err()))
}

#[test]
fn wrong_bytes_and_unasked_blocks_are_failures() {
    let wrong_byte = |torrent: &Torrent, block| {
        let mut message = block_message(torrent, block);
        *message.last_mut().unwrap() ^= 1;
        message
    };
    let unasked = |torrent: &Torrent, block: Block| block_message(torrent, Block { piece: 9, ..block });
    let Some(said) = failure("wrong", wrong_byte) else {
        return;
    };
    assert!(said.contains("sent wrong bytes"), "{said}");
    let Some(said) = failure("unasked", unasked) else {
        return;
    };
    assert!(said.contains("which was not asked for"), "{said}");
}

#[test]
fn a_seeder_that_leaves_is_a_failure() {
    let work = tempfile::tempdir().unwrap();
    let torrent = torrent(work.path(), "leaving");
    let address = scripted(&torrent, |_, message| match message {
        Message::Request(_) => Err(std::io::ErrorKind::Other.into()),
        _ => Ok(()),
    });
    let Some(load) = connect(address, &[torrent], 1, manner()) else {
        return;
    };
    let said = format!("{:#}", load.unwrap().drain(1).unwrap_err());
    assert!(said.contains("connection 0"), "{said}");
}

#[test]
fn windows_add_up() {
    let begin = Instant::now();
    let window = |from: u64, to: u64, bytes: u64| {
        let elapsed = Duration::from_millis(to - from);
        let mut latency_us = latency_histogram();
        latency_us.record(bytes).unwrap();
        Window {
            begin: begin + Duration::from_millis(from),
            end: begin + Duration::from_millis(to),
            shares: vec![Share { bytes, elapsed }],
            latency_us,
            generator_cpu: Duration::from_millis(5),
        }
    };
    let mut total = window(10, 90, 100);
    total.absorb(&window(0, 50, 20)).unwrap();
    assert_eq!((total.bytes(), total.elapsed()), (120, Duration::from_millis(90)));
    assert_eq!(
        (total.latency_us.len(), total.generator_cpu),
        (2, Duration::from_millis(10))
    );
}
