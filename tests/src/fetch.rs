//! The honest client: fetches blocks, keeps a number of requests outstanding, compares every block it gets.
//!
//! It follows BEP 3 and BEP 6 as a careful client would: a choke drops what was asked (without the fast
//! extension) and a reject brings it back. It neither verifies pieces nor stores them: the original is known,
//! so each block is compared where it arrives.
//!
//! Invariant: a block that was not asked for, or that differs from the original, panics.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;

use crate::peer::{FAST_AND_EXTENDED, Message, Peer};
use crate::sample::{Block, Sample};

/// Requests kept outstanding where a test has no reason for another number: what libtorrent has by default.
pub const REQUESTS_LEN: usize = 250;

/// A fetch in progress over one connection.
#[derive(Debug)]
pub struct Fetch<'sample> {
    sample: &'sample Sample,
    peer: Peer,
    fast: bool,
    unchoked: bool,
    wanted: VecDeque<Block>,
    asked: BTreeSet<Block>,
}

impl<'sample> Fetch<'sample> {
    /// Connects, greets, and says it is interested.
    ///
    /// # Errors
    /// What the kernel said, or that the other side hung up.
    pub fn start(
        address: SocketAddr,
        sample: &'sample Sample,
        reserved: [u8; 8],
    ) -> io::Result<Fetch<'sample>> {
        let mut peer = Peer::greet(address, sample.info_hash(), reserved)?;
        peer.say(&Message::Interested)?;
        let fast = reserved[7] & FAST_AND_EXTENDED[7] != 0;
        Ok(Fetch {
            sample,
            peer,
            fast,
            unchoked: false,
            wanted: VecDeque::new(),
            asked: BTreeSet::new(),
        })
    }

    /// Fetches these blocks in this order with up to `requests_len` requests outstanding.
    ///
    /// # Errors
    /// What the kernel said, or that the other side hung up first.
    pub fn blocks(&mut self, blocks: &[Block], requests_len: usize) -> io::Result<()> {
        self.want(blocks);
        while self.left_len() > 0 {
            self.step(requests_len)?;
        }
        Ok(())
    }

    /// Adds blocks to those that are still to be fetched.
    pub fn want(&mut self, blocks: &[Block]) {
        self.wanted.extend(blocks);
    }

    /// How many blocks are still to be fetched.
    pub fn left_len(&self) -> usize {
        self.wanted.len() + self.asked.len()
    }

    /// Asks for what is wanted, takes one message, and returns the block that came with it, if one did.
    ///
    /// # Errors
    /// What the kernel said, or that the other side hung up.
    pub fn step(&mut self, requests_len: usize) -> io::Result<Option<Block>> {
        self.ask(requests_len)?;
        let message = self.peer.receive()?;
        Ok(self.on(message))
    }

    /// The connection, to say something else over it.
    pub fn into_peer(self) -> Peer {
        self.peer
    }

    fn ask(&mut self, requests_len: usize) -> io::Result<()> {
        if !self.unchoked {
            return Ok(());
        }
        let mut requests = Vec::new();
        while self.asked.len() < requests_len
            && let Some(block) = self.wanted.pop_front()
        {
            self.asked.insert(block);
            requests.extend(Message::Request(block).encode());
        }
        self.peer.send(&requests)
    }

    fn on(&mut self, message: Message) -> Option<Block> {
        match message {
            Message::Unchoke => self.unchoked = true,
            Message::Choke => {
                self.unchoked = false;
                // BEP 6: with the fast extension each request is answered by itself, also after a choke.
                if !self.fast {
                    self.wanted.extend(std::mem::take(&mut self.asked));
                }
            }
            Message::Reject(block) => {
                assert!(
                    self.asked.remove(&block),
                    "{block:?} was rejected but not asked for"
                );
                self.wanted.push_back(block);
            }
            Message::Piece { piece, offset, data } => return Some(self.compare(piece, offset, &data)),
            _ => {}
        }
        None
    }

    fn compare(&mut self, piece: u32, offset: u32, data: &[u8]) -> Block {
        let block = Block {
            piece,
            offset,
            len: data.len() as u32,
        };
        assert!(self.asked.remove(&block), "{block:?} was sent but not asked for");
        assert!(
            data == self.sample.bytes_of(block),
            "{block:?} differs from the original"
        );
        block
    }
}

/// Fetches the whole torrent in order over one connection, comparing every block.
///
/// # Errors
/// What the kernel said, or that the other side hung up first.
pub fn fetch_all(address: SocketAddr, sample: &Sample) -> io::Result<()> {
    Fetch::start(address, sample, FAST_AND_EXTENDED)?.blocks(&sample.blocks(), REQUESTS_LEN)
}
