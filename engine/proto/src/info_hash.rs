//! What names a torrent: the hash of its `info` dictionary.
//!
//! Version 1 torrents (BEP 3) are named by a SHA-1 of 20 bytes, version 2 torrents (BEP 52) by a SHA-256 of
//! 32. The handshake, trackers and the DHT have room for 20 bytes only: a version 2 torrent travels there
//! under the first 20 bytes of its hash, which [`InfoHash::on_wire`] gives. What arrives from the wire
//! therefore is always a [`InfoHash::V1`], and that is the form to look torrents up by.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::digest::write_hex;

/// The hash that names a torrent. Displayed as lower-case hexadecimal digits; read from those or from base32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InfoHash {
    /// Twenty bytes: the SHA-1 of a version 1 `info`, or what the wire carries of a version 2 hash.
    V1([u8; 20]),
    /// The SHA-256 of a version 2 `info`.
    V2([u8; 32]),
}

/// Why a text is not an info-hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InfoHashError {
    /// Neither 40 nor 64 hexadecimal digits, nor 32 of base32.
    #[error(
        "an info-hash has 40 hexadecimal digits (64 for version 2) or 32 of base32, not {len} characters"
    )]
    Length {
        /// Bytes in the text.
        len: usize,
    },
    /// A character that is no digit of the base its length tells.
    #[error("character {at} of the info-hash is not a {base} digit")]
    Digit {
        /// Position of the character, counted in bytes from 0.
        at: usize,
        /// The name of the base.
        base: &'static str,
    },
}

impl InfoHash {
    /// The hash as handshakes, trackers and the DHT carry it: always [`InfoHash::V1`].
    pub fn on_wire(self) -> InfoHash {
        InfoHash::V1(self.wire_bytes())
    }

    /// The twenty bytes that handshakes, trackers and the DHT carry.
    pub fn wire_bytes(self) -> [u8; 20] {
        match self {
            InfoHash::V1(bytes) => bytes,
            InfoHash::V2(bytes) => bytes[..20].try_into().expect("20 of 32 bytes"),
        }
    }

    /// All bytes of the hash: 20 or 32.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            InfoHash::V1(bytes) => bytes,
            InfoHash::V2(bytes) => bytes,
        }
    }
}

impl FromStr for InfoHash {
    type Err = InfoHashError;

    fn from_str(text: &str) -> Result<InfoHash, InfoHashError> {
        match text.len() {
            40 => Ok(InfoHash::V1(hex(text)?)),
            64 => Ok(InfoHash::V2(hex(text)?)),
            32 => Ok(InfoHash::V1(base32(text)?)),
            len => Err(InfoHashError::Length { len }),
        }
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, self.as_bytes())
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Reads `2 * N` hexadecimal digits of either case; the caller has checked the length.
fn hex<const N: usize>(text: &str) -> Result<[u8; N], InfoHashError> {
    let mut bytes = [0; N];
    for (at, character) in text.bytes().enumerate() {
        let digit = match character {
            b'0'..=b'9' => character - b'0',
            b'a'..=b'f' => character - b'a' + 10,
            b'A'..=b'F' => character - b'A' + 10,
            _ => {
                return Err(InfoHashError::Digit {
                    at,
                    base: "hexadecimal",
                });
            }
        };
        bytes[at / 2] |= if at % 2 == 0 { digit << 4 } else { digit };
    }
    Ok(bytes)
}

/// Reads 32 digits of base32 (RFC 4648, either case): 160 bits, so there is no padding. Old magnet links have
/// them.
fn base32(text: &str) -> Result<[u8; 20], InfoHashError> {
    let mut bytes = [0; 20];
    for (at, character) in text.bytes().enumerate() {
        let digit = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a',
            b'2'..=b'7' => character - b'2' + 26,
            _ => return Err(InfoHashError::Digit { at, base: "base32" }),
        };
        // Five bits at bit position 5 * at, which may straddle two bytes.
        let (byte, bit) = (at * 5 / 8, at * 5 % 8);
        let bits = u16::from(digit) << (11 - bit);
        bytes[byte] |= (bits >> 8) as u8;
        if let Some(next) = bytes.get_mut(byte + 1) {
            *next |= bits as u8;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
