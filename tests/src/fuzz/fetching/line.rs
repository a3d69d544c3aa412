//! One connection of the shard under fuzz: what each side said, and whether what the shard asked for was right to ask.
//!
//! Judged is what the socket took, when it took it. As long as every send is taken at once and whole, that is what the
//! shard decided with all that it had heard before; once a send had to wait, the two may differ by what crossed, and
//! requests on this connection are not judged any more. Blocks that are served are, always.
//!
//! Framing comes from the simulator's listener and shares no code with the engine.

use std::collections::BTreeSet;

use shoal_world::Gather;

use crate::peer::Message;
use crate::sample::{BLOCK_LEN, Block};
use crate::sim::stream::{Stream, as_block, extension_number, parse};
use crate::sim::torrent::Torrent;

/// Requests that a peer queues if it does not say (what clients take in practice).
const REQUESTS_DEFAULT: usize = 250;

/// What is being received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    Nothing,
    /// So many bytes, once.
    Exact(usize),
    /// Whatever comes, in portions.
    Stream,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    /// Whose it is, by number.
    pub(super) peer: usize,
    pub(super) receiving: Receiving,
    /// The send that is under way.
    pub(super) sending: Option<Box<Gather>>,
    pub(super) waiting: bool,
    pub(super) closing: bool,
    /// What the peer said and the shard did not read.
    pub(super) says: Vec<u8>,
    /// What it says lies there until it is delivered.
    pub(super) slow: bool,
    /// So many bytes the next send takes; 0: all.
    pub(super) takes: usize,
    /// Its socket takes nothing.
    pub(super) blocked: bool,
    /// The shard's requests may have crossed something: they are not judged.
    pub(super) loose: bool,
    fast: bool,
    said: Stream,
    heard: Stream,
    choked: bool,
    interested: bool,
    allowed: BTreeSet<u32>,
    peer_has: Vec<bool>,
    requests_max: usize,
    /// What the peer was asked for, in order.
    asked: Vec<Block>,
    /// What the peer asked for.
    wanted: BTreeSet<Block>,
}

impl Line {
    /// The connection of a peer that knows the fast extension, or not, to a torrent of so many pieces.
    pub(super) fn new(peer: usize, fast: bool, pieces: u32) -> Line {
        Line {
            peer,
            receiving: Receiving::Nothing,
            sending: None,
            waiting: false,
            closing: false,
            says: Vec::new(),
            slow: false,
            takes: 0,
            blocked: false,
            loose: false,
            fast,
            said: Stream::default(),
            heard: Stream::default(),
            choked: true,
            interested: false,
            allowed: BTreeSet::new(),
            peer_has: vec![false; pieces as usize],
            requests_max: REQUESTS_DEFAULT,
            asked: Vec::new(),
            wanted: BTreeSet::new(),
        }
    }

    /// What the peer was asked for and has neither sent nor refused, in order.
    pub(super) fn asked(&self) -> &[Block] {
        &self.asked
    }

    /// The peer says something.
    pub(super) fn say(&mut self, message: &Message) {
        self.says.extend(message.encode());
    }

    /// The shard reads these bytes.
    pub(super) fn hears(&mut self, bytes: &[u8]) {
        self.heard.push(bytes);
        if !self.heard.greeted {
            self.heard.handshake();
        }
        while let Ok(Some(range)) = self.heard.frame() {
            let frame = &self.heard.bytes[range];
            if let Some((block, _)) = as_block(frame) {
                self.asked.retain(|asked| *asked != block);
            } else {
                match parse(frame) {
                    Some(message) => self.follow(message),
                    None => return,
                }
            }
        }
    }

    fn follow(&mut self, message: Message) {
        match message {
            Message::Choke => {
                self.choked = true;
                // BEP 6: with it every request is answered by itself.
                if !self.fast {
                    self.asked.clear();
                }
            }
            Message::Unchoke => self.choked = false,
            Message::Have { piece } => {
                if let Some(has) = self.peer_has.get_mut(piece as usize) {
                    *has = true;
                }
            }
            Message::Bitfield { bits } => {
                for (piece, has) in self.peer_has.iter_mut().enumerate() {
                    *has = bits
                        .get(piece / 8)
                        .is_some_and(|bits| bits & 0x80 >> (piece % 8) != 0);
                }
            }
            Message::HaveAll => self.peer_has.fill(true),
            Message::HaveNone => self.peer_has.fill(false),
            Message::AllowedFast { piece } => drop(self.allowed.insert(piece)),
            Message::Reject(block) => self.asked.retain(|asked| *asked != block),
            Message::Request(block) => drop(self.wanted.insert(block)),
            Message::Extended { id: 0, payload } => {
                // Nobody queues none: such a number says nothing.
                if let Some(requests @ 1..) = extension_number(&payload, b"reqq") {
                    self.requests_max = usize::try_from(requests).unwrap_or(usize::MAX);
                }
            }
            _ => {}
        }
    }

    /// The peer's socket took these bytes of the shard's.
    ///
    /// # Panics
    /// With the rule that the shard broke.
    pub(super) fn takes(&mut self, bytes: &[u8], torrent: &Torrent, has: &[bool]) {
        self.said.push(bytes);
        if !self.said.greeted && self.said.handshake().is_none() {
            return;
        }
        while let Some(range) = self.said.frame().expect("no message is too long") {
            let frame = self.said.bytes[range].to_vec();
            let message = parse(&frame).unwrap_or_else(|| panic!("nonsense was said: {frame:?}"));
            self.judge(message, torrent, has);
        }
    }

    fn judge(&mut self, message: Message, torrent: &Torrent, has: &[bool]) {
        match message {
            Message::Request(block) => self.judge_request(block, torrent, has),
            Message::Cancel(block) => self.asked.retain(|asked| *asked != block),
            Message::Interested => self.interested = true,
            Message::NotInterested => self.interested = false,
            Message::Have { piece } => assert!(has[piece as usize], "piece {piece} is told of and not there"),
            Message::Bitfield { bits } => {
                for piece in (0..has.len()).filter(|piece| bits[piece / 8] & 0x80 >> (piece % 8) != 0) {
                    assert!(has[piece], "piece {piece} is told of and not there");
                }
            }
            Message::HaveAll => assert!(has.iter().all(|has| *has), "not all is there"),
            Message::Piece { piece, offset, data } => {
                let len = data.len() as u32;
                let block = Block { piece, offset, len };
                assert!(has[piece as usize], "{block:?} is served and was not verified");
                assert!(
                    self.wanted.contains(&block),
                    "{block:?} is served and was not asked for"
                );
                let start = torrent.place_of(block).expect("a block that exists");
                assert!(torrent.has(start, &data), "{block:?} is served with other bytes");
            }
            _ => {}
        }
    }

    fn judge_request(&mut self, block: Block, torrent: &Torrent, has: &[bool]) {
        let exists = torrent.place_of(block).is_some() && block.len <= BLOCK_LEN;
        assert!(
            exists && block.len > 0,
            "{block:?} is asked for and does not exist"
        );
        let piece = block.piece as usize;
        let double = self.asked.contains(&block);
        if !self.loose {
            assert!(!has[piece], "{block:?} is asked for and is there");
            assert!(self.peer_has[piece], "{block:?} is asked of who does not have it");
            assert!(self.interested, "{block:?} is asked for without interest");
            let may = !self.choked || self.allowed.contains(&block.piece);
            assert!(may, "{block:?} is asked of who chokes");
            assert!(!double, "{block:?} is asked for twice");
            assert!(
                self.asked.len() < self.requests_max,
                "more than {} requests are outstanding",
                self.requests_max
            );
        }
        if !double {
            self.asked.push(block);
        }
    }
}
