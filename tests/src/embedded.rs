//! The engine in the test's own process, as a program has it that embeds it: one session, one torrent, a place of its own.
//!
//! The peers are the tests' own, so what the engine does is seen from outside: in the ledger of a scripted seed, on the wire
//! of a scripted peer, on disk. It judges nothing; it only saves a test the steps that every embedder takes.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use shoal::config::Config;
use shoal::session::{Seeding, Session};
use shoal::state::Store;
use shoal::storage::{self, Preallocation};
use shoal::torrent::{Fetching, Torrent, Wishes};
use shoal::torrent_file;
use shoal_proto::bitfield::Bitfield;
use shoal_proto::metainfo::Metainfo;

use crate::place::Place;
use crate::sample::Sample;

/// A session and what it fetches or serves.
#[derive(Debug)]
pub struct Embedded {
    sample: Arc<Sample>,
    metainfo: Arc<Metainfo>,
    config: Config,
    session: Session,
    store: Arc<Store>,
    place: Place,
}

impl Embedded {
    /// A session on one core, with nothing in it yet.
    ///
    /// # Panics
    /// If the engine does not start.
    pub fn start(sample: Sample) -> Embedded {
        let place = Place::new();
        let path = place.add_metainfo(sample.name(), &sample.metainfo(None));
        let mut config = Config::default();
        for (setting, text) in [("listen", "127.0.0.1:0"), ("cores", "0"), ("cache_size", "64MiB")] {
            config.set(setting, text).expect("a setting in its form");
        }
        Embedded {
            sample: Arc::new(sample),
            metainfo: Arc::new(torrent_file::read(&path).expect("a torrent")),
            session: Session::start(&config).expect("this machine runs the engine"),
            store: Arc::new(Store::open(&place.path().join("state")).expect("a fresh state")),
            config,
            place,
        }
    }

    /// The torrent, with what is there of it in the data folder.
    ///
    /// # Panics
    /// If its files are in disorder.
    pub fn begin(&self, wishes: Wishes) -> Fetching {
        let kept = storage::Place {
            root: self.data(),
            part_suffix: false,
            preallocation: Preallocation::Sparse,
            data_expected: false,
        };
        let (metainfo, store) = (Arc::clone(&self.metainfo), Arc::clone(&self.store));
        let watch = |_| ControlFlow::Continue(());
        let scan = self.config.scan_options();
        Fetching::begin(metainfo, kept, wishes, store, &scan, &watch).expect("a folder of our own")
    }

    /// Fetches it from these peers.
    ///
    /// # Panics
    /// If it is there already.
    pub fn fetch(&self, wishes: Wishes, peers: &[SocketAddr]) -> Torrent {
        let mut fetching = self.begin(wishes);
        fetching.peers = peers.to_vec();
        self.session.add(fetching).expect("it is the only one")
    }

    /// Writes all of it and serves it.
    ///
    /// # Panics
    /// If it is there already.
    pub fn seed(&self) -> Torrent {
        self.sample
            .write(&self.data())
            .expect("the content can be written");
        let seeding = Seeding {
            metainfo: Arc::clone(&self.metainfo),
            data: self.data(),
            have: Bitfield::all(self.metainfo.layout().pieces()),
            stamps: vec![None; self.metainfo.files().len()],
        };
        self.session.add(seeding).expect("it is the only one")
    }

    /// What the torrent holds.
    pub fn sample(&self) -> &Arc<Sample> {
        &self.sample
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The folder that the torrent's paths begin in.
    pub fn data(&self) -> PathBuf {
        self.place.data()
    }

    /// The file of this number.
    ///
    /// # Panics
    /// If the torrent has none.
    pub fn path(&self, file: usize) -> PathBuf {
        let path = self.sample.paths().nth(file).expect("a file of the torrent");
        self.data().join(path)
    }

    /// Ends the session. The files last as long as what is returned.
    pub fn stop(self) -> Place {
        self.session.stop();
        self.place
    }
}
