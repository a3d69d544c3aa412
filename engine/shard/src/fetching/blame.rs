//! Who lied: a piece that failed is remembered block by block, with who sent what.
//!
//! A piece that one peer sent alone proves it at once. Otherwise the digests of its blocks are kept until the piece
//! came right: whoever sent a block that differs from the right one lied, and only it. Peers are remembered by address;
//! several of this machine share one, so those are told apart by peer id.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use shoal_proto::layout::{BLOCK_LEN, PieceIndex, Span};
use shoal_proto::peer_id::PeerId;
use shoal_world::{Op, Socket, Time};

use super::HashUnderWay;
use crate::buffers::{BufferId, Stage};
use crate::event::Event;
use crate::limits::{BANNED_MAX, SOURCES_MAX, SUSPECTS_MAX};
use crate::shard::Shard;
use crate::torrent::TorrentId;

/// Who sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    pub(crate) address: SocketAddr,
    pub(crate) peer_id: PeerId,
}

/// A block of a piece that failed.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    block: Span,
    source: Source,
    digest: [u8; 20],
}

/// What is remembered of one torrent.
#[derive(Debug, Default)]
pub(crate) struct Blame {
    /// Who the peers are and were.
    sources: BTreeMap<Socket, Source>,
    /// Pieces that failed and were not right since.
    suspects: BTreeMap<PieceIndex, Vec<Suspect>>,
    /// Who sent blocks of them.
    suspected: BTreeSet<Source>,
}

/// Who is not talked to any more: the last [`BANNED_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Banned {
    whom: BTreeSet<Whom>,
    /// The same, the one banned first in front.
    order: VecDeque<Whom>,
}

/// What a ban holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    Address(IpAddr),
    /// On this machine, where several share an address.
    Id([u8; 20]),
}

impl Banned {
    fn insert(&mut self, source: Source) -> bool {
        let ip = source.address.ip();
        let whom = if ip.is_loopback() {
            Whom::Id(*source.peer_id.as_bytes())
        } else {
            Whom::Address(ip)
        };
        let news = self.whom.insert(whom);
        if news {
            self.order.push_back(whom);
        }
        if self.order.len() > BANNED_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.whom.remove(&first);
        }
        news
    }

    pub(crate) fn has_address(&self, address: SocketAddr) -> bool {
        self.whom.contains(&Whom::Address(address.ip()))
    }

    pub(crate) fn has(&self, address: SocketAddr, peer_id: PeerId) -> bool {
        let id = Whom::Id(*peer_id.as_bytes());
        self.has_address(address) || (address.ip().is_loopback() && self.whom.contains(&id))
    }
}

impl Blame {
    /// A peer from which blocks may come.
    pub(crate) fn meet(
        &mut self,
        socket: Socket,
        address: SocketAddr,
        peer_id: PeerId,
        present: &BTreeSet<Socket>,
    ) {
        if self.sources.len() >= SOURCES_MAX {
            // Who is gone is forgotten first.
            let gone = self.sources.keys().find(|known| !present.contains(known));
            let forgotten = gone.or(self.sources.keys().next()).copied();
            forgotten.and_then(|socket| self.sources.remove(&socket));
        }
        self.sources.insert(socket, Source { address, peer_id });
    }

    /// Whether the piece failed before and nobody was found out for it.
    pub(crate) fn suspects(&self, piece: PieceIndex) -> bool {
        self.suspects.contains_key(&piece)
    }

    /// Whether a peer sent blocks of a piece that failed.
    pub(crate) fn suspects_peer(&self, socket: Socket) -> bool {
        let source = self.sources.get(&socket);
        source.is_some_and(|source| self.suspected.contains(source))
    }

    /// Remembers what came of a piece that failed. Where it is too much, other pieces are forgotten: theirs is the
    /// smaller chance to be right the next time.
    fn remember(&mut self, piece: PieceIndex, suspects: Vec<Suspect>) {
        let mut blocks = suspects.len();
        self.suspects.retain(|_, others| {
            blocks += others.len();
            blocks <= SUSPECTS_MAX
        });
        self.suspects.insert(piece, suspects);
        self.note_suspected();
    }

    /// Takes out what is remembered of a piece.
    fn recall(&mut self, piece: PieceIndex) -> Vec<Suspect> {
        let suspects = self.suspects.remove(&piece).unwrap_or_default();
        self.note_suspected();
        suspects
    }

    fn note_suspected(&mut self) {
        let all = self.suspects.values().flatten();
        self.suspected = all.map(|suspect| suspect.source).collect();
    }
}

impl Shard {
    /// Hashes the blocks of a piece one by one.
    pub(super) fn hash_blocks(&mut self, id: TorrentId, buffer: BufferId, right: bool, ops: &mut Vec<Op>) {
        let Some(active) = self.torrents.get(id) else {
            return;
        };
        let piece = self.buffers.get(buffer).piece;
        let blocks: Vec<Span> = active.layout.blocks(piece).collect();
        self.buffers.get_mut(buffer).stage = Stage::Comparing {
            right,
            digests: vec![None; blocks.len()],
        };
        for (index, block) in blocks.into_iter().enumerate() {
            let what = HashUnderWay {
                buffer,
                block: Some(index as u32),
            };
            self.hash(id, what, block.offset(), block.len(), ops);
        }
    }

    pub(super) fn note_digest(&mut self, buffer: BufferId, block: Option<u32>, digest: [u8; 20]) {
        let stage = &mut self.buffers.get_mut(buffer).stage;
        match (stage, block) {
            (Stage::Comparing { digests, .. }, Some(block)) => digests[block as usize] = Some(digest),
            // The whole piece of a torrent that is gone.
            (stage, _) => *stage = Stage::Filling,
        }
    }

    /// When all digests are there: remembers them for a piece that is wrong, compares them for one that is right.
    pub(super) fn compare(&mut self, now: Time, id: TorrentId, buffer: BufferId, ops: &mut Vec<Op>) {
        let held = self.buffers.get(buffer);
        let piece = held.piece;
        let Stage::Comparing { right, digests } = &held.stage else {
            panic!("blocks were hashed of a piece that is not being compared");
        };
        let right = *right;
        let Some(digests) = digests.iter().copied().collect::<Option<Vec<[u8; 20]>>>() else {
            return;
        };
        let liars = if right {
            self.compare_right(id, piece, &digests)
        } else {
            self.remember_wrong(id, buffer, piece, &digests)
        };
        for liar in liars {
            self.ban(now, id, liar, ops);
        }
        if right {
            self.write_piece(now, id, buffer, ops);
        } else {
            self.queue_others(id, None);
        }
    }

    /// Whoever sent a block that differs from the right one lied.
    fn compare_right(&mut self, id: TorrentId, piece: PieceIndex, digests: &[[u8; 20]]) -> Vec<Source> {
        let Some(active) = self.torrents.active(id) else {
            return Vec::new();
        };
        let Some(fetching) = active.fetching.as_deref_mut() else {
            return Vec::new();
        };
        let suspects = fetching.blame.recall(piece);
        let right =
            |suspect: &Suspect| digests[(suspect.block.offset() / BLOCK_LEN) as usize] == suspect.digest;
        suspects
            .iter()
            .filter(|suspect| !right(suspect))
            .map(|suspect| suspect.source)
            .collect()
    }

    /// A piece is wrong. Who lied, if only one peer sent it.
    fn remember_wrong(
        &mut self,
        id: TorrentId,
        buffer: BufferId,
        piece: PieceIndex,
        digests: &[[u8; 20]],
    ) -> Vec<Source> {
        let Some(fetching) = self.torrents.fetching(id) else {
            return Vec::new();
        };
        fetching.buffers.remove(&piece);
        let sent = fetching.picker.failed(piece);
        let blame = &mut fetching.blame;
        let mut suspects = blame.recall(piece);
        let known = sent.iter().zip(digests).filter_map(|((block, socket), digest)| {
            let source = *blame.sources.get(socket)?;
            Some(Suspect {
                block: *block,
                source,
                digest: *digest,
            })
        });
        let fresh: Vec<Suspect> = known.collect();
        let alone =
            fresh.len() == digests.len() && fresh.iter().all(|suspect| suspect.source == fresh[0].source);
        let liar = alone.then(|| fresh[0].source);
        if liar.is_none() {
            suspects.extend(fresh);
            // Two attempts tell as much as ten.
            let excess = suspects.len().saturating_sub(2 * digests.len());
            suspects.drain(..excess);
        }
        if !suspects.is_empty() {
            blame.remember(piece, suspects);
        }
        self.buffers.release(buffer, &mut self.cache);
        self.finish_if_done(id);
        liar.into_iter().collect()
    }

    fn ban(&mut self, now: Time, id: TorrentId, source: Source, ops: &mut Vec<Op>) {
        if !self.banned.insert(source) {
            return;
        }
        let Some(active) = self.torrents.get(id) else {
            return;
        };
        let info_hash = active.info_hash;
        self.counters.banned += 1;
        self.tell(Event::PeerBanned {
            info_hash,
            address: source.address,
        });
        // Some clients take another peer id for every connection, and on loopback only that is banned.
        self.dismiss(id, source.address);
        for socket in self.peers.sockets() {
            let banned = self
                .peers
                .talking(socket)
                .is_some_and(|talking| self.banned.has(talking.address, talking.peer_id));
            if banned {
                self.disconnect(now, socket, ops);
            }
        }
    }
}

#[cfg(test)]
mod tests;
