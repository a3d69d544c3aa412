//! The wire as a listener has it: a stream of bytes cut into a handshake and messages.
//!
//! It frames and names messages and compares nothing; who listens decides what may be said. It shares no code with the
//! engine.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::bencode::Value;
use crate::peer::Message;
use crate::sample::Block;

/// Longest message that a daemon may send: a block of 128 KiB, or the bitfield of two million pieces.
const MESSAGE_LEN_MAX: usize = 256 * 1024;

/// A stream cut into a handshake and messages.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    start: usize,
    /// The handshake was taken off.
    pub(crate) greeted: bool,
}

impl Stream {
    /// More of it.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The handshake, once.
    pub(crate) fn handshake(&mut self) -> Option<Vec<u8>> {
        let bytes = self.bytes[self.start..].get(..68)?.to_vec();
        self.start += 68;
        self.greeted = true;
        Some(bytes)
    }

    /// Where the next message stands, without its length. An error: it is too long to be one.
    pub(crate) fn frame(&mut self) -> Result<Option<Range<usize>>, ()> {
        let rest = &self.bytes[self.start..];
        let Some(len) = rest.first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*len) as usize;
        if len > MESSAGE_LEN_MAX {
            return Err(());
        }
        if rest.len() < 4 + len {
            return Ok(None);
        }
        let first = self.start + 4;
        self.start = first + len;
        Ok(Some(first..self.start))
    }

    /// The block whose header is there and whose end is not, behind the last message that was taken off.
    pub(crate) fn block_begun(&self) -> Option<Block> {
        let rest = &self.bytes[self.start..];
        let len = u32::from_be_bytes(*rest.first_chunk::<4>()?);
        let (block, _) = as_block(&rest[4..])?;
        Some(Block {
            len: len.checked_sub(9)?,
            ..block
        })
    }
}

/// The block that a message brings.
pub(crate) fn as_block(frame: &[u8]) -> Option<(Block, &[u8])> {
    let (head, data) = frame.split_first_chunk::<9>()?;
    let [7, a, b, c, d, e, f, g, h] = *head else {
        return None;
    };
    let block = Block {
        piece: u32::from_be_bytes([a, b, c, d]),
        offset: u32::from_be_bytes([e, f, g, h]),
        len: data.len() as u32,
    };
    Some((block, data))
}

/// A message, if it has the length that its kind has.
pub(crate) fn parse(frame: &[u8]) -> Option<Message> {
    let right = match (frame.first(), frame.len()) {
        (None, _) => true,
        (Some(0..=3 | 14 | 15), len) => len == 1,
        (Some(4 | 13 | 17), len) => len == 5,
        (Some(6 | 8 | 16), len) => len == 13,
        (Some(7), len) => len >= 9,
        (Some(20), len) => len >= 2,
        (Some(_), _) => true,
    };
    right.then(|| Message::decode(frame))
}

/// The ids of an extension handshake: what stands in its dictionary `m`.
pub(crate) fn extension_ids(payload: &[u8]) -> BTreeMap<Vec<u8>, u8> {
    let Some(Value::Dictionary(entries)) = Value::decode(payload) else {
        return BTreeMap::new();
    };
    let messages = entries.into_iter().find(|(key, _)| key == b"m");
    let Some((_, Value::Dictionary(ids))) = messages else {
        return BTreeMap::new();
    };
    let id = |(name, value)| match value {
        Value::Integer(id) => Some((name, u8::try_from(id).ok().filter(|id| *id > 0)?)),
        _ => None,
    };
    ids.into_iter().filter_map(id).collect()
}

/// A number that an extension handshake gives under a key.
pub(crate) fn extension_number(payload: &[u8], key: &[u8]) -> Option<i64> {
    let Some(Value::Dictionary(entries)) = Value::decode(payload) else {
        return None;
    };
    entries.into_iter().find_map(|(name, value)| match value {
        Value::Integer(number) if name == key => Some(number),
        _ => None,
    })
}
