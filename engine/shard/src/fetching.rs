//! Fetching: which pieces are in hand, who is asked, what follows when they come.
//!
//! The life of a block that is fetched: a peer with room in its pipeline is asked for what the picker chooses (here);
//! the block is copied once, from the received buffer into its piece's buffer (`landing`); a whole piece is hashed by the
//! world's threads, written when it is right and made durable with others (`storing`); when it is wrong, who lied is
//! found out (`blame`).
//!
//! Invariants:
//! - A block is asked for only when its piece has all of its memory.
//! - Only verified pieces are written; only written ones are told to peers; only durable ones are told to the owner as
//!   [`Event::PiecesDurable`](crate::Event).
//! - One peer at a time writes into a block's place.

mod blame;
mod landing;
mod storing;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shoal_proto::digest::Digest;
use shoal_proto::layout::{PieceIndex, Span};
use shoal_proto::message::Message;
use shoal_world::{Op, Socket, Time};

pub(crate) use self::blame::{Banned, Blame};
pub(crate) use self::landing::Landed;
pub(crate) use self::storing::{Durability, Paused, WriteUnderWay};
pub(crate) use self::wishes::Wishes;
use crate::buffers::{BufferId, Cut, Stage};
use crate::limits::{ASKING_OUTBOX_LEN_MAX, IDLE_PIECE_AFTER};
use crate::picker::{Asker, Picker};
use crate::shard::Shard;
use crate::torrent::{Active, TorrentId};

/// What a torrent needs as long as pieces are missing.
#[derive(Debug)]
pub(crate) struct Fetching {
    pub(crate) picker: Picker,
    pub(crate) hashes: Arc<[Digest]>,
    /// Pieces in hand.
    pub(crate) buffers: BTreeMap<PieceIndex, InHand>,
    /// Blocks of which a part has come: piece and offset.
    pub(crate) arriving: BTreeSet<(PieceIndex, u32)>,
    pub(crate) durability: Durability,
    pub(crate) blame: Blame,
    /// Why nothing is asked for at the moment.
    pub(crate) paused: Option<Paused>,
    /// Everything wanted is there and durable, and was told.
    pub(crate) finished: bool,
    pub(crate) wishes: Wishes,
}

/// A piece in hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InHand {
    pub(crate) buffer: BufferId,
    /// When it was begun, or a block of it came last.
    pub(crate) touched_at: Time,
}

/// What asking a peer came to.
#[derive(Clone, Copy, Debug, Default)]
struct Picked {
    any: bool,
    /// As much as may be asked for at a time: there may be room for another portion in a moment.
    more: bool,
    /// There was no memory for another piece.
    hungry: bool,
}

/// A message that the world hashes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashUnderWay {
    pub(crate) buffer: BufferId,
    /// One block of the piece instead of the whole.
    pub(crate) block: Option<u32>,
}

impl Active {
    /// What its piece buffers are cut by.
    pub(crate) fn cut(&self, id: TorrentId) -> Cut<'_> {
        Cut {
            id,
            layout: &self.layout,
            files: &self.files,
        }
    }
}

impl Shard {
    /// Something changed for a peer: it is asked for more at the end of the turn, if there is something to ask for.
    pub(crate) fn queue_asking(&mut self, socket: Socket) {
        let download = self
            .peers
            .talking(socket)
            .and_then(|talking| talking.download.as_mut());
        if let Some(download) = download
            && !download.queued
        {
            download.queued = true;
            self.asking.push_back(socket);
        }
    }

    /// Asks all peers that stand in the queue, and those that found no memory when some became free.
    pub(crate) fn ask_all(&mut self, now: Time, ops: &mut Vec<Op>) {
        if self.buffers.take_freed() {
            self.ask_hungry();
        }
        for _ in 0..self.asking.len() {
            let Some(socket) = self.asking.pop_front() else {
                break;
            };
            self.ask(now, socket, ops);
        }
    }

    /// Puts everybody who found no memory into the queue, in order.
    fn ask_hungry(&mut self) {
        for socket in self.hungry.take() {
            self.queue_asking(socket);
        }
    }

    /// Fills a peer's pipeline.
    fn ask(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) {
        let room = match self.room_to_ask(now, socket) {
            Ok(0) => return,
            Ok(room) => room,
            Err(at) => {
                self.wait_until_open(socket, at);
                return;
            }
        };
        let picked = self.pick(now, socket, room);
        if picked.hungry {
            self.hungry.insert(socket);
            self.reclaim(now, ops);
        }
        if picked.more {
            self.queue_asking(socket);
        }
        if picked.any {
            self.send_next(now, socket, ops);
        }
    }

    /// How many blocks a peer may be asked for now; `Err`: none before this time, because of a limit.
    fn room_to_ask(&mut self, now: Time, socket: Socket) -> Result<usize, Time> {
        let Some(conversation) = self.peers.talking(socket) else {
            return Ok(0);
        };
        let Some(download) = conversation.download.as_mut() else {
            return Ok(0);
        };
        download.queued = false;
        let Some(active) = self.torrents.active(conversation.torrent) else {
            return Ok(0);
        };
        let fetching = active.fetching.as_deref();
        let room = download.room(now);
        let silent = download.choked && download.allowed.is_empty();
        if fetching.is_none_or(|fetching| fetching.paused.is_some())
            || !download.interested
            || silent
            || room == 0
            // It does not read what it was asked before.
            || conversation.outbox.len() > ASKING_OUTBOX_LEN_MAX
        {
            return Ok(0);
        }
        let throttles = &self.settings.throttles;
        let gate = throttles.download_gate(&active.throttles, conversation.address.ip());
        Ok(gate.blocks(now)?.min(room))
    }

    /// Asks a peer for at most so many blocks.
    fn pick(&mut self, now: Time, socket: Socket, room: usize) -> Picked {
        let mut picked = Picked::default();
        let Some(conversation) = self.peers.talking(socket) else {
            return picked;
        };
        let id = conversation.torrent;
        let (Some(download), Some(active)) = (conversation.download.as_mut(), self.torrents.active(id))
        else {
            return picked;
        };
        let Some(fetching) = active.fetching.as_deref_mut() else {
            return picked;
        };
        let cut = Cut {
            id,
            layout: &active.layout,
            files: &active.files,
        };
        let asker = Asker {
            socket,
            pieces: &download.pieces,
            allowed: download.choked.then_some(download.allowed.as_slice()),
            suggested: &download.suggested,
            alone: fetching.blame.suspects_peer(socket),
        };
        let mut begin = |piece| {
            let buffer = self.buffers.begin(&mut self.cache, cut, piece);
            picked.hungry |= buffer.is_none();
            let in_hand = buffer.map(|buffer| InHand {
                buffer,
                touched_at: now,
            });
            in_hand
                .map(|in_hand| fetching.buffers.insert(piece, in_hand))
                .is_some()
        };
        let mut blocks: Vec<Span> = Vec::with_capacity(room);
        fetching
            .picker
            .pick(asker, room, &mut self.rng, &mut begin, &mut blocks);
        for block in &blocks {
            download.ask(now, *block);
            Message::Request((*block).into()).encode(&mut conversation.outbox);
        }
        let throttles = &self.settings.throttles;
        let gate = throttles.download_gate(&active.throttles, conversation.address.ip());
        gate.charge(now, blocks.iter().map(|block| u64::from(block.len())).sum());
        picked.any = !blocks.is_empty();
        picked.more = blocks.len() == room && download.room(now) > 0;
        picked
    }

    /// There is no memory: gives up the piece, of any torrent, for which nobody has delivered anything for the longest, if
    /// that is long. Whoever has its missing blocks may be gone or choke us for hours.
    fn reclaim(&mut self, now: Time, ops: &mut Vec<Op>) {
        let mut oldest: Option<(Time, TorrentId, PieceIndex)> = None;
        for id in self.torrents.ids_fetching() {
            let Some(fetching) = self.torrents.fetching(id) else {
                continue;
            };
            let idle = fetching.buffers.iter().filter(|(_, in_hand)| {
                let fills = matches!(self.buffers.get(in_hand.buffer).stage, Stage::Filling);
                fills && now.since(in_hand.touched_at) >= IDLE_PIECE_AFTER
            });
            let here = idle
                .map(|(piece, in_hand)| (in_hand.touched_at, id, *piece))
                .min();
            oldest = [oldest, here].into_iter().flatten().min();
        }
        if let Some((_, id, piece)) = oldest {
            // Before the peers of the piece, or they take its memory again, for the same piece.
            self.ask_hungry();
            self.drop_piece(now, id, piece, ops);
        }
    }

    /// Forgets what came of a piece that is not whole, and takes back what is asked of it.
    pub(crate) fn drop_piece(&mut self, now: Time, id: TorrentId, piece: PieceIndex, ops: &mut Vec<Op>) {
        let Some(fetching) = self.torrents.fetching(id) else {
            return;
        };
        let Some(in_hand) = fetching.buffers.remove(&piece) else {
            return;
        };
        fetching.picker.lost(piece);
        fetching.arriving.retain(|(arriving, _)| *arriving != piece);
        self.buffers.release(in_hand.buffer, &mut self.cache);
        let peers = self.torrents.get(id).map(|active| active.peers.clone());
        for socket in peers.unwrap_or_default() {
            self.take_piece_back(now, socket, piece, ops);
        }
    }

    /// Nothing of a piece is wanted of a peer any more.
    fn take_piece_back(&mut self, now: Time, socket: Socket, piece: PieceIndex, ops: &mut Vec<Op>) {
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        let Some(download) = conversation.download.as_mut() else {
            return;
        };
        // The rest of a block must not land in the buffer that its piece gets next: the first part is gone.
        let arriving = download
            .incoming
            .filter(|incoming| incoming.block.piece() == piece)
            .and_then(|_| download.give_up_incoming());
        let mut blocks = download.take_back(|block| block.piece() == piece);
        blocks.extend(arriving);
        for block in &blocks {
            Message::Cancel((*block).into()).encode(&mut conversation.outbox);
        }
        self.settle_owed(now, socket);
        if !blocks.is_empty() {
            self.queue_asking(socket);
            self.send_next(now, socket, ops);
        }
    }

    /// Tells a peer whether we want something of it.
    pub(crate) fn review_interest(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) {
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        let id = conversation.torrent;
        let Some(download) = conversation.download.as_mut() else {
            return;
        };
        let fetching = self
            .torrents
            .get(id)
            .and_then(|active| active.fetching.as_deref());
        let interested =
            fetching.is_some_and(|fetching| fetching.picker.interesting_in(&download.pieces) > 0);
        if download.interested != interested {
            download.interested = interested;
            let message = if interested {
                Message::Interested
            } else {
                Message::NotInterested
            };
            message.encode(&mut conversation.outbox);
            self.send_next(now, socket, ops);
        }
        self.queue_asking(socket);
    }

    /// Takes back everything that a peer was asked for and does not deliver: it is told so, and others may be asked.
    pub(crate) fn cancel_all(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) {
        let arriving = self.give_up_arriving(socket);
        let mut blocks = self.take_back(socket);
        blocks.extend(arriving);
        self.settle_owed(now, socket);
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        for block in &blocks {
            Message::Cancel((*block).into()).encode(&mut conversation.outbox);
        }
        if !blocks.is_empty() {
            self.send_next(now, socket, ops);
        }
    }

    /// Forgets everything that a peer was asked for: others may be asked. What it was.
    pub(crate) fn take_back(&mut self, socket: Socket) -> Vec<Span> {
        let Some(conversation) = self.peers.talking(socket) else {
            return Vec::new();
        };
        let id = conversation.torrent;
        let Some(download) = conversation.download.as_mut() else {
            return Vec::new();
        };
        let blocks = download.take_back(|_| true);
        let Some(fetching) = self.torrents.fetching(id) else {
            return blocks;
        };
        for block in &blocks {
            fetching.picker.abandoned(socket, *block);
        }
        if !blocks.is_empty() {
            self.queue_others(id, Some(socket));
        }
        blocks
    }

    /// Blocks became free that all peers of a torrent, or all but one, may be asked for: first those who gave something, last
    /// those who let us wait.
    pub(crate) fn queue_others(&mut self, id: TorrentId, but: Option<Socket>) {
        let Some(active) = self.torrents.get(id) else {
            return;
        };
        let others = active.peers.iter().copied();
        let mut others: Vec<(bool, bool, Socket)> = others
            .filter(|other| Some(*other) != but)
            .filter_map(|other| {
                let download = self.peers.download(other)?;
                Some((download.snubbed, download.downloaded_bytes == 0, other))
            })
            .collect();
        others.sort_unstable();
        for (_, _, socket) in others {
            self.queue_asking(socket);
        }
    }

    /// A peer that we fetched from is gone.
    pub(crate) fn stop_fetching_from(
        &mut self,
        id: TorrentId,
        socket: Socket,
        download: &crate::download::Download,
    ) {
        self.hungry.remove(socket);
        let Some(fetching) = self.torrents.fetching(id) else {
            return;
        };
        fetching.picker.peer_left(&download.pieces);
        fetching.picker.peer_gone(socket);
        if let Some(incoming) = download.incoming.filter(|incoming| incoming.wanted) {
            self.free_place(id, incoming.block);
        }
        if !download.asked.is_empty() {
            self.queue_others(id, Some(socket));
        }
    }
}
