//! What the owner wants of a torrent: which files and pieces, in which order, what first.
//!
//! A piece is wanted as much as the file in it that is wanted most, unless it has a priority of its own. The picker knows
//! pieces only; here it is remembered where their priorities come from, so that each can change without the other.
//! What readers wait for is not a wish: it ends with them, and the picker keeps it apart.

use std::collections::BTreeMap;

use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::{Layout, PieceIndex};
use shoal_world::{Op, Time};

use super::{Blame, Durability, Fetching};
use crate::buffers::Stage;
use crate::event::Event;
use crate::picker::{Order, Picker, Priority};
use crate::shard::Shard;
use crate::torrent::{Fetch, TorrentId};

/// How much each piece of a torrent is wanted, and why.
#[derive(Debug)]
pub(crate) struct Wishes {
    /// How much every file is wanted.
    files: Vec<Priority>,
    /// Pieces with a priority of their own.
    pieces: BTreeMap<PieceIndex, Priority>,
    /// The number of the latest wish. What is told as finished is so in view of it.
    pub(crate) number: u64,
}

impl Wishes {
    fn new(files: Vec<Priority>) -> Wishes {
        Wishes {
            files,
            pieces: BTreeMap::new(),
            number: 0,
        }
    }

    /// How much a piece is wanted. One of nothing but padding is wanted as well: it costs the disk nothing, and completes
    /// the torrent.
    fn of_piece(&self, layout: &Layout, piece: PieceIndex) -> Priority {
        if let Some(own) = self.pieces.get(&piece) {
            return *own;
        }
        let (start, len) = (layout.piece_offset(piece), layout.piece_len(piece));
        let segments = layout.segments(start, len.into());
        let real = segments.filter(|segment| !segment.padding);
        let most = real.map(|segment| self.files[segment.file.index()]).max();
        most.unwrap_or(Priority::Normal)
    }

    /// Brings the picker in line for these pieces.
    fn settle(&self, layout: &Layout, pieces: impl Iterator<Item = PieceIndex>, picker: &mut Picker) {
        for piece in pieces {
            picker.set_priority(piece, self.of_piece(layout, piece));
        }
    }
}

impl Shard {
    /// Sees to it that what is missing of a torrent is fetched.
    pub(crate) fn begin_fetching(&mut self, id: TorrentId, fetch: Fetch) {
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        let info_hash = active.info_hash;
        assert_eq!(
            fetch.hashes.len(),
            active.layout.pieces() as usize,
            "a hash for every piece"
        );
        assert_eq!(
            fetch.priorities.len(),
            active.layout.file_count(),
            "a priority for every file"
        );
        let longest = active
            .layout
            .piece_indices()
            .next()
            .expect("a torrent has a piece");
        let fits = self.buffers.fits(active.cut(id), longest);
        let mut picker = Picker::new(active.layout.clone(), &active.have, fetch.order);
        let wishes = Wishes::new(fetch.priorities);
        wishes.settle(&active.layout, active.layout.piece_indices(), &mut picker);
        active.fetching = Some(Box::new(Fetching {
            picker,
            hashes: fetch.hashes,
            buffers: BTreeMap::new(),
            arriving: Default::default(),
            durability: Durability::default(),
            blame: Blame::default(),
            paused: None,
            finished: false,
            wishes,
        }));
        if !fits {
            self.tell(Event::PieceTooLong { info_hash });
        }
        self.finish_if_done(id);
    }

    pub(crate) fn prioritise(
        &mut self,
        now: Time,
        info_hash: InfoHash,
        wish: u64,
        priorities: &[Priority],
        ops: &mut Vec<Op>,
    ) {
        self.wish(now, info_hash, wish, ops, |wishes, layout, picker| {
            assert_eq!(priorities.len(), layout.file_count(), "a priority for every file");
            wishes.files = priorities.to_vec();
            wishes.settle(layout, layout.piece_indices(), picker);
        });
    }

    pub(crate) fn prioritise_pieces(
        &mut self,
        now: Time,
        info_hash: InfoHash,
        wish: u64,
        pieces: &[PieceIndex],
        priority: Option<Priority>,
        ops: &mut Vec<Op>,
    ) {
        self.wish(now, info_hash, wish, ops, |wishes, layout, picker| {
            for piece in pieces {
                match priority {
                    Some(own) => wishes.pieces.insert(*piece, own),
                    None => wishes.pieces.remove(piece),
                };
            }
            wishes.settle(layout, pieces.iter().copied(), picker);
        });
    }

    /// Something else is wanted of a torrent: this changes it, and everything that rests on it follows.
    fn wish(
        &mut self,
        now: Time,
        info_hash: InfoHash,
        wish: u64,
        ops: &mut Vec<Op>,
        change: impl FnOnce(&mut Wishes, &Layout, &mut Picker),
    ) {
        let Some(id) = self.torrents.find(info_hash) else {
            return;
        };
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        if let Some(fetching) = active.fetching.as_deref_mut() {
            change(&mut fetching.wishes, &active.layout, &mut fetching.picker);
            (fetching.finished, fetching.wishes.number) = (false, wish);
        } else {
            // Everything is there already: the owner waits for the answer all the same.
            self.tell(Event::TorrentFinished { info_hash, wish });
        }
        self.wishes_changed(now, id, ops);
    }

    pub(crate) fn reorder(&mut self, info_hash: InfoHash, order: Order) {
        if let Some(id) = self.torrents.find(info_hash)
            && let Some(fetching) = self.torrents.fetching(id)
        {
            fetching.picker.set_order(order);
        }
    }

    pub(crate) fn expect(&mut self, now: Time, info_hash: InfoHash, pieces: &[u32], ops: &mut Vec<Op>) {
        let Some(id) = self.torrents.find(info_hash) else {
            return;
        };
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        let pieces: Vec<PieceIndex> = pieces
            .iter()
            .filter_map(|piece| active.layout.piece(*piece))
            .collect();
        if let Some(fetching) = active.fetching.as_deref_mut() {
            fetching.picker.set_deadlines(&pieces);
            fetching.finished &= fetching.picker.wanted_left() == 0;
        }
        self.wishes_changed(now, id, ops);
    }

    /// Peers that had nothing of interest may have now, and the other way round.
    fn wishes_changed(&mut self, now: Time, id: TorrentId, ops: &mut Vec<Op>) {
        let Some(active) = self.torrents.get(id) else {
            return;
        };
        for socket in active.peers.clone() {
            self.review_interest(now, socket, ops);
        }
        self.call_at = Some(now);
        self.drop_unwanted(now, id, ops);
        self.finish_if_done(id);
    }

    /// Pieces that are skipped since they were begun give their memory back, but for those that are whole.
    fn drop_unwanted(&mut self, now: Time, id: TorrentId, ops: &mut Vec<Op>) {
        let Some(fetching) = self.torrents.fetching(id) else {
            return;
        };
        let unwanted = fetching.buffers.iter().filter(|(piece, in_hand)| {
            let fills = matches!(self.buffers.get(in_hand.buffer).stage, Stage::Filling);
            fills && !fetching.picker.wants(**piece)
        });
        let unwanted: Vec<PieceIndex> = unwanted.map(|(piece, _)| *piece).collect();
        for piece in unwanted {
            self.drop_piece(now, id, piece, ops);
        }
    }

    pub(crate) fn remove(&mut self, now: Time, info_hash: InfoHash, ops: &mut Vec<Op>) {
        let Some(id) = self.torrents.find(info_hash) else {
            return;
        };
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        for socket in std::mem::take(&mut active.peers) {
            self.disconnect(now, socket, ops);
        }
        self.give_up(id, ops);
    }
}
