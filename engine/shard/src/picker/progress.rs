//! A piece in progress: which of its blocks were asked of whom, and which are there.
//!
//! Whether a peer should be asked is not decided here, and a piece does not know whether its bytes are right: when all
//! blocks landed it stays as it is until somebody hashed it.
//!
//! Invariants: a block is asked of at most two peers, never twice of one; `free`, `asked_once` and `landed` count the
//! blocks in those states, and `shares` the blocks that each peer is asked for now, without peers that are asked for
//! none.

use shoal_proto::layout::{BLOCK_LEN, Layout, PieceIndex, Span};
use shoal_world::Socket;

use super::rarity::Class;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// Nobody is asked for it.
    Free,
    Asked(Socket),
    /// Asked of two, near the end.
    AskedTwice(Socket, Socket),
    /// It is there, from this peer.
    Landed(Socket),
}

/// What a peer is asked for of this piece.
#[derive(Clone, Copy, Debug)]
struct Share {
    socket: Socket,
    /// Blocks; never 0.
    asked: u32,
}

/// One piece that is being fetched.
#[derive(Debug)]
pub(super) struct Progress {
    /// When it was begun, in the order of all pieces.
    pub(super) sequence: u64,
    /// How much it is wanted; `None`: not any more.
    pub(super) class: Option<Class>,
    /// Only this peer is asked, as long as it is asked for something.
    pub(super) sole: Option<Socket>,
    piece: PieceIndex,
    blocks: Box<[Block]>,
    shares: Vec<Share>,
    free: u32,
    asked_once: u32,
    landed: u32,
    /// No block before this one is free.
    first_free: usize,
}

impl Progress {
    pub(super) fn new(layout: &Layout, piece: PieceIndex, sequence: u64, class: Option<Class>) -> Progress {
        let count = layout.block_count(piece);
        Progress {
            sequence,
            class,
            sole: None,
            piece,
            blocks: vec![Block::Free; count as usize].into(),
            shares: Vec::new(),
            free: count,
            asked_once: 0,
            landed: 0,
            first_free: 0,
        }
    }

    pub(super) fn has_free(&self) -> bool {
        self.free > 0
    }

    /// Every block is there.
    pub(super) fn is_complete(&self) -> bool {
        self.landed as usize == self.blocks.len()
    }

    /// Nobody is asked for anything.
    pub(super) fn is_idle(&self) -> bool {
        self.shares.is_empty()
    }

    /// Whether the peer is asked for something.
    pub(super) fn asks(&self, socket: Socket) -> bool {
        self.shares.iter().any(|share| share.socket == socket)
    }

    /// Asks `socket` for free blocks, in order, until `out` has `until` entries.
    pub(super) fn ask(&mut self, layout: &Layout, socket: Socket, until: usize, out: &mut Vec<Span>) {
        while out.len() < until && self.free > 0 {
            let free = self.blocks[self.first_free..]
                .iter()
                .position(|block| *block == Block::Free);
            let number = self.first_free + free.expect("a free block is counted and behind the mark");
            self.blocks[number] = Block::Asked(socket);
            self.first_free = number + 1;
            self.free -= 1;
            self.asked_once += 1;
            self.share_grows(socket);
            out.push(self.span(layout, number));
        }
    }

    /// Asks `socket` for blocks that one other peer was asked for, until `out` has `until` entries.
    pub(super) fn ask_again(&mut self, layout: &Layout, socket: Socket, until: usize, out: &mut Vec<Span>) {
        for number in 0..self.blocks.len() {
            if out.len() >= until || self.asked_once == 0 {
                return;
            }
            let Block::Asked(first) = self.blocks[number] else {
                continue;
            };
            if first == socket {
                continue;
            }
            self.blocks[number] = Block::AskedTwice(first, socket);
            self.asked_once -= 1;
            self.share_grows(socket);
            out.push(self.span(layout, number));
        }
    }

    /// Whether this very block was asked of the peer and did not come yet.
    pub(super) fn was_asked(&self, layout: &Layout, socket: Socket, span: Span) -> bool {
        match self.number(layout, span).map(|number| self.blocks[number]) {
            Some(Block::Asked(first)) => first == socket,
            Some(Block::AskedTwice(first, second)) => first == socket || second == socket,
            Some(Block::Free | Block::Landed(_)) | None => false,
        }
    }

    /// A block came that was asked of the peer. Who else was asked for it.
    pub(super) fn land(&mut self, span: Span, socket: Socket) -> Option<Socket> {
        let block = &mut self.blocks[(span.offset() / BLOCK_LEN) as usize];
        let before = std::mem::replace(block, Block::Landed(socket));
        self.landed += 1;
        self.share_shrinks(socket);
        let other = match before {
            Block::Asked(_) => {
                self.asked_once -= 1;
                return None;
            }
            Block::AskedTwice(first, second) if second == socket => first,
            Block::AskedTwice(_, second) => second,
            Block::Free | Block::Landed(_) => panic!("a block lands that was asked for"),
        };
        self.share_shrinks(other);
        Some(other)
    }

    /// A block that was asked of the peer will not come from it.
    pub(super) fn abandon(&mut self, span: Span, socket: Socket) {
        self.abandon_block((span.offset() / BLOCK_LEN) as usize, socket);
    }

    /// Nothing will come from the peer any more.
    pub(super) fn abandon_all(&mut self, socket: Socket) {
        if !self.asks(socket) {
            return;
        }
        for number in 0..self.blocks.len() {
            match self.blocks[number] {
                Block::Asked(first) if first == socket => self.abandon_block(number, socket),
                Block::AskedTwice(first, second) if first == socket || second == socket => {
                    self.abandon_block(number, socket);
                }
                _ => {}
            }
        }
    }

    /// The blocks that are there, and who sent each.
    pub(super) fn sources(&self, layout: &Layout) -> Vec<(Span, Socket)> {
        let landed = self
            .blocks
            .iter()
            .enumerate()
            .filter_map(|(number, block)| match block {
                Block::Landed(socket) => Some((self.span(layout, number), *socket)),
                _ => None,
            });
        landed.collect()
    }

    fn abandon_block(&mut self, number: usize, socket: Socket) {
        self.blocks[number] = match self.blocks[number] {
            Block::AskedTwice(first, second) => {
                self.asked_once += 1;
                Block::Asked(if first == socket { second } else { first })
            }
            _ => {
                self.asked_once -= 1;
                self.free += 1;
                self.first_free = self.first_free.min(number);
                Block::Free
            }
        };
        self.share_shrinks(socket);
    }

    fn share_grows(&mut self, socket: Socket) {
        match self.shares.iter_mut().find(|share| share.socket == socket) {
            Some(share) => share.asked += 1,
            None => self.shares.push(Share { socket, asked: 1 }),
        }
    }

    fn share_shrinks(&mut self, socket: Socket) {
        let place = self.shares.iter().position(|share| share.socket == socket);
        let place = place.expect("who is asked for a block has a share");
        self.shares[place].asked -= 1;
        if self.shares[place].asked == 0 {
            self.shares.swap_remove(place);
        }
    }

    /// The number of the block that is exactly this span.
    fn number(&self, layout: &Layout, span: Span) -> Option<usize> {
        let number = (span.offset() / BLOCK_LEN) as usize;
        (self.span(layout, number) == span).then_some(number)
    }

    fn span(&self, layout: &Layout, number: usize) -> Span {
        let offset = number as u32 * BLOCK_LEN;
        let len = BLOCK_LEN.min(layout.piece_len(self.piece) - offset);
        let span = layout.span(self.piece.get(), offset, len);
        span.expect("a block of a piece lies in the piece")
    }
}
