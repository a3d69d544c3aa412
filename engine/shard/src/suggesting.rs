//! Suggestions (BEP 6): a seed proposes to each peer what it has sent to nobody yet.
//!
//! Peers of a young swarm choose the rarest piece, and all pieces that only the seed has are equally rare: without a word
//! from it they fetch many of them twice before the last is out. A seed that serves few at a time proposes every
//! piece to one peer, two ahead of what that peer asks for, until all were sent once; then the swarm needs no advice.
//! It decides what is proposed, never what is sent.

use shoal_proto::bitfield::Bitfield;
use shoal_proto::layout::{Layout, PieceIndex};
use shoal_proto::message::Message;
use shoal_world::{Op, Socket, Time};

use crate::choker::Slots;
use crate::limits::PROPOSED_MAX;
use crate::shard::Shard;
use crate::torrent::TorrentId;

/// What was sent of one torrent.
#[derive(Debug)]
pub(crate) struct Suggestions {
    /// Pieces that somebody asked for, or that are proposed to somebody.
    given: Bitfield,
    /// Where the search for the next begins.
    cursor: u32,
}

impl Suggestions {
    pub(crate) fn new(pieces: u32) -> Suggestions {
        Suggestions {
            given: Bitfield::none(pieces),
            cursor: 0,
        }
    }

    /// Somebody asked for a piece.
    pub(crate) fn asked(&mut self, piece: PieceIndex) {
        self.given.set(piece);
    }

    /// It was proposed to somebody who will not ask for it now.
    pub(crate) fn returned(&mut self, piece: PieceIndex) {
        self.given.clear(piece);
    }

    fn next(&mut self, layout: &Layout) -> Option<PieceIndex> {
        if self.given.is_all() {
            return None;
        }
        let pieces = layout.pieces();
        let around = (0..pieces).map(|step| (self.cursor + step) % pieces);
        let piece = around
            .filter_map(|piece| layout.piece(piece))
            .find(|piece| !self.given.has(*piece))?;
        self.given.set(piece);
        self.cursor = (piece.get() + 1) % pieces;
        Some(piece)
    }
}

impl Shard {
    /// Proposes pieces to a peer that is served, where few are served at a time.
    pub(crate) fn propose(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) {
        if self.settings.upload_slots == Slots::Unlimited {
            return;
        }
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        let wants = conversation.fast && conversation.unchoked && conversation.proposed.len() < PROPOSED_MAX;
        let Some(active) = self.torrents.active(conversation.torrent).filter(|_| wants) else {
            return;
        };
        if !active.complete || active.super_seeding.is_some() {
            return;
        }
        let pieces = active.layout.pieces();
        let suggestions = active
            .suggestions
            .get_or_insert_with(|| Box::new(Suggestions::new(pieces)));
        let before = conversation.proposed.len();
        while conversation.proposed.len() < PROPOSED_MAX
            && let Some(piece) = suggestions.next(&active.layout)
        {
            conversation.proposed.push(piece);
            Message::Suggest(piece.get()).encode(&mut conversation.outbox);
        }
        if conversation.proposed.len() > before {
            self.send_next(now, socket, ops);
        }
    }

    /// A peer is not served any more: others may have what was proposed to it.
    pub(crate) fn take_proposals_back(&mut self, id: TorrentId, proposed: &[PieceIndex]) {
        let suggestions = self
            .torrents
            .active(id)
            .and_then(|active| active.suggestions.as_deref_mut());
        if let Some(suggestions) = suggestions {
            proposed.iter().for_each(|piece| suggestions.returned(*piece));
        }
    }
}

#[cfg(test)]
mod tests;
