//! The world of the shard under fuzz: it performs what is asked for when, in the order and with the outcome that the
//! input says, and holds the shard to the contract and to what it may write, tell and claim.
//!
//! Memory is the simulator's, which proves that no byte is used by both sides. Files remember what was written, what of it
//! a sync covered, and how often they changed. Nothing is random and nothing happens by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use sha1::{Digest as _, Sha1};
use shoal_proto::info_hash::InfoHash;
use shoal_shard::{Command, Event, Priority, Seeding, Settings, Shard};
use shoal_world::{
    Access, Completion, Errno, File, FileStamp, Op, Opened, Part, ReadDone, Refusal, Socket, Time,
};

use super::line::{Line, Receiving};
use crate::sim::errno;
use crate::sim::memory::{Memory, PAYLOAD_BUFFER_LEN};
use crate::sim::torrent::Torrent;

/// Received buffers: the shard gives each back in the turn that it came in.
const BUFFERS: u16 = 2;

/// Turns of the shard at one moment, with everything that is asked for performed between them. More is a shard that spins:
/// the longest chain of an input that ends, a torrent of hundreds of files opened four at a time, takes some thousand.
const TURNS_MAX: usize = 20_000;

/// Peers by number: who they are. The first is always honest; the last two come at the end.
pub(super) const PEERS: usize = 6;

/// The honest peer that takes part from the beginning.
pub(super) const HONEST: usize = 0;

/// A file on disk.
#[derive(Debug)]
struct Disk {
    bytes: Vec<u8>,
    /// What survives a loss of power.
    durable: Vec<u8>,
    /// Ranges whose writes were told and that no sync covers.
    unsynced: Vec<Range<u64>>,
    /// How often it changed.
    changes: i64,
}

/// What was asked for and not performed.
#[derive(Debug)]
struct Pending {
    op: Op,
    /// What a sync makes durable: the rest was not told to be written when it was asked for.
    covers: Vec<Range<u64>>,
}

/// A shard and its world.
pub(super) struct Stage {
    pub(super) shard: Shard,
    pub(super) torrent: Torrent,
    pub(super) lines: BTreeMap<Socket, Line>,
    /// Operations on files and hashes are performed as soon as they are asked for.
    pub(super) prompt: bool,
    /// Writes fail.
    pub(super) disk_full: bool,
    /// Peers that sent a wrong byte.
    pub(super) liars: BTreeSet<usize>,
    /// Something failed for which a torrent may be given up.
    pub(super) harmed: bool,
    /// The torrent is there.
    pub(super) present: bool,
    pub(super) finished: bool,
    /// The number of the latest wish.
    wish: u64,
    pub(super) stopped: bool,
    /// Bytes that peers said.
    pub(super) heard_len: usize,
    /// Pieces that are written.
    pub(super) has: Vec<bool>,
    memory: Memory,
    now: Time,
    accepting: bool,
    generations: Vec<u32>,
    pending: Vec<Pending>,
    disks: Vec<Disk>,
    handles: BTreeMap<u32, usize>,
    handles_made: u32,
}

impl Stage {
    /// A shard without torrents, beside the empty files of one.
    pub(super) fn new(settings: Settings, extents: u32, torrent: Torrent) -> Stage {
        let memory = Memory::new(extents, 0, BUFFERS);
        let mut stage = Stage {
            shard: Shard::new(settings, &memory),
            lines: BTreeMap::new(),
            prompt: true,
            disk_full: false,
            liars: BTreeSet::new(),
            harmed: false,
            present: false,
            finished: false,
            wish: 0,
            stopped: false,
            heard_len: 0,
            has: Vec::new(),
            memory,
            now: Time::ZERO,
            accepting: false,
            generations: Vec::new(),
            pending: Vec::new(),
            disks: Vec::new(),
            handles: BTreeMap::new(),
            handles_made: 0,
            torrent,
        };
        stage.empty_files();
        stage
    }

    /// All files are as long as they should be, and hold nothing.
    pub(super) fn empty_files(&mut self) {
        let disk = |len: u64| Disk {
            bytes: vec![0; len as usize],
            durable: vec![0; len as usize],
            unsynced: Vec::new(),
            changes: 0,
        };
        self.disks = self.torrent.files.iter().map(|file| disk(file.len)).collect();
        self.has = vec![false; self.torrent.pieces() as usize];
    }

    /// Where a peer is.
    pub(super) fn address(peer: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, 1, peer as u8], 6881))
    }

    /// Adds the torrent, of which nothing was wished yet.
    pub(super) fn add(&mut self, seeding: Seeding) {
        (self.present, self.finished, self.wish) = (true, false, 0);
        self.command(Command::Add(Box::new(seeding)));
    }

    /// The owner wants the files so much.
    pub(super) fn prioritise(&mut self, info_hash: InfoHash, priorities: Vec<Priority>) {
        self.finished = false;
        self.wish += 1;
        self.command(Command::Prioritise {
            info_hash,
            priorities,
            wish: self.wish,
        });
    }

    /// Commands the shard, and lets follow what follows.
    pub(super) fn command(&mut self, command: Command) {
        let mut ops = Vec::new();
        self.shard.command(self.now, command, &mut ops);
        self.take_events();
        self.ask(ops);
        self.settle();
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(deadline) = self.shard.deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.turn(Vec::new());
            self.settle();
        }
        self.now = until;
    }

    /// A peer comes, if anybody accepts. Its handshake waits to be read.
    pub(super) fn accept(&mut self, line: Line) {
        if !self.accepting {
            return;
        }
        let address = Stage::address(line.peer);
        let socket = self.connect(line);
        self.turn(vec![Completion::Accepted { socket, address }]);
        self.settle();
    }

    fn connect(&mut self, line: Line) -> Socket {
        let used = |slot: u32| self.lines.keys().any(|socket| socket.slot == slot);
        let slot = (0..).find(|slot| !used(*slot)).expect("a free slot");
        if self.generations.len() <= slot as usize {
            self.generations.push(0);
        }
        let generation = &mut self.generations[slot as usize];
        *generation += 1;
        let socket = Socket {
            slot,
            generation: *generation,
        };
        self.lines.insert(socket, line);
        socket
    }

    /// How many operations wait to be performed.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What a call that waits is for: the address, if it is one.
    pub(super) fn called(&self, index: usize) -> Option<SocketAddr> {
        match self.pending.get(index)?.op {
            Op::Connect { address, .. } => Some(address),
            _ => None,
        }
    }

    /// A call that waits is answered by this connection, or refused.
    pub(super) fn answer(&mut self, index: usize, line: Option<Line>) {
        let Op::Connect { token, .. } = self.pending.remove(index).op else {
            panic!("what is answered is a call");
        };
        let result = line.map_or(Err(errno::ECONNREFUSED), |line| Ok(self.connect(line)));
        self.turn(vec![Completion::Connected { token, result }]);
        self.settle();
    }

    /// Performs one of the operations that wait.
    pub(super) fn perform(&mut self, index: usize, fails: bool) {
        let pending = self.pending.remove(index);
        let done = self.done(pending, fails);
        self.turn(vec![done]);
        self.settle();
    }

    /// Delivers up to so many bytes of what a peer said.
    pub(super) fn deliver(&mut self, socket: Socket, len_max: usize) {
        let mut left = len_max;
        while left > 0
            && let Some(line) = self.lines.get_mut(&socket)
            && let Some(len) = portion(line, left)
        {
            let bytes: Vec<u8> = line.says.drain(..len).collect();
            line.hears(&bytes);
            self.heard_len += len;
            left -= len;
            let exact = matches!(line.receiving, Receiving::Exact(_));
            let done = if exact {
                line.receiving = Receiving::Nothing;
                Completion::ReceivedExact { socket, bytes }
            } else {
                let buffer = self.memory.deliver(bytes);
                Completion::Received { socket, buffer }
            };
            self.turn(vec![done]);
            assert!(exact || self.memory.has_buffer(), "a received buffer is kept");
            self.settle();
        }
    }

    /// A peer hangs up.
    pub(super) fn hang_up(&mut self, socket: Socket, error: Option<Errno>) {
        let Some(line) = self.lines.get_mut(&socket) else {
            return;
        };
        line.says.clear();
        if std::mem::replace(&mut line.receiving, Receiving::Nothing) != Receiving::Nothing {
            self.turn(vec![Completion::ReceiveEnded { socket, error }]);
            self.settle();
        }
    }

    /// Performs everything that need not wait, until nothing follows.
    pub(super) fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            let done = self.ready();
            let due = self.shard.deadline().is_some_and(|deadline| deadline <= self.now);
            if done.is_empty() && !due {
                return;
            }
            self.turn(done);
        }
        panic!("the shard does not come to rest");
    }

    /// Nothing is under way, nothing is open, nothing is held.
    pub(super) fn assert_idle(&self) {
        let left: Vec<&Op> = self.pending.iter().map(|pending| &pending.op).collect();
        assert!(left.is_empty(), "never performed: {left:?}");
        assert!(
            self.handles.is_empty(),
            "files were left open: {:?}",
            self.handles
        );
        self.memory.assert_returned();
    }

    /// What completes now: sends and closes, and where operations are prompt those on files.
    fn ready(&mut self) -> Vec<Completion> {
        let mut done = Vec::new();
        for socket in self.lines.keys().copied().collect::<Vec<Socket>>() {
            done.extend(self.send(socket));
            let line = self.lines.get_mut(&socket).expect("it is there");
            if line.closing {
                self.lines.remove(&socket);
                done.push(Completion::Closed { socket });
            } else if line.waiting && !line.blocked {
                line.waiting = false;
                done.push(Completion::Writable { socket });
            }
        }
        if self.prompt {
            let is_call = |pending: &Pending| matches!(pending.op, Op::Connect { .. });
            let (calls, now): (Vec<Pending>, Vec<Pending>) =
                std::mem::take(&mut self.pending).into_iter().partition(is_call);
            self.pending = calls;
            done.extend(now.into_iter().map(|pending| self.done(pending, false)));
        }
        done
    }

    /// The send that is under way reaches its socket.
    fn send(&mut self, socket: Socket) -> Option<Completion> {
        let line = self.lines.get_mut(&socket)?;
        let gather = line.sending.take()?;
        let bytes = self.memory.gathered(&gather);
        self.memory.stop_using(&gather.parts);
        let taken = match std::mem::take(&mut line.takes) {
            _ if line.blocked => 0,
            0 => bytes.len(),
            takes => bytes.len().min(takes),
        };
        line.loose |= taken < bytes.len();
        line.takes(&bytes[..taken], &self.torrent, &self.has);
        let result = Ok(taken as u32);
        Some(Completion::Sent { socket, result })
    }

    fn turn(&mut self, mut done: Vec<Completion>) {
        let mut ops = Vec::new();
        self.shard.on(self.now, &mut done, &mut self.memory, &mut ops);
        self.take_events();
        self.ask(ops);
    }

    /// What the shard asks for is under way from here on.
    fn ask(&mut self, ops: Vec<Op>) {
        for op in ops {
            self.ask_one(op);
        }
    }

    fn ask_one(&mut self, op: Op) {
        let mut covers = Vec::new();
        match &op {
            Op::Accept => return self.accepting = true,
            Op::ReceiveExact { socket, len } => {
                return self.line(*socket).receiving = Receiving::Exact(*len as usize);
            }
            Op::Receive { socket } | Op::ReceivePayload { socket } => {
                return self.line(*socket).receiving = Receiving::Stream;
            }
            Op::AwaitWritable { socket } => return self.line(*socket).waiting = true,
            Op::Close { socket } => {
                let line = self.line(*socket);
                (line.closing, line.receiving) = (true, Receiving::Nothing);
                return line.says.clear();
            }
            Op::Send { .. } => return self.ask_send(op),
            Op::CloseFile { file } => {
                let used = self
                    .pending
                    .iter()
                    .any(|pending| file_of(&pending.op) == Some(*file));
                assert!(!used, "a file is closed under what is under way on it");
                let open = self.handles.remove(&file.0);
                return assert!(open.is_some(), "a file is closed twice");
            }
            Op::Write { .. } => self.judge_write(&op),
            Op::Hash { parts, .. } => self.memory.start_using(parts),
            Op::Read {
                extent, start, len, ..
            } => self.memory.start_filling(*extent, *start, *len),
            Op::Sync { file, .. } => {
                let disk = self.handles[&file.0];
                covers = std::mem::take(&mut self.disks[disk].unsynced);
            }
            Op::Connect { .. } | Op::Open { .. } | Op::Stamp { .. } => {}
            op => panic!("there is one core, and no framed extent: {op:?}"),
        }
        self.pending.push(Pending { op, covers });
    }

    fn ask_send(&mut self, op: Op) {
        let Op::Send { socket, gather } = op else {
            panic!("not a send: {op:?}");
        };
        self.memory.start_using(&gather.parts);
        let before = self.line(socket).sending.replace(gather);
        assert!(before.is_none(), "two sends on one socket");
    }

    fn line(&mut self, socket: Socket) -> &mut Line {
        let line = self.lines.get_mut(&socket).expect("a connection that is there");
        assert!(!line.closing, "an operation names a socket that is closing");
        line
    }

    /// What is written is the torrent's, where it belongs, and nobody else writes there.
    fn judge_write(&mut self, op: &Op) {
        let Op::Write {
            file,
            offset,
            extent,
            start,
            len,
            ..
        } = *op
        else {
            panic!("not a write: {op:?}");
        };
        let range = offset..offset + u64::from(len);
        let part = &self.torrent.files[self.handles[&file.0]];
        assert!(len > 0 && range.end <= part.len, "{op:?} leaves its file");
        assert!(!part.padding, "padding is written");
        let bytes = self.memory.bytes(extent, start, len);
        assert!(
            self.torrent.has(part.start + offset, bytes),
            "{op:?} writes other bytes than the torrent's"
        );
        let meets = |pending: &Pending| match pending.op {
            Op::Write {
                file: other,
                offset,
                len,
                ..
            } => other == file && offset < range.end && range.start < offset + u64::from(len),
            _ => false,
        };
        assert!(!self.pending.iter().any(meets), "{op:?} meets another write");
        self.memory.start_using(&[Part::Extent { extent, start, len }]);
    }

    /// How an operation ends.
    fn done(&mut self, pending: Pending, fails: bool) -> Completion {
        let Pending { op, covers } = pending;
        // A disk that is full refuses writes, which is nobody's end; everything else may be.
        self.harmed |= fails && !matches!(op, Op::Write { .. } | Op::Hash { .. } | Op::Connect { .. });
        match op {
            Op::Open {
                token, path, access, ..
            } => {
                assert_eq!(access, Access::Write, "what is fetched is opened for it");
                let result = if fails {
                    Err(Refusal::Errno(errno::EMFILE))
                } else {
                    Ok(self.open(&path))
                };
                Completion::Opened { token, result }
            }
            Op::Stamp { token, path } => {
                let disk = self.disk_at(&path);
                let result = if fails {
                    Err(Refusal::Errno(errno::EIO))
                } else {
                    Ok(self.stamp(disk))
                };
                Completion::Stamped { token, result }
            }
            Op::Sync { token, file } => {
                let disk = &mut self.disks[self.handles[&file.0]];
                let result = if fails { Err(errno::EIO) } else { Ok(()) };
                for range in covers.into_iter().filter(|_| !fails) {
                    let range = range.start as usize..range.end as usize;
                    disk.durable[range.clone()].copy_from_slice(&disk.bytes[range]);
                }
                Completion::Synced { token, result }
            }
            Op::Hash { token, parts } => {
                let mut hasher = Sha1::new();
                for part in &parts {
                    let Part::Extent { extent, start, len } = *part else {
                        panic!("only extents are hashed");
                    };
                    hasher.update(self.memory.bytes(extent, start, len));
                }
                self.memory.stop_using(&parts);
                let digest = hasher.finalize().into();
                Completion::Hashed { token, digest }
            }
            Op::Connect { token, .. } => Completion::Connected {
                token,
                result: Err(errno::ETIMEDOUT),
            },
            Op::Write { .. } => self.write(&op, fails),
            Op::Read { .. } => self.read(&op, fails),
            op => panic!("not an operation that waits: {op:?}"),
        }
    }

    fn write(&mut self, op: &Op, fails: bool) -> Completion {
        let Op::Write {
            token,
            file,
            offset,
            extent,
            start,
            len,
        } = *op
        else {
            panic!("not a write: {op:?}");
        };
        self.memory.stop_using(&[Part::Extent { extent, start, len }]);
        if fails || self.disk_full {
            let result = Err(errno::ENOSPC);
            return Completion::Wrote { token, result };
        }
        let index = self.handles[&file.0];
        let bytes = self.memory.bytes(extent, start, len);
        let right = self.torrent.has(self.torrent.files[index].start + offset, bytes);
        assert!(right, "bytes changed while they were written");
        let disk = &mut self.disks[index];
        let range = offset..offset + u64::from(len);
        disk.bytes[range.start as usize..range.end as usize].copy_from_slice(bytes);
        disk.unsynced.push(range);
        disk.changes += 1;
        Completion::Wrote {
            token,
            result: Ok(()),
        }
    }

    fn read(&mut self, op: &Op, fails: bool) -> Completion {
        let Op::Read {
            token,
            file,
            offset,
            extent,
            start,
            len,
        } = *op
        else {
            panic!("not a read: {op:?}");
        };
        let index = self.handles[&file.0];
        let place = self.memory.filled(extent, start, len);
        if fails {
            let result = Err(errno::EIO);
            return Completion::Read { token, result };
        }
        let from = &self.disks[index].bytes[offset as usize..];
        let len = from.len().min(place.len());
        place[..len].copy_from_slice(&from[..len]);
        let result = Ok(ReadDone {
            len: len as u32,
            stamp: self.stamp(index),
        });
        Completion::Read { token, result }
    }

    fn open(&mut self, path: &Path) -> Opened {
        let disk = self.disk_at(path);
        let file = File(self.handles_made);
        self.handles_made += 1;
        self.handles.insert(file.0, disk);
        let stamp = self.stamp(disk);
        Opened { file, stamp }
    }

    fn disk_at(&self, path: &Path) -> usize {
        let mut files = self.torrent.files.iter();
        let disk = files.position(|file| *file.path == *path);
        disk.expect("a path of the torrent")
    }

    fn stamp(&self, disk: usize) -> FileStamp {
        let Disk { bytes, changes, .. } = &self.disks[disk];
        FileStamp {
            device: 1,
            inode: disk as u64,
            size: bytes.len() as u64,
            modified_ns: *changes,
            changed_ns: *changes,
            links: 1,
            mode: 0o100_644,
            uid: 0,
            gid: 0,
        }
    }

    fn take_events(&mut self) {
        for event in self.shard.events().collect::<Vec<Event>>() {
            match event {
                Event::PieceWritten { piece, .. } => {
                    let piece = piece.get();
                    assert!(
                        self.is_right(piece, |disk| &disk.bytes),
                        "piece {piece} is not written"
                    );
                    let before = std::mem::replace(&mut self.has[piece as usize], true);
                    assert!(!before, "piece {piece} was written twice");
                }
                Event::PiecesDurable { pieces, .. } => {
                    for piece in pieces {
                        let piece = piece.get();
                        let right = self.has[piece as usize] && self.is_right(piece, |disk| &disk.durable);
                        assert!(right, "piece {piece} is not durable");
                    }
                }
                Event::TorrentFinished { wish, .. } => self.finished |= wish == self.wish,
                Event::TorrentFailed { failure, .. } => {
                    assert!(self.harmed, "the torrent was given up for nothing: {failure}");
                    self.present = false;
                }
                Event::PeerBanned { address, .. } => {
                    let lied = self.liars.iter().any(|peer| Stage::address(*peer) == address);
                    assert!(lied, "{address} was banned and never lied");
                }
                Event::Stopped => self.stopped = true,
                Event::TorrentPaused { .. } | Event::TorrentResumed { .. } => {}
                event @ (Event::FileSuspect { .. } | Event::PieceTooLong { .. }) => {
                    panic!("nothing is the reason for {event:?}");
                }
            }
        }
    }

    /// Whether the disk holds a piece.
    fn is_right(&self, piece: u32, of: impl Fn(&Disk) -> &[u8]) -> bool {
        let start = u64::from(piece) * u64::from(self.torrent.piece_len);
        let end = start + u64::from(self.torrent.len_of(piece).expect("a piece that exists"));
        let files = self.torrent.files.iter().zip(&self.disks);
        let mut files = files.filter(|(file, _)| !file.padding);
        files.all(|(file, disk)| {
            let from = start.clamp(file.start, file.start + file.len);
            let to = end.clamp(file.start, file.start + file.len);
            let bytes = &of(disk)[(from - file.start) as usize..(to - file.start) as usize];
            self.torrent.has(from, bytes)
        })
    }
}

/// How many bytes of what waits are read next, `len_max` at most. `None`: none.
fn portion(line: &Line, len_max: usize) -> Option<usize> {
    match line.receiving {
        Receiving::Exact(len) => (line.says.len() >= len).then_some(len),
        Receiving::Stream => {
            let len = line.says.len().min(len_max).min(PAYLOAD_BUFFER_LEN);
            (len > 0).then_some(len)
        }
        Receiving::Nothing => None,
    }
}

/// The open file that an operation names.
fn file_of(op: &Op) -> Option<File> {
    match op {
        Op::Read { file, .. } | Op::Write { file, .. } | Op::Sync { file, .. } => Some(*file),
        _ => None,
    }
}
