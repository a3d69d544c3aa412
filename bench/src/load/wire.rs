//! The peer wire protocol as a downloader needs it: BEP 3, the have-all, have-none and reject of BEP 6, the handshake of
//! BEP 10. Written for this program alone, on purpose: what measures the engine must not share its bugs.
//!
//! [`Deframer`] cuts a byte stream into [`Event`]s at whatever places the socket cut it. Block payload is never copied or
//! kept, only passed through; everything else is small and collected. It judges framing only; whether a block was asked
//! for is the connection's business.

#[cfg(test)]
mod tests;

use thiserror::Error;

/// Length of a request, by the convention that every client keeps to, in bytes.
pub(crate) const BLOCK_LEN: u32 = 16 << 10;

/// Bytes before a block's payload: length, message id, piece index, offset in the piece.
pub(crate) const BLOCK_HEADER_LEN: usize = 13;

/// Bytes of a handshake (BEP 3).
pub(crate) const HANDSHAKE_LEN: usize = 68;

/// The longest message other than a block that we accept, in bytes: a bitfield of eight million pieces.
const MESSAGE_LEN_MAX: usize = 1 << 20;

const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

const ID_CHOKE: u8 = 0;
const ID_UNCHOKE: u8 = 1;
const ID_INTERESTED: u8 = 2;
const ID_BITFIELD: u8 = 5;
const ID_HAVE: u8 = 4;
const ID_REQUEST: u8 = 6;
const ID_PIECE: u8 = 7;
const ID_HAVE_ALL: u8 = 14;
const ID_HAVE_NONE: u8 = 15;
const ID_REJECT: u8 = 16;
const ID_EXTENDED: u8 = 20;

/// One request's worth of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Block {
    /// Index of the piece.
    pub(crate) piece: u32,
    /// Where the block begins in the piece, in bytes.
    pub(crate) offset: u32,
    /// Its length in bytes.
    pub(crate) len: u32,
}

/// What a seeder does that no correct seeder does.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The first 68 bytes are not a handshake for our torrent.
    #[error("the handshake is not BitTorrent's or is for another torrent")]
    Handshake,
    /// A length prefix beyond all reason, usually the sign of lost framing.
    #[error("a message of {0} bytes with id {1}")]
    Length(usize, u8),
    /// A message whose length its kind does not have.
    #[error("a message with id {0} has the wrong length")]
    Malformed(u8),
}

/// Which optional protocols we offer in the handshake, and afterwards: which both sides have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// BEP 6, the fast extension.
    pub(crate) fast: bool,
    /// BEP 10, the extension protocol.
    pub(crate) extended: bool,
}

impl Extensions {
    /// What both sides have.
    pub(crate) fn and(self, other: Extensions) -> Extensions {
        Extensions {
            fast: self.fast && other.fast,
            extended: self.extended && other.extended,
        }
    }

    fn reserved(self) -> [u8; 8] {
        // BEP 10: bit 20 from the right; BEP 6: bit 2 from the right.
        [
            0,
            0,
            0,
            0,
            0,
            if self.extended { 0x10 } else { 0 },
            0,
            if self.fast { 0x04 } else { 0 },
        ]
    }
}

/// The opening bytes of a connection.
pub(crate) fn handshake(info_hash: [u8; 20], peer_id: [u8; 20], offered: Extensions) -> Vec<u8> {
    [PROTOCOL.as_slice(), &offered.reserved(), &info_hash, &peer_id].concat()
}

/// Reads the other side's opening bytes and says what it offers.
pub(crate) fn read_handshake(
    bytes: &[u8; HANDSHAKE_LEN],
    info_hash: [u8; 20],
) -> Result<Extensions, Violation> {
    if bytes[..20] != PROTOCOL[..] || bytes[28..48] != info_hash {
        return Err(Violation::Handshake);
    }
    Ok(Extensions {
        fast: bytes[27] & 0x04 != 0,
        extended: bytes[25] & 0x10 != 0,
    })
}

/// What a downloader without any pieces says after the handshakes: that it has nothing (which BEP 6 makes a duty), its
/// extension handshake (BEP 10; it supports no extension), and that it is interested.
pub(crate) fn opening(agreed: Extensions) -> Vec<u8> {
    let mut out = Vec::new();
    if agreed.fast {
        out.extend_from_slice(&[0, 0, 0, 1, ID_HAVE_NONE]);
    }
    if agreed.extended {
        extension_handshake(&mut out, b"d1:mde1:v11:shoal-benche");
    }
    out.extend_from_slice(&[0, 0, 0, 1, ID_INTERESTED]);
    out
}

/// What a seeder says after the handshakes: that it has all of `pieces`, and how many requests it queues (BEP 10), which
/// is what lets a downloader keep a fast link full.
pub(crate) fn seeder_opening(agreed: Extensions, pieces: u32, requests_max: usize) -> Vec<u8> {
    let mut out = Vec::new();
    if agreed.fast {
        out.extend_from_slice(&[0, 0, 0, 1, ID_HAVE_ALL]);
    } else {
        let bitfield_len = pieces.div_ceil(8);
        out.extend_from_slice(&(bitfield_len + 1).to_be_bytes());
        out.push(ID_BITFIELD);
        out.extend(std::iter::repeat_n(0xff, bitfield_len as usize - 1));
        let spare_bits = bitfield_len * 8 - pieces;
        out.push(0xff << spare_bits);
    }
    if agreed.extended {
        let dictionary = format!("d1:mde4:reqqi{requests_max}e1:v11:shoal-benche");
        extension_handshake(&mut out, dictionary.as_bytes());
    }
    out
}

/// Appends a BEP 10 handshake with this dictionary.
fn extension_handshake(out: &mut Vec<u8>, dictionary: &[u8]) {
    out.extend_from_slice(&(dictionary.len() as u32 + 2).to_be_bytes());
    out.extend_from_slice(&[ID_EXTENDED, 0]);
    out.extend_from_slice(dictionary);
}

/// The message that lets the other side ask for blocks.
pub(crate) const UNCHOKE: [u8; 5] = [0, 0, 0, 1, ID_UNCHOKE];

/// Appends one request.
pub(crate) fn request(out: &mut Vec<u8>, block: Block) {
    out.extend_from_slice(&[0, 0, 0, 13, ID_REQUEST]);
    for field in [block.piece, block.offset, block.len] {
        out.extend_from_slice(&field.to_be_bytes());
    }
}

/// The header that stands before a block's payload.
pub(crate) fn block_header(block: Block) -> [u8; BLOCK_HEADER_LEN] {
    let mut header = [0; BLOCK_HEADER_LEN];
    header[..4].copy_from_slice(&(block.len + 9).to_be_bytes());
    header[4] = ID_PIECE;
    header[5..9].copy_from_slice(&block.piece.to_be_bytes());
    header[9..].copy_from_slice(&block.offset.to_be_bytes());
    header
}

/// Everything that is not a block's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// Nothing, but the connection lives.
    KeepAlive,
    /// No requests are served from now on.
    Choke,
    /// Requests are served from now on.
    Unchoke,
    /// The other side wants what we have.
    Interested,
    /// It has this piece.
    Have(u32),
    /// The pieces it has, one bit each.
    Bitfield(Vec<u8>),
    /// It has every piece (BEP 6).
    HaveAll,
    /// It asks for a block.
    Request(Block),
    /// It will not serve this request (BEP 6).
    Reject(Block),
    /// The extension handshake (BEP 10), still bencoded.
    ExtensionHandshake(Vec<u8>),
    /// Anything else: nothing that a downloader must act on.
    Other(u8),
}

/// What a stretch of the stream turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A complete message.
    Message(Message),
    /// The header of a block; its payload follows.
    BlockBegan(Block),
    /// Some payload of `block`, which lies `at` bytes into the block; `last` when the block is complete.
    Payload {
        /// The block it belongs to.
        block: Block,
        /// Where in the block the bytes lie.
        at: u32,
        /// The bytes themselves.
        bytes: &'a [u8],
        /// Whether the block is complete now.
        last: bool,
    },
}

#[derive(Debug)]
enum State {
    /// Collecting a header or a small message.
    Head(Vec<u8>),
    /// Passing payload through; `done` bytes of the block have come.
    Payload { block: Block, done: u32 },
}

/// Cuts a stream into events.
#[derive(Debug)]
pub(crate) struct Deframer {
    state: State,
}

impl Deframer {
    /// Expects the first byte after the handshake.
    pub(crate) fn new() -> Deframer {
        Deframer {
            state: State::Head(Vec::new()),
        }
    }

    /// Takes bytes from the front of `input` until something is complete; `None` once all of `input` is taken.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, Violation> {
        match &mut self.state {
            State::Payload { block, done } => {
                if input.is_empty() {
                    return Ok(None);
                }
                let (block, at) = (*block, *done);
                let (bytes, rest) = input.split_at(input.len().min((block.len - at) as usize));
                *input = rest;
                *done += bytes.len() as u32;
                let last = *done == block.len;
                if last {
                    self.state = State::Head(Vec::new());
                }
                Ok(Some(Event::Payload {
                    block,
                    at,
                    bytes,
                    last,
                }))
            }
            State::Head(head) => {
                while head.len() < wanted_len(head)? {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let (taken, rest) = input.split_at(input.len().min(wanted_len(head)? - head.len()));
                    head.extend_from_slice(taken);
                    *input = rest;
                }
                let head = std::mem::take(head);
                self.finish(&head).map(Some)
            }
        }
    }

    fn finish(&mut self, head: &[u8]) -> Result<Event<'static>, Violation> {
        if head.get(4) != Some(&ID_PIECE) {
            return message(head).map(Event::Message);
        }
        let block = Block {
            piece: u32_at(head, 5),
            offset: u32_at(head, 9),
            len: u32_at(head, 0) - 9,
        };
        self.state = State::Payload { block, done: 0 };
        Ok(Event::BlockBegan(block))
    }

    /// Bytes of the current block that have not come yet; 0 between messages.
    pub(crate) fn payload_left(&self) -> u32 {
        match &self.state {
            State::Payload { block, done } => block.len - done,
            State::Head(_) => 0,
        }
    }

    /// Bytes that the message now being collected still needs before it says more about itself.
    pub(crate) fn head_left(&self) -> Result<usize, Violation> {
        match &self.state {
            State::Payload { .. } => Ok(0),
            State::Head(head) => Ok(wanted_len(head)? - head.len()),
        }
    }

    /// Told that the rest of the current block, and perhaps whole blocks after it, were thrown away unseen.
    pub(crate) fn resume_between_messages(&mut self) {
        self.state = State::Head(Vec::new());
    }
}

/// How long `head` must become before more can be said, or before it is complete.
fn wanted_len(head: &[u8]) -> Result<usize, Violation> {
    if head.len() < 4 {
        return Ok(4);
    }
    let length = u32_at(head, 0) as usize;
    if length == 0 {
        return Ok(4);
    }
    let Some(&id) = head.get(4) else { return Ok(5) };
    match (id, length) {
        // Our requests are one block long, so no answer to them is longer.
        (ID_PIECE, 10..) if length - 9 <= BLOCK_LEN as usize => Ok(BLOCK_HEADER_LEN),
        (ID_PIECE, _) => Err(Violation::Length(length, id)),
        (_, ..=MESSAGE_LEN_MAX) => Ok(4 + length),
        _ => Err(Violation::Length(length, id)),
    }
}

fn message(head: &[u8]) -> Result<Message, Violation> {
    let Some((&id, body)) = head[4..].split_first() else {
        return Ok(Message::KeepAlive);
    };
    Ok(match (id, body.len()) {
        (ID_CHOKE, 0) => Message::Choke,
        (ID_UNCHOKE, 0) => Message::Unchoke,
        (ID_INTERESTED, 0) => Message::Interested,
        (ID_HAVE, 4) => Message::Have(u32_at(body, 0)),
        (ID_BITFIELD, _) => Message::Bitfield(body.to_vec()),
        (ID_HAVE_ALL, 0) => Message::HaveAll,
        (ID_REQUEST, 12) => Message::Request(block_at(body)),
        (ID_REJECT, 12) => Message::Reject(block_at(body)),
        (ID_EXTENDED, 1..) if body[0] == 0 => Message::ExtensionHandshake(body[1..].to_vec()),
        (ID_CHOKE | ID_UNCHOKE | ID_HAVE | ID_HAVE_ALL | ID_REQUEST | ID_REJECT, _) => {
            return Err(Violation::Malformed(id));
        }
        _ => Message::Other(id),
    })
}

/// The `reqq` of an extension handshake: how many requests the other side is willing to queue.
pub(crate) fn requests_max(extension_handshake: &[u8]) -> Option<usize> {
    const KEY: &[u8] = b"4:reqqi";
    let at = extension_handshake
        .windows(KEY.len())
        .position(|window| window == KEY)?
        + KEY.len();
    let digits = extension_handshake[at..].split(|&byte| byte == b'e').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn block_at(body: &[u8]) -> Block {
    Block {
        piece: u32_at(body, 0),
        offset: u32_at(body, 4),
        len: u32_at(body, 8),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}
