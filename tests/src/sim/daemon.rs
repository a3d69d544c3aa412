//! A daemon of the simulation: cores with real shards, and an owner who does what a session and its operator do.
//!
//! The owner adds torrents whose files are what they should be, verifies those that a shard suspects, repairs and adds again
//! those that a shard gave up, and starts the process again after it was killed. It holds every shard to its word: a
//! torrent may fail only if something happened to its files, and after a stop nothing may be left. A daemon with an errand
//! fetches what it has not got (`errand`).

mod errand;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use shoal_proto::bitfield::Bitfield;
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::{FileLength, Layout};
use shoal_shard::{Cause, Command, Counters, Event as ShardEvent, Seeding, Settings, Shard};
use shoal_world::{CoreIndex, FileStamp, Time};

use super::dice::{Chance, Dice};
use super::disk::{Content, Disk};
use super::faults::Faults;
use super::network::{Notice, Party};
use super::torrent::{FilePart, Torrent};
use super::world::{self, Due, World};
use super::{Commons, Event, errno};
pub use errand::Errand;
use errand::Progress;

/// What a turn of a core costs, and each completion in it: 300 ns is what the measured core needs for a request.
const TURN_TIME: Duration = Duration::from_micros(2);
const COMPLETION_TIME: Duration = Duration::from_nanos(300);

/// Length of the stand-in for an `info` dictionary, in bytes.
pub const INFO_LEN: usize = 20_000;

/// Open files beyond the setting: those that are being read cannot be closed, and 64 reads are under way at most.
const FILES_OPEN_SLACK: usize = 64;

/// What a daemon is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub address: SocketAddr,
    /// The parties of its cores.
    pub parties: Vec<Party>,
    /// Which of the simulation's disks is its own.
    pub disk: usize,
    /// Extents of each core.
    pub extents: u32,
    /// Framed extents of each core.
    pub frames: u32,
    /// Received buffers of each core.
    pub buffers: u16,
    /// Connections and files that each core may have open.
    pub descriptors: usize,
    /// Settings of each core; number and count of cores are filled in.
    pub settings: Settings,
    /// The seed of its dice.
    pub seed: u64,
    /// How often it has not got a piece of a torrent that it serves.
    pub absent: Chance,
    /// What it is to fetch; then it begins with nothing.
    pub errand: Option<Errand>,
}

/// Requests beyond the setting: those of four runs that were planned and then waited again.
const PLANNED_MAX: u32 = 64;

#[derive(Debug)]
struct Core {
    shard: Shard,
    world: World,
    busy_until: Time,
    /// A turn is announced for then.
    wakes_at: Option<Time>,
    woken: bool,
    stopped: bool,
}

/// How a torrent stands with its daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is served.
    Served,
    /// It is not: its files are not what they should be.
    Failed,
}

/// What the owner has to do for a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chore {
    /// Verify its files again.
    Verify(usize),
    /// Put its files right and serve it again.
    Repair(usize),
}

/// A process with its cores, and its owner.
#[derive(Debug)]
pub struct Daemon {
    options: Options,
    torrents: Rc<[Rc<Torrent>]>,
    standing: Vec<Standing>,
    /// All cores were commanded to stop.
    stopping: bool,
    /// Which pieces it has, of each torrent.
    has: Vec<Vec<bool>>,
    cores: Vec<Core>,
    life: u32,
    /// Files that somebody changed or that could not be read since they were last right.
    harmed: BTreeSet<Arc<Path>>,
    /// What earlier lives counted.
    uploaded_before: u64,
    /// Operations of earlier lives.
    performed_before: u64,
    failures: BTreeMap<String, u32>,
    faults: Faults,
    /// How far each torrent is fetched.
    progress: Vec<Progress>,
    /// Who was banned.
    banned: BTreeSet<IpAddr>,
}

impl Daemon {
    /// A daemon that was not started; the files of its torrents are put on its disk.
    pub fn new(commons: &mut Commons, options: Options, torrents: &Rc<[Rc<Torrent>]>) -> Daemon {
        for torrent in torrents.iter() {
            let disk = &mut commons.disks[options.disk];
            if options.errand.is_some() {
                Errand::make_files(disk, torrent);
            } else {
                put_files(disk, Time::ZERO, torrent);
            }
        }
        let mut dice = Dice::new(options.seed, "daemon");
        let absent = options.absent;
        let fetches = options.errand.is_some();
        let mut has = |torrent: &Torrent| -> Vec<bool> {
            (0..torrent.pieces())
                .map(|_| !fetches && !dice.happens(absent))
                .collect()
        };
        Daemon {
            progress: torrents.iter().map(|torrent| Progress::new(torrent)).collect(),
            banned: BTreeSet::new(),
            has: torrents.iter().map(|torrent| has(torrent)).collect(),
            options,
            torrents: torrents.clone(),
            stopping: false,
            standing: vec![Standing::Failed; torrents.len()],
            cores: Vec::new(),
            life: 0,
            harmed: BTreeSet::new(),
            uploaded_before: 0,
            performed_before: 0,
            failures: BTreeMap::new(),
            faults: Faults::NONE,
        }
    }

    /// Starts the process: cores, listening, all torrents whose files are right.
    pub fn start(&mut self, commons: &mut Commons) {
        assert!(self.cores.is_empty(), "a daemon that runs was started");
        self.life += 1;
        self.stopping = false;
        let count = self.options.parties.len() as u16;
        for index in 0..count {
            let mut core = self.new_core(index, count);
            core.world.faults = self.faults.clone();
            self.cores.push(core);
            let party = self.options.parties[usize::from(index)];
            commons.clock.after(Duration::ZERO, Event::Turn(party));
        }
        commons
            .network
            .listen(self.options.address, self.options.parties.clone());
        for torrent in 0..self.torrents.len() {
            self.standing[torrent] = Standing::Failed;
            if self.options.errand.is_some() {
                self.resume(commons, torrent);
            } else if self.is_right(commons, torrent) {
                self.serve(commons, torrent);
            } else {
                self.will_do(commons, Duration::from_secs(3), Chore::Repair(torrent));
            }
        }
    }

    fn new_core(&self, index: u16, count: u16) -> Core {
        let options = &self.options;
        let mut world = World::new(world::Options {
            party: options.parties[usize::from(index)],
            core: CoreIndex(index),
            siblings: options.parties.clone(),
            address: options.address,
            disk: options.disk,
            extents: options.extents,
            frames: options.frames,
            buffers: options.buffers,
            descriptors: options.descriptors,
            life: self.life,
            seed: options.seed ^ u64::from(index) << 32 ^ u64::from(self.life),
        });
        let settings = Settings {
            core: CoreIndex(index),
            cores: count,
            ..options.settings.clone()
        };
        Core {
            shard: Shard::new(settings, world.pool()),
            world,
            busy_until: Time::ZERO,
            wakes_at: None,
            woken: true,
            stopped: false,
        }
    }

    /// Kills the process. What it had written stays, if the machine goes on.
    pub fn kill(&mut self, commons: &mut Commons, machine_too: bool) {
        self.uploaded_before = self.uploaded_bytes();
        self.performed_before += self.cores.iter().map(|core| core.world.performed()).sum::<u64>();
        self.cores.clear();
        self.stopping = false;
        let ip = self.options.address.ip();
        let Commons {
            network,
            clock,
            disks,
            ..
        } = commons;
        if machine_too {
            network.lose_power(ip);
            disks[self.options.disk].crash();
        } else {
            network.process_died(clock, ip);
            disks[self.options.disk].process_died();
        }
        commons.manners.died(ip);
        commons
            .trace
            .note(commons.clock.now(), "daemon", format_args!("killed"));
    }

    /// Which pieces of a torrent it has.
    pub fn has(&self, torrent: &Torrent) -> Vec<bool> {
        let mut all = self.torrents.iter().zip(&self.has);
        let found = all.find(|(other, _)| other.key == torrent.key);
        found.map_or(Vec::new(), |(_, has)| has.clone())
    }

    /// Whether the process runs.
    pub fn is_up(&self) -> bool {
        !self.cores.is_empty()
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.options.address
    }

    /// Its disk, by number.
    pub fn disk(&self) -> usize {
        self.options.disk
    }

    /// What goes wrong in its cores from now on.
    pub fn set_faults(&mut self, faults: &Faults) {
        self.faults = faults.clone();
        for core in &mut self.cores {
            core.world.faults = faults.clone();
        }
    }

    /// Lets an operation of the first core fail, by its number among those of this life.
    pub fn fails(&mut self, operation: u64) {
        if let Some(core) = self.cores.first_mut() {
            core.world.fails_at = Some(operation);
        }
    }

    /// Operations performed in this life.
    pub fn performed(&self) -> u64 {
        self.cores.iter().map(|core| core.world.performed()).sum()
    }

    /// Operations performed in all lives.
    pub fn performed_ever(&self) -> u64 {
        self.performed_before + self.performed()
    }

    /// Bytes of blocks that all lives say they sent.
    pub fn uploaded_bytes(&self) -> u64 {
        let now = self.cores.iter().map(|core| core.shard.counters().uploaded_bytes);
        self.uploaded_before + now.sum::<u64>()
    }

    /// What the cores count in this life.
    pub fn counters(&self) -> Vec<Counters> {
        self.cores.iter().map(|core| core.shard.counters()).collect()
    }

    /// Why torrents failed, and how often.
    pub fn failures(&self) -> &BTreeMap<String, u32> {
        &self.failures
    }

    /// Something happened to a file, for which its torrent may fail.
    pub fn harm(&mut self, path: &Arc<Path>) {
        self.harmed.insert(path.clone());
    }

    /// The owner does it.
    pub fn does(&mut self, commons: &mut Commons, chore: Chore) {
        if !self.is_up() || self.stopping {
            return;
        }
        match chore {
            Chore::Verify(torrent) => self.verify(commons, torrent),
            Chore::Repair(torrent) if self.standing[torrent] == Standing::Served => {}
            Chore::Repair(torrent) if self.options.errand.is_some() => self.resume(commons, torrent),
            Chore::Repair(torrent) => {
                self.repair(commons, torrent);
                self.serve(commons, torrent);
            }
        }
    }

    /// An operation of a core is done; one of an earlier life is nobody's.
    pub fn due(&mut self, commons: &mut Commons, core: usize, life: u32, due: Due) {
        if let Some(core) = self.cores.get_mut(core).filter(|core| core.world.life() == life) {
            core.world.due(commons, due);
        }
    }

    /// The network has something for a core.
    pub fn noticed(&mut self, commons: &mut Commons, core: usize, notice: Notice) {
        if let Some(core) = self.cores.get_mut(core) {
            core.world.noticed(commons, notice);
        }
    }

    /// A turn that was announced is due, unless an earlier one took its place.
    pub fn wakes(&mut self, now: Time, core: usize) {
        if let Some(core) = self.cores.get_mut(core)
            && core.wakes_at.is_some_and(|announced| announced <= now)
        {
            core.woken = true;
            core.wakes_at = None;
        }
    }

    /// Lets a core take a turn, if it has a reason to and is not busy.
    pub fn turn(&mut self, commons: &mut Commons, index: usize) {
        let party = self.options.parties[index];
        let Some(core) = self.cores.get_mut(index) else {
            return;
        };
        if !core.woken && !core.world.has_news() {
            return;
        }
        let now = commons.clock.now();
        if now < core.busy_until {
            core.announce(commons, party, core.busy_until);
            return;
        }
        core.woken = false;
        let mut done = core.world.take_done(commons);
        let mut ops = Vec::new();
        core.busy_until = now + TURN_TIME + COMPLETION_TIME * done.len() as u32;
        core.shard.on(now, &mut done, core.world.pool(), &mut ops);
        core.world.perform(commons, ops);
        if let Some(deadline) = core.shard.deadline() {
            core.announce(commons, party, deadline.max(core.busy_until));
        }
        if core.world.has_news() {
            core.announce(commons, party, core.busy_until);
        }
        let events: Vec<ShardEvent> = core.shard.events().collect();
        for event in events {
            self.happened(commons, index, event);
        }
    }

    /// Commands all cores to stop.
    pub fn stop(&mut self, commons: &mut Commons) {
        self.stopping = true;
        for index in 0..self.cores.len() {
            self.command(commons, index, Command::Stop);
        }
    }

    /// Whether it was commanded to stop in this life.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether all cores said that they stopped.
    pub fn has_stopped(&self) -> bool {
        self.cores.iter().all(|core| core.stopped)
    }

    /// Panics unless every core is within its limits.
    pub fn assert_within_limits(&self) {
        for core in &self.cores {
            let settings = &self.options.settings;
            let report = core.shard.report();
            assert!(
                report.peers.len() <= settings.peers_max as usize,
                "{} peers talk, {} may",
                report.peers.len(),
                settings.peers_max
            );
            for peer in report.peers {
                assert!(
                    peer.requests <= settings.requests_per_peer_max + PLANNED_MAX,
                    "{} requests of {} wait",
                    peer.requests,
                    peer.address
                );
            }
            let (_, files) = core.world.open();
            assert!(
                files <= settings.files_open_max as usize + FILES_OPEN_SLACK,
                "{files} files are open"
            );
        }
    }

    /// Panics unless everything is back after a stop.
    pub fn assert_idle(&self) {
        for core in &self.cores {
            core.world.assert_idle();
            assert_eq!(core.shard.counters().peers, 0, "peers are left after the stop");
        }
    }

    fn command(&mut self, commons: &mut Commons, index: usize, command: Command) {
        let party = self.options.parties[index];
        let now = commons.clock.now();
        let core = &mut self.cores[index];
        let mut ops = Vec::new();
        core.shard.command(now, command, &mut ops);
        core.world.perform(commons, ops);
        core.woken = true;
        core.announce(commons, party, now);
    }

    fn happened(&mut self, commons: &mut Commons, core: usize, event: ShardEvent) {
        let now = commons.clock.now();
        commons
            .trace
            .note(now, format_args!("core {core}"), format_args!("{event:?}"));
        match event {
            ShardEvent::Stopped => self.cores[core].stopped = true,
            ShardEvent::FileSuspect { info_hash, file } => {
                let torrent = self.number_of(info_hash);
                let path = &self.torrents[torrent].files[file.index()].path;
                assert!(
                    self.harmed.contains(path),
                    "{} was suspected for nothing",
                    path.display()
                );
                self.will_do(commons, Duration::from_millis(700), Chore::Verify(torrent));
            }
            ShardEvent::TorrentFailed { info_hash, failure } => {
                let torrent = self.number_of(info_hash);
                let unreadable = failure.cause == Cause::Errno(errno::EIO);
                let unsynced = matches!(failure.cause, Cause::Unsynced(_))
                    && commons.disks[self.options.disk].refusals() > 0;
                assert!(
                    unreadable || unsynced || self.harmed.contains(&failure.path),
                    "a torrent failed for nothing: {failure}"
                );
                *self.failures.entry(format!("{:?}", failure.cause)).or_insert(0) += 1;
                self.standing[torrent] = Standing::Failed;
                self.will_do(commons, Duration::from_secs(4), Chore::Repair(torrent));
            }
            fetched => self.fetched(commons, fetched),
        }
    }

    fn will_do(&self, commons: &mut Commons, after: Duration, chore: Chore) {
        commons
            .clock
            .after(after, Event::Chore(self.options.parties[0], chore));
    }

    fn number_of(&self, info_hash: InfoHash) -> usize {
        let hash = info_hash.wire_bytes();
        self.torrents
            .iter()
            .position(|torrent| torrent.info_hash == hash)
            .expect("a shard speaks of its own torrents")
    }

    fn serve(&mut self, commons: &mut Commons, torrent: usize) {
        let seeding = seeding(
            &self.torrents[torrent],
            &self.has[torrent],
            &commons.disks[self.options.disk],
        );
        let (ip, has) = (self.options.address.ip(), &self.has[torrent]);
        commons.manners.possesses(ip, &self.torrents[torrent], has);
        self.add(commons, torrent, seeding);
    }

    /// Gives a torrent to the core that owns it.
    fn add(&mut self, commons: &mut Commons, torrent: usize, seeding: Seeding) {
        self.standing[torrent] = Standing::Served;
        let owner = self.owner_of(torrent);
        self.command(commons, owner, Command::Add(Box::new(seeding)));
    }

    fn owner_of(&self, torrent: usize) -> usize {
        let info_hash = InfoHash::V1(self.torrents[torrent].info_hash);
        usize::from(Shard::owner(&info_hash, self.options.parties.len() as u16).0)
    }

    fn verify(&mut self, commons: &mut Commons, torrent: usize) {
        if self.standing[torrent] == Standing::Failed {
            return;
        }
        let parts = self.torrents[torrent].clone();
        let seeding = seeding(&parts, &self.has[torrent], &commons.disks[self.options.disk]);
        let owner = Shard::owner(&seeding.info_hash, self.options.parties.len() as u16);
        let disk = &commons.disks[self.options.disk];
        let wrong = parts.files.iter().position(|file| !is_right(disk, &parts, file));
        let info_hash = seeding.info_hash;
        let command = match wrong.and_then(|file| seeding.layout.files().nth(file)) {
            Some((file, _)) => Command::FileRefuted { info_hash, file },
            None => Command::TorrentVerified {
                info_hash,
                stamps: seeding.stamps,
            },
        };
        self.command(commons, usize::from(owner.0), command);
    }

    fn is_right(&self, commons: &Commons, torrent: usize) -> bool {
        let disk = &commons.disks[self.options.disk];
        let torrent = &self.torrents[torrent];
        torrent.files.iter().all(|file| is_right(disk, torrent, file))
    }

    fn repair(&mut self, commons: &mut Commons, torrent: usize) {
        let torrent = self.torrents[torrent].clone();
        let now = commons.clock.now();
        put_files(&mut commons.disks[self.options.disk], now, &torrent);
        for file in &torrent.files {
            self.harmed.remove(&file.path);
        }
    }
}

impl Core {
    /// Sees to it that a turn is taken at this time at the latest.
    fn announce(&mut self, commons: &mut Commons, party: Party, at: Time) {
        if self.wakes_at.is_none_or(|announced| announced > at) {
            self.wakes_at = Some(at);
            commons.clock.at(at, Event::Turn(party));
        }
    }
}

fn is_right(disk: &Disk, torrent: &Torrent, file: &FilePart) -> bool {
    let content = content_of(torrent, file);
    file.padding
        || disk
            .find(&file.path)
            .is_some_and(|inode| disk.is_original(inode, content, file.len))
}

fn content_of(torrent: &Torrent, file: &FilePart) -> Content {
    Content::Generated {
        key: torrent.key,
        start: file.start,
    }
}

/// Puts the files of a torrent right, those that are not.
fn put_files(disk: &mut Disk, now: Time, torrent: &Torrent) {
    for file in &torrent.files {
        if !is_right(disk, torrent, file) || disk.find(&file.path).is_some_and(|inode| disk.is_harmed(inode))
        {
            disk.put(now, &file.path, content_of(torrent, file), file.len);
        }
    }
}

/// What a shard is given to serve a torrent.
fn seeding(torrent: &Torrent, has: &[bool], disk: &Disk) -> Seeding {
    let lengths = torrent.files.iter().map(|file| FileLength {
        len: file.len,
        padding: file.padding,
    });
    let layout = Layout::new(torrent.piece_len, lengths).expect("the scenario's torrents are possible");
    let stamp =
        |file: &FilePart| -> Option<FileStamp> { disk.find(&file.path).map(|inode| disk.stamp(inode)) };
    let mut have = Bitfield::none(layout.pieces());
    for (piece, _) in layout.piece_indices().zip(has).filter(|(_, has)| **has) {
        have.set(piece);
    }
    Seeding {
        info_hash: InfoHash::V1(torrent.info_hash),
        info: vec![b'i'; INFO_LEN].into(),
        have,
        paths: torrent.files.iter().map(|file| file.path.clone()).collect(),
        stamps: torrent.files.iter().map(stamp).collect(),
        layout: Arc::new(layout),
        fetch: None,
    }
}
