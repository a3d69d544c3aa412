//! Magnet links (BEP 9): a torrent named in one line.
//!
//! Read are `xt` (`urn:btih:` in hexadecimal or base32, `urn:btmh:` of version 2), `dn`, `tr`, `ws`, `x.pe`
//! and `so` (BEP 53), also with a number behind as in `tr.1`; everything else is left out. The hash and the
//! selection of files are read strictly, since a mistake there fetches something else; a tracker, web seed or
//! peer that cannot be used is left out. What is written has the same parameters in that order.

use std::fmt;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

use crate::info_hash::{InfoHash, InfoHashError};
use crate::limits::{
    FILES_MAX, MAGNET_LEN_MAX, MAGNET_PEERS_MAX, PATH_ELEMENT_LEN_MAX, TRACKERS_MAX, WEB_SEEDS_MAX,
};
use crate::metainfo::Metainfo;
use crate::text::shown;
use crate::url::{TRACKER_SCHEMES, WEB_SEED_SCHEMES, usable};

/// What every magnet link starts with.
const PREFIX: &str = "magnet:?";

/// The multihash prefix of a SHA-256: function 0x12, 0x20 bytes.
const SHA256_MULTIHASH: &str = "1220";

/// Bytes in the longest host name (RFC 1035).
const HOST_LEN_MAX: usize = 253;

/// What a magnet link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Magnet {
    /// The torrent: its version 1 hash where the link has one.
    pub info_hash: InfoHash,
    /// The version 2 hash of a hybrid torrent, beside its version 1 hash.
    pub hybrid: Option<InfoHash>,
    /// A name to show until the torrent's own is known (`dn`).
    pub name: Option<String>,
    /// Addresses of trackers (`tr`).
    pub trackers: Vec<String>,
    /// Addresses of web seeds (`ws`).
    pub web_seeds: Vec<String>,
    /// Peers to begin with (`x.pe`).
    pub peers: Vec<PeerAddress>,
    /// Numbers of the files to fetch (`so`); all of them when this is empty.
    pub selected: Vec<RangeInclusive<u32>>,
}

/// A peer in a magnet link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerAddress {
    /// A host name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// A TCP and UDP port; not 0.
    pub port: u16,
}

/// Why a text is refused as a magnet link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MagnetError {
    /// Something else.
    #[error("a magnet link starts with `{PREFIX}`")]
    NotAMagnet,
    /// Longer than all that could be used of it.
    #[error("the magnet link is {len} bytes long, and {MAGNET_LEN_MAX} is the most")]
    TooLong {
        /// Bytes in the text.
        len: usize,
    },
    /// No `xt` of BitTorrent.
    #[error("the magnet link names no torrent: it has neither `xt=urn:btih:` nor `xt=urn:btmh:`")]
    NoHash,
    /// Two hashes of one version.
    #[error("the magnet link names two different torrents")]
    TwoTorrents,
    /// A hash that is none.
    #[error("the magnet link's `xt` is wrong: {0}")]
    InfoHash(#[from] InfoHashError),
    /// A `btih` of version 2 length, or a `btmh` that is no SHA-256.
    #[error("the magnet link's `xt` holds a hash of another kind than it says")]
    HashKind,
    /// A `so` that cannot be read.
    #[error("the magnet link's `so` is no list of file numbers such as `0,2,4-6`")]
    Selection,
}

impl FromStr for Magnet {
    type Err = MagnetError;

    fn from_str(text: &str) -> Result<Magnet, MagnetError> {
        if text.len() > MAGNET_LEN_MAX {
            return Err(MagnetError::TooLong { len: text.len() });
        }
        let query = match text.split_at_checked(PREFIX.len()) {
            Some((prefix, query)) if prefix.eq_ignore_ascii_case(PREFIX) => query,
            _ => return Err(MagnetError::NotAMagnet),
        };
        let mut link = Link::default();
        for (key, value) in query.split('&').filter_map(|parameter| parameter.split_once('=')) {
            link.add(without_number(key), value)?;
        }
        link.finish()
    }
}

/// A link to the torrent, with its trackers and web seeds.
impl From<&Metainfo> for Magnet {
    fn from(metainfo: &Metainfo) -> Magnet {
        Magnet {
            info_hash: metainfo.info_hash(),
            hybrid: None,
            name: Some(metainfo.name().to_owned()),
            trackers: metainfo.trackers().iter().flatten().cloned().collect(),
            web_seeds: metainfo.web_seeds().to_vec(),
            peers: Vec::new(),
            selected: Vec::new(),
        }
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(PREFIX)?;
        write_topic(formatter, self.info_hash)?;
        if let Some(hybrid) = self.hybrid {
            formatter.write_str("&")?;
            write_topic(formatter, hybrid)?;
        }
        let texts = self.name.iter().map(|name| ("dn", name));
        let texts = texts.chain(self.trackers.iter().map(|tracker| ("tr", tracker)));
        for (key, text) in texts.chain(self.web_seeds.iter().map(|seed| ("ws", seed))) {
            write!(formatter, "&{key}=")?;
            write_encoded(formatter, text)?;
        }
        for peer in &self.peers {
            write!(formatter, "&x.pe={peer}")?;
        }
        for (position, files) in self.selected.iter().enumerate() {
            formatter.write_str(if position == 0 { "&so=" } else { "," })?;
            match (files.start(), files.end()) {
                (first, last) if first == last => write!(formatter, "{first}")?,
                (first, last) => write!(formatter, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PeerAddress { host, port } = self;
        if host.contains(':') {
            write!(formatter, "[{host}]:{port}")
        } else {
            write!(formatter, "{host}:{port}")
        }
    }
}

/// A link as far as it has been read.
#[derive(Default)]
struct Link {
    v1: Option<InfoHash>,
    v2: Option<InfoHash>,
    name: Option<String>,
    trackers: Vec<String>,
    web_seeds: Vec<String>,
    peers: Vec<PeerAddress>,
    selected: Vec<RangeInclusive<u32>>,
}

impl Link {
    fn add(&mut self, key: &str, value: &str) -> Result<(), MagnetError> {
        let bytes = decoded(value);
        match key {
            "xt" => self.add_topic(&bytes)?,
            // Some programs write spaces as in forms; a plus that is meant is written %2B by all.
            "dn" => self.name = shown(&decoded(&value.replace('+', " ")), PATH_ELEMENT_LEN_MAX),
            "tr" => add_new(&mut self.trackers, usable(&bytes, TRACKER_SCHEMES), TRACKERS_MAX),
            "ws" => add_new(
                &mut self.web_seeds,
                usable(&bytes, WEB_SEED_SCHEMES),
                WEB_SEEDS_MAX,
            ),
            "x.pe" => {
                let peer = str::from_utf8(&bytes).ok().and_then(peer_address);
                add_new(&mut self.peers, peer, MAGNET_PEERS_MAX);
            }
            "so" => self.selected = selection(&bytes).ok_or(MagnetError::Selection)?,
            _ => {}
        }
        Ok(())
    }

    /// Reads an `xt`; topics of other networks are left out.
    fn add_topic(&mut self, topic: &[u8]) -> Result<(), MagnetError> {
        let topic = String::from_utf8_lossy(topic);
        let Some((urn, hash)) = topic.rsplit_once(':') else {
            return Ok(());
        };
        let (place, hash) = if urn.eq_ignore_ascii_case("urn:btih") {
            (&mut self.v1, hash)
        } else if urn.eq_ignore_ascii_case("urn:btmh") {
            (
                &mut self.v2,
                hash.strip_prefix(SHA256_MULTIHASH).ok_or(MagnetError::HashKind)?,
            )
        } else {
            return Ok(());
        };
        let hash: InfoHash = hash.parse()?;
        let is_v2 = matches!(hash, InfoHash::V2(_));
        if is_v2 != urn.eq_ignore_ascii_case("urn:btmh") {
            return Err(MagnetError::HashKind);
        }
        if *place.get_or_insert(hash) != hash {
            return Err(MagnetError::TwoTorrents);
        }
        Ok(())
    }

    fn finish(self) -> Result<Magnet, MagnetError> {
        Ok(Magnet {
            info_hash: self.v1.or(self.v2).ok_or(MagnetError::NoHash)?,
            hybrid: self.v1.and(self.v2),
            name: self.name,
            trackers: self.trackers,
            web_seeds: self.web_seeds,
            peers: self.peers,
            selected: self.selected,
        })
    }
}

/// `tr` out of `tr.12`: a number only keeps keys apart.
fn without_number(key: &str) -> &str {
    match key.rsplit_once('.') {
        Some((key, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => key,
        _ => key,
    }
}

fn add_new<T: PartialEq>(list: &mut Vec<T>, item: Option<T>, len_max: usize) {
    if let Some(item) = item
        && list.len() < len_max
        && !list.contains(&item)
    {
        list.push(item);
    }
}

fn peer_address(text: &str) -> Option<PeerAddress> {
    let (host, port) = text.rsplit_once(':')?;
    let port = number(port).filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string(),
        None => host.to_owned(),
    };
    let is_address = text.starts_with('[');
    let is_name = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let fits = !host.is_empty() && host.len() <= HOST_LEN_MAX;
    (fits && (is_name || is_address)).then_some(PeerAddress { host, port })
}

/// BEP 53: numbers and ranges of numbers between commas.
fn selection(bytes: &[u8]) -> Option<Vec<RangeInclusive<u32>>> {
    let file = |digits| number::<u32>(digits).filter(|file| (*file as usize) < FILES_MAX);
    let ranges = str::from_utf8(bytes).ok()?.split(',').map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(file(first)?..=file(last)?).filter(|range| !range.is_empty())
    });
    ranges.collect()
}

/// Digits and nothing else: parsing alone takes a plus sign as well.
fn number<N: FromStr>(digits: &str) -> Option<N> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// Undoes percent-encoding. A percent sign that begins none stands for itself.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let escaped = behind.first_chunk().filter(|_| byte == b'%').and_then(hex_byte);
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &behind[2..] } else { behind };
    }
    bytes
}

fn hex_byte(digits: &[u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    Some((high? << 4 | low?) as u8)
}

fn write_topic(formatter: &mut fmt::Formatter<'_>, hash: InfoHash) -> fmt::Result {
    match hash {
        InfoHash::V1(_) => write!(formatter, "xt=urn:btih:{hash}"),
        InfoHash::V2(_) => write!(formatter, "xt=urn:btmh:{SHA256_MULTIHASH}{hash}"),
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn write_encoded(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.bytes().try_for_each(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            write!(formatter, "{}", char::from(byte))
        }
        _ => write!(formatter, "%{byte:02X}"),
    })
}

#[cfg(test)]
mod tests;
