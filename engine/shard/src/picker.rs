//! Which blocks to ask a peer for: one picker for each torrent that is fetched.
//!
//! In this order a peer is asked for
//! 1. pieces with a deadline, in the order of the deadlines (a reader waits for them);
//! 2. free blocks of pieces in progress, the highest priority first, then the one that was begun first;
//! 3. a new piece of the highest priority there is: one that failed before, one that the peer suggested (BEP 6), a
//!    neighbour in the same 256 KiB of payload as a piece just begun, the lowest when sequential, any while fewer than 4
//!    pieces are had (something to trade, soon), else the rarest;
//! 4. near the end, blocks that another peer was asked for: at most two peers for a block.
//!
//! Blame. A piece that failed is given to one peer alone the next time: nobody else is asked for blocks of it while
//! that peer is asked for any. If it fails again, that peer lied; if it is right, comparing the blocks tells who lied
//! before. A peer under suspicion is asked `alone`: it begins pieces that nobody joins and joins none that others
//! began, unless those lie idle and nothing else is left. What landed from a peer that went is kept: bytes are not
//! thrown away to make blame easier, and whose block is whose stays known.
//!
//! It knows no clock, no memory and no messages: when a block is late, whether there is room, and what is said to whom
//! is decided by its caller.
//!
//! Invariants: a wanted piece is open (in `rarity`), in progress (in `begun`), or has nothing; one with free blocks is
//! in `partial` as well; what is not wanted is in neither `rarity` nor `partial`.

mod choice;
mod progress;
mod rarity;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use shoal_proto::bitfield::Bitfield;
use shoal_proto::layout::{Layout, PieceIndex, Span};
use shoal_world::{Rng, Socket};

use progress::Progress;
use rarity::{Class, Rarity};

/// How much a piece is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Not at all: it is not fetched unless a reader waits for it.
    Skip,
    /// After everything else.
    Low,
    /// As every piece at first.
    #[default]
    Normal,
    /// Before everything else but what a reader waits for.
    High,
}

/// Which of the pieces of one priority is begun first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The one that the fewest peers have: what is best for a swarm.
    #[default]
    RarestFirst,
    /// From the first to the last: what is best for watching.
    Sequential,
}

/// A peer that has room for requests.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) socket: Socket,
    /// What it has.
    pub(crate) pieces: &'a Bitfield,
    /// It chokes us and allows only these (BEP 6, allowed fast).
    pub(crate) allowed: Option<&'a [PieceIndex]>,
    /// What it would like to be asked for (BEP 6).
    pub(crate) suggested: &'a [PieceIndex],
    /// It took part in a piece that failed: it gets pieces for itself.
    pub(crate) alone: bool,
}

/// What a block was worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Landed {
    /// This peer was not asked for it, or it is there already, or its piece is not being fetched: drop it.
    Unasked,
    /// Keep it. `others` were asked for it as well: cancel.
    Taken { others: Vec<Socket> },
    /// It was the last of its piece: hash it.
    Complete { others: Vec<Socket> },
}

/// A piece in progress that has free blocks, in the order in which such pieces are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Partial {
    class: Class,
    sequence: u64,
    piece: PieceIndex,
}

/// What is wanted of one torrent, who has it, and who was asked for what.
#[derive(Debug)]
pub(crate) struct Picker {
    layout: Arc<Layout>,
    have: Bitfield,
    /// Wanted and not had, in progress or not.
    wanted: Bitfield,
    priorities: Box<[Priority]>,
    order: Order,
    /// What a reader waits for, the most urgent first.
    deadlines: Vec<PieceIndex>,
    /// The same.
    urgent: BTreeSet<PieceIndex>,
    rarity: Rarity,
    begun: BTreeMap<PieceIndex, Progress>,
    partial: BTreeSet<Partial>,
    /// Pieces that failed and are not verified since.
    failed: BTreeSet<PieceIndex>,
    /// Groups of neighbours of which a piece was begun and others are open, the oldest first.
    groups: VecDeque<u32>,
    /// No piece before this one is open.
    lowest_open: u32,
    /// Pieces begun so far.
    sequence: u64,
}

/// One call of [`Picker::pick`].
struct Round<'a, 'b> {
    peer: Asker<'a>,
    /// How many entries `out` may have in the end.
    until: usize,
    out: &'b mut Vec<Span>,
    room: &'b mut dyn FnMut(PieceIndex) -> bool,
    /// There was no room for a new piece.
    crowded: bool,
}

impl Picker {
    /// Everything that is not in `have` is wanted, with normal priority.
    pub(crate) fn new(layout: Arc<Layout>, have: &Bitfield, order: Order) -> Picker {
        let mut wanted = Bitfield::none(have.pieces());
        for piece in have.missing() {
            wanted.set(piece);
        }
        Picker {
            have: have.clone(),
            wanted,
            priorities: vec![Priority::Normal; have.pieces() as usize].into(),
            order,
            deadlines: Vec::new(),
            urgent: BTreeSet::new(),
            rarity: Rarity::new(have),
            begun: BTreeMap::new(),
            partial: BTreeSet::new(),
            failed: BTreeSet::new(),
            groups: VecDeque::new(),
            lowest_open: 0,
            sequence: 0,
            layout,
        }
    }

    /// A peer came that has `pieces`. A step for each of them, one for all.
    pub(crate) fn peer_joined(&mut self, pieces: &Bitfield) {
        self.rarity.joined(pieces);
    }

    /// A peer is gone that had `pieces` in the end.
    pub(crate) fn peer_left(&mut self, pieces: &Bitfield) {
        self.rarity.left(pieces);
    }

    /// A peer has one piece more.
    pub(crate) fn peer_has(&mut self, piece: PieceIndex) {
        self.rarity.has(piece);
    }

    #[cfg(test)]
    /// How many peers have the piece.
    pub(crate) fn availability(&self, piece: PieceIndex) -> u32 {
        self.rarity.of(piece)
    }

    /// What is begun of a piece that is skipped from now on stays in progress, and may still be completed by what was
    /// asked for; who needs its memory calls [`Picker::lost`].
    pub(crate) fn set_priority(&mut self, piece: PieceIndex, priority: Priority) {
        self.priorities[piece.index()] = priority;
        self.settle(piece);
    }

    pub(crate) fn set_order(&mut self, order: Order) {
        self.order = order;
    }

    /// What a reader waits for, the most urgent first; it replaces what it waited for before. Every pick looks at all
    /// of them: a window of 16 MiB for each reader, which is 1,024 pieces at most.
    pub(crate) fn set_deadlines(&mut self, pieces: &[PieceIndex]) {
        self.deadlines = pieces.to_vec();
        let urgent = pieces.iter().copied().collect();
        let before = std::mem::replace(&mut self.urgent, urgent);
        for piece in before.symmetric_difference(&self.urgent.clone()) {
            self.settle(*piece);
        }
    }

    /// Whether the piece is still to be fetched, or being fetched.
    pub(crate) fn wants(&self, piece: PieceIndex) -> bool {
        self.wanted.has(piece)
    }

    /// How many pieces are still to be fetched, or being fetched.
    pub(crate) fn wanted_left(&self) -> u32 {
        self.wanted.count()
    }

    /// How many of them are among `pieces`: what interest in a peer rests on.
    pub(crate) fn interesting_in(&self, pieces: &Bitfield) -> u32 {
        match (self.wanted.is_none(), pieces.is_all()) {
            (true, _) => 0,
            (false, true) => self.wanted.count(),
            (false, false) => self.wanted.common_count(pieces),
        }
    }

    /// Whether one of `pieces`, which a peer has, is wanted and nobody else has it.
    pub(crate) fn has_only_source(&self, pieces: &Bitfield) -> bool {
        let mut wanted = self.wanted.present().filter(|piece| pieces.has(*piece));
        wanted.any(|piece| self.rarity.of(piece) <= 1)
    }

    /// Up to `count` blocks to ask the peer for, appended to `out`, asked from here on. Before a piece is begun `room`
    /// is asked for it, once; when there is none, no piece is begun in this call.
    pub(crate) fn pick(
        &mut self,
        peer: Asker<'_>,
        count: usize,
        rng: &mut Rng,
        room: &mut dyn FnMut(PieceIndex) -> bool,
        out: &mut Vec<Span>,
    ) {
        let mut round = Round {
            peer,
            until: out.len() + count,
            out,
            room,
            crowded: false,
        };
        self.pick_deadlines(&mut round);
        self.pick_partial(&mut round);
        self.pick_new(&mut round, rng);
        if peer.alone {
            self.pick_idle(&mut round);
        } else if !self.rarity.any_available() {
            self.pick_again(&mut round);
        }
    }

    /// A block came.
    pub(crate) fn landed(&mut self, socket: Socket, block: Span) -> Landed {
        if !self.was_asked(socket, block) {
            return Landed::Unasked;
        }
        let progress = self.in_hand(block.piece());
        let others = progress.land(block, socket).into_iter().collect();
        if progress.is_complete() {
            Landed::Complete { others }
        } else {
            Landed::Taken { others }
        }
    }

    /// Whether the peer was asked for exactly this block, and it is still awaited.
    pub(crate) fn was_asked(&self, socket: Socket, block: Span) -> bool {
        let progress = self.begun.get(&block.piece());
        progress.is_some_and(|progress| progress.was_asked(&self.layout, socket, block))
    }

    /// A block will not come from this peer, which rejected it, choked us or took too long: others may be asked.
    pub(crate) fn abandoned(&mut self, socket: Socket, block: Span) {
        if self.was_asked(socket, block) {
            self.in_hand(block.piece()).abandon(block, socket);
            self.settle(block.piece());
        }
    }

    /// A peer is gone: others may be asked for whatever it was asked for.
    pub(crate) fn peer_gone(&mut self, socket: Socket) {
        let of_peer = self.begun.iter().filter(|(_, progress)| progress.asks(socket));
        let pieces: Vec<PieceIndex> = of_peer.map(|(piece, _)| *piece).collect();
        for piece in pieces {
            self.in_hand(piece).abandon_all(socket);
            self.settle(piece);
        }
    }

    /// The piece is right, and had from here on.
    pub(crate) fn verified(&mut self, piece: PieceIndex) {
        self.forget(piece);
        self.failed.remove(&piece);
        if self.urgent.remove(&piece) {
            self.deadlines.retain(|deadline| *deadline != piece);
        }
        self.have.set(piece);
        self.settle(piece);
    }

    /// The piece is wrong: it is wanted again from the start, from one peer alone. Who sent which block of it.
    pub(crate) fn failed(&mut self, piece: PieceIndex) -> Vec<(Span, Socket)> {
        let sources = self
            .begun
            .get(&piece)
            .map(|progress| progress.sources(&self.layout));
        self.forget(piece);
        self.failed.insert(piece);
        self.settle(piece);
        sources.unwrap_or_default()
    }

    /// What was had or begun of the piece is gone: a write failed, or its memory was taken away.
    pub(crate) fn lost(&mut self, piece: PieceIndex) {
        self.forget(piece);
        self.have.clear(piece);
        self.settle(piece);
    }

    #[cfg(test)]
    /// The pieces that hold memory: begun and not yet verified, failed or lost.
    pub(crate) fn in_progress(&self) -> impl Iterator<Item = PieceIndex> {
        self.begun.keys().copied()
    }

    #[cfg(test)]
    /// Every block that can be had is asked for, and not all are there.
    pub(crate) fn is_endgame(&self) -> bool {
        self.partial.is_empty()
            && !self.rarity.any_available()
            && self.begun.values().any(|progress| !progress.is_complete())
    }

    fn pick_deadlines(&mut self, round: &mut Round<'_, '_>) {
        for place in 0..self.deadlines.len() {
            let piece = self.deadlines[place];
            if round.is_full() {
                return;
            }
            if !round.peer.may_send(piece) {
                continue;
            }
            if self.rarity.is_open(piece) {
                self.begin(piece, round);
            } else if self.may_join(piece, &round.peer) {
                self.ask(piece, round);
            }
        }
    }

    fn pick_partial(&mut self, round: &mut Round<'_, '_>) {
        self.pick_free(round, Picker::may_join);
    }

    /// The last resort of a peer that is asked alone: what somebody else left behind.
    fn pick_idle(&mut self, round: &mut Round<'_, '_>) {
        self.pick_free(round, |picker, piece, _| picker.begun[&piece].is_idle());
    }

    fn pick_free(
        &mut self,
        round: &mut Round<'_, '_>,
        may: impl Fn(&Picker, PieceIndex, &Asker<'_>) -> bool,
    ) {
        let mut from = Bound::Unbounded;
        while !round.is_full() {
            let mut candidates = self.partial.range((from, Bound::Unbounded));
            let fits = |partial: &&Partial| {
                round.peer.may_send(partial.piece) && may(self, partial.piece, &round.peer)
            };
            let Some(partial) = candidates.find(fits).copied() else {
                return;
            };
            from = Bound::Excluded(partial);
            self.ask(partial.piece, round);
        }
    }

    fn pick_new(&mut self, round: &mut Round<'_, '_>, rng: &mut Rng) {
        while !round.is_full() && !round.crowded {
            let Some(piece) = self.choose(&round.peer, rng) else {
                return;
            };
            self.begin(piece, round);
        }
    }

    /// Asks for what another peer was asked for. A piece that somebody fetches alone stays that peer's.
    fn pick_again(&mut self, round: &mut Round<'_, '_>) {
        for (piece, progress) in &mut self.begun {
            if round.is_full() {
                return;
            }
            if progress.class.is_some() && progress.sole.is_none() && round.peer.may_send(*piece) {
                progress.ask_again(&self.layout, round.peer.socket, round.until, round.out);
            }
        }
    }

    /// Begins the piece if there is room.
    fn begin(&mut self, piece: PieceIndex, round: &mut Round<'_, '_>) {
        if round.crowded || !(round.room)(piece) {
            round.crowded = true;
            return;
        }
        let class = self.class(piece);
        self.begun
            .insert(piece, Progress::new(&self.layout, piece, self.sequence, class));
        self.sequence += 1;
        self.rarity.remove(piece);
        self.raise_lowest_open();
        self.note_group(piece);
        self.ask(piece, round);
    }

    /// Asks for free blocks of a piece in progress.
    fn ask(&mut self, piece: PieceIndex, round: &mut Round<'_, '_>) {
        let alone = round.peer.alone || self.failed.contains(&piece);
        let progress = self.begun.get_mut(&piece).expect("the piece was begun");
        if progress.has_free() {
            progress.sole = alone.then_some(round.peer.socket);
            progress.ask(&self.layout, round.peer.socket, round.until, round.out);
            self.settle(piece);
        }
    }

    /// Whether the peer may be asked for blocks of a piece in progress.
    fn may_join(&self, piece: PieceIndex, peer: &Asker<'_>) -> bool {
        let Some(progress) = self.begun.get(&piece) else {
            return false;
        };
        match progress.sole {
            Some(sole) if sole == peer.socket => true,
            Some(sole) if progress.asks(sole) => false,
            _ => !peer.alone,
        }
    }

    /// Brings where the piece stands in line with how much it is wanted and what is begun of it.
    fn settle(&mut self, piece: PieceIndex) {
        let class = self.class(piece);
        if class.is_some() {
            self.wanted.set(piece);
        } else {
            self.wanted.clear(piece);
        }
        if let Some(progress) = self.begun.get_mut(&piece) {
            let before = std::mem::replace(&mut progress.class, class);
            let partial = |class| Partial {
                class,
                sequence: progress.sequence,
                piece,
            };
            if before != class || !progress.has_free() {
                before.map(|before| self.partial.remove(&partial(before)));
            }
            if progress.has_free() {
                self.partial.extend(class.map(partial));
            }
        } else if self.rarity.class(piece) != class {
            if self.rarity.is_open(piece) {
                self.rarity.remove(piece);
            }
            if let Some(class) = class {
                self.rarity.insert(piece, class);
                self.lowest_open = self.lowest_open.min(piece.get());
            }
        }
    }

    /// How much the piece is wanted; `None`: not at all, or had.
    fn class(&self, piece: PieceIndex) -> Option<Class> {
        if self.have.has(piece) {
            return None;
        }
        match self.priorities[piece.index()] {
            Priority::High => Some(Class::High),
            Priority::Normal => Some(Class::Normal),
            Priority::Low => Some(Class::Low),
            Priority::Skip => self.urgent.contains(&piece).then_some(Class::Low),
        }
    }

    /// What was begun of the piece is forgotten; the caller settles it anew.
    fn forget(&mut self, piece: PieceIndex) {
        if let Some(progress) = self.begun.remove(&piece)
            && let Some(class) = progress.class
        {
            self.partial.remove(&Partial {
                class,
                sequence: progress.sequence,
                piece,
            });
        }
    }

    fn in_hand(&mut self, piece: PieceIndex) -> &mut Progress {
        self.begun
            .get_mut(&piece)
            .expect("a piece with blocks that were asked for is in progress")
    }
}

impl Asker<'_> {
    /// Whether the peer has the piece and would send it now.
    fn may_send(&self, piece: PieceIndex) -> bool {
        self.pieces.has(piece) && self.allowed.is_none_or(|allowed| allowed.contains(&piece))
    }
}

impl Round<'_, '_> {
    fn is_full(&self) -> bool {
        self.out.len() >= self.until
    }
}

#[cfg(test)]
mod tests;
