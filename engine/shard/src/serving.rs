//! How requests become bytes on the wire: turns, runs, reads, sends.
//!
//! Peers with requests stand in a deficit round robin. A turn takes requests off a peer's queue and makes a run of
//! them: from one framed extent if the hot cache holds the first, else from extents of the arena, which the run pins and
//! whose missing pages are read. A few runs are read ahead of the one being sent. A run goes out when all its pages are
//! valid; what the socket does not take loses its pins and is planned again when the socket takes more, so that a
//! peer that does not read holds no memory of the engine.

mod plan;
mod send;

pub(crate) use plan::Wanted;

use shoal_proto::layout::Span;
use shoal_world::{Errno, Extent, File, Frame, Op, ReadDone, Socket, Time};

use crate::cache::{Cache, Pages};
use crate::event::Cause;
use crate::files::{FileKey, Handle, Trust};
use crate::limits::{QUANTUM, READS_MAX, RUNS_AHEAD_MAX};
use crate::peer::{Conversation, Source, Upload};
use crate::shard::Shard;
use crate::torrent::TorrentId;

/// A read that the world performs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadUnderWay {
    pub(crate) file: FileKey,
    pub(crate) handle: File,
    pub(crate) extent: Extent,
    pub(crate) pages: Pages,
    /// First byte in the file.
    pub(crate) offset: u64,
    /// Bytes that the file must still have from there, at most the pages' length.
    pub(crate) expected: u32,
}

/// A framed extent that the world writes, and what it is written from.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) pinned: Vec<Extent>,
    pub(crate) len: u32,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// There is nothing more to plan for this peer now.
    Done,
    /// Its share is used up and it wants more.
    Again,
    /// All memory or reads are in use; the turn is taken again when some are free.
    NoRoom,
}

impl Conversation {
    /// Whether a turn would find something to plan.
    fn wants_turn(&self) -> bool {
        match &self.upload {
            Upload::Blocked(_) => false,
            Upload::Resuming(rest) if rest.is_unplanned() => true,
            _ => self.unchoked && !self.requests.is_empty() && self.planned.len() < RUNS_AHEAD_MAX,
        }
    }
}

impl Shard {
    /// Puts a peer into the round robin if there is something to plan for it. What the hot cache holds needs no read
    /// and no extent, so peers that ask for it stand in a queue of their own, which never waits for room.
    pub(crate) fn queue_turn(&mut self, socket: Socket) {
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        let held = self.torrents.is_held(conversation.torrent);
        if held || conversation.queued || !conversation.wants_turn() {
            return;
        }
        conversation.queued = true;
        if self.next_is_hot(socket) {
            self.hot_turns.push_back(socket);
        } else {
            self.turns.push_back(socket);
        }
    }

    /// Gives peers their turns until nobody wants one or nothing is left to give.
    pub(crate) fn serve(&mut self, now: Time, ops: &mut Vec<Op>) {
        while let Some(socket) = self.hot_turns.pop_front() {
            // What was hot may have been evicted since: then it waits like the others.
            if self.take_turn(now, socket, ops) == Turn::NoRoom {
                self.turns.push_back(socket);
            }
        }
        while let Some(socket) = self.turns.pop_front() {
            if self.take_turn(now, socket, ops) == Turn::NoRoom {
                self.turns.push_front(socket);
                return;
            }
        }
    }

    /// A turn; afterwards the peer stands in a queue again if it wants more, or if there was no room for it.
    fn take_turn(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) -> Turn {
        let Some(conversation) = self.peers.talking(socket) else {
            return Turn::Done;
        };
        conversation.queued = false;
        let turn = self.turn(now, socket, ops);
        match turn {
            Turn::Done => {}
            Turn::Again => self.queue_turn(socket),
            Turn::NoRoom => {
                let Some(conversation) = self.peers.talking(socket) else {
                    return Turn::Done;
                };
                conversation.queued = true;
            }
        }
        turn
    }

    /// One peer's turn: runs until its share of payload is used up (deficit round robin).
    fn turn(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) -> Turn {
        if let Some(conversation) = self.peers.talking(socket) {
            conversation.deficit = (conversation.deficit + QUANTUM).min(2 * QUANTUM);
        }
        loop {
            let Some(conversation) = self.peers.talking(socket) else {
                return Turn::Done;
            };
            if !conversation.wants_turn() {
                conversation.deficit = 0;
                return Turn::Done;
            }
            if conversation.deficit == 0 {
                return Turn::Again;
            }
            let (torrent, ip) = (conversation.torrent, conversation.address.ip());
            if self.torrents.is_held(torrent) {
                return Turn::Done;
            }
            if self.reads.len() >= READS_MAX && !self.next_is_hot(socket) {
                return Turn::NoRoom;
            }
            let gate = self.upload_gate(torrent, ip);
            let blocks_max = match gate.map(|gate| gate.blocks(now)) {
                Some(Ok(blocks)) => blocks,
                // It is planned all the same, a block at a time, and goes out when it may.
                Some(Err(_)) | None => 1,
            };
            let Some(payload) = self.plan(socket, blocks_max, ops) else {
                if self.cache.is_idle() && self.reads.is_empty() {
                    // All of the arena is free and still too small for one block: it can never be served.
                    self.refuse_first(socket);
                    self.send_next(now, socket, ops);
                    continue;
                }
                return Turn::NoRoom;
            };
            if let Some(conversation) = self.peers.talking(socket) {
                conversation.deficit = conversation.deficit.saturating_sub(payload);
            }
            self.read_for(socket, ops);
            self.send_next(now, socket, ops);
        }
    }

    /// Starts the reads that a peer's runs need, as far as their files are open; opens the others.
    pub(crate) fn read_for(&mut self, socket: Socket, ops: &mut Vec<Op>) {
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        let torrent = conversation.torrent;
        let resumed = match &conversation.upload {
            Upload::Resuming(rest) => rest.run.as_ref(),
            _ => None,
        };
        let mut missing = Vec::new();
        for run in resumed.into_iter().chain(&conversation.planned) {
            if let Source::Arena { needs, .. } = &run.source {
                missing.extend(needs.iter().filter(|stretch| !self.cache.has(stretch.need)));
            }
        }
        for stretch in missing {
            self.read(socket, torrent, stretch, ops);
        }
    }

    /// Reads the pages of one stretch that nobody reads yet, or sees to it that the file gets open.
    fn read(&mut self, socket: Socket, torrent: TorrentId, stretch: Wanted, ops: &mut Vec<Op>) {
        let Some(active) = self.torrents.active(torrent) else {
            return;
        };
        let key = active.files[stretch.file.index()].key;
        let len = active.layout.file(stretch.file).len;
        let Some(entry) = self.files.get(key) else { return };
        let handle = match (entry.handle, entry.trust) {
            (Handle::Open(handle), Trust::Verified(_) | Trust::Ours(_)) => handle,
            (Handle::Closed, _) => {
                wait(&mut entry.waiters, socket);
                self.open_file(key, ops);
                return;
            }
            (Handle::Opening, _) | (Handle::Open(_), Trust::Suspended(_) | Trust::Vouched) => {
                wait(&mut entry.waiters, socket);
                return;
            }
        };
        self.cache.wait(stretch.need.extent, socket);
        for (start, range_len) in self.cache.start_reading(stretch.need).ranges() {
            entry.under_way += 1;
            let offset = active.file_offset(stretch.file, stretch.index, start);
            let expected = len.saturating_sub(offset).min(u64::from(range_len)) as u32;
            let read = ReadUnderWay {
                file: key,
                handle,
                extent: stretch.need.extent,
                pages: Pages::touched_by(start, range_len),
                offset,
                expected,
            };
            let token = self.reads.insert(read) as u32;
            let extent = stretch.need.extent;
            ops.push(Op::Read {
                token,
                file: handle,
                offset,
                extent,
                start,
                len: range_len,
            });
        }
        self.files.touch(key);
    }

    /// A read ended: its pages are valid if the file is still what was verified, and holds them.
    pub(crate) fn read_ended(
        &mut self,
        now: Time,
        token: u32,
        result: Result<ReadDone, Errno>,
        ops: &mut Vec<Op>,
    ) {
        let read = self.reads.remove(token as usize);
        if self.files.get(read.file).is_none() {
            self.cache.read_ended(read.extent, read.pages, false);
            self.abandoned_ended(read.handle, ops);
            return;
        }
        for file in self.files.ended(read.file) {
            ops.push(Op::CloseFile { file });
        }
        let judged = match result {
            Ok(done) if done.len < read.expected => Err(Cause::Short {
                len: read.offset + u64::from(done.len),
            }),
            Ok(done) => self.judge(read.file, &done.stamp, ops),
            Err(errno) => Err(Cause::Errno(errno)),
        };
        let valid = judged == Ok(true);
        if valid {
            self.counters.read_bytes += u64::from(read.expected);
        }
        let waiters = self.cache.read_ended(read.extent, read.pages, valid);
        if let Err(cause) = judged {
            self.fail_file(now, read.file, cause, ops);
            return;
        }
        self.wake(now, waiters, ops);
    }

    /// Something that these peers waited for happened.
    pub(crate) fn wake(&mut self, now: Time, waiters: Vec<Socket>, ops: &mut Vec<Op>) {
        for socket in waiters {
            self.read_for(socket, ops);
            self.send_next(now, socket, ops);
        }
    }

    /// Lets go of what a run was to be sent from.
    pub(crate) fn release(&mut self, source: Source, ops: &mut Vec<Op>) {
        match source {
            Source::Unplanned => {}
            Source::Arena { needs, .. } => {
                for stretch in needs {
                    self.cache.unpin(stretch.need.extent);
                }
            }
            Source::Framed { frame, .. } => {
                if self.hot.unpin(frame) {
                    ops.push(Op::Discard { frame });
                }
            }
        }
    }

    /// Takes back what was planned ahead for a peer: its requests wait again, in their order.
    pub(crate) fn put_back_planned(&mut self, socket: Socket, ops: &mut Vec<Op>) {
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        let planned = std::mem::take(&mut conversation.planned);
        let blocks: Vec<Span> = planned
            .iter()
            .flat_map(|run| run.blocks.iter().copied())
            .collect();
        for block in blocks.into_iter().rev() {
            conversation.requests.push_front(block);
        }
        for run in planned {
            self.release(run.source, ops);
        }
    }

    pub(crate) fn filled(&mut self, frame: Frame, result: Result<(), Errno>, ops: &mut Vec<Op>) {
        let fill = self
            .fills
            .remove(&frame)
            .expect("a framed extent was filled that nobody filled");
        for extent in fill.pinned {
            self.cache.unpin(extent);
        }
        if result.is_ok() {
            self.counters.promoted_bytes += u64::from(fill.len);
        }
        if self.hot.filled(frame, result.is_ok()) {
            ops.push(Op::Discard { frame });
        }
    }
}

fn wait(waiters: &mut Vec<Socket>, socket: Socket) {
    if !waiters.contains(&socket) {
        waiters.push(socket);
    }
}

/// Whether all of these pages are there.
pub(super) fn all_valid(cache: &Cache, needs: &[Wanted]) -> bool {
    needs.iter().all(|stretch| cache.has(stretch.need))
}
