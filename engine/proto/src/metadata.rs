//! Metadata exchange (BEP 9): the `info` dictionary in pieces of 16 KiB, for peers that have only a magnet link.
//!
//! A message is a small dictionary inside an extension message; a data message carries its bytes behind the
//! dictionary. Who asks and what the pieces come to together is not known here: the receiver hashes the whole.

use std::ops::Range;

use thiserror::Error;

use crate::bencode::{DecodeError, Value, decode_prefix, write_dict};
use crate::limits::METADATA_PIECE_LEN;

/// One message of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataMessage<'a> {
    /// The sender wants this piece.
    Request {
        /// The piece's number.
        piece: u32,
    },
    /// The piece.
    Data {
        /// The piece's number.
        piece: u32,
        /// Bytes in the whole dictionary, as the sender says.
        total_len: u32,
        /// The bytes.
        data: &'a [u8],
    },
    /// The sender does not give this piece.
    Reject {
        /// The piece's number.
        piece: u32,
    },
}

/// Why bytes are no message of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MetadataError {
    /// Not bencode.
    #[error("the metadata message is not bencode: {0}")]
    Bencode(#[from] DecodeError),
    /// No dictionary, or one without the numbers it needs.
    #[error("the metadata message lacks {0}")]
    Lacks(&'static str),
}

impl<'a> MetadataMessage<'a> {
    /// Reads a payload. `None` is a kind of message that this crate does not know: BEP 9 wants those ignored.
    pub fn parse(payload: &'a [u8]) -> Result<Option<MetadataMessage<'a>>, MetadataError> {
        let (document, data) = decode_prefix(payload)?;
        let dict = document
            .root()
            .dict()
            .ok_or(MetadataError::Lacks("a dictionary"))?;
        let number = |key: &'static str| {
            let value = dict.get(key.as_bytes()).and_then(Value::integer);
            value
                .and_then(|value| u32::try_from(value).ok())
                .ok_or(MetadataError::Lacks(key))
        };
        let piece = number("piece")?;
        Ok(match number("msg_type")? {
            0 => Some(MetadataMessage::Request { piece }),
            1 => Some(MetadataMessage::Data {
                piece,
                total_len: number("total_size")?,
                data,
            }),
            2 => Some(MetadataMessage::Reject { piece }),
            _ => None,
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, piece, total_len, data) = match *self {
            MetadataMessage::Request { piece } => (0, piece, None, &[][..]),
            MetadataMessage::Data {
                piece,
                total_len,
                data,
            } => (1, piece, Some(total_len), data),
            MetadataMessage::Reject { piece } => (2, piece, None, &[][..]),
        };
        write_dict(out, |dict| {
            dict.integer(b"msg_type", kind);
            dict.integer(b"piece", piece.into());
            if let Some(total_len) = total_len {
                dict.integer(b"total_size", total_len.into());
            }
        });
        out.extend(data);
    }
}

/// Where a piece lies in a dictionary of `len` bytes; `None` when there is no such piece.
pub fn piece_range(piece: u32, len: usize) -> Option<Range<usize>> {
    let start = (piece as usize).checked_mul(METADATA_PIECE_LEN)?;
    (start < len).then(|| start..len.min(start + METADATA_PIECE_LEN))
}

#[cfg(test)]
mod tests;
