//! Who a peer says it is: twenty bytes, by convention (BEP 20) the name and version of its software and
//! random bytes.
//!
//! Ours is `-SH` and the version, `-`, and twelve bytes that the caller draws. A peer's is only a claim: it
//! is shown to people and never decides anything. What it may contain is arbitrary, so nothing of it is
//! displayed but names of our own and printable version digits.

use std::fmt;

/// `-SH0100-`: shoal 0.1.0, one base-36 digit for each number of the version.
const OURS: &[u8; 8] = b"-SH0100-";

/// A peer id, ours or a peer's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 20]);

/// The software that a peer id names. Displays as `qBittorrent 4.6.2`, or `unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Software on our list.
    Known {
        /// Its name.
        name: &'static str,
        /// The numbers of its version, one for each digit of the id.
        version: [u8; 4],
    },
    /// Not on our list, or no name at all.
    Unknown,
}

/// The ids of clients whose ids look like `-XX1234-`, ascending, as seen in swarms and in BEP 20.
const CLIENTS: [(&[u8; 2], &str); 42] = [
    (b"7T", "aTorrent"),
    (b"AG", "Ares"),
    (b"AZ", "Vuze"),
    (b"BC", "BitComet"),
    (b"BI", "BiglyBT"),
    (b"BL", "BitLord"),
    (b"BN", "Baidu Netdisk"),
    (b"BT", "BitTorrent"),
    (b"BW", "BitTorrent Web"),
    (b"DE", "Deluge"),
    (b"FD", "Free Download Manager"),
    (b"FL", "Folx"),
    (b"FW", "FrostWire"),
    (b"GT", "anacrolix/torrent"),
    (b"HL", "Halite"),
    (b"KG", "KGet"),
    (b"KT", "KTorrent"),
    (b"LP", "Lphant"),
    (b"LT", "libtorrent"),
    (b"MG", "MediaGet"),
    (b"PI", "PicoTorrent"),
    (b"RN", "rain"),
    (b"SD", "Thunder"),
    (b"SH", "shoal"),
    (b"SZ", "Shareaza"),
    (b"TB", "Torch"),
    (b"TL", "Tribler"),
    (b"TR", "Transmission"),
    (b"TT", "TuoTu"),
    (b"TX", "Tixati"),
    (b"UE", "\u{b5}Torrent Embedded"),
    (b"UM", "\u{b5}Torrent Mac"),
    (b"UT", "\u{b5}Torrent"),
    (b"UW", "\u{b5}Torrent Web"),
    (b"WD", "WebTorrent Desktop"),
    (b"WW", "WebTorrent"),
    (b"XL", "Xunlei"),
    (b"XT", "XanTorrent"),
    (b"ZO", "Zona"),
    (b"lt", "rTorrent"),
    (b"qB", "qBittorrent"),
    (b"rQ", "rqbit"),
];

impl PeerId {
    /// An id that arrived, or was stored.
    pub const fn new(bytes: [u8; 20]) -> PeerId {
        PeerId(bytes)
    }

    /// An id of our own, around bytes that the caller has drawn.
    pub fn ours(random: [u8; 12]) -> PeerId {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(OURS);
        bytes[8..].copy_from_slice(&random);
        PeerId(bytes)
    }

    /// The bytes as they are on the wire.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The software that the id names.
    pub fn client(&self) -> Client {
        match self.0 {
            [
                b'-',
                first,
                second,
                version @ ..,
                b'-',
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
            ] => by_code([first, second], version),
            [b'M', version @ ..] => by_numbers("BitTorrent", &version),
            [b'A', b'2', b'-', version @ ..] => by_numbers("aria2", &version),
            _ => Client::Unknown,
        }
    }
}

/// Azureus style: two letters and four base-36 digits between dashes.
fn by_code(code: [u8; 2], version: [u8; 4]) -> Client {
    let Ok(place) = CLIENTS.binary_search_by(|(known, _)| (*known).cmp(&code)) else {
        return Client::Unknown;
    };
    let version = version.map(|digit| char::from(digit).to_digit(36).unwrap_or(0) as u8);
    Client::Known {
        name: CLIENTS[place].1,
        version,
    }
}

/// Mainline and aria2 style: decimal numbers between dashes, `M7-10-5--` or `A2-1-36-0-`.
fn by_numbers(name: &'static str, bytes: &[u8]) -> Client {
    let mut version = [0; 4];
    for (number, digits) in version.iter_mut().zip(bytes.split(|byte| *byte == b'-')).take(3) {
        let parsed = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.len() <= 2);
        match parsed.and_then(|digits| digits.parse().ok()) {
            Some(parsed) => *number = parsed,
            None => return Client::Unknown,
        }
    }
    Client::Known { name, version }
}

impl fmt::Display for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Known {
                name,
                version: [major, minor, patch, 0],
            } => {
                write!(formatter, "{name} {major}.{minor}.{patch}")
            }
            Client::Known {
                name,
                version: [major, minor, patch, build],
            } => {
                write!(formatter, "{name} {major}.{minor}.{patch}.{build}")
            }
            Client::Unknown => formatter.write_str("unknown"),
        }
    }
}

/// Printable bytes as they are, others escaped.
impl fmt::Display for PeerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests;
