//! A world of a few lines for the shard's own tests: memory is vectors, files are a formula until they are written, sockets
//! take what the test says. It performs every operation at once and in order, but for those that a test holds back;
//! random faults are the simulator's business.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha1::{Digest, Sha1};
use shoal_proto::bitfield::Bitfield;
use shoal_proto::handshake::{Handshake, Reserved};
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::{FileLength, Layout};
use shoal_proto::message::Message;
use shoal_proto::peer_id::PeerId;
use shoal_world::{
    Buffer, Completion, CoreIndex, EXTENT_LEN, Errno, Extent, FRAME_LEN, File, FileStamp, Gather, Op, Opened,
    PAGE_LEN, Part, Pool, ReadDone, Refusal, Socket, Time,
};

use super::super::Shard;
use crate::{Command, Event, Seeding, Settings};

pub(super) const INFO_HASH: InfoHash = InfoHash::V1([7; 20]);

/// More than one turn of a test receives in.
const BUFFERS: usize = 64;

/// Stands for an `info` dictionary of two pieces.
pub(super) static INFO: [u8; 20_000] = [b'i'; 20_000];

/// What a file is when nobody touches it.
pub(super) fn stamp(size: u64) -> FileStamp {
    FileStamp {
        device: 1,
        inode: 2,
        size,
        modified_ns: 3,
        changed_ns: 4,
        links: 1,
        mode: 0o100_644,
        uid: 0,
        gid: 0,
    }
}

/// Byte `offset` of file `file`.
pub(super) fn content(file: u32, offset: u64) -> u8 {
    (offset
        .wrapping_mul(0x9e37_79b9)
        .wrapping_add(u64::from(file) * 77)
        >> 11) as u8
}

/// Received bytes and payload memory.
#[derive(Default)]
pub(super) struct Memory {
    received: Vec<Option<Vec<u8>>>,
    arena: Vec<u8>,
    frames: Vec<Vec<u8>>,
}

impl Memory {
    /// A buffer with these bytes, the shard's until it gives it back.
    fn receive(&mut self, bytes: &[u8]) -> Buffer {
        let free = self.received.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.received.push(None);
            self.received.len() - 1
        });
        assert!(index < BUFFERS, "the shard gives buffers back");
        self.received[index] = Some(bytes.to_vec());
        Buffer(index as u16)
    }
}

impl Pool for Memory {
    fn received(&self, buffer: Buffer) -> &[u8] {
        self.received[usize::from(buffer.0)]
            .as_deref()
            .expect("a buffer that is the shard's")
    }

    fn release(&mut self, buffer: Buffer) {
        assert!(
            self.received[usize::from(buffer.0)].take().is_some(),
            "a buffer was released twice"
        );
    }

    fn store(&mut self, buffer: Buffer, start: u32, len: u32, extent: Extent, at: u32) {
        let bytes = self.received(buffer)[start as usize..][..len as usize].to_vec();
        let to = extent.0 as usize * EXTENT_LEN as usize + at as usize;
        self.arena[to..to + bytes.len()].copy_from_slice(&bytes);
    }

    fn extents(&self) -> u32 {
        (self.arena.len() / EXTENT_LEN as usize) as u32
    }

    fn frames(&self) -> u32 {
        self.frames.len() as u32
    }
}

/// A shard, its world, and what its peers received.
pub(super) struct Stage {
    pub(super) shard: Shard,
    pub(super) memory: Memory,
    pub(super) now: Time,
    pub(super) events: Vec<Event>,
    /// What each socket was sent.
    pub(super) wire: BTreeMap<Socket, Vec<u8>>,
    pub(super) closed: Vec<Socket>,
    /// How many bytes the next sends take; everything when there is nothing.
    pub(super) takes: VecDeque<u32>,
    /// The stamps of files that are not as they were.
    pub(super) stamps: BTreeMap<u32, FileStamp>,
    pub(super) read_bytes: u64,
    /// Where in their files reads began, in order.
    pub(super) read_offsets: Vec<u64>,
    /// The files whose paths were looked at.
    pub(super) looked_at: BTreeSet<u32>,
    /// Which operations are not performed before [`Stage::release`].
    pub(super) holds: fn(&Op) -> bool,
    /// Those of them that were asked for, in order.
    pub(super) held: Vec<Op>,
    /// What files hold that are written to; all others follow the formula.
    pub(super) disk: BTreeMap<u32, Vec<u8>>,
    pub(super) writes: Vec<Written>,
    /// How many of a file's descriptors, writes and syncs fail, and with what, from here on.
    pub(super) faults: Faults,
    /// Calls that nobody answered yet: the asker's number and whom.
    pub(super) calls: Vec<(u32, SocketAddr)>,
    lens: Vec<u64>,
    open: BTreeMap<u32, u32>,
    waiting: Vec<Op>,
}

/// A write that was performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) file: u32,
    pub(super) offset: u64,
    pub(super) len: u32,
    /// Whole pages, in memory and in the file: a disk takes them without a copy.
    pub(super) direct: bool,
}

/// What fails at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) open: Option<Errno>,
    pub(super) write: Option<Errno>,
    pub(super) sync: Option<Errno>,
    pub(super) stamp: Option<Errno>,
}

impl Stage {
    /// A shard that seeds one torrent of these files; a negative length is padding.
    pub(super) fn new(extents: u32, frames: u32, piece_length: u32, files: &[i64]) -> Stage {
        let mut stage = Stage::empty(extents, frames, files);
        let layout = Arc::new(layout(piece_length, files));
        let seeding = Seeding {
            info_hash: INFO_HASH,
            info: INFO.into(),
            have: Bitfield::all(layout.pieces()),
            paths: paths(files.len()),
            stamps: stage.lens.iter().map(|len| Some(stamp(*len))).collect(),
            layout,
            fetch: None,
        };
        stage.command(Command::Add(Box::new(seeding)));
        stage
    }

    /// A shard without torrents beside files of these lengths.
    pub(super) fn empty(extents: u32, frames: u32, files: &[i64]) -> Stage {
        let memory = Memory {
            received: Vec::new(),
            arena: vec![0; (extents * EXTENT_LEN) as usize],
            frames: vec![Vec::new(); frames as usize],
        };
        Stage {
            shard: Shard::new(settings(), &memory),
            memory,
            now: Time::ZERO,
            events: Vec::new(),
            wire: BTreeMap::new(),
            closed: Vec::new(),
            takes: VecDeque::new(),
            stamps: BTreeMap::new(),
            read_bytes: 0,
            read_offsets: Vec::new(),
            looked_at: BTreeSet::new(),
            holds: |_| false,
            held: Vec::new(),
            disk: BTreeMap::new(),
            writes: Vec::new(),
            faults: Faults::default(),
            calls: Vec::new(),
            lens: files.iter().map(|len| len.unsigned_abs()).collect(),
            open: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        let mut ops = Vec::new();
        self.shard.command(self.now, command, &mut ops);
        self.perform(ops);
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(deadline) = self.shard.deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.turn(Vec::new());
        }
        self.now = until;
        self.turn(Vec::new());
    }

    /// Delivers completions and performs what follows, until nothing does.
    pub(super) fn turn(&mut self, done: Vec<Completion>) {
        let ops = self.asks(done);
        self.perform(ops);
    }

    /// A peer that has shaken hands and, after it, said these messages.
    pub(super) fn peer(&mut self, slot: u32, fast: bool, messages: &[Message<'_>]) -> Socket {
        let socket = Socket { slot, generation: 0 };
        let address = format!("10.0.0.{}:6881", slot + 1).parse().unwrap();
        self.turn(vec![Completion::Accepted { socket, address }]);
        self.greet(socket, fast, PeerId::new([9; 20]));
        self.say(socket, messages);
        socket
    }

    /// Lets a peer send its handshake.
    pub(super) fn greet(&mut self, socket: Socket, fast: bool, peer_id: PeerId) {
        let reserved = if fast {
            Reserved::NONE.with_fast()
        } else {
            Reserved::NONE
        };
        let handshake = Handshake {
            reserved,
            info_hash: INFO_HASH,
            peer_id,
        };
        self.turn(vec![Completion::ReceivedExact {
            socket,
            bytes: handshake.encode().to_vec(),
        }]);
    }

    /// Lets a peer say something.
    pub(super) fn say(&mut self, socket: Socket, messages: &[Message<'_>]) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        self.say_bytes(socket, &bytes);
    }

    /// The same with bytes as they come, which need not end with a message.
    pub(super) fn say_bytes(&mut self, socket: Socket, bytes: &[u8]) {
        for part in bytes.chunks(4096) {
            let buffer = self.memory.receive(part);
            self.turn(vec![Completion::Received { socket, buffer }]);
        }
    }

    /// Lets peers say something in the same turn, in this order.
    pub(super) fn say_together(&mut self, said: &[(Socket, Vec<Message<'_>>)]) {
        let ops = self.hear(said);
        self.perform(ops);
    }

    /// What the shard asks for when it hears this, before any of it is performed.
    pub(super) fn hear(&mut self, said: &[(Socket, Vec<Message<'_>>)]) -> Vec<Op> {
        let received = said.iter().map(|(socket, messages)| {
            let mut bytes = Vec::new();
            messages.iter().for_each(|message| message.encode(&mut bytes));
            Completion::Received {
                socket: *socket,
                buffer: self.memory.receive(&bytes),
            }
        });
        let done = received.collect();
        self.asks(done)
    }

    /// What the shard asks for when it is told this, before any of it is performed.
    pub(super) fn told(&mut self, completion: Completion) -> Vec<Op> {
        self.asks(vec![completion])
    }

    /// Lets every socket that waits take bytes again.
    pub(super) fn drain(&mut self) {
        while !self.waiting.is_empty() {
            let ready = std::mem::take(&mut self.waiting);
            let writable = ready.into_iter().map(|op| match op {
                Op::AwaitWritable { socket } => Completion::Writable { socket },
                other => panic!("only sockets wait: {other:?}"),
            });
            self.turn(writable.collect());
        }
    }

    /// Performs what was held back, in order.
    pub(super) fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        let done: Vec<Completion> = held.into_iter().filter_map(|op| self.perform_one(op)).collect();
        self.turn(done);
    }

    /// Answers the call that was made first.
    pub(super) fn answer_call(&mut self, result: Result<Socket, Errno>) -> SocketAddr {
        let (token, address) = self.calls.remove(0);
        self.turn(vec![Completion::Connected { token, result }]);
        address
    }

    /// How many files are open.
    pub(super) fn open_files(&self) -> usize {
        self.open.len()
    }

    fn asks(&mut self, mut done: Vec<Completion>) -> Vec<Op> {
        let mut ops = Vec::new();
        self.shard.on(self.now, &mut done, &mut self.memory, &mut ops);
        ops
    }

    fn perform(&mut self, ops: Vec<Op>) {
        let (held, ops): (Vec<Op>, Vec<Op>) = ops.into_iter().partition(self.holds);
        self.held.extend(held);
        let done: Vec<Completion> = ops.into_iter().filter_map(|op| self.perform_one(op)).collect();
        self.events.extend(self.shard.events());
        if !done.is_empty() {
            self.turn(done);
        }
    }

    fn perform_one(&mut self, op: Op) -> Option<Completion> {
        Some(match op {
            Op::Accept | Op::ReceiveExact { .. } | Op::Receive { .. } | Op::ReceivePayload { .. } => {
                return None;
            }
            Op::CloseFile { file } => {
                self.open.remove(&file.0);
                return None;
            }
            Op::AwaitWritable { .. } => {
                self.waiting.push(op);
                return None;
            }
            Op::Discard { frame } => {
                self.memory.frames[frame.0 as usize].clear();
                return None;
            }
            Op::HandOver { socket, .. } => {
                self.closed.push(socket);
                return None;
            }
            Op::Close { socket } => {
                self.closed.push(socket);
                self.waiting
                    .retain(|op| !matches!(op, Op::AwaitWritable { socket: s } if *s == socket));
                Completion::Closed { socket }
            }
            Op::Send { socket, gather } => {
                let bytes = self.gathered(&gather);
                self.send(socket, &bytes)
            }
            Op::SendFramed {
                socket,
                frame,
                start,
                len,
            } => {
                let bytes = self.memory.frames[frame.0 as usize][start as usize..][..len as usize].to_vec();
                self.send(socket, &bytes)
            }
            Op::Open { token, path, .. } => {
                let index: u32 = path.to_str().unwrap().parse().unwrap();
                let result = match self.faults.open {
                    Some(errno) => Err(Refusal::Errno(errno)),
                    None => {
                        self.open.insert(index, index);
                        Ok(Opened {
                            file: File(index),
                            stamp: self.stamp(index),
                        })
                    }
                };
                Completion::Opened { token, result }
            }
            Op::Stamp { token, path } => {
                let index = path.to_str().unwrap().parse().unwrap();
                self.looked_at.insert(index);
                let refusal = self.faults.stamp.map(Refusal::Errno);
                Completion::Stamped {
                    token,
                    result: refusal.map_or(Ok(self.stamp(index)), Err),
                }
            }
            Op::Read {
                token,
                file,
                offset,
                extent,
                start,
                len,
            } => self.read(token, file, offset, extent, start, len),
            Op::Fill { frame, gather } => {
                assert!(
                    self.memory.frames[frame.0 as usize].is_empty(),
                    "a framed extent was written twice"
                );
                let bytes = self.gathered(&gather);
                assert!(bytes.len() <= FRAME_LEN as usize);
                self.memory.frames[frame.0 as usize] = bytes;
                Completion::Filled {
                    frame,
                    result: Ok(()),
                }
            }
            Op::Connect { token, address, .. } => {
                self.calls.push((token, address));
                return None;
            }
            Op::Write {
                token,
                file,
                offset,
                extent,
                start,
                len,
            } => Completion::Wrote {
                token,
                result: self.write(file, offset, extent, start, len),
            },
            Op::Sync { token, file } => {
                assert!(self.open.contains_key(&file.0), "a closed file was synced");
                Completion::Synced {
                    token,
                    result: self.faults.sync.map_or(Ok(()), Err),
                }
            }
            Op::Hash { token, parts } => Completion::Hashed {
                token,
                digest: Sha1::digest(self.gathered(&Gather {
                    bytes: Vec::new(),
                    parts,
                }))
                .into(),
            },
            Op::ReceiveDatagrams | Op::SendDatagram { .. } => {
                panic!("a shard never asks for this: {op:?}")
            }
        })
    }

    fn send(&mut self, socket: Socket, bytes: &[u8]) -> Completion {
        let takes = self
            .takes
            .pop_front()
            .map_or(bytes.len(), |takes| bytes.len().min(takes as usize));
        self.wire.entry(socket).or_default().extend(&bytes[..takes]);
        Completion::Sent {
            socket,
            result: Ok(takes as u32),
        }
    }

    fn gathered(&self, gather: &Gather) -> Vec<u8> {
        let part = |part: &Part| match *part {
            Part::Bytes { start, len } => &gather.bytes[start as usize..][..len as usize],
            Part::Extent { extent, start, len } => {
                &self.memory.arena[(extent.0 * EXTENT_LEN + start) as usize..][..len as usize]
            }
        };
        gather.parts.iter().flat_map(part).copied().collect()
    }

    fn read(
        &mut self,
        token: u32,
        file: File,
        offset: u64,
        extent: Extent,
        start: u32,
        len: u32,
    ) -> Completion {
        assert!(self.open.contains_key(&file.0), "a closed file was read");
        let size = self.stamp(file.0).size;
        let arrived = size.saturating_sub(offset).min(u64::from(len)) as u32;
        let place = (extent.0 * EXTENT_LEN + start) as usize;
        let disk = self.disk.get(&file.0);
        for (byte, at) in self.memory.arena[place..][..arrived as usize]
            .iter_mut()
            .zip(offset..)
        {
            *byte = disk.map_or_else(|| content(file.0, at), |bytes| bytes[at as usize]);
        }
        self.read_bytes += u64::from(arrived);
        self.read_offsets.push(offset);
        Completion::Read {
            token,
            result: Ok(ReadDone {
                len: arrived,
                stamp: self.stamp(file.0),
            }),
        }
    }

    fn write(&mut self, file: File, offset: u64, extent: Extent, start: u32, len: u32) -> Result<(), Errno> {
        assert!(self.open.contains_key(&file.0), "a closed file was written");
        assert!(len > 0 && start + len <= EXTENT_LEN, "a write lies in an extent");
        if let Some(errno) = self.faults.write {
            return Err(errno);
        }
        let bytes = &self.memory.arena[(extent.0 * EXTENT_LEN + start) as usize..][..len as usize];
        let disk = self.disk.entry(file.0).or_default();
        let end = offset as usize + len as usize;
        disk.resize(disk.len().max(end), 0);
        disk[offset as usize..end].copy_from_slice(bytes);
        let aligned = |number: u64| number.is_multiple_of(u64::from(PAGE_LEN));
        let direct = aligned(offset) && aligned(start.into()) && aligned(len.into());
        self.writes.push(Written {
            file: file.0,
            offset,
            len,
            direct,
        });
        Ok(())
    }

    fn stamp(&self, file: u32) -> FileStamp {
        let size = |disk: &Vec<u8>| disk.len() as u64;
        self.stamps.get(&file).copied().unwrap_or_else(|| {
            let disk = self.disk.get(&file);
            stamp(disk.map_or_else(|| self.lens[file as usize], size))
        })
    }
}

/// The layout of a torrent of these files; a negative length is padding.
pub(super) fn layout(piece_length: u32, files: &[i64]) -> Layout {
    let lengths = files.iter().map(|len| FileLength {
        len: len.unsigned_abs(),
        padding: *len < 0,
    });
    Layout::new(piece_length, lengths).unwrap()
}

/// Every file is named by its number.
pub(super) fn paths(files: usize) -> Vec<Arc<Path>> {
    (0..files)
        .map(|index| Arc::from(Path::new(&index.to_string())))
        .collect()
}

fn settings() -> Settings {
    Settings {
        core: CoreIndex(0),
        cores: 1,
        peer_id: PeerId::ours([1; 12]),
        client: "shoal/test".into(),
        upload_slots: crate::Slots::Unlimited,
        choking: crate::Algorithm::RoundRobin,
        peers_max: 100,
        peers_per_address_max: 10,
        requests_per_peer_max: 500,
        handshake_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(180),
        send_stall_timeout: Duration::from_secs(60),
        throttles: Default::default(),
        seed: 1,
        files_open_max: 4,
    }
}
