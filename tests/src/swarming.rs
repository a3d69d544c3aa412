//! A swarm of real clients around one torrent: who is in it, how it ends, and what must hold then.
//!
//! | who | how many | hears of others by |
//! |---|---|---|
//! | libtorrent, honest, sends at a limited rate | 1 | nobody: it is called |
//! | libtorrent, its files changed behind its back | 1 | nobody: it is called |
//! | `shoal download --seed` | 2 | `--peer`: both seeds and the other shoal |
//! | Transmission | 2 | a tracker: all but the liar, whose loopback address it does not take |
//! | aria2 | 1 | a tracker: all |
//!
//! The honest seed is limited, so that leechers fetch from each other and from the liar. Everybody ends with every byte
//! right; both shoals ban the liar, and nobody else.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::{
    Client, address_beyond_loopback, aria2_fetch, is_transmission_complete, transmission_fetch,
};
use crate::download::{is_event, shoal_download};
use crate::place::Place;
use crate::process::{Process, Seed, Signal};
use crate::sample::Sample;
use crate::tracker;

/// Where the liar listens: what is banned on loopback is a peer id, elsewhere an address, which here is everybody's.
const LIAR_HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// What is fetched, and how fast the honest seed gives it.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Bytes of the torrent.
    pub len: usize,
    /// Bytes of a piece.
    pub piece_len: u32,
    /// What the honest seed sends in a second.
    pub bytes_per_s: u32,
    /// How often [`PATIENCE`](crate::PATIENCE) is had with each client.
    pub patience: usize,
}

/// The torrent, and where its copies are.
struct Scene {
    plan: Plan,
    place: Place,
    sample: Sample,
    host: Ipv4Addr,
}

/// A client that fetches, and how it is known to have everything.
struct Leecher {
    name: String,
    process: Process,
    out: PathBuf,
    goal: Goal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// It says so on standard output.
    Event,
    /// It says so among its diagnostics.
    Diagnostic,
    /// It ends.
    End,
}

/// Runs the swarm until everybody has everything. Without one of the clients, or an address that all of them take, nothing is run
/// and that is said.
///
/// # Panics
/// If something that must hold does not.
pub fn everybody_gets_everything(plan: Plan) {
    let clients = [Client::Libtorrent, Client::Transmission, Client::Aria2];
    if !clients.iter().all(|client| client.find().is_some()) {
        return;
    }
    let Some(host) = address_beyond_loopback() else {
        return;
    };
    let scene = Scene::set(plan, host);
    let honest = scene.seed("honest", host, &[]);
    let liar = scene.seed("liar", LIAR_HOST, &["lie"]);
    let shoals = [free_address(host), free_address(host)];
    let mut leechers = vec![
        scene.shoal(shoals[0], &[honest.address(), liar.address(), shoals[1]]),
        scene.shoal(shoals[1], &[honest.address(), liar.address(), shoals[0]]),
    ];
    let told = [honest.address(), liar.address(), shoals[0], shoals[1]];
    let torrent = scene.announced_to(&told);
    leechers.push(scene.transmission(1, &torrent));
    leechers.push(scene.transmission(2, &torrent));
    leechers.push(scene.aria2(&torrent));
    for leecher in &mut leechers {
        leecher.wait_until_complete(plan.patience);
    }
    for leecher in leechers {
        leecher.examine(&scene.sample, liar.address());
    }
}

impl Scene {
    fn set(plan: Plan, host: Ipv4Addr) -> Scene {
        // Files that meet inside of pieces, tiny ones, one of a few pieces, and one that is most of it.
        let small = [
            ("cover.jpg", 123_457),
            ("notes/read me.txt", 19),
            ("empty.nfo", 0),
        ];
        let rest = plan.len - small.iter().map(|(_, len)| len).sum::<usize>();
        let eighth = rest / 8 + 777;
        let large = [("disc 1/a.bin", eighth), ("disc 2/b.bin", rest - eighth)];
        let files: Vec<_> = small.into_iter().chain(large).collect();
        let place = Place::new();
        let sample = Sample::directory("swarm", &files, plan.piece_len);
        sample.write(&place.data()).expect("the content can be written");
        place.add_metainfo("swarm", &sample.metainfo(None));
        Scene {
            plan,
            place,
            sample,
            host,
        }
    }

    fn torrent(&self) -> PathBuf {
        self.place.path().join("swarm.torrent")
    }

    /// The .torrent file with a tracker that names these peers.
    fn announced_to(&self, peers: &[SocketAddr]) -> PathBuf {
        let peers: Vec<SocketAddrV4> = peers
            .iter()
            .map(|peer| match peer {
                SocketAddr::V4(peer) => *peer,
                SocketAddr::V6(_) => panic!("all listen on IPv4"),
            })
            .collect();
        let url = tracker::serve(self.host, &peers).expect("a port is free");
        let metainfo = self.sample.metainfo(Some(&url));
        self.place.add_metainfo("swarm (announced)", &metainfo)
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.place.path().join(name);
        fs::create_dir(&folder).expect("a writable place");
        folder
    }

    fn seed(&self, name: &str, host: Ipv4Addr, more: &[&str]) -> Seed {
        let data = self.folder(name);
        self.sample.write(&data).expect("the content can be written");
        let mut command = Client::Libtorrent.find().expect("it was there a moment ago");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/interop/libtorrent_seed.py"));
        command.arg(host.to_string()).arg(self.torrent()).arg(data);
        command.arg(self.plan.bytes_per_s.to_string()).args(more);
        Seed::start(command)
    }

    fn shoal(&self, address: SocketAddr, peers: &[SocketAddr]) -> Leecher {
        let out = self.folder(&format!("shoal {}", address.port()));
        let mut command = shoal_download(&self.torrent(), &out, peers);
        command.args(["--seed", "--listen", &address.to_string()]);
        Leecher::start("shoal", command, out, Goal::Event)
    }

    fn transmission(&self, number: usize, torrent: &Path) -> Leecher {
        let out = self.folder(&format!("transmission {number}"));
        let configuration = self.folder(&format!("configuration {number}"));
        let command = transmission_fetch(&configuration, &out, torrent);
        let command = command.expect("it was there a moment ago");
        Leecher::start("transmission", command, out, Goal::Diagnostic)
    }

    fn aria2(&self, torrent: &Path) -> Leecher {
        let out = self.folder("aria2");
        let command = aria2_fetch(&out, torrent).expect("it was there a moment ago");
        Leecher::start("aria2", command, out, Goal::End)
    }
}

impl Leecher {
    fn start(name: &str, command: Command, out: PathBuf, goal: Goal) -> Leecher {
        Leecher {
            name: name.to_owned(),
            process: Process::start(command),
            out,
            goal,
        }
    }

    fn wait_until_complete(&mut self, patience: usize) {
        let reached = (0..patience).any(|_| match self.goal {
            Goal::Event => {
                let finished = |line: &str| is_event(line, "finished");
                self.process.stdout.wait_for(finished).is_some()
            }
            Goal::Diagnostic => self.process.stderr.wait_for(is_transmission_complete).is_some(),
            Goal::End => {
                // No line is waited for, but the end of the output.
                self.process.stdout.wait_for(|_| false);
                self.process.has_ended()
            }
        });
        assert!(
            reached,
            "{} does not get everything\n{}",
            self.name,
            self.process.said()
        );
    }

    /// Stops it and looks at what it has.
    fn examine(self, sample: &Sample, liar: SocketAddr) {
        if self.goal != Goal::End {
            self.process.signal(Signal::TERM);
        }
        let finished = self.process.finish();
        if self.goal != Goal::Diagnostic {
            assert_eq!(finished.status.code(), Some(0), "{}: {finished:#?}", self.name);
        }
        // Transmission 3.00 creates no file that has no bytes.
        sample.assert_bytes_present_in(&self.out);
        if self.goal == Goal::Event {
            let banned: Vec<&String> = (finished.stdout.iter())
                .filter(|line| is_event(line, "peer_banned"))
                .collect();
            assert!(!banned.is_empty(), "the liar was not banned: {finished:#?}");
            let liar = format!("{}:", liar.ip());
            assert!(banned.iter().all(|line| line.contains(&liar)), "{banned:#?}");
        }
    }
}

/// An address that is free at this moment: a tracker has to know it before who listens there is started.
fn free_address(host: Ipv4Addr) -> SocketAddr {
    let listener = TcpListener::bind((host, 0)).expect("a port is free");
    listener.local_addr().expect("a listener has an address")
}
