//! Super-seeding (BEP 16): a first seed that sends every piece about once.
//!
//! It pretends to have nothing and tells each peer of one piece at a time, the one that it has told fewest of. The next
//! follows when another peer says that it has the piece: then the first has passed it on. A peer that is alone has nobody
//! to pass it on to, and gets the next when it has the one before.
//! It decides what is told, never what is sent: who asks for a piece it was not told of gets it all the same.

use std::collections::{BTreeMap, BTreeSet};

use shoal_proto::bitfield::Bitfield;
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::{Layout, PieceIndex};
use shoal_proto::message::Message;
use shoal_world::{Op, Socket, Time};

use crate::limits::OUTBOX_LEN_MAX;
use crate::shard::Shard;
use crate::torrent::TorrentId;

/// What is known of one super-seeded torrent.
#[derive(Debug)]
pub(crate) struct SuperSeeding {
    /// How many peers were told of each piece or have it.
    spread: Box<[u32]>,
    /// The pieces, those that the fewest know of first.
    order: BTreeSet<(u32, PieceIndex)>,
    peers: BTreeMap<Socket, Told>,
    /// Peers that are to be told of another piece.
    due: BTreeSet<Socket>,
}

/// What one peer was told.
#[derive(Debug)]
struct Told {
    pieces: Bitfield,
    /// The piece that it has not passed on yet.
    open: Option<PieceIndex>,
}

impl SuperSeeding {
    pub(crate) fn new(layout: &Layout) -> SuperSeeding {
        SuperSeeding {
            spread: vec![0; layout.pieces() as usize].into(),
            order: layout.piece_indices().map(|piece| (0, piece)).collect(),
            peers: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }

    pub(crate) fn joined(&mut self, socket: Socket) {
        let told = Told {
            pieces: Bitfield::none(self.spread.len() as u32),
            open: None,
        };
        self.peers.insert(socket, told);
        self.due.insert(socket);
    }

    pub(crate) fn left(&mut self, socket: Socket) {
        self.due.remove(&socket);
        let Some(told) = self.peers.remove(&socket) else {
            return;
        };
        // It may never have got it.
        if let Some(open) = told.open {
            self.respread(open, -1);
        }
        if let [only] = self.peers.keys().copied().collect::<Vec<_>>()[..] {
            self.due.insert(only);
        }
    }

    /// A peer has a piece: whoever else was told of it has passed it on.
    pub(crate) fn seen(&mut self, socket: Socket, piece: PieceIndex) {
        let alone = self.peers.len() == 1;
        for (peer, told) in &mut self.peers {
            if told.open == Some(piece) && (*peer != socket || alone) {
                told.open = None;
                self.due.insert(*peer);
            }
        }
        if self.peers.get(&socket).is_none_or(|told| !told.pieces.has(piece)) {
            self.respread(piece, 1);
        }
    }

    fn respread(&mut self, piece: PieceIndex, change: i32) {
        let spread = &mut self.spread[piece.index()];
        self.order.remove(&(*spread, piece));
        *spread = spread.saturating_add_signed(change);
        self.order.insert((*spread, piece));
    }

    /// The piece that a peer is told of next: what the fewest know of, of what it does not have.
    fn next(&mut self, socket: Socket, has: &Bitfield) -> Option<PieceIndex> {
        let told = self.peers.get_mut(&socket)?;
        if told.open.is_some_and(|open| !has.has(open)) {
            return None;
        }
        let mut pieces = self.order.iter().map(|(_, piece)| *piece);
        let piece = pieces.find(|piece| !has.has(*piece) && !told.pieces.has(*piece))?;
        told.open = Some(piece);
        told.pieces.set(piece);
        self.respread(piece, 1);
        Some(piece)
    }
}

impl Shard {
    /// Begins or ends to super-seed a complete torrent. Peers that are there know what it has; they are not changed.
    pub(crate) fn super_seed(&mut self, now: Time, info_hash: InfoHash, on: bool, ops: &mut Vec<Op>) {
        let Some(id) = self.torrents.find(info_hash) else {
            return;
        };
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        if !on {
            let ended = active.super_seeding.take();
            self.tell_everything(now, id, ended, ops);
        } else if active.complete && active.super_seeding.is_none() {
            active.super_seeding = Some(Box::new(SuperSeeding::new(&active.layout)));
        }
    }

    /// Peers that were told of some pieces are told of the others.
    fn tell_everything(
        &mut self,
        now: Time,
        id: TorrentId,
        ended: Option<Box<SuperSeeding>>,
        ops: &mut Vec<Op>,
    ) {
        for (socket, told) in ended.into_iter().flat_map(|ended| ended.peers) {
            let Some(active) = self.torrents.get(id) else {
                return;
            };
            let Some(conversation) = self.peers.talking(socket) else {
                continue;
            };
            for piece in active
                .layout
                .piece_indices()
                .filter(|piece| !told.pieces.has(*piece))
            {
                Message::Have(piece.get()).encode(&mut conversation.outbox);
            }
            if conversation.outbox.len() > OUTBOX_LEN_MAX {
                // A bitfield says the same in less, when it is back.
                self.disconnect(now, socket, ops);
                continue;
            }
            self.send_next(now, socket, ops);
        }
    }

    /// Tells peers of another piece whose turn it is.
    pub(crate) fn tell_next(&mut self, now: Time, id: TorrentId, ops: &mut Vec<Op>) {
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        let Some(seeding) = active.super_seeding.as_deref_mut() else {
            return;
        };
        let mut told = Vec::new();
        for socket in std::mem::take(&mut seeding.due) {
            let Some(conversation) = self.peers.talking(socket) else {
                continue;
            };
            let Some(download) = conversation.download.as_deref() else {
                continue;
            };
            if let Some(piece) = seeding.next(socket, &download.pieces) {
                Message::Have(piece.get()).encode(&mut conversation.outbox);
                told.push(socket);
            }
        }
        for socket in told {
            self.send_next(now, socket, ops);
        }
    }
}

#[cfg(test)]
mod tests;
