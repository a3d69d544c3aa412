//! Which piece is begun next.
//!
//! Every way of choosing looks at a bounded number of pieces, or at words of bits, so that it costs the same for a
//! torrent of a hundred pieces and for one of a hundred thousand. The price: among very many open pieces that the peer
//! does not have, a rarer one that it has may be passed over for one that is nearly as rare.

use shoal_proto::layout::PieceIndex;
use shoal_world::{EXTENT_LEN, Rng};

use super::rarity::Class;
use super::{Asker, Order, Picker};

/// Pieces had before rarity counts: until then a piece from whoever is fast is worth more to trade with (as BEP 3's
/// reference client has it).
const RANDOM_FIRST: u32 = 4;

/// Pieces looked at in the order of rarity before falling back to the words of the peer's bitfield. A peer that has one
/// of 16 open pieces is found one with 98 %.
const RAREST_TRIES: usize = 64;

/// Pieces compared in the fallback: the rarest of 16 is among the rarest sixth with 95 %.
const SAMPLE: usize = 16;

/// Failed pieces looked at. There are more only in a swarm where most of what comes is wrong.
const FAILED_TRIES: usize = 16;

/// Groups of neighbours that are remembered: 2 MiB of payload that is half begun.
const GROUPS_MAX: usize = 8;

impl Picker {
    /// The open piece that the peer should begin, if it has any.
    pub(super) fn choose(&self, peer: &Asker<'_>, rng: &mut Rng) -> Option<PieceIndex> {
        let mut classes = Class::ALL
            .into_iter()
            .filter(|class| !self.rarity.open(*class).is_none());
        classes.find_map(|class| match peer.allowed {
            Some(allowed) => self.choose_of(allowed, class, peer),
            None => self.choose_in(class, peer, rng),
        })
    }

    fn choose_in(&self, class: Class, peer: &Asker<'_>, rng: &mut Rng) -> Option<PieceIndex> {
        let open = |piece: &PieceIndex| self.is_candidate(*piece, class, peer);
        let failed = self.failed.iter().take(FAILED_TRIES).copied().find(open);
        let urgent = failed.or_else(|| peer.suggested.iter().copied().find(open));
        if urgent.is_some() {
            return urgent;
        }
        if self.order == Order::Sequential {
            return self.first_from(self.lowest_open, class, peer);
        }
        self.neighbour(class, peer).or_else(|| {
            if self.have.count() < RANDOM_FIRST {
                self.first_from(rng.below(self.layout.pieces()), class, peer)
            } else {
                self.rarest(class, peer, rng)
            }
        })
    }

    /// Of a few pieces the best: what a peer that chokes us allows.
    fn choose_of(&self, few: &[PieceIndex], class: Class, peer: &Asker<'_>) -> Option<PieceIndex> {
        let open = few
            .iter()
            .copied()
            .filter(|piece| self.is_candidate(*piece, class, peer));
        match self.order {
            Order::Sequential => open.min(),
            Order::RarestFirst => open.min_by_key(|piece| self.rarity.of(*piece)),
        }
    }

    fn is_candidate(&self, piece: PieceIndex, class: Class, peer: &Asker<'_>) -> bool {
        self.rarity.class(piece) == Some(class) && peer.pieces.has(piece)
    }

    /// The first open piece of the peer from `index` on, going round.
    fn first_from(&self, index: u32, class: Class, peer: &Asker<'_>) -> Option<PieceIndex> {
        let start = self.layout.piece(index)?;
        self.rarity.open(class).common_from(peer.pieces, start).next()
    }

    fn rarest(&self, class: Class, peer: &Asker<'_>, rng: &mut Rng) -> Option<PieceIndex> {
        let mut tries = RAREST_TRIES;
        for group in self.rarity.groups(class, peer.pieces.is_all()) {
            let start = rng.below(group.len() as u32) as usize;
            let (before, after) = group.split_at(start);
            let mut looked_at = after.iter().chain(before).take(tries);
            if let Some(piece) = looked_at.find(|piece| peer.pieces.has(**piece)) {
                return Some(*piece);
            }
            tries = tries.saturating_sub(group.len());
            if tries == 0 {
                break;
            }
        }
        let start = self.layout.piece(rng.below(self.layout.pieces()))?;
        let open = self.rarity.open(class).common_from(peer.pieces, start);
        open.take(SAMPLE).min_by_key(|piece| self.rarity.of(*piece))
    }

    /// An open piece beside one that was begun, in the same group: it shares memory with it.
    fn neighbour(&self, class: Class, peer: &Asker<'_>) -> Option<PieceIndex> {
        let mut pieces = self.groups.iter().flat_map(|group| self.group(*group));
        pieces.find(|piece| self.is_candidate(*piece, class, peer))
    }

    /// Remembers the group of a piece that was begun, as long as it has open pieces.
    pub(super) fn note_group(&mut self, piece: PieceIndex) {
        if self.layout.piece_length() >= EXTENT_LEN {
            return;
        }
        let group = (self.layout.piece_offset(piece) / u64::from(EXTENT_LEN)) as u32;
        let exhausted = !self.group(group).any(|piece| self.rarity.is_open(piece));
        let known = self.groups.iter().position(|other| *other == group);
        match known {
            Some(place) if exhausted => {
                self.groups.remove(place);
            }
            None if !exhausted => {
                if self.groups.len() == GROUPS_MAX {
                    self.groups.pop_front();
                }
                self.groups.push_back(group);
            }
            _ => {}
        }
    }

    /// The pieces that begin in one extent's worth of payload.
    fn group(&self, group: u32) -> impl Iterator<Item = PieceIndex> {
        let start = u64::from(group) * u64::from(EXTENT_LEN);
        let length = u64::from(self.layout.piece_length());
        let end = (start + u64::from(EXTENT_LEN)).min(self.layout.total_len());
        let range = start.div_ceil(length) as u32..end.div_ceil(length) as u32;
        range.filter_map(|index| self.layout.piece(index))
    }

    /// Moves the mark below which nothing is open, after a piece was begun.
    pub(super) fn raise_lowest_open(&mut self) {
        let open = |index| {
            self.layout
                .piece(index)
                .is_some_and(|piece| self.rarity.is_open(piece))
        };
        while self.lowest_open + 1 < self.layout.pieces() && !open(self.lowest_open) {
            self.lowest_open += 1;
        }
    }
}
