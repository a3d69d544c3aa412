//! How many peers have each piece, and the pieces that may be begun in the order in which they should be.
//!
//! A piece that may be begun is *open*: wanted, not had, not in progress. Open pieces stand in one vector, sorted by
//! level: the class of their priority first, then how many peers have them. Where each level ends is kept, so a piece
//! moves to the next level by one swap with the last of its own and one step of that end (libtorrent's
//! `piece_picker` keeps its order in the same way). Beside it stands a bitfield for each class, for whoever needs
//! "open, and this peer has it" by words.
//!
//! It chooses nothing and knows no peers, only how many.
//!
//! Invariants:
//! - A peer that had everything when it came is one step of `everywhere`. Every other peer is one step of `counts` for
//!   each of its pieces, so an open piece with count 0 is had by peers that have everything, or by nobody.
//! - An open piece stands in `order` once, at `places`, inside of the range of its level.

use shoal_proto::bitfield::Bitfield;
use shoal_proto::layout::PieceIndex;

/// Kinds of priority that are fetched at all.
const CLASSES: usize = 3;

/// Counts that are told apart. Among pieces that 63 peers have, which one is rarer decides nothing.
const RARITIES: usize = 64;

const LEVELS: usize = CLASSES * RARITIES;

/// The level of a piece that is not open.
const ABSENT: u8 = u8::MAX;

const _: () = assert!(LEVELS <= ABSENT as usize, "a level is a u8");

/// A priority that is fetched, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    High,
    Normal,
    Low,
}

/// Availability of all pieces, and the open ones in order: 13 bytes for a piece.
#[derive(Debug)]
pub(super) struct Rarity {
    /// Peers that have the piece, without those in `everywhere`.
    counts: Box<[u32]>,
    everywhere: u32,
    /// The level of every piece, or [`ABSENT`].
    levels: Box<[u8]>,
    /// Where an open piece stands in `order`.
    places: Box<[u32]>,
    order: Vec<PieceIndex>,
    /// Where each level ends in `order`; it begins where the one before ends.
    ends: [u32; LEVELS],
    /// The open pieces of each class.
    open: [Bitfield; CLASSES],
}

impl Class {
    pub(super) const ALL: [Class; CLASSES] = [Class::High, Class::Normal, Class::Low];
}

impl Rarity {
    /// Every piece that is not in `have` is open, of normal priority, and nobody has any.
    pub(super) fn new(have: &Bitfield) -> Rarity {
        let pieces = have.pieces();
        let mut rarity = Rarity {
            counts: vec![0; pieces as usize].into(),
            everywhere: 0,
            levels: vec![ABSENT; pieces as usize].into(),
            places: vec![0; pieces as usize].into(),
            order: have.missing().collect(),
            ends: [0; LEVELS],
            open: std::array::from_fn(|_| Bitfield::none(pieces)),
        };
        for piece in have.missing() {
            rarity.open[Class::Normal as usize].set(piece);
            rarity.levels[piece.index()] = level(Class::Normal, 0);
        }
        rarity.sort();
        rarity
    }

    /// A peer came that has `pieces`.
    pub(super) fn joined(&mut self, pieces: &Bitfield) {
        if pieces.is_all() {
            self.everywhere += 1;
            return;
        }
        for piece in pieces.present() {
            self.has(piece);
        }
    }

    /// A peer that had `pieces` in the end is gone.
    pub(super) fn left(&mut self, pieces: &Bitfield) {
        if !pieces.is_all() {
            for piece in pieces.present() {
                self.lacks(piece);
            }
        } else if self.everywhere > 0 {
            // Peers that have everything are all alike: it does not matter which of them was counted here.
            self.everywhere -= 1;
        } else {
            self.one_less_everywhere();
        }
    }

    /// A peer has one piece more.
    pub(super) fn has(&mut self, piece: PieceIndex) {
        let count = &mut self.counts[piece.index()];
        *count += 1;
        if *count < RARITIES as u32 && self.levels[piece.index()] != ABSENT {
            self.raise(piece);
        }
    }

    /// How many peers have the piece.
    pub(super) fn of(&self, piece: PieceIndex) -> u32 {
        self.counts[piece.index()] + self.everywhere
    }

    /// The piece may be begun.
    pub(super) fn insert(&mut self, piece: PieceIndex, class: Class) {
        assert!(!self.is_open(piece), "a piece is opened once");
        self.open[class as usize].set(piece);
        let last = LEVELS - 1;
        self.places[piece.index()] = self.order.len() as u32;
        self.levels[piece.index()] = last as u8;
        self.order.push(piece);
        self.ends[last] += 1;
        let level = level(class, self.counts[piece.index()]);
        while self.levels[piece.index()] > level {
            self.lower(piece);
        }
    }

    /// The piece may not be begun.
    pub(super) fn remove(&mut self, piece: PieceIndex) {
        let class = self.class(piece).expect("only an open piece is closed");
        self.open[class as usize].clear(piece);
        let last = LEVELS - 1;
        while usize::from(self.levels[piece.index()]) < last {
            self.raise(piece);
        }
        self.swap_to(piece, self.ends[last] - 1);
        self.order.pop();
        self.ends[last] -= 1;
        self.levels[piece.index()] = ABSENT;
    }

    pub(super) fn is_open(&self, piece: PieceIndex) -> bool {
        self.levels[piece.index()] != ABSENT
    }

    /// The class in which the piece is open.
    pub(super) fn class(&self, piece: PieceIndex) -> Option<Class> {
        let level = usize::from(self.levels[piece.index()]);
        Class::ALL.get(level / RARITIES).copied()
    }

    /// The open pieces of a class.
    pub(super) fn open(&self, class: Class) -> &Bitfield {
        &self.open[class as usize]
    }

    /// The open pieces of a class as far as a peer can have them, in groups of equal rarity, rarest first. A peer that
    /// does not have everything has none of those that are counted nowhere.
    pub(super) fn groups(&self, class: Class, has_all: bool) -> impl Iterator<Item = &[PieceIndex]> {
        let first = class as usize * RARITIES;
        let levels = first + usize::from(!has_all)..first + RARITIES;
        levels
            .map(|level| self.members(level))
            .filter(|group| !group.is_empty())
    }

    /// Whether a piece is open that somebody has.
    pub(super) fn any_available(&self) -> bool {
        let nobodys = |class: &Class| self.members(*class as usize * RARITIES).len();
        match self.everywhere {
            0 => self.order.len() > Class::ALL.iter().map(nobodys).sum(),
            _ => !self.order.is_empty(),
        }
    }

    fn lacks(&mut self, piece: PieceIndex) {
        let count = &mut self.counts[piece.index()];
        *count = count
            .checked_sub(1)
            .expect("a peer leaves with the pieces that were counted for it");
        if *count < RARITIES as u32 - 1 && self.levels[piece.index()] != ABSENT {
            self.lower(piece);
        }
    }

    /// A peer that came with a part and got everything since is gone, and no other that has everything stands in
    /// `everywhere` to be taken for it.
    fn one_less_everywhere(&mut self) {
        for count in &mut self.counts {
            *count = count
                .checked_sub(1)
                .expect("a peer that has everything was counted for every piece");
        }
        for piece in &self.order {
            let class = Class::ALL[usize::from(self.levels[piece.index()]) / RARITIES];
            self.levels[piece.index()] = level(class, self.counts[piece.index()]);
        }
        self.sort();
    }

    /// Brings `order`, `places` and `ends` in line with the levels.
    fn sort(&mut self) {
        let levels = &self.levels;
        self.order.sort_by_key(|piece| levels[piece.index()]);
        self.ends = [0; LEVELS];
        for (place, piece) in (0..).zip(&self.order) {
            self.places[piece.index()] = place;
            self.ends[usize::from(self.levels[piece.index()])] += 1;
        }
        let mut end = 0;
        for of_level in &mut self.ends {
            end += *of_level;
            *of_level = end;
        }
    }

    /// To the level above: it becomes the last of its own, whose end passes it.
    fn raise(&mut self, piece: PieceIndex) {
        let level = usize::from(self.levels[piece.index()]);
        self.swap_to(piece, self.ends[level] - 1);
        self.ends[level] -= 1;
        self.levels[piece.index()] += 1;
    }

    /// To the level below: it becomes the first of its own, and the end of the one below passes it.
    fn lower(&mut self, piece: PieceIndex) {
        let below = usize::from(self.levels[piece.index()]) - 1;
        self.swap_to(piece, self.ends[below]);
        self.ends[below] += 1;
        self.levels[piece.index()] -= 1;
    }

    fn swap_to(&mut self, piece: PieceIndex, place: u32) {
        let from = self.places[piece.index()];
        if from == place {
            return;
        }
        let other = self.order[place as usize];
        self.order.swap(from as usize, place as usize);
        self.places[other.index()] = from;
        self.places[piece.index()] = place;
    }

    fn members(&self, level: usize) -> &[PieceIndex] {
        let start = level.checked_sub(1).map_or(0, |below| self.ends[below]);
        &self.order[start as usize..self.ends[level] as usize]
    }
}

fn level(class: Class, count: u32) -> u8 {
    (class as usize * RARITIES) as u8 + count.min(RARITIES as u32 - 1) as u8
}
