//! Starting and stopping: the line that scripts wait for, signals, and a port that somebody else has.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use shoal_tests::download::{shoal_download, wait_for_event};
use shoal_tests::fetch::Fetch;
use shoal_tests::peer::{FAST_AND_EXTENDED, Peer};
use shoal_tests::place::Place;
use shoal_tests::process::{Process, Seed, Signal, run, shoal};
use shoal_tests::sample::Sample;
use shoal_tests::scripted_seed::ScriptedSeed;

fn sample() -> Sample {
    Sample::file("lifecycle.bin", 1_000_003, 64 * 1024)
}

fn assert_stops_cleanly(signal: Signal) {
    let (sample, place) = (sample(), Place::new());
    let seed = Seed::of(&place, &[place.add(&sample)]);
    let hash = sample.info_hash();
    // One peer in each state that a connection can have: nothing said, greeted, asking.
    let silent = Peer::connect(seed.address()).expect("a free port");
    let greeted = Peer::greet(seed.address(), hash, FAST_AND_EXTENDED).expect("a fresh peer is welcome");
    let mut fetch =
        Fetch::start(seed.address(), &sample, FAST_AND_EXTENDED).expect("a fresh peer is welcome");
    fetch
        .blocks(&sample.blocks()[..20], 4)
        .expect("blocks are served");
    let finished = seed.stop(signal);
    assert_eq!(finished.status.code(), Some(0), "{:#?}", finished.stderr);
    assert_eq!(
        finished.stdout.len(),
        1,
        "only the line `ready` is a result: {:#?}",
        finished.stdout
    );
    for mut peer in [silent, greeted, fetch.into_peer()] {
        peer.expect_hang_up();
    }
}

#[test]
fn an_interrupt_stops_a_seed_with_connected_peers() {
    assert_stops_cleanly(Signal::INT);
}

#[test]
fn a_termination_stops_a_seed_with_connected_peers() {
    assert_stops_cleanly(Signal::TERM);
}

#[test]
fn a_stopped_seed_frees_its_port_at_once() {
    let (sample, place) = (sample(), Place::new());
    let torrent = place.add(&sample);
    let seed = Seed::of(&place, &[&torrent]);
    let address = seed.address();
    let connected =
        Peer::greet(address, sample.info_hash(), FAST_AND_EXTENDED).expect("a fresh peer is welcome");
    assert_eq!(seed.stop(Signal::TERM).status.code(), Some(0));
    let mut again = shoal();
    again
        .arg("seed")
        .arg(&torrent)
        .arg("--data")
        .arg(place.data())
        .args(["--listen", &address.to_string()]);
    assert_eq!(Seed::start(again).address(), address);
    drop(connected);
}

/// The kernel takes the ring of a killed process down, and with it the listener, after the process is gone.
#[test]
fn a_download_that_was_killed_starts_again_on_its_port_at_once() {
    let (sample, place) = (Arc::new(sample()), Place::new());
    let seed = ScriptedSeed::start(Ipv4Addr::LOCALHOST, &sample, |visit| {
        visit.introduce()?;
        visit.say_no_more()
    });
    let torrent = place.add_metainfo(sample.name(), &sample.metainfo(None));
    let start_at = |address: &str| {
        let mut command = shoal_download(&torrent, &place.path().join("out"), &[seed.address()]);
        command.args(["--listen", address]);
        let process = Process::start(command);
        let ready = wait_for_event(&process, "ready");
        (process, ready)
    };
    let (process, ready) = start_at("127.0.0.1:0");
    let (_, address) = ready
        .split_once(r#""address":""#)
        .expect("where peers can connect");
    let address = address.split('"').next().expect("the text of a string");
    process.kill();
    for _ in 0..8 {
        let (process, again) = start_at(address);
        assert_eq!(again, ready);
        process.kill();
    }
}

#[test]
fn a_port_in_use_is_one_clear_sentence() {
    let (sample, place) = (sample(), Place::new());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address")
        .to_string();
    let mut command = shoal();
    command
        .arg("seed")
        .arg(place.add(&sample))
        .arg("--data")
        .arg(place.data())
        .args(["--listen", &address]);
    let finished = run(command);
    assert_eq!(
        finished.status.code(),
        Some(3),
        "the machine refuses: {:#?}",
        finished.stderr
    );
    assert_eq!(finished.stdout, [""; 0], "nothing is ready");
    let [sentence] = finished.stderr.as_slice() else {
        panic!("not one sentence: {:#?}", finished.stderr)
    };
    assert!(sentence.contains(&address), "which address? {sentence}");
}
