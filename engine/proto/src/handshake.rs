//! The first 68 bytes of a peer connection, the same in both directions (BEP 3).
//!
//! `19 "BitTorrent protocol"`, eight reserved bytes that announce extensions, the info-hash, the peer id.
//! This module encodes and parses that and no more: whether we have the torrent, and whether the peer id is
//! our own, is for the caller to decide.

use std::fmt;

use thiserror::Error;

use crate::info_hash::InfoHash;
use crate::peer_id::PeerId;

/// Bytes in a handshake.
pub const HANDSHAKE_LEN: usize = 68;

/// What every handshake starts with: the length of the protocol's name, and the name.
const PREAMBLE: &[u8; 20] = b"\x13BitTorrent protocol";

/// A handshake, ours or a peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// The extensions that the sender knows.
    pub reserved: Reserved,
    /// The torrent. Parsed as [`InfoHash::V1`], the form of the wire.
    pub info_hash: InfoHash,
    /// Who the sender says it is.
    pub peer_id: PeerId,
}

/// The reserved bytes: one bit for each extension that the sender knows.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserved([u8; 8]);

/// Why bytes are no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// Another protocol, or an encrypted connection where a plain one is due.
    #[error("the connection does not start with the BitTorrent preamble")]
    Preamble,
}

impl Handshake {
    /// Reads a handshake that is complete.
    pub fn parse(bytes: &[u8; HANDSHAKE_LEN]) -> Result<Handshake, HandshakeError> {
        let (preamble, rest) = bytes.split_at(PREAMBLE.len());
        if preamble != PREAMBLE {
            return Err(HandshakeError::Preamble);
        }
        let (reserved, rest) = rest.split_at(8);
        let (info_hash, peer_id) = rest.split_at(20);
        Ok(Handshake {
            reserved: Reserved(reserved.try_into().expect("8 bytes")),
            info_hash: InfoHash::V1(info_hash.try_into().expect("20 bytes")),
            peer_id: PeerId::new(peer_id.try_into().expect("the last 20 bytes")),
        })
    }

    /// The bytes to send.
    pub fn encode(&self) -> [u8; HANDSHAKE_LEN] {
        let mut bytes = [0; HANDSHAKE_LEN];
        bytes[..20].copy_from_slice(PREAMBLE);
        bytes[20..28].copy_from_slice(&self.reserved.0);
        bytes[28..48].copy_from_slice(&self.info_hash.wire_bytes());
        bytes[48..].copy_from_slice(self.peer_id.as_bytes());
        bytes
    }
}

impl Reserved {
    /// No extension.
    pub const NONE: Reserved = Reserved([0; 8]);

    /// The bytes as they are on the wire.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// Adds BEP 5: the sender has a DHT node and will say its port.
    pub const fn with_dht(self) -> Reserved {
        self.with(7, 0x01)
    }

    /// Adds BEP 6: have-all, have-none, reject, suggest and allowed-fast messages.
    pub const fn with_fast(self) -> Reserved {
        self.with(7, 0x04)
    }

    /// Adds BEP 10: extension messages.
    pub const fn with_extension(self) -> Reserved {
        self.with(5, 0x10)
    }

    /// The sender has a DHT node (BEP 5).
    pub const fn dht(self) -> bool {
        self.0[7] & 0x01 != 0
    }

    /// The sender knows the fast extension (BEP 6).
    pub const fn fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }

    /// The sender knows extension messages (BEP 10).
    pub const fn extension(self) -> bool {
        self.0[5] & 0x10 != 0
    }

    /// What both sides know; only that may be used on the connection.
    pub fn common(self, other: Reserved) -> Reserved {
        Reserved(std::array::from_fn(|byte| self.0[byte] & other.0[byte]))
    }

    const fn with(mut self, byte: usize, bit: u8) -> Reserved {
        self.0[byte] |= bit;
        self
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", u64::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests;
