//! The extension handshake (BEP 10): what a peer can do beyond the reserved bits, and how to address it.
//!
//! A dictionary sent as extension message 0, soon after the handshake and again when something changes.
//! Everything in it is optional and comes from somebody else, so it is read with tolerance: what is missing,
//! of the wrong type or out of range reads as not said, and what follows the dictionary is not looked at.
//! Only bytes that are no dictionary at all are an error.
//!
//! Not here: the messages of the extensions themselves. BEP 21 (`upload_only`) is, as it lives in this
//! dictionary.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;

use thiserror::Error;

use crate::bencode::{DecodeError, Dict, DictWriter, Value, decode_prefix, write_dict};
use crate::limits::{CLIENT_NAME_LEN_MAX, METAINFO_LEN_MAX};
use crate::text::shown;

/// The id of the extension handshake among extension messages.
pub const HANDSHAKE_ID: u8 = 0;

/// What one side says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtensionHandshake {
    /// The messages that the sender understands (`m`).
    pub messages: ExtensionIds,
    /// Name and version of the sender's software (`v`), without control characters, at most
    /// [`CLIENT_NAME_LEN_MAX`] bytes.
    pub client: Option<String>,
    /// How many requests the sender keeps queued before it drops some (`reqq`).
    pub requests_len_max: Option<u32>,
    /// The TCP port that the sender listens on (`p`).
    pub port: Option<u16>,
    /// The receiver's address as the sender sees it (`yourip`).
    pub your_ip: Option<IpAddr>,
    /// Bytes in the torrent's `info` dictionary (`metadata_size`, BEP 9).
    pub metadata_len: Option<u32>,
    /// The sender fetches nothing (`upload_only`, BEP 21).
    pub upload_only: bool,
}

/// The ids under which a side wants to receive the messages of each extension; `None` where it does not know
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtensionIds {
    /// Donthave messages (BEP 54).
    pub lt_donthave: Option<NonZeroU8>,
    /// Upload-only messages (BEP 21).
    pub upload_only: Option<NonZeroU8>,
    /// Metadata exchange (BEP 9).
    pub ut_metadata: Option<NonZeroU8>,
    /// Peer exchange (BEP 11).
    pub ut_pex: Option<NonZeroU8>,
}

/// Why bytes are no extension handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ExtensionError {
    /// Not bencode.
    #[error("the extension handshake is not bencode: {0}")]
    Bencode(#[from] DecodeError),
    /// Bencode, but of another type.
    #[error("the extension handshake is not a dictionary")]
    NotADictionary,
}

impl ExtensionHandshake {
    /// Reads the payload of extension message 0.
    pub fn parse(payload: &[u8]) -> Result<ExtensionHandshake, ExtensionError> {
        let (document, _) = decode_prefix(payload)?;
        let dict = document.root().dict().ok_or(ExtensionError::NotADictionary)?;
        let integer = |key| dict.get(key).and_then(Value::integer);
        let bytes = |key| dict.get(key).and_then(Value::bytes);
        Ok(ExtensionHandshake {
            messages: dict
                .get(b"m")
                .and_then(Value::dict)
                .map(ExtensionIds::parse)
                .unwrap_or_default(),
            client: bytes(b"v").and_then(|name| shown(name, CLIENT_NAME_LEN_MAX)),
            requests_len_max: integer(b"reqq").and_then(positive),
            port: integer(b"p").and_then(positive),
            your_ip: bytes(b"yourip").and_then(ip_address),
            metadata_len: integer(b"metadata_size").and_then(metadata_len),
            upload_only: integer(b"upload_only").is_some_and(|only| only != 0),
        })
    }

    /// Appends the payload of extension message 0.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_dict(out, |dict| {
            dict.dict(b"m", |messages| self.messages.encode(messages));
            if let Some(len) = self.metadata_len {
                dict.integer(b"metadata_size", len.into());
            }
            if let Some(port) = self.port {
                dict.integer(b"p", port.into());
            }
            if let Some(requests_len_max) = self.requests_len_max {
                dict.integer(b"reqq", requests_len_max.into());
            }
            if self.upload_only {
                dict.integer(b"upload_only", 1);
            }
            if let Some(client) = &self.client {
                dict.bytes(b"v", client.as_bytes());
            }
            match self.your_ip {
                Some(IpAddr::V4(ip)) => dict.bytes(b"yourip", &ip.octets()),
                Some(IpAddr::V6(ip)) => dict.bytes(b"yourip", &ip.octets()),
                None => {}
            }
        });
    }
}

impl ExtensionIds {
    fn parse(dict: Dict<'_>) -> ExtensionIds {
        // BEP 10: an id of zero takes an extension back.
        let id = |name| {
            dict.get(name)?
                .integer()?
                .try_into()
                .ok()
                .and_then(NonZeroU8::new)
        };
        ExtensionIds {
            lt_donthave: id(b"lt_donthave"),
            upload_only: id(b"upload_only"),
            ut_metadata: id(b"ut_metadata"),
            ut_pex: id(b"ut_pex"),
        }
    }

    fn encode(&self, dict: &mut DictWriter<'_>) {
        let ids: [(&[u8], _); 4] = [
            (b"lt_donthave", self.lt_donthave),
            (b"upload_only", self.upload_only),
            (b"ut_metadata", self.ut_metadata),
            (b"ut_pex", self.ut_pex),
        ];
        for (name, id) in ids {
            if let Some(id) = id {
                dict.integer(name, id.get().into());
            }
        }
    }
}

/// A number that fits its type and is not zero, which here always means not said.
fn positive<N: TryFrom<i64> + Default + PartialEq>(integer: i64) -> Option<N> {
    N::try_from(integer).ok().filter(|number| *number != N::default())
}

/// BEP 9: case 19, a length of zero or of more than any torrent has is a lie.
fn metadata_len(integer: i64) -> Option<u32> {
    positive(integer).filter(|len| *len as usize <= METAINFO_LEN_MAX)
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets: [u8; 16] = bytes.try_into().ok()?;
    Some(Ipv6Addr::from(octets).into())
}

#[cfg(test)]
mod tests;
