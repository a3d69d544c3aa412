//! Random operations against a picker and a trivial reference, which keeps sets and counts everything anew.
//!
//! After every operation both must agree on all that can be asked of a picker, and the picker's own order must be
//! intact. What is picked is not predicted; it is judged: each block by itself, and whether anything better was left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shoal_proto::bitfield::Bitfield;
use shoal_proto::layout::{BLOCK_LEN, FileLength, Layout, PieceIndex, Span};
use shoal_world::{Rng, Socket};

use super::super::rarity::Class;
use super::super::{Asker, Landed, Order, Partial, Picker, Priority};

/// Torrents that are played through, and operations on each.
const TORRENTS: u64 = 24;
const STEPS: u32 = 800;

struct Peer {
    socket: Socket,
    pieces: Bitfield,
    /// It chokes us, and allows these.
    allowed: Option<Vec<PieceIndex>>,
    suggested: Vec<PieceIndex>,
    alone: bool,
}

#[derive(Clone, Debug, Default)]
struct Block {
    asked: Vec<Socket>,
    landed: Option<Socket>,
}

struct Model {
    layout: Arc<Layout>,
    picker: Picker,
    rng: Rng,
    have: BTreeSet<PieceIndex>,
    priorities: BTreeMap<PieceIndex, Priority>,
    deadlines: Vec<PieceIndex>,
    peers: Vec<Peer>,
    /// The blocks of the pieces in progress.
    begun: BTreeMap<PieceIndex, BTreeMap<Span, Block>>,
    failed: BTreeSet<PieceIndex>,
    next_slot: u32,
}

#[test]
fn whatever_happens_it_agrees_with_the_reference() {
    for seed in 0..TORRENTS {
        let mut model = Model::new(seed);
        for step in 0..STEPS {
            let operation = model.operate();
            model.check(&format!("seed {seed}, step {step}, {operation}"));
        }
    }
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut rng = Rng::new(seed);
        let piece_length =
            [BLOCK_LEN / 2, BLOCK_LEN, 3 * BLOCK_LEN + 100, 16 * BLOCK_LEN][rng.below(4) as usize];
        let pieces = 1 + rng.below(40);
        let len = u64::from(pieces) * u64::from(piece_length) - u64::from(rng.below(piece_length));
        let layout = Arc::new(Layout::new(piece_length, [FileLength { len, padding: false }]).unwrap());
        let mut have = Bitfield::none(layout.pieces());
        for piece in layout.piece_indices().filter(|_| rng.below(10) == 0) {
            have.set(piece);
        }
        let order = random_order(&mut rng);
        Model {
            picker: Picker::new(Arc::clone(&layout), &have, order),
            have: have.present().collect(),
            priorities: layout
                .piece_indices()
                .map(|piece| (piece, Priority::Normal))
                .collect(),
            deadlines: Vec::new(),
            peers: Vec::new(),
            begun: BTreeMap::new(),
            failed: BTreeSet::new(),
            next_slot: 0,
            layout,
            rng,
        }
    }

    fn operate(&mut self) -> &'static str {
        match self.rng.below(100) {
            0..5 => self.join(),
            5..8 => self.leave(),
            8..18 => self.has(),
            18..22 => self.set_priority(),
            22..24 => self.set_deadlines(),
            24..25 => self.set_order(),
            25..50 => self.pick(),
            50..90 => self.land(),
            90..96 => self.abandon(),
            _ => self.lose(),
        }
    }

    fn join(&mut self) -> &'static str {
        if self.peers.len() == 8 {
            return "nothing";
        }
        let density = [0, 2, 50, 95, 100][self.rng.below(5) as usize];
        let mut pieces = Bitfield::none(self.layout.pieces());
        for piece in self.layout.piece_indices() {
            if self.rng.below(100) < density {
                pieces.set(piece);
            }
        }
        self.picker.peer_joined(&pieces);
        let few = |rng: &mut Rng| {
            (0..3)
                .map(|_| random_piece(&self.layout, rng))
                .collect::<Vec<_>>()
        };
        let (allowed, suggested) = (few(&mut self.rng), few(&mut self.rng));
        self.peers.push(Peer {
            socket: super::peer(self.next_slot),
            pieces,
            allowed: (self.rng.below(4) == 0).then_some(allowed),
            suggested,
            alone: self.rng.below(4) == 0,
        });
        self.next_slot += 1;
        "joined"
    }

    fn leave(&mut self) -> &'static str {
        if self.peers.is_empty() {
            return "nothing";
        }
        let place = self.rng.below(self.peers.len() as u32) as usize;
        let peer = self.peers.swap_remove(place);
        self.picker.peer_gone(peer.socket);
        self.picker.peer_left(&peer.pieces);
        for block in self.begun.values_mut().flat_map(BTreeMap::values_mut) {
            block.asked.retain(|socket| *socket != peer.socket);
        }
        "left"
    }

    fn has(&mut self) -> &'static str {
        let piece = random_piece(&self.layout, &mut self.rng);
        for peer in &mut self.peers {
            if peer.pieces.set(piece) {
                self.picker.peer_has(piece);
                break;
            }
        }
        "has"
    }

    fn set_priority(&mut self) -> &'static str {
        let piece = random_piece(&self.layout, &mut self.rng);
        let priorities = [Priority::Skip, Priority::Low, Priority::Normal, Priority::High];
        let priority = priorities[self.rng.below(4) as usize];
        self.priorities.insert(piece, priority);
        self.picker.set_priority(piece, priority);
        "priority"
    }

    fn set_deadlines(&mut self) -> &'static str {
        let first = self.rng.below(self.layout.pieces());
        let len = self.rng.below(5);
        self.deadlines = (first..first + len)
            .filter_map(|index| self.layout.piece(index))
            .collect();
        self.picker.set_deadlines(&self.deadlines);
        "deadlines"
    }

    fn set_order(&mut self) -> &'static str {
        self.picker.set_order(random_order(&mut self.rng));
        "order"
    }

    fn pick(&mut self) -> &'static str {
        if self.peers.is_empty() {
            return "nothing";
        }
        let peer = &self.peers[self.rng.below(self.peers.len() as u32) as usize];
        let asker = Asker {
            socket: peer.socket,
            pieces: &peer.pieces,
            allowed: peer.allowed.as_deref(),
            suggested: &peer.suggested,
            alone: peer.alone,
        };
        let count = self.rng.below(60) as usize;
        let mut rooms = self.rng.below(6);
        let (mut refused, mut begun) = (false, Vec::new());
        let mut room = |piece| {
            assert!(!refused, "nobody asks again for room that there is not");
            refused = rooms == 0;
            rooms = rooms.saturating_sub(1);
            begun.extend((!refused).then_some(piece));
            !refused
        };
        let mut out = Vec::new();
        self.picker.pick(asker, count, &mut self.rng, &mut room, &mut out);
        let short = out.len() < count;
        assert!(out.len() <= count);
        let context = Picked {
            begun,
            refused,
            short,
        };
        let place = self
            .peers
            .iter()
            .position(|other| other.socket == asker.socket)
            .unwrap();
        self.judge(place, &context, &out);
        "picked"
    }

    /// Judges what was picked, and takes it into the reference.
    fn judge(&mut self, place: usize, picked: &Picked, out: &[Span]) {
        let free_before = self.free_for(place);
        for piece in &picked.begun {
            assert!(
                self.wants(*piece) && !self.begun.contains_key(piece),
                "an open piece is begun"
            );
            let blocks = self.layout.blocks(*piece).map(|span| (span, Block::default()));
            self.begun.insert(*piece, blocks.collect());
        }
        let peer = &self.peers[place];
        let mut again = false;
        for span in out {
            let piece = span.piece();
            assert!(self.wants(piece), "what is not wanted is not picked");
            assert!(peer.may_send(piece), "a peer is asked for what it has and allows");
            let block = self
                .begun
                .get_mut(&piece)
                .unwrap()
                .get_mut(span)
                .expect("a block is a block");
            assert!(block.landed.is_none() && !block.asked.contains(&peer.socket) && block.asked.len() < 2);
            again |= !block.asked.is_empty();
            block.asked.push(peer.socket);
        }
        if again {
            let available = |piece: PieceIndex| self.peers.iter().any(|peer| peer.pieces.has(piece));
            assert!(
                !picked.refused && !peer.alone,
                "near the end, and not for want of room"
            );
            assert!(
                !self.open().any(available),
                "nothing is asked twice while something can be begun"
            );
        }
        if again || picked.short {
            assert!(
                self.free_for(place).is_empty(),
                "a free block is picked before the end"
            );
            let open = self.open().any(|piece| peer.may_send(piece));
            assert!(picked.refused || !open, "an open piece is begun before the end");
        }
        self.judge_order(place, picked, &free_before);
    }

    fn judge_order(&self, place: usize, picked: &Picked, free_before: &[Span]) {
        let peer = &self.peers[place];
        let begun = picked
            .begun
            .iter()
            .filter(|piece| !self.deadlines.contains(piece));
        for piece in begun {
            let asked = |span: &Span| self.begun[&span.piece()][span].asked.contains(&peer.socket);
            assert!(free_before.iter().all(asked), "what is begun is finished first");
            let better =
                |other: &PieceIndex| peer.may_send(*other) && self.priorities[other] > self.priorities[piece];
            assert!(
                !self.open().any(|other| better(&other)),
                "the highest priority is begun first"
            );
        }
    }

    fn land(&mut self) -> &'static str {
        let awaited = self.awaited();
        if awaited.is_empty() {
            return "nothing";
        }
        let (span, socket) = awaited[self.rng.below(awaited.len() as u32) as usize];
        let blocks = self.begun.get_mut(&span.piece()).unwrap();
        let block = blocks.get_mut(&span).unwrap();
        let others = block
            .asked
            .iter()
            .copied()
            .filter(|other| *other != socket)
            .collect();
        block.asked.clear();
        block.landed = Some(socket);
        let complete = blocks.values().all(|block| block.landed.is_some());
        let landed = self.picker.landed(socket, span);
        assert_eq!(self.picker.landed(socket, span), Landed::Unasked);
        if complete {
            assert_eq!(landed, Landed::Complete { others });
            self.hashed(span.piece());
        } else {
            assert_eq!(landed, Landed::Taken { others });
        }
        "landed"
    }

    fn hashed(&mut self, piece: PieceIndex) {
        let blocks = self.begun.remove(&piece).unwrap();
        if self.rng.below(4) == 0 {
            let sources = blocks.iter().map(|(span, block)| (*span, block.landed.unwrap()));
            assert_eq!(self.picker.failed(piece), sources.collect::<Vec<_>>());
            self.failed.insert(piece);
        } else {
            self.picker.verified(piece);
            self.have.insert(piece);
            self.failed.remove(&piece);
            self.deadlines.retain(|deadline| *deadline != piece);
        }
    }

    fn abandon(&mut self) -> &'static str {
        let awaited = self.awaited();
        if awaited.is_empty() {
            return "nothing";
        }
        let (span, socket) = awaited[self.rng.below(awaited.len() as u32) as usize];
        self.picker.abandoned(socket, span);
        let block = self.begun.get_mut(&span.piece()).unwrap().get_mut(&span).unwrap();
        block.asked.retain(|other| *other != socket);
        "abandoned"
    }

    fn lose(&mut self) -> &'static str {
        let piece = random_piece(&self.layout, &mut self.rng);
        self.picker.lost(piece);
        self.have.remove(&piece);
        self.begun.remove(&piece);
        "lost"
    }

    fn wants(&self, piece: PieceIndex) -> bool {
        let wished = self.priorities[&piece] > Priority::Skip || self.deadlines.contains(&piece);
        wished && !self.have.contains(&piece)
    }

    /// Pieces that may be begun.
    fn open(&self) -> impl Iterator<Item = PieceIndex> {
        let pieces = self.layout.piece_indices();
        pieces.filter(|piece| self.wants(*piece) && !self.begun.contains_key(piece))
    }

    /// Free blocks that the peer must be asked for before a piece is begun for it: none of pieces that others fetch
    /// alone. A peer that is asked alone owes nothing to what others began.
    fn free_for(&self, place: usize) -> Vec<Span> {
        let peer = &self.peers[place];
        if peer.alone {
            return Vec::new();
        }
        let mut free = Vec::new();
        for (piece, blocks) in &self.begun {
            let askers = blocks.values().flat_map(|block| block.asked.iter().copied());
            let mut others = askers.filter(|asker| *asker != peer.socket).peekable();
            let failed = self.failed.contains(piece) && others.peek().is_some();
            let kept = failed || others.any(|other| self.is_alone(other));
            if !kept && self.wants(*piece) && peer.may_send(*piece) {
                let of_piece = blocks
                    .iter()
                    .filter(|(_, block)| block.asked.is_empty() && block.landed.is_none());
                free.extend(of_piece.map(|(span, _)| *span));
            }
        }
        free
    }

    fn is_alone(&self, socket: Socket) -> bool {
        self.peers.iter().any(|peer| peer.socket == socket && peer.alone)
    }

    fn awaited(&self) -> Vec<(Span, Socket)> {
        let blocks = self.begun.values().flatten();
        blocks
            .flat_map(|(span, block)| block.asked.iter().map(|socket| (*span, *socket)))
            .collect()
    }

    fn check(&mut self, context: &str) {
        for piece in self.layout.piece_indices() {
            let recount = self.peers.iter().filter(|peer| peer.pieces.has(piece)).count();
            assert_eq!(
                self.picker.availability(piece) as usize,
                recount,
                "{context}: {piece:?}"
            );
            assert_eq!(
                self.picker.wants(piece),
                self.wants(piece),
                "{context}: {piece:?}"
            );
        }
        let wanted = self.layout.piece_indices().filter(|piece| self.wants(*piece));
        let wanted: Vec<PieceIndex> = wanted.collect();
        assert_eq!(self.picker.wanted_left() as usize, wanted.len(), "{context}");
        assert!(
            self.picker.in_progress().eq(self.begun.keys().copied()),
            "{context}"
        );
        for peer in &self.peers {
            let interesting = wanted.iter().filter(|piece| peer.pieces.has(**piece)).count();
            assert_eq!(
                self.picker.interesting_in(&peer.pieces) as usize,
                interesting,
                "{context}"
            );
        }
        self.check_blocks(context);
        self.check_order(context);
    }

    fn check_blocks(&self, context: &str) {
        for (piece, blocks) in &self.begun {
            let mut askers = BTreeSet::new();
            for (span, block) in blocks {
                for peer in &self.peers {
                    let awaited = block.asked.contains(&peer.socket);
                    assert_eq!(
                        self.picker.was_asked(peer.socket, *span),
                        awaited,
                        "{context}: {span:?}"
                    );
                }
                askers.extend(&block.asked);
            }
            let alone = self.failed.contains(piece) || askers.iter().any(|socket| self.is_alone(*socket));
            assert!(
                !alone || askers.len() <= 1,
                "{context}: {piece:?} is one peer's, not {askers:?}"
            );
        }
    }

    /// What the picker keeps sorted is complete and sorted.
    fn check_order(&self, context: &str) {
        let mut in_order = Vec::new();
        for class in Class::ALL {
            let groups = self.picker.rarity.groups(class, true).map(|group| {
                let counts: BTreeSet<u32> = group.iter().map(|piece| self.picker.rarity.of(*piece)).collect();
                assert_eq!(counts.len(), 1, "{context}: one group, one rarity");
                in_order.extend(group);
                (class, counts)
            });
            assert!(groups.is_sorted(), "{context}: the rarest come first");
        }
        in_order.sort_unstable();
        assert!(
            self.open().eq(in_order),
            "{context}: what is open stands in order once"
        );
        assert!(
            self.open().all(|piece| piece.get() >= self.picker.lowest_open),
            "{context}"
        );
        let free = self.picker.begun.iter().filter_map(|(piece, progress)| {
            let (class, sequence, piece) = (progress.class?, progress.sequence, *piece);
            progress.has_free().then_some(Partial {
                class,
                sequence,
                piece,
            })
        });
        let free: BTreeSet<Partial> = free.collect();
        assert_eq!(
            free, self.picker.partial,
            "{context}: what has free blocks is known"
        );
    }
}

/// How a pick went.
struct Picked {
    begun: Vec<PieceIndex>,
    /// There was no room for another piece.
    refused: bool,
    /// It gave fewer blocks than were asked for.
    short: bool,
}

impl Peer {
    fn may_send(&self, piece: PieceIndex) -> bool {
        self.pieces.has(piece)
            && self
                .allowed
                .as_ref()
                .is_none_or(|allowed| allowed.contains(&piece))
    }
}

fn random_piece(layout: &Layout, rng: &mut Rng) -> PieceIndex {
    layout.piece(rng.below(layout.pieces())).unwrap()
}

fn random_order(rng: &mut Rng) -> Order {
    [Order::RarestFirst, Order::Sequential][rng.below(2) as usize]
}
