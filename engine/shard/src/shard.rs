//! The shard itself: its parts, its inputs and outputs, and who handles what.
//!
//! [`Shard::on`] is the one place where completions come in, a closed match whose arms each call the file of their
//! concern: `greeting` (from accept to the answered handshake), `conversation` (what peers say), `serving` (turns,
//! reads and sends), `watch` (files that change), `timers`. State is owned by the concern's own type; this file only
//! holds them side by side.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use shoal_world::{Completion, CoreIndex, File, Frame, Op, Pool, Rng, Socket, Time};
use slab::Slab;

use crate::buffers::PieceBuffers;
use crate::cache::Cache;
use crate::calling::Call;
use crate::counters::Counters;
use crate::event::{Command, Event};
use crate::fetching::{Banned, HashUnderWay, Landed, WriteUnderWay};
use crate::files::{FileKey, Files};
use crate::hot::HotCache;
use crate::peer::Peers;
use crate::serving::{Fill, ReadUnderWay};
use crate::settings::Settings;
use crate::torrent::{TorrentId, Torrents};
use crate::waiting::Waiting;
use crate::wheel::Wheel;

/// One core's engine as a plain value.
///
/// It is driven by three calls: [`Shard::on`] with what completed, [`Shard::command`] with what an owner wants, and
/// [`Shard::deadline`] for when to call again if nothing completes.
#[derive(Debug)]
pub struct Shard {
    pub(crate) settings: Settings,
    pub(crate) peers: Peers,
    pub(crate) torrents: Torrents,
    /// Torrents in which somebody waits for a slot.
    pub(crate) rotating: BTreeSet<TorrentId>,
    pub(crate) cache: Cache,
    pub(crate) hot: HotCache,
    pub(crate) files: Files,
    pub(crate) reads: Slab<ReadUnderWay>,
    pub(crate) writes: Slab<WriteUnderWay>,
    pub(crate) syncs: Slab<(FileKey, File)>,
    pub(crate) hashes: Slab<HashUnderWay>,
    pub(crate) calls: Slab<Call>,
    pub(crate) buffers: PieceBuffers,
    /// Peers that are asked for blocks at the end of the turn.
    pub(crate) asking: VecDeque<Socket>,
    /// Peers that would be asked for more if there were memory.
    pub(crate) hungry: Waiting,
    /// What the portion at hand brought; kept for its memory.
    pub(crate) landed: Landed,
    pub(crate) banned: Banned,
    /// Torrents that became complete in this turn.
    pub(crate) completed: Vec<TorrentId>,
    /// Peers that wait for a throttle to open.
    pub(crate) throttled: Waiting,
    pub(crate) opens_at: Option<Time>,
    pub(crate) call_at: Option<Time>,
    pub(crate) settle_at: Option<Time>,
    /// When the least useful connections give way to others.
    pub(crate) turnover_at: Option<Time>,
    /// Our address as peers see it.
    pub(crate) our_ip: Option<IpAddr>,
    pub(crate) rng: Rng,
    /// Files of torrents that are gone, with the reads that are still under way on them.
    pub(crate) abandoned: BTreeMap<File, u32>,
    /// Framed extents being written.
    pub(crate) fills: BTreeMap<Frame, Fill>,
    /// Peers that want a run planned, in the order of their turns.
    pub(crate) turns: VecDeque<Socket>,
    /// The same for peers whose next run is in the hot cache.
    pub(crate) hot_turns: VecDeque<Socket>,
    /// Connections whose handshake is awaited, the oldest first. Some may have moved on.
    pub(crate) greeting: VecDeque<Socket>,
    pub(crate) addresses: BTreeMap<IpAddr, u32>,
    pub(crate) wheel: Wheel<Socket>,
    pub(crate) accepting: Accepting,
    pub(crate) watch_at: Option<Time>,
    pub(crate) rotate_at: Option<Time>,
    pub(crate) stopping: bool,
    /// It was told that everything is closed.
    pub(crate) stopped: bool,
    pub(crate) counters: Counters,
    events: Vec<Event>,
}

/// Whether connections are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepting {
    /// The world has not been asked yet.
    NotYet,
    /// The world accepts.
    Yes,
    /// It could not; it is asked again at this time or when a connection closed.
    Again(Time),
    /// The shard stops.
    Never,
}

impl Shard {
    /// A shard without torrents, for a world with so much memory.
    pub fn new(settings: Settings, pool: &dyn Pool) -> Shard {
        assert!(settings.cores > 0, "a shard is one of at least one");
        Shard {
            peers: Peers::default(),
            torrents: Torrents::default(),
            rotating: BTreeSet::new(),
            cache: Cache::new(pool.extents()),
            hot: HotCache::new(pool.frames()),
            files: Files::new(settings.files_open_max),
            reads: Slab::new(),
            writes: Slab::new(),
            syncs: Slab::new(),
            hashes: Slab::new(),
            calls: Slab::new(),
            buffers: PieceBuffers::new(pool.extents()),
            asking: VecDeque::new(),
            hungry: Waiting::default(),
            landed: Landed::default(),
            banned: Banned::default(),
            completed: Vec::new(),
            throttled: Waiting::default(),
            opens_at: None,
            call_at: None,
            settle_at: None,
            turnover_at: None,
            our_ip: None,
            rng: Rng::new(settings.seed),
            abandoned: BTreeMap::new(),
            fills: BTreeMap::new(),
            turns: VecDeque::new(),
            hot_turns: VecDeque::new(),
            greeting: VecDeque::new(),
            addresses: BTreeMap::new(),
            wheel: Wheel::new(),
            accepting: Accepting::NotYet,
            watch_at: None,
            rotate_at: None,
            stopping: false,
            stopped: false,
            counters: Counters::default(),
            events: Vec::new(),
            settings,
        }
    }

    /// Takes everything that completed and decides what follows.
    pub fn on(&mut self, now: Time, done: &mut Vec<Completion>, pool: &mut dyn Pool, ops: &mut Vec<Op>) {
        for completion in done.drain(..) {
            match completion {
                Completion::Accepted { socket, address } => self.accepted(now, socket, address, ops),
                Completion::AcceptPaused(_) => self.accept_paused(now),
                Completion::Arrived {
                    socket,
                    address,
                    first,
                } => self.arrived(now, socket, address, &first, ops),
                Completion::ReceivedExact { socket, bytes } => self.greeted(now, socket, bytes, ops),
                Completion::Received { socket, buffer } => self.received(now, socket, buffer, pool, ops),
                Completion::ReceiveEnded { socket, .. } => self.receive_ended(now, socket, ops),
                Completion::Sent { socket, result } => self.sent(now, socket, result, ops),
                Completion::Writable { socket } => self.writable(now, socket, ops),
                Completion::Closed { socket } => self.closed(socket, ops),
                Completion::Opened { token, result } => self.file_opened(now, FileKey(token), result, ops),
                Completion::Read { token, result } => self.read_ended(now, token, result, ops),
                Completion::Stamped { token, result } => self.file_stamped(now, FileKey(token), result, ops),
                Completion::Filled { frame, result } => self.filled(frame, result, ops),
                Completion::Connected { token, result } => self.connected(now, token, result, ops),
                Completion::Wrote { token, result } => self.wrote(now, token, result, ops),
                Completion::Synced { token, result } => self.synced(now, token, result, ops),
                Completion::Hashed { token, digest } => self.hashed(now, token, digest, ops),
                unasked @ Completion::Datagram { .. } => {
                    panic!("a world answered what a shard never asks for: {unasked:?}")
                }
            }
        }
        self.timers(now, ops);
        self.part_from_seeds(now, ops);
        self.ask_all(now, ops);
        self.serve(now, ops);
        self.keep_watching(now);
        self.tell_if_stopped();
    }

    /// Does what an owner wants.
    pub fn command(&mut self, now: Time, command: Command, ops: &mut Vec<Op>) {
        match command {
            Command::Add(seeding) => self.add(*seeding),
            Command::TorrentVerified { info_hash, stamps } => {
                self.torrent_verified(now, info_hash, stamps, ops);
            }
            Command::FileRefuted { info_hash, file } => self.file_refuted(now, info_hash, file, ops),
            Command::Connect { info_hash, addresses } => self.learn(now, info_hash, addresses),
            Command::Prioritise {
                info_hash,
                priorities,
                wish,
            } => self.prioritise(now, info_hash, wish, &priorities, ops),
            Command::PrioritisePieces {
                info_hash,
                pieces,
                priority,
                wish,
            } => self.prioritise_pieces(now, info_hash, wish, &pieces, priority, ops),
            Command::Reorder { info_hash, order } => self.reorder(info_hash, order),
            Command::Expect { info_hash, pieces } => self.expect(now, info_hash, &pieces, ops),
            Command::Limit {
                info_hash,
                download,
                upload,
            } => self.limit(now, info_hash, download, upload),
            Command::SuperSeed { info_hash, on } => self.super_seed(now, info_hash, on, ops),
            Command::Remove { info_hash } => self.remove(now, info_hash, ops),
            Command::Stop => self.stop(now, ops),
        }
    }

    /// When to call [`Shard::on`] at the latest.
    pub fn deadline(&self) -> Option<Time> {
        let again = match self.accepting {
            Accepting::NotYet => Some(Time::ZERO),
            Accepting::Again(at) => Some(at),
            Accepting::Yes | Accepting::Never => None,
        };
        let asks = (!self.asking.is_empty()).then_some(Time::ZERO);
        let times = [
            self.wheel.deadline(),
            self.watch_at,
            self.rotate_at,
            self.call_at,
            self.opens_at,
            self.turnover_at,
            self.settle_at,
            asks,
            again,
        ];
        times.into_iter().flatten().min()
    }

    /// What happened since this was asked last.
    pub fn events(&mut self) -> impl Iterator<Item = Event> + '_ {
        self.events.drain(..)
    }

    /// What was counted since the beginning.
    pub fn counters(&self) -> Counters {
        Counters {
            peers: self.peers.len() as u64,
            torrents: self.torrents.len() as u64,
            ..self.counters
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    /// The core that owns a torrent. Info-hashes are digests, so their first bytes spread evenly.
    pub fn owner(info_hash: &shoal_proto::info_hash::InfoHash, cores: u16) -> CoreIndex {
        let [a, b, c, d, ..] = info_hash.wire_bytes();
        CoreIndex((u32::from_be_bytes([a, b, c, d]) % u32::from(cores)) as u16)
    }
}

#[cfg(test)]
mod tests;
