//! The honest peer, fast or slow: it asks for what it wants, keeps the rules, and leaves when it has everything.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use shoal_world::Time;

use super::super::daemon::INFO_LEN;
use super::super::dice::Chance;
use super::super::stream::extension_ids;
use super::super::taps::Heard;
use super::super::torrent::Torrent;
use super::{Behaviour, Line};
use crate::bencode::Value;
use crate::peer::{FAST_AND_EXTENDED, Handshake, Message, PLAIN};
use crate::sample::Block;

/// How often it says that it is still there (BEP 3: at least every two minutes).
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(60);

/// The id under which it wants metadata messages.
const METADATA_ID: u8 = 3;

/// Length of a piece of the `info` dictionary (BEP 9), and how many there are.
const METADATA_PIECE_LEN: usize = 16 * 1024;
const METADATA_PIECES: i64 = INFO_LEN.div_ceil(METADATA_PIECE_LEN) as i64;

/// What an honest peer wants, and how it asks.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Of which torrent.
    pub torrent: Rc<Torrent>,
    /// Which blocks, in this order.
    pub blocks: Vec<Block>,
    /// It has only a magnet link and asks for the `info` dictionary first (needs `extended`).
    pub metadata: bool,
    /// It knows the fast extension and the extension protocol.
    pub extended: bool,
    /// Requests that it leaves unanswered at most.
    pub pipeline: usize,
    /// How often it takes a request back and makes it again.
    pub cancels: Chance,
    /// How often it loses interest for a second.
    pub loses_interest: Chance,
    /// It tells which pieces it has completed.
    pub tells: bool,
}

impl Wishes {
    /// Nothing yet, asked for with the extensions and in the plainest way.
    pub fn plain(torrent: &Rc<Torrent>) -> Wishes {
        Wishes {
            torrent: torrent.clone(),
            blocks: Vec::new(),
            metadata: false,
            extended: true,
            pipeline: 1,
            cancels: Chance::NEVER,
            loses_interest: Chance::NEVER,
            tells: false,
        }
    }
}

/// An honest peer.
#[derive(Debug)]
pub struct Fetcher {
    wishes: Wishes,
    peer_id: [u8; 20],
    missing: VecDeque<Block>,
    asked: BTreeSet<Block>,
    choked: bool,
    interested: bool,
    /// A block may be asked for that is on its way already.
    asks_again: bool,
    /// Pieces of the `info` dictionary that it misses.
    metadata: BTreeSet<i64>,
    finished_at: Option<Time>,
}

impl Fetcher {
    /// A peer that has nothing.
    pub fn new(wishes: Wishes) -> Fetcher {
        Fetcher {
            missing: wishes.blocks.iter().copied().collect(),
            peer_id: Handshake::new([0; 20], PLAIN).peer_id,
            asked: BTreeSet::new(),
            choked: true,
            interested: false,
            asks_again: wishes.cancels != Chance::NEVER,
            metadata: (0..METADATA_PIECES).filter(|_| wishes.metadata).collect(),
            finished_at: None,
            wishes,
        }
    }

    fn is_done(&self) -> bool {
        self.missing.is_empty() && self.asked.is_empty() && self.metadata.is_empty()
    }

    fn asks(&mut self, line: &mut Line<'_>) {
        while !self.choked
            && self.interested
            && self.asked.len() < self.wishes.pipeline
            && let Some(block) = self.missing.pop_front()
        {
            line.says.extend(Message::Request(block).encode());
            self.asked.insert(block);
            if line.dice.happens(self.wishes.cancels) {
                line.says.extend(Message::Cancel(block).encode());
                // Without the fast extension nobody says what became of it: the block may still come.
                if !self.wishes.extended {
                    self.asked.remove(&block);
                    self.missing.push_back(block);
                }
            }
        }
    }

    fn says_interest(&mut self, line: &mut Line<'_>, interested: bool) {
        self.interested = interested;
        let message = if interested {
            Message::Interested
        } else {
            Message::NotInterested
        };
        line.says.extend(message.encode());
    }

    /// Everything that was asked for and did not come is missing again.
    fn forgets(&mut self) {
        self.asks_again = true;
        for block in std::mem::take(&mut self.asked) {
            self.missing.push_front(block);
        }
    }

    fn misses_some_of(&self, piece: u32) -> bool {
        let mut left = self.missing.iter().chain(&self.asked);
        left.any(|block| block.piece == piece)
    }

    fn leaves(&mut self, line: &mut Line<'_>) {
        self.finished_at = Some(line.now);
        line.hangs_up = true;
    }

    /// An extended message: the daemon's ids, or a piece of the `info` dictionary.
    fn hears_extended(&mut self, line: &mut Line<'_>, id: u8, payload: &[u8]) {
        if id == 0 {
            let ids = extension_ids(payload);
            if let Some(theirs) = ids.get(b"ut_metadata".as_slice()) {
                for piece in &self.metadata {
                    let request = Value::dictionary([
                        ("msg_type", Value::Integer(0)),
                        ("piece", Value::Integer(*piece)),
                    ]);
                    let payload = request.encode();
                    line.says
                        .extend(Message::Extended { id: *theirs, payload }.encode());
                }
            }
        } else if id == METADATA_ID {
            let header = Value::decode(payload).expect("metadata begins with a dictionary");
            let data = &payload[header.encode().len()..];
            let piece = header.integer("piece").expect("metadata says which piece it is");
            assert_eq!(
                header.integer("msg_type"),
                Some(1),
                "nothing was asked for that is not there"
            );
            let right =
                INFO_LEN.min((piece as usize + 1) * METADATA_PIECE_LEN) - piece as usize * METADATA_PIECE_LEN;
            assert!(
                data.len() == right && data.iter().all(|byte| *byte == b'i'),
                "piece {piece} of the info dictionary is another one"
            );
            assert!(self.metadata.remove(&piece), "metadata piece {piece} came twice");
            if self.is_done() {
                self.leaves(line);
            }
        }
    }

    fn got(&mut self, line: &mut Line<'_>, block: Block) {
        self.asked.remove(&block);
        // Whoever takes requests back, or forgets them, may have asked twice.
        if self.asks_again {
            self.missing.retain(|other| *other != block);
        }
        if self.wishes.tells && !self.misses_some_of(block.piece) {
            line.says.extend(Message::Have { piece: block.piece }.encode());
        }
        if self.is_done() {
            self.leaves(line);
        } else if line.dice.happens(self.wishes.loses_interest) {
            self.says_interest(line, false);
            line.again_after = Some(Duration::from_secs(1));
        }
    }
}

impl Behaviour for Fetcher {
    fn begins(&mut self, line: &mut Line<'_>) {
        let reserved = if self.wishes.extended {
            FAST_AND_EXTENDED
        } else {
            PLAIN
        };
        let handshake = Handshake {
            reserved,
            info_hash: self.wishes.torrent.info_hash,
            peer_id: self.peer_id,
        };
        line.says.extend(handshake.encode());
        line.again_after = Some(KEEP_ALIVE_EVERY);
        self.choked = true;
    }

    fn hears(&mut self, line: &mut Line<'_>, heard: Heard) {
        let message = match heard {
            Heard::Handshake => {
                if self.wishes.extended {
                    let ids = Value::dictionary([
                        ("ut_metadata", Value::Integer(i64::from(METADATA_ID))),
                        ("ut_pex", Value::Integer(1)),
                    ]);
                    let payload = Value::dictionary([("m", ids)]).encode();
                    line.says.extend(Message::HaveNone.encode());
                    line.says.extend(Message::Extended { id: 0, payload }.encode());
                }
                if self.is_done() {
                    return self.leaves(line);
                }
                return self.says_interest(line, true);
            }
            Heard::Block(block) => {
                self.got(line, block);
                return self.asks(line);
            }
            Heard::Message(message) => message,
        };
        match message {
            Message::Unchoke => self.choked = false,
            Message::Choke => {
                self.choked = true;
                // BEP 6: each request is rejected by itself. BEP 3: all are forgotten.
                if !self.wishes.extended {
                    self.forgets();
                }
            }
            Message::Reject(block) if self.asked.remove(&block) => self.missing.push_back(block),
            Message::Extended { id, payload } => self.hears_extended(line, id, &payload),
            _ => {}
        }
        self.asks(line);
    }

    fn again(&mut self, line: &mut Line<'_>) {
        if self.interested {
            line.says.extend(Message::KeepAlive.encode());
            // Without the fast extension nobody says that a request was dropped; every client asks again some time.
            if !self.wishes.extended {
                self.forgets();
                self.asks(line);
            }
        } else {
            self.says_interest(line, true);
            // BEP 3 without the fast extension: who lost interest was choked, and all it asked for is forgotten.
            if !self.wishes.extended {
                self.forgets();
            }
        }
        line.again_after = Some(KEEP_ALIVE_EVERY);
    }

    fn ends(&mut self, _now: Time) {
        self.forgets();
        self.choked = true;
        self.interested = false;
    }

    fn is_satisfied(&self) -> bool {
        self.finished_at.is_some()
    }

    fn describe(&self) -> String {
        format!(
            "misses {} of {} blocks of torrent {} and {} of its metadata, {} asked for, {}, {}",
            self.missing.len() + self.asked.len(),
            self.wishes.blocks.len(),
            self.wishes.torrent.key,
            self.metadata.len(),
            self.asked.len(),
            if self.choked { "choked" } else { "unchoked" },
            if self.interested {
                "interested"
            } else {
                "not interested"
            },
        )
    }
}
