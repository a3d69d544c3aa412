//! A peer that says what some bytes tell it to: well-formed messages, nonsense, silence.
//!
//! The bytes are a program: each opcode takes its arguments from the bytes behind it, zeroes when there are none left. Most
//! of what random bytes say through it is nearly right, which is where the mistakes are.

use std::rc::Rc;
use std::time::Duration;

use shoal_world::Time;

use super::super::taps::Heard;
use super::super::torrent::Torrent;
use super::{Behaviour, Line};
use crate::bencode::Value;
use crate::peer::{FAST_AND_EXTENDED, Handshake, Message, PLAIN, frame};
use crate::sample::{BLOCK_LEN, Block};

/// Operations between two waits at most: what a peer says without pause is bounded by its socket anyway.
const BREATH: usize = 64;

/// A peer that babbles.
#[derive(Debug)]
pub struct Babbler {
    torrent: Rc<Torrent>,
    program: Vec<u8>,
    at: usize,
    connected: bool,
}

impl Babbler {
    /// A peer with this program.
    pub fn new(torrent: &Rc<Torrent>, program: Vec<u8>) -> Babbler {
        Babbler {
            torrent: torrent.clone(),
            program,
            at: 0,
            connected: false,
        }
    }

    fn byte(&mut self) -> u8 {
        let byte = self.program.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte());
        (0..len).map(|_| self.byte()).collect()
    }

    /// A block near those that exist, or far from them.
    fn block(&mut self) -> Block {
        let (piece, offset, len) = (self.byte(), self.byte(), self.byte());
        let far = |byte: u8, near: u32| if byte == 255 { u32::MAX } else { near };
        Block {
            piece: far(piece, u32::from(piece) % (self.torrent.pieces() + 1)),
            offset: far(offset, u32::from(offset) % 4 * BLOCK_LEN + u32::from(offset) / 64),
            len: match len % 8 {
                0..=4 => BLOCK_LEN,
                5 => u32::from(len),
                6 => 8 * BLOCK_LEN,
                _ => far(len, 0),
            },
        }
    }

    fn talks(&mut self, line: &mut Line<'_>) {
        for _ in 0..BREATH {
            if self.at >= self.program.len() {
                line.hangs_up = true;
                return;
            }
            let opcode = self.byte();
            match opcode % 16 {
                0 | 1 => {
                    let bits = if opcode < 128 { FAST_AND_EXTENDED } else { PLAIN };
                    line.says
                        .extend(Handshake::new(self.torrent.info_hash, bits).encode());
                }
                2 => line.says.extend(self.bytes()),
                3..=5 => line.says.extend(Message::Request(self.block()).encode()),
                6 => line.says.extend(Message::Cancel(self.block()).encode()),
                7 => line.says.extend(Message::Interested.encode()),
                8 => line.says.extend(Message::NotInterested.encode()),
                9 => {
                    let id = self.byte();
                    line.says.extend(frame(id, &self.bytes()));
                }
                10 => line.says.extend(self.possession().encode()),
                11 => line.says.extend(self.extended().encode()),
                12 => {
                    line.again_after = Some(Duration::from_secs(u64::from(self.byte())));
                    return;
                }
                13 | 14 => {
                    line.again_after = Some(Duration::from_millis(u64::from(self.byte())));
                    return;
                }
                _ => {
                    line.hangs_up = true;
                    return;
                }
            }
        }
        line.again_after = Some(Duration::from_millis(1));
    }

    fn possession(&mut self) -> Message {
        match self.byte() % 5 {
            0 => Message::HaveAll,
            1 => Message::HaveNone,
            2 => Message::Have {
                piece: u32::from(self.byte()) % (self.torrent.pieces() + 1),
            },
            3 => Message::Bitfield { bits: self.bytes() },
            _ => Message::Bitfield {
                bits: vec![0; self.torrent.pieces().div_ceil(8) as usize],
            },
        }
    }

    fn extended(&mut self) -> Message {
        let choice = self.byte();
        let payload = match choice % 4 {
            0 => {
                let ids = Value::dictionary([("ut_metadata", Value::Integer(i64::from(self.byte())))]);
                return Message::Extended {
                    id: 0,
                    payload: Value::dictionary([("m", ids)]).encode(),
                };
            }
            1 => Value::dictionary([
                ("msg_type", Value::Integer(0)),
                ("piece", Value::Integer(i64::from(self.byte()) % 3)),
            ])
            .encode(),
            _ => self.bytes(),
        };
        Message::Extended {
            id: choice / 64,
            payload,
        }
    }
}

impl Behaviour for Babbler {
    fn begins(&mut self, line: &mut Line<'_>) {
        self.connected = true;
        self.talks(line);
    }

    fn hears(&mut self, _line: &mut Line<'_>, _heard: Heard) {}

    fn again(&mut self, line: &mut Line<'_>) {
        self.talks(line);
    }

    fn ends(&mut self, _now: Time) {
        self.connected = false;
    }

    fn is_satisfied(&self) -> bool {
        !self.connected && self.at >= self.program.len()
    }

    fn describe(&self) -> String {
        format!("said {} of {} bytes of its program", self.at, self.program.len())
    }
}
