//! Peers that a daemon must survive and, sooner or later, throw out.

use std::rc::Rc;
use std::time::Duration;

use shoal_world::Time;

use super::super::taps::Heard;
use super::super::torrent::Torrent;
use super::{Behaviour, Line};
use crate::peer::{FAST_AND_EXTENDED, Handshake, Message, frame, numbers};
use crate::sample::{BLOCK_LEN, Block};

/// What is wrong with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// It connects and says nothing.
    Mute,
    /// It shakes hands and says nothing more.
    Silent,
    /// It says what the protocol forbids; the number chooses what.
    Liar(u32),
    /// It asks for everything, again and again, more than anybody may, and takes half of it back.
    Greedy,
    /// It names a torrent that nobody has, or speaks another protocol.
    Spoofer,
    /// It is the daemon itself: its handshake has the daemon's own peer id.
    SelfConnector([u8; 20]),
}

/// How many lies there are.
pub const LIES: u32 = 10;

/// Time in which a daemon must throw out who says nothing (three minutes), and some more.
const SILENCE_MAX: Duration = Duration::from_secs(200);

/// Time in which a daemon must throw out who broke the protocol: far less than its patience with silence.
const LIE_MAX: Duration = Duration::from_secs(60);

/// How often a greedy peer asks, and how many times, before it leaves.
const GREEDY_EVERY: Duration = Duration::from_millis(300);
const GREEDY_TIMES: u32 = 20;

/// A peer that does one thing wrong.
#[derive(Debug)]
pub struct Nuisance {
    offence: Offence,
    torrent: Rc<Torrent>,
    over: bool,
    /// It hung up by itself, since nobody did anything.
    gave_up: bool,
    /// Before this moment anything may have ended its connection; it comes again and is thrown out for what it does.
    judged_from: Time,
    times: u32,
}

impl Nuisance {
    /// A peer of a torrent that does this wrong.
    pub fn new(offence: Offence, torrent: &Rc<Torrent>, judged_from: Duration) -> Nuisance {
        Nuisance {
            offence,
            torrent: torrent.clone(),
            over: false,
            gave_up: false,
            judged_from: Time::ZERO + judged_from,
            times: 0,
        }
    }

    fn handshake(&self) -> Handshake {
        Handshake::new(self.torrent.info_hash, FAST_AND_EXTENDED)
    }

    fn lie(&self, number: u32) -> Vec<u8> {
        let beyond = Block {
            piece: self.torrent.pieces(),
            offset: 0,
            len: BLOCK_LEN,
        };
        let last = self.torrent.pieces().saturating_sub(1);
        let too_long = Block {
            piece: last,
            offset: self.torrent.len_of(last).unwrap_or(0),
            len: 1,
        };
        let unasked = Message::Piece {
            piece: 0,
            offset: 0,
            data: vec![0x55; BLOCK_LEN as usize],
        };
        match number % LIES {
            0 => unasked.encode(),
            1 => Message::Request(beyond).encode(),
            2 => Message::Request(too_long).encode(),
            3 => Message::Have { piece: u32::MAX }.encode(),
            4 => Message::Bitfield {
                bits: vec![0; self.torrent.pieces().div_ceil(8) as usize + 1],
            }
            .encode(),
            5 => Message::Reject(Block { piece: 0, ..beyond }).encode(),
            6 => [u32::MAX.to_be_bytes().as_slice(), &[7]].concat(),
            7 => frame(6, &numbers(&[0, 0, 0])),
            8 => frame(0, b"choke has no payload"),
            _ => Message::Suggest { piece: u32::MAX }.encode(),
        }
    }

    fn asks_for_everything(&mut self, line: &mut Line<'_>) {
        self.times += 1;
        if self.times > GREEDY_TIMES {
            line.hangs_up = true;
            return;
        }
        line.again_after = Some(GREEDY_EVERY);
        for _ in 0..400 {
            let piece = line.dice.below(self.torrent.pieces().max(1));
            let blocks = self.torrent.len_of(piece).unwrap_or(0).div_ceil(BLOCK_LEN);
            let Some(block) = self
                .torrent
                .blocks_of(piece)
                .nth(line.dice.below(blocks.max(1)) as usize)
            else {
                continue;
            };
            line.says.extend(Message::Request(block).encode());
            if line.dice.below(2) == 0 {
                line.says.extend(Message::Cancel(block).encode());
            }
        }
    }
}

impl Behaviour for Nuisance {
    fn begins(&mut self, line: &mut Line<'_>) {
        // Who lies must be thrown out for that, long before the silence after it would be a reason.
        let patience = if matches!(self.offence, Offence::Liar(_)) {
            LIE_MAX
        } else {
            SILENCE_MAX
        };
        line.again_after = Some(patience);
        match self.offence {
            Offence::Mute => {}
            Offence::Silent => line.says.extend(self.handshake().encode()),
            Offence::Liar(lie) => {
                line.says.extend(self.handshake().encode());
                line.says.extend(Message::HaveNone.encode());
                line.says.extend(self.lie(lie));
            }
            Offence::Greedy => {
                line.says.extend(self.handshake().encode());
                line.says.extend(Message::HaveNone.encode());
                line.says.extend(Message::Interested.encode());
                self.asks_for_everything(line);
            }
            Offence::Spoofer if line.dice.below(2) == 0 => {
                line.says.extend(
                    b"GET /announce?info_hash=aaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: example.org\r\n\r\n",
                );
            }
            Offence::Spoofer => {
                let mut handshake = self.handshake();
                handshake.info_hash[7] ^= 1;
                line.says.extend(handshake.encode());
            }
            Offence::SelfConnector(peer_id) => {
                let mut handshake = self.handshake();
                handshake.peer_id = peer_id;
                line.says.extend(handshake.encode());
            }
        }
    }

    fn hears(&mut self, _line: &mut Line<'_>, heard: Heard) {
        let refused = matches!(self.offence, Offence::SelfConnector(_) | Offence::Spoofer);
        assert!(!refused, "the daemon talks to {:?}: {heard:?}", self.offence);
    }

    fn again(&mut self, line: &mut Line<'_>) {
        if self.offence == Offence::Greedy {
            self.asks_for_everything(line);
        } else {
            // Its daemon lost its power, perhaps, and it would never know.
            self.gave_up = true;
            line.hangs_up = true;
        }
    }

    fn ends(&mut self, now: Time) {
        self.over = !std::mem::take(&mut self.gave_up) && now >= self.judged_from;
        self.times = 0;
    }

    fn is_satisfied(&self) -> bool {
        self.over
    }

    fn describe(&self) -> String {
        format!(
            "{:?} of torrent {} was not thrown out",
            self.offence, self.torrent.key
        )
    }
}
