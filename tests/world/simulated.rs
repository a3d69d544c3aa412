//! The simulator's world: the same surroundings on virtual time.
//!
//! Every case runs on it once without faults and with several seeds of those that healthy systems have: streams cut
//! anywhere, sockets that take a part, disks that are slow.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shoal_tests::sim::dice::Chance;
use shoal_tests::sim::disk::{Content, Disk, Drive, InodeNumber};
use shoal_tests::sim::faults::Faults;
use shoal_tests::sim::network::{End, Link, Notice, Party};
use shoal_tests::sim::payload::Payload;
use shoal_tests::sim::world::{Options, World as Simulated};
use shoal_tests::sim::{Commons, Event};
use shoal_world::{Completion, CoreIndex, Op, Pool, Time};

use crate::stage::{Change, Far, Stage, Turn, World};

/// Runs of each case; the first is without faults.
const SEEDS: u64 = 8;

/// How far a look sees: longer than anything takes that nobody does anything for.
const LOOK: Duration = Duration::from_secs(60);

/// Where the world is, where everybody else is, and where a host is that is switched off.
const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const DEAD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3));

/// Who owns the far ends that dialled, and far datagrams. Those who listen have a party each, behind it.
const DIALLERS: Party = Party(2);

/// Plays a case with every seed. The last seed printed is the one that failed.
pub(crate) fn play(case: fn(&mut Stage)) {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        case(&mut Stage::new(Box::new(SimulatedWorld::new(seed))));
    }
}

/// Two cores and what is around them.
struct SimulatedWorld {
    commons: Commons,
    cores: [Simulated; 2],
    fars: Vec<End>,
    /// Outcomes of dialling.
    dialled: VecDeque<End>,
    /// Who listens where.
    listeners: BTreeMap<SocketAddr, Party>,
    /// Who came to them.
    visitors: VecDeque<(Party, End)>,
    datagrams: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// The next port of a far end.
    port: u16,
}

impl SimulatedWorld {
    fn new(seed: u64) -> SimulatedWorld {
        let mut commons = Commons::new(seed);
        for ip in [NEAR, FAR, DEAD] {
            commons.network.attach(ip, Link::FAST);
        }
        commons.network.lose_power(DEAD);
        commons.network.listen(near(), vec![Party(0)]);
        let mut disk = Disk::new(seed, Drive::FLASH);
        disk.put_directory(&directory());
        commons.disks.push(disk);
        let mut cores = [0, 1].map(|core| Simulated::new(options(seed, core)));
        if seed > 0 {
            let faults = Faults {
                datagram_lost: Chance::NEVER,
                datagram_late: Chance::NEVER,
                ..Faults::LITE
            };
            commons.network.faults = faults.clone();
            commons.disks[0].faults = faults.clone();
            for core in &mut cores {
                core.faults = faults.clone();
            }
        }
        SimulatedWorld {
            commons,
            cores,
            fars: Vec::new(),
            dialled: VecDeque::new(),
            listeners: BTreeMap::new(),
            visitors: VecDeque::new(),
            datagrams: VecDeque::new(),
            port: 1024,
        }
    }

    /// Lets the next thing happen; whether there was one until then.
    fn step(&mut self, until: Time) -> bool {
        let Some(event) = self.commons.clock.next(until) else {
            return false;
        };
        match event {
            Event::Network(travel) => {
                let Commons { network, clock, .. } = &mut self.commons;
                network.travelled(clock, travel);
            }
            Event::Core(party, _, due) => self.cores[party.0 as usize].due(&mut self.commons, due),
            other => panic!("nobody announced this: {other:?}"),
        }
        self.settle();
        true
    }

    /// Steps until something is there.
    fn wait<T>(&mut self, mut found: impl FnMut(&mut SimulatedWorld) -> Option<T>) -> T {
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let until = self.commons.clock.now() + Duration::from_secs(3_600);
            assert!(self.step(until), "nothing ever happens again");
        }
    }

    fn settle(&mut self) {
        while let Some((party, notice)) = self.commons.network.next_notice() {
            match notice {
                notice if party < DIALLERS => self.cores[party.0 as usize].noticed(&mut self.commons, notice),
                Notice::Incoming { end, .. } => self.visitors.push_back((party, end)),
                Notice::Connected { end, result } => {
                    result.expect("the world listens");
                    self.dialled.push_back(end);
                }
                Notice::Datagram { from, to, bytes } => self.datagrams.push_back((to, from, bytes)),
                // Far ends look when they are asked to.
                Notice::Readable(_) | Notice::Writable(_) => {}
            }
        }
    }

    fn far_address(&mut self) -> SocketAddr {
        self.port += 1;
        SocketAddr::new(FAR, self.port)
    }

    fn keep_far(&mut self, end: End) -> Far {
        self.fars.push(end);
        Far(self.fars.len() - 1)
    }

    fn disk(&mut self) -> (&mut Disk, Time) {
        let now = self.commons.clock.now();
        (&mut self.commons.disks[0], now)
    }

    fn find(&mut self, path: &Path) -> InodeNumber {
        self.disk().0.find(path).expect("the file is there")
    }
}

fn near() -> SocketAddr {
    SocketAddr::new(NEAR, 6881)
}

fn directory() -> Arc<Path> {
    Arc::from(Path::new("/data"))
}

fn options(seed: u64, core: u16) -> Options {
    Options {
        party: Party(u32::from(core)),
        core: CoreIndex(core),
        siblings: vec![Party(0), Party(1)],
        address: near(),
        disk: 0,
        extents: 8,
        frames: 4,
        buffers: 16,
        descriptors: 10_000,
        life: 1,
        seed: seed * 2 + u64::from(core),
    }
}

impl World for SimulatedWorld {
    fn turn(&mut self, core: usize, ops: &mut Vec<Op>, turn: Turn, done: &mut Vec<Completion>) {
        self.cores[core].perform(&mut self.commons, ops.drain(..));
        self.settle();
        match turn {
            Turn::Waits => self.wait(|world| world.cores[core].has_news().then_some(())),
            Turn::Looks => {
                let until = self.commons.clock.now() + LOOK;
                while self.step(until) {}
            }
        }
        done.extend(self.cores[core].take_done(&mut self.commons));
    }

    fn pool(&mut self, core: usize) -> &mut dyn Pool {
        self.cores[core].pool()
    }

    fn buffers(&self) -> usize {
        16
    }

    fn dial(&mut self) -> (Far, SocketAddr) {
        let from = self.far_address();
        let Commons { network, clock, .. } = &mut self.commons;
        let end = network.connect(clock, DIALLERS, from, near(), LOOK);
        self.wait(|world| world.dialled.pop_front());
        (self.keep_far(end), from)
    }

    fn listen(&mut self) -> SocketAddr {
        let address = self.far_address();
        let party = Party(DIALLERS.0 + 1 + self.listeners.len() as u32);
        self.commons.network.listen(address, vec![party]);
        self.listeners.insert(address, party);
        address
    }

    fn answer(&mut self, at: SocketAddr) -> Far {
        let party = self.listeners[&at];
        let end = self.wait(|world| {
            let place = world.visitors.iter().position(|(of, _)| *of == party)?;
            world.visitors.remove(place)
        });
        self.keep_far(end.1)
    }

    fn refusing(&mut self) -> SocketAddr {
        self.far_address()
    }

    fn silent(&mut self) -> SocketAddr {
        SocketAddr::new(DEAD, 6881)
    }

    fn say(&mut self, far: Far, bytes: &[u8]) {
        let end = self.fars[far.0];
        let mut payload = Payload::copied(bytes.to_vec());
        while !payload.is_empty() {
            let Commons { network, clock, .. } = &mut self.commons;
            let took = network
                .send(clock, end, payload.clone())
                .expect("the connection stands");
            let _ = payload.split_to(took as usize);
            // What is on its way makes room; a socket that takes nothing for no reason is just asked again.
            let now = self.commons.clock.now();
            self.step(now + LOOK);
        }
    }

    fn hear(&mut self, far: Far, len: usize) -> Vec<u8> {
        let end = self.fars[far.0];
        let mut bytes = Vec::new();
        self.wait(|world| {
            let Commons { network, clock, .. } = &mut world.commons;
            bytes.extend(network.receive(clock, end, len - bytes.len()));
            let readable = network.readable(end);
            if let Some(Some(error)) = readable.ended {
                panic!("the stream goes on or ends in order: {error:?}");
            }
            (bytes.len() == len || readable.len == 0 && readable.ended.is_some()).then_some(())
        });
        bytes
    }

    fn finish(&mut self, far: Far) {
        let Commons { network, clock, .. } = &mut self.commons;
        network.finish(clock, self.fars[far.0]);
    }

    fn close(&mut self, far: Far) {
        let Commons { network, clock, .. } = &mut self.commons;
        network.close(clock, self.fars[far.0]);
    }

    fn reset(&mut self, far: Far) {
        let Commons { network, clock, .. } = &mut self.commons;
        network.abort(clock, self.fars[far.0]);
    }

    fn datagrams(&self) -> SocketAddr {
        near()
    }

    fn bind(&mut self) -> SocketAddr {
        let address = self.far_address();
        self.commons.network.bind(address, DIALLERS);
        address
    }

    fn send_datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        let Commons { network, clock, .. } = &mut self.commons;
        network.send_datagram(clock, from, near(), bytes);
    }

    fn receive_datagram(&mut self, at: SocketAddr) -> (SocketAddr, Vec<u8>) {
        self.wait(|world| {
            let place = world.datagrams.iter().position(|(to, ..)| *to == at)?;
            let (_, from, bytes) = world.datagrams.remove(place)?;
            Some((from, bytes))
        })
    }

    fn directory(&self) -> Arc<Path> {
        directory()
    }

    fn small_disk(&mut self, room: u64) -> Option<Arc<Path>> {
        let at: Arc<Path> = Arc::from(Path::new("/small"));
        let (disk, _) = self.disk();
        disk.put_directory(&at);
        disk.limit_space(Some(room));
        Some(at)
    }

    fn make_room(&mut self) {
        self.disk().0.limit_space(None);
    }

    fn put(&mut self, path: &Arc<Path>, bytes: &[u8]) {
        let (disk, now) = self.disk();
        let number = disk.put(now, path, Content::Zeroes, 0);
        disk.write(now, number, 0, bytes).expect("a healthy disk");
    }

    fn change(&mut self, path: &Arc<Path>, change: Change<'_>) {
        let number = self.find(path);
        let (disk, now) = self.disk();
        match change {
            Change::Write(bytes) => disk.write(now, number, 0, bytes).expect("a healthy disk"),
            Change::Truncate(len) => disk.truncate(now, number, len),
            Change::Touch => disk.touch(now, number),
            Change::Mode => disk.set_mode(now, number, 0o100_755),
            Change::Delete => disk.delete(now, path),
        }
    }

    fn content(&mut self, path: &Path) -> Vec<u8> {
        let number = self.find(path);
        let (disk, _) = self.disk();
        let mut bytes = vec![0; disk.stamp(number).size as usize];
        disk.read(number, 0, &mut bytes).expect("a healthy disk");
        bytes
    }

    fn age(&mut self) {
        // No two changes have the same stamp here.
    }
}
