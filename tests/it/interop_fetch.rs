//! Real clients fetch from `shoal seed` on two cores; the files are compared byte by byte.
//!
//! libtorrent is told the peer; Transmission 3.00 and aria2 cannot be, so a tracker of a few lines tells them. None of
//! them looks anywhere else: no DHT, no local discovery, no port mapping.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;

use shoal_tests::client::{
    Client, address_beyond_loopback, aria2_fetch, is_transmission_complete, transmission_fetch,
};
use shoal_tests::place::Place;
use shoal_tests::process::{Process, Seed, Signal, run, shoal, shoal_seed};
use shoal_tests::sample::Sample;
use shoal_tests::tracker;

/// What the clients fetch: single and multi-file, odd sizes, empty files, last pieces of one byte, small and large and
/// uneven pieces, names that people use.
fn samples() -> Vec<Sample> {
    let album = [
        ("01 — Überraschung.flac", 1_234_567),
        ("02 日本語 の 名前.flac", 777_777),
        ("artwork/front cover.jpg", 45_001),
        ("artwork/deep/er/still/back.png", 1),
        ("empty.nfo", 0),
        ("notes (final) [v2].txt", 19),
    ];
    let boundaries = [
        ("a", 16_384),
        ("b", 32_768),
        ("c", 0),
        ("d", 16_383),
        ("e", 1),
        ("f", 65_536),
        ("g", 1),
    ];
    vec![
        Sample::file("single file, with spaces.bin", 3_000_017, 16 * 1024),
        Sample::file("last-piece-of-one-byte.bin", 4 * 1024 * 1024 + 1, 1024 * 1024),
        Sample::file("smaller-than-a-block.txt", 100, 32 * 1024),
        Sample::file("uneven-pieces.bin", 1_500_000, 48 * 1024),
        Sample::directory("Ålbum – tëst 2026", &album, 64 * 1024),
        Sample::directory("boundaries", &boundaries, 16 * 1024),
    ]
}

/// The samples under one seed that listens on `host`, and .torrent files for a client, which name a tracker.
struct Swarm {
    place: Place,
    samples: Vec<Sample>,
    torrents: Vec<PathBuf>,
    seed: Seed,
}

impl Swarm {
    fn start(host: Ipv4Addr) -> Swarm {
        let (place, samples) = (Place::new(), samples());
        let seeded: Vec<_> = samples.iter().map(|sample| place.add(sample)).collect();
        let mut command = shoal_seed(&place, &seeded);
        command.args(["--listen", &format!("{host}:0")]);
        let seed = Seed::start(command);
        let SocketAddr::V4(address) = seed.address() else {
            panic!("it was told to listen on {host}")
        };
        let announce = tracker::serve(host, &[address]).expect("a port is free");
        let metainfo = |sample: &Sample| {
            place.add_metainfo(
                &format!("{} (announced)", sample.name()),
                &sample.metainfo(Some(&announce)),
            )
        };
        let torrents = samples.iter().map(metainfo).collect();
        Swarm {
            place,
            samples,
            torrents,
            seed,
        }
    }

    /// A directory that no other client writes to.
    fn out(&self, name: &str) -> PathBuf {
        let out = self.place.path().join(name);
        fs::create_dir(&out).expect("a writable place");
        out
    }

    /// Runs one client per torrent, all at the same time; `fetch` returns when its client has verified everything.
    fn fetch_each(&self, fetch: impl Fn(&Sample, &Path) + Sync) {
        thread::scope(|scope| {
            for (sample, torrent) in self.samples.iter().zip(&self.torrents) {
                let fetch = &fetch;
                scope.spawn(move || fetch(sample, torrent));
            }
        });
    }

    fn stop(self) {
        let finished = self.seed.stop(Signal::TERM);
        assert_eq!(finished.status.code(), Some(0), "{:#?}", finished.stderr);
    }
}

#[test]
fn libtorrent_fetches_what_shoal_seeds() {
    libtorrent_fetches(|swarm| swarm.torrents.clone());
}

/// Somebody who was given only the link gets the metadata from shoal as well (BEP 9).
#[test]
fn libtorrent_fetches_with_a_magnet_link_alone() {
    libtorrent_fetches(|swarm| swarm.torrents.iter().map(|torrent| magnet(torrent)).collect());
}

/// What `shoal magnet` prints, without its tracker: the peer that the client is told is all it has.
fn magnet(torrent: &Path) -> PathBuf {
    let mut command = shoal();
    command.arg("magnet").arg(torrent);
    let finished = run(command);
    let link = finished.stdout.first().expect("a link");
    link.split("&tr=").next().expect("what stands before it").into()
}

fn libtorrent_fetches(what: impl Fn(&Swarm) -> Vec<PathBuf>) {
    let Some(mut client) = Client::Libtorrent.find() else {
        return;
    };
    let swarm = Swarm::start(Ipv4Addr::LOCALHOST);
    let out = swarm.out("libtorrent");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/libtorrent_fetch.py");
    client
        .arg(script)
        .arg(swarm.seed.address().to_string())
        .arg(&out)
        .args(what(&swarm));
    let finished = run(client);
    assert!(finished.status.success(), "{finished:#?}");
    assert_eq!(finished.stdout.len(), swarm.samples.len(), "{finished:#?}");
    swarm
        .samples
        .iter()
        .for_each(|sample| sample.assert_present_in(&out));
    swarm.stop();
}

#[test]
fn aria2_fetches_what_shoal_seeds() {
    if Client::Aria2.find().is_none() {
        return;
    }
    let swarm = Swarm::start(Ipv4Addr::LOCALHOST);
    let out = swarm.out("aria2");
    swarm.fetch_each(|sample, torrent| {
        let mut client = aria2_fetch(&out, torrent).expect("it was there a moment ago");
        client.arg("--interface=127.0.0.1");
        let finished = run(client);
        assert!(finished.status.success(), "{}: {finished:#?}", sample.name());
    });
    swarm
        .samples
        .iter()
        .for_each(|sample| sample.assert_present_in(&out));
    swarm.stop();
}

#[test]
fn transmission_fetches_what_shoal_seeds() {
    if Client::Transmission.find().is_none() {
        return;
    }
    let Some(host) = address_beyond_loopback() else {
        return;
    };
    let swarm = Swarm::start(host);
    let out = swarm.out("transmission");
    swarm.fetch_each(|sample, torrent| {
        let configuration = swarm.out(&format!("configuration for {}", sample.name()));
        let client = transmission_fetch(&configuration, &out, torrent);
        let client = client.expect("it was there a moment ago");
        let client = Process::start(client);
        let fetched = client.stderr.wait_for(is_transmission_complete);
        assert!(fetched.is_some(), "{}\n{}", sample.name(), client.said());
        // It would seed on; when it is told to stop, it first writes what it still has in memory.
        client.signal(Signal::TERM);
        client.finish();
    });
    // Transmission 3.00 creates no file that has no bytes.
    swarm
        .samples
        .iter()
        .for_each(|sample| sample.assert_bytes_present_in(&out));
    swarm.stop();
}
