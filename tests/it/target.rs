//! A seed to attack: one torrent, one process, and the question that ends every attack.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use shoal_tests::fetch::fetch_all;
use shoal_tests::peer::{FAST_AND_EXTENDED, Peer};
use shoal_tests::place::Place;
use shoal_tests::process::{Seed, Signal, shoal_seed};
use shoal_tests::sample::Sample;

/// A running seed of one known torrent.
pub(crate) struct Target {
    pub(crate) sample: Sample,
    seed: Seed,
    /// Holds the data until the seed, dropped before it, is gone.
    _place: Place,
}

impl Target {
    /// A torrent of 37 pieces, so that the bitfield has spare bits, the last one short.
    pub(crate) fn start() -> Target {
        Target::start_with(
            Sample::file("target.bin", 36 * 64 * 1024 + 12_345, 64 * 1024),
            shoal_seed,
        )
    }

    /// Starts the command that `command` makes of a place with `sample` in it.
    pub(crate) fn start_with(sample: Sample, command: impl Fn(&Place, &[PathBuf]) -> Command) -> Target {
        let place = Place::new();
        let torrent = place.add(&sample);
        let seed = Seed::start(command(&place, &[torrent]));
        Target {
            sample,
            seed,
            _place: place,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.seed.address()
    }

    /// A connection after both handshakes.
    pub(crate) fn greet(&self) -> Peer {
        Peer::greet(self.address(), self.sample.info_hash(), FAST_AND_EXTENDED)
            .expect("a fresh peer is welcome")
    }

    /// A connection that may ask for blocks.
    pub(crate) fn unchoked(&self) -> Peer {
        Peer::unchoked(self.address(), self.sample.info_hash(), FAST_AND_EXTENDED)
            .expect("a fresh peer is unchoked")
    }

    /// An honest peer gets the whole torrent, now.
    pub(crate) fn assert_serves(&self) {
        let fetched = fetch_all(self.address(), &self.sample);
        fetched.unwrap_or_else(|error| {
            panic!(
                "an honest peer was let down: {error}\n{}",
                self.seed.process().said()
            )
        });
    }

    /// An honest peer gets the whole torrent, and the process then stops as cleanly as any other.
    pub(crate) fn assert_unharmed(self) {
        self.assert_serves();
        let finished = self.seed.stop(Signal::TERM);
        assert_eq!(finished.status.code(), Some(0), "{:#?}", finished.stderr);
    }
}
