//! Listening on the wire between a daemon and its peers: every byte right, every rule kept.
//!
//! A [`Tap`] sits on one connection. It reads what the daemon read and what the peer read, in the order in which they did,
//! so that an answer never comes before its question. The daemon must speak BEP 3, 6, 9 and 10 by the book: one
//! possession message first, blocks only on request and never while choking, each request answered at most once, rejects
//! only where both know the fast extension, extended messages only under ids that the peer gave, nothing about other
//! peers of a private torrent (BEP 27). Every block is compared with the torrent's own bytes. What the peer says may be
//! nonsense: then only what the daemon says is judged.
//!
//! It shares no code with the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use super::network::End;
use super::stream::{Stream, as_block, extension_ids, parse};
use super::torrent::Torrent;
use crate::peer::{Message, PROTOCOL};
use crate::sample::Block;

/// What a peer hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The daemon's handshake.
    Handshake,
    /// A block, which has been compared.
    Block(Block),
    /// Another message.
    Message(Message),
}

/// Everything that is listened to.
#[derive(Debug, Default)]
pub struct Taps {
    taps: BTreeMap<u32, Tap>,
    /// Bytes that rotted on disk: torrent and offset. They may arrive as they are.
    rotten: BTreeSet<(u64, u64)>,
    /// Which pieces a daemon has, or ever had if it fetches: by host and torrent.
    possession: BTreeMap<(IpAddr, u64), Vec<bool>>,
    /// Daemons that fetch: what they ask for is judged elsewhere (`manners`).
    fetching: BTreeSet<IpAddr>,
    delivered_bytes: u64,
    rotten_blocks: u64,
}

/// One connection.
#[derive(Debug)]
struct Tap {
    /// The daemon's host.
    daemon: IpAddr,
    fetches: bool,
    torrents: Rc<[Rc<Torrent>]>,
    torrent: Option<Rc<Torrent>>,
    from_peer: Stream,
    from_daemon: Stream,
    /// Reserved bits of both.
    peer_bits: [u8; 8],
    daemon_bits: [u8; 8],
    /// What the peer says is not the protocol: it is not followed any more.
    lawless: bool,
    /// Requests that are not answered.
    outstanding: BTreeMap<Block, u32>,
    choked: bool,
    messages: u64,
    /// The ids that the peer gave to extended messages, by name.
    peer_ids: BTreeMap<Vec<u8>, u8>,
}

impl Taps {
    /// Listens to a connection to a daemon; its peer may ask for any of these torrents.
    pub fn listen(&mut self, connection: u32, daemon: IpAddr, torrents: &Rc<[Rc<Torrent>]>) {
        let tap = Tap {
            daemon,
            fetches: self.fetching.contains(&daemon),
            torrents: torrents.clone(),
            torrent: None,
            from_peer: Stream::default(),
            from_daemon: Stream::default(),
            peer_bits: [0; 8],
            daemon_bits: [0; 8],
            lawless: false,
            outstanding: BTreeMap::new(),
            choked: true,
            messages: 0,
            peer_ids: BTreeMap::new(),
        };
        self.taps.insert(connection, tap);
    }

    /// The connection is over.
    pub fn forget(&mut self, connection: u32) {
        self.taps.remove(&connection);
    }

    /// A daemon has these pieces of a torrent, and must say so.
    pub fn possesses(&mut self, daemon: IpAddr, torrent: &Torrent, has: Vec<bool>) {
        self.possession.insert((daemon, torrent.key), has);
    }

    /// A daemon fetches, and may have no more than what it gains.
    pub fn fetches(&mut self, daemon: IpAddr, torrents: &[Rc<Torrent>]) {
        self.fetching.insert(daemon);
        for torrent in torrents {
            self.possesses(daemon, torrent, vec![false; torrent.pieces() as usize]);
        }
    }

    /// A daemon has one piece more.
    pub fn gains(&mut self, daemon: IpAddr, torrent: &Torrent, piece: u32) {
        if let Some(has) = self.possession.get_mut(&(daemon, torrent.key)) {
            has[piece as usize] = true;
        }
    }

    /// A byte of a torrent that is not what it was, on disk and without a stamp telling.
    pub fn rots(&mut self, torrent: &Torrent, offset: u64) {
        self.rotten.insert((torrent.key, offset));
    }

    /// The daemon read these bytes.
    pub fn heard_by_daemon(&mut self, end: End, bytes: &[u8]) {
        if let Some(tap) = self.taps.get_mut(&end.connection) {
            tap.from_peer.push(bytes);
            tap.follow_peer();
        }
    }

    /// The peer read these bytes: what they say.
    ///
    /// # Panics
    /// With the rule that the daemon broke.
    pub fn heard_by_peer(&mut self, end: End, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        let Some(tap) = self.taps.get_mut(&end.connection) else {
            return heard;
        };
        tap.from_daemon.push(bytes);
        if !tap.from_daemon.greeted {
            let Some(handshake) = tap.from_daemon.handshake() else {
                return heard;
            };
            tap.check_handshake(&handshake);
            heard.push(Heard::Handshake);
        }
        while let Some(range) = tap
            .from_daemon
            .frame()
            .expect("the daemon's messages are not too long")
        {
            let frame = &tap.from_daemon.bytes[range];
            if let Some((block, data)) = as_block(frame) {
                let right = tap.matches(block, data, &self.rotten);
                self.delivered_bytes += u64::from(block.len);
                self.rotten_blocks += u64::from(!right);
                tap.check_block(block);
                tap.check_has(block.piece, &self.possession);
                heard.push(Heard::Block(block));
            } else {
                let message = parse(frame).unwrap_or_else(|| panic!("the daemon said nonsense: {frame:?}"));
                tap.check_message(&message);
                tap.check_possession(&message, &self.possession);
                heard.push(Heard::Message(message));
            }
            tap.messages += 1;
        }
        heard
    }

    /// Bytes of blocks that arrived.
    pub fn delivered_bytes(&self) -> u64 {
        self.delivered_bytes
    }

    /// Blocks that arrived as they rotted on disk.
    pub fn rotten_blocks(&self) -> u64 {
        self.rotten_blocks
    }
}

impl Tap {
    fn follow_peer(&mut self) {
        if !self.from_peer.greeted && !self.lawless {
            let Some(handshake) = self.from_peer.handshake() else {
                return;
            };
            self.lawless = &handshake[..20] != PROTOCOL;
            self.peer_bits = handshake[20..28].try_into().expect("eight bytes");
            let mut known = self.torrents.iter();
            self.torrent = known
                .find(|torrent| torrent.info_hash == handshake[28..48])
                .cloned();
        }
        while !self.lawless {
            match self.from_peer.frame() {
                Ok(Some(range)) => {
                    let message = parse(&self.from_peer.bytes[range]);
                    self.follow(message);
                }
                Ok(None) => return,
                Err(()) => self.lawless = true,
            }
        }
    }

    fn follow(&mut self, message: Option<Message>) {
        match message {
            Some(Message::Request(block)) => *self.outstanding.entry(block).or_insert(0) += 1,
            Some(Message::Extended { id: 0, payload }) => self.peer_ids = extension_ids(&payload),
            Some(_) => {}
            None => self.lawless = true,
        }
    }

    fn check_handshake(&mut self, handshake: &[u8]) {
        assert_eq!(&handshake[..20], PROTOCOL, "the daemon's handshake is not one");
        let torrent = self
            .torrent
            .as_ref()
            .expect("the daemon answers only for torrents that exist");
        assert_eq!(
            handshake[28..48],
            torrent.info_hash,
            "the daemon answers for another torrent"
        );
        self.daemon_bits = handshake[20..28].try_into().expect("eight bytes");
        if torrent.private {
            assert_eq!(self.daemon_bits[7] & 1, 0, "a private torrent is not for the DHT");
        }
    }

    fn both(&self, byte: usize, bit: u8) -> bool {
        self.peer_bits[byte] & self.daemon_bits[byte] & bit != 0
    }

    fn fast(&self) -> bool {
        self.both(7, 4)
    }

    fn check_message(&mut self, message: &Message) {
        let private = self.torrent.as_ref().is_some_and(|torrent| torrent.private);
        match message {
            Message::Choke => assert!(
                !std::mem::replace(&mut self.choked, true),
                "the daemon choked a peer that was choked"
            ),
            Message::Unchoke => assert!(
                std::mem::replace(&mut self.choked, false),
                "the daemon unchoked a peer that was unchoked"
            ),
            Message::Reject(block) => {
                assert!(self.fast(), "a reject to a peer that does not know them");
                self.answer(*block);
            }
            Message::Bitfield { bits } => {
                let pieces = self.torrent.as_ref().map_or(0, |torrent| torrent.pieces());
                assert_eq!(self.messages, 0, "a bitfield comes first");
                assert_eq!(
                    bits.len(),
                    pieces.div_ceil(8) as usize,
                    "a bitfield has a bit for each piece"
                );
            }
            Message::HaveAll | Message::HaveNone => {
                assert!(self.fast(), "have-all to a peer that does not know it");
                assert_eq!(self.messages, 0, "have-all comes first");
            }
            Message::Suggest { .. } | Message::AllowedFast { .. } => {
                assert!(self.fast(), "a fast message to a peer that does not know it");
            }
            Message::Extended { id, payload } => self.check_extended(*id, payload, private),
            Message::Request(_) | Message::Interested | Message::Cancel(_) => {
                assert!(self.fetches, "a seed asks for nothing: {message:?}");
            }
            Message::Unknown { id: 9, .. } => assert!(!private, "a private torrent is not for the DHT"),
            Message::Unknown { id, .. } => panic!("the daemon sent message {id}, which no standard knows"),
            Message::KeepAlive | Message::NotInterested | Message::Have { .. } | Message::Piece { .. } => {}
        }
    }

    /// What the daemon has not got it neither sends nor tells of, although its bytes may stand on the disk.
    fn check_has(&self, piece: u32, possession: &BTreeMap<(IpAddr, u64), Vec<bool>>) {
        let torrent = self.torrent.as_ref().expect("only known torrents are served");
        if let Some(has) = possession.get(&(self.daemon, torrent.key)) {
            let has = has.get(piece as usize).is_some_and(|has| *has);
            assert!(has, "piece {piece} was not verified, and is served");
        }
    }

    /// What the daemon says it has is what it has.
    fn check_possession(&self, message: &Message, possession: &BTreeMap<(IpAddr, u64), Vec<bool>>) {
        let torrent = self.torrent.as_ref().expect("only known torrents are served");
        let Some(has) = possession.get(&(self.daemon, torrent.key)) else {
            return;
        };
        let says: Vec<bool> = match message {
            Message::HaveAll => vec![true; has.len()],
            Message::HaveNone => vec![false; has.len()],
            Message::Bitfield { bits } => (0..bits.len() * 8)
                .map(|piece| bits[piece / 8] & 0x80 >> (piece % 8) != 0)
                .collect(),
            Message::Have { piece } => return self.check_has(*piece, possession),
            _ => return,
        };
        let (pieces, spare) = says.split_at(has.len());
        let had = || pieces.iter().zip(has).all(|(says, has)| !says || *has);
        assert!(
            pieces == has || self.fetches && had(),
            "the daemon says that it has other pieces than it has"
        );
        assert!(!spare.contains(&true), "spare bits of a bitfield are zero");
    }

    fn check_extended(&self, id: u8, payload: &[u8], private: bool) {
        assert!(
            self.both(5, 0x10),
            "an extended message to a peer that knows none"
        );
        if id == 0 {
            let pex = extension_ids(payload).contains_key(b"ut_pex".as_slice());
            assert!(!(private && pex), "a private torrent exchanges no peers");
            return;
        }
        let name = self.peer_ids.iter().find(|(_, theirs)| **theirs == id);
        let (name, _) = name.unwrap_or_else(|| panic!("extended message {id} was never asked for"));
        assert!(
            !(private && name == b"ut_pex"),
            "a private torrent exchanges no peers"
        );
    }

    fn check_block(&mut self, block: Block) {
        assert!(!self.choked, "a block while the peer is choked: {block:?}");
        self.answer(block);
    }

    fn answer(&mut self, block: Block) {
        let Some(count) = self.outstanding.get_mut(&block) else {
            panic!("nobody asked for {block:?}, or it was answered before");
        };
        *count -= 1;
        if *count == 0 {
            self.outstanding.remove(&block);
        }
    }

    /// Whether a block has the torrent's bytes; the only others allowed are those that rotted on disk.
    fn matches(&self, block: Block, data: &[u8], rotten: &BTreeSet<(u64, u64)>) -> bool {
        let torrent = self.torrent.as_ref().expect("only known torrents are served");
        let place = torrent
            .place_of(block)
            .expect("only blocks that exist are served");
        if torrent.has(place, data) {
            return true;
        }
        let mut right = vec![0; data.len()];
        torrent.read(place, &mut right);
        for (at, (is, should)) in (place..).zip(data.iter().zip(&right)) {
            let excused = is == should || rotten.contains(&(torrent.key, at));
            assert!(
                excused,
                "{block:?} of torrent {} has other bytes at {at}",
                torrent.key
            );
        }
        false
    }
}
