//! No connection starves: over ten seconds the slowest gets at least a third of the mean.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use shoal_tests::fetch::Fetch;
use shoal_tests::peer::FAST_AND_EXTENDED;
use shoal_tests::place::Place;
use shoal_tests::process::{Seed, Signal, allow_many_descriptors, shoal_seed};
use shoal_tests::sample::Sample;

const PERIOD: Duration = Duration::from_secs(10);

/// Bytes that one connection receives from the moment all are unchoked until the period is over.
fn received_len(address: SocketAddr, sample: &Sample, requests_len: usize, all_ready: &Barrier) -> u64 {
    let mut fetch = Fetch::start(address, sample, FAST_AND_EXTENDED).expect("every peer is welcome");
    let blocks = sample.blocks();
    fetch.blocks(&blocks[..1], 1).expect("every peer is unchoked");
    all_ready.wait();
    let end = Instant::now() + PERIOD;
    let mut received_len = 0;
    while Instant::now() < end {
        // The pipeline never runs dry at the end of the torrent.
        if fetch.left_len() < requests_len {
            fetch.want(&blocks);
        }
        let received = fetch.step(requests_len).expect("the seed goes on");
        received_len += received.map_or(0, |block| u64::from(block.len));
    }
    received_len
}

fn check(connections_len: usize, requests_len: usize) {
    allow_many_descriptors();
    let place = Place::new();
    let sample = Sample::file("shared.bin", 256 * 1024 * 1024, 1024 * 1024);
    let mut command = shoal_seed(&place, &[place.add(&sample)]);
    command.args(["--cores", "0"]);
    let seed = Seed::start(command);
    let all_ready = Barrier::new(connections_len);
    let received: Vec<u64> = thread::scope(|scope| {
        let start = |_| scope.spawn(|| received_len(seed.address(), &sample, requests_len, &all_ready));
        let started: Vec<_> = (0..connections_len).map(start).collect();
        started
            .into_iter()
            .map(|thread| thread.join().expect("no block is wrong"))
            .collect()
    });
    let mean = received.iter().sum::<u64>() / connections_len as u64;
    let slowest = received.iter().min().expect("there are connections");
    assert!(
        slowest * 3 >= mean,
        "the slowest of {connections_len} got {slowest} bytes, the mean is {mean}"
    );
    assert_eq!(seed.stop(Signal::TERM).status.code(), Some(0));
}

#[test]
fn sixty_four_connections_share() {
    check(64, 250);
}

#[test]
fn a_thousand_connections_share() {
    check(1000, 32);
}
