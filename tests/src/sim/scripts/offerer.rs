//! A seed that a fetching daemon must finish beside: it has everything, offers it, and does one thing wrong.
//!
//! It comes again whenever it is thrown out; what it is worth to the daemon is none of its business.

use std::rc::Rc;
use std::time::Duration;

use shoal_world::Time;

use super::super::dice::Chance;
use super::super::taps::Heard;
use super::super::torrent::Torrent;
use super::{Behaviour, Line};
use crate::peer::{FAST_AND_EXTENDED, Handshake, Message};
use crate::sample::Block;

/// What is wrong with a seed (cases 21 to 28 of the hostile inputs, from its side).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// Its blocks have wrong bytes, so often.
    Corrupts(Chance),
    /// It sends every block twice.
    Doubles,
    /// It sends blocks that nobody asked for.
    Floods,
    /// It rejects everything.
    Rejects,
    /// It chokes after every request, rejects it and unchokes again.
    Wavers,
    /// It unchokes and sends nothing.
    Starves,
    /// It hangs up in the middle of every block.
    Tears,
    /// It says again and again what it has.
    Repeats,
}

impl Trick {
    /// All of them.
    pub const ALL: [Trick; 9] = [
        Trick::Corrupts(Chance(1_000_000)),
        Trick::Corrupts(Chance(50_000)),
        Trick::Doubles,
        Trick::Floods,
        Trick::Rejects,
        Trick::Wavers,
        Trick::Starves,
        Trick::Tears,
        Trick::Repeats,
    ];
}

/// How often it asks itself whether it is still there.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(60);

/// A seed with a trick.
#[derive(Debug)]
pub struct Offerer {
    torrent: Rc<Torrent>,
    trick: Trick,
    peer_id: [u8; 20],
}

impl Offerer {
    /// A seed of this torrent.
    pub fn new(torrent: &Rc<Torrent>, trick: Trick) -> Offerer {
        Offerer {
            torrent: torrent.clone(),
            trick,
            peer_id: Handshake::new([0; 20], FAST_AND_EXTENDED).peer_id,
        }
    }

    fn block(&self, block: Block) -> Option<Message> {
        let mut data = vec![0; block.len as usize];
        self.torrent.read(self.torrent.place_of(block)?, &mut data);
        let Block { piece, offset, .. } = block;
        Some(Message::Piece { piece, offset, data })
    }

    fn answers(&self, line: &mut Line<'_>, block: Block) {
        let Some(mut message) = self.block(block) else {
            return;
        };
        match self.trick {
            Trick::Corrupts(chance) => {
                if let Message::Piece { data, .. } = &mut message
                    && line.dice.happens(chance)
                {
                    data[0] ^= 1;
                }
                line.says.extend(message.encode());
            }
            Trick::Doubles => line.says.extend([message.encode(), message.encode()].concat()),
            Trick::Floods | Trick::Repeats => {
                line.says.extend(message.encode());
                let other = line.dice.below(self.torrent.pieces());
                let unasked = self.torrent.blocks_of(other).next();
                if self.trick == Trick::Repeats {
                    line.says.extend(Message::Have { piece: other }.encode());
                } else if let Some(unasked) = unasked.and_then(|block| self.block(block)) {
                    line.says.extend(unasked.encode());
                }
            }
            Trick::Rejects => line.says.extend(Message::Reject(block).encode()),
            Trick::Wavers => {
                for message in [Message::Choke, Message::Reject(block), Message::Unchoke] {
                    line.says.extend(message.encode());
                }
            }
            Trick::Starves => {}
            Trick::Tears => {
                let whole = message.encode();
                line.says.extend(&whole[..whole.len() / 2]);
                line.hangs_up = true;
            }
        }
    }
}

impl Behaviour for Offerer {
    fn begins(&mut self, line: &mut Line<'_>) {
        let handshake = Handshake {
            reserved: FAST_AND_EXTENDED,
            info_hash: self.torrent.info_hash,
            peer_id: self.peer_id,
        };
        line.says.extend(handshake.encode());
        line.again_after = Some(KEEP_ALIVE_EVERY);
    }

    fn hears(&mut self, line: &mut Line<'_>, heard: Heard) {
        match heard {
            Heard::Handshake => line.says.extend(Message::HaveAll.encode()),
            Heard::Message(Message::Interested) => line.says.extend(Message::Unchoke.encode()),
            Heard::Message(Message::Request(block)) => self.answers(line, block),
            _ => {}
        }
    }

    fn again(&mut self, line: &mut Line<'_>) {
        line.says.extend(Message::KeepAlive.encode());
        line.again_after = Some(KEEP_ALIVE_EVERY);
    }

    fn ends(&mut self, _now: Time) {}

    /// It would stay for ever.
    fn is_satisfied(&self) -> bool {
        false
    }

    fn describe(&self) -> String {
        format!("{:?} with torrent {}", self.trick, self.torrent.key)
    }
}
