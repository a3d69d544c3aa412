//! What a daemon says and hears on each of its connections, judged in the order in which it does so itself.
//!
//! A tap judges answers where they arrive; whether a *request* was right depends on what its sender knew, so it is judged
//! here, when the sender's socket takes it. A daemon that is enrolled asks only for what it misses and the peer has, while
//! it is unchoked or allowed to (BEP 6), each block once, never more than the peer queues (`reqq`, BEP 10), and of two
//! peers only when nothing is left that it did not ask for yet. It tells of and serves what it has verified, nothing else.
//!
//! A message may wait for its socket while what it rests on changes: what may have been true when it was decided is
//! excused for [`SLACK`]. It shares no code with the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use shoal_world::Time;

use super::network::End;
use super::stream::{Stream, as_block, extension_number, parse};
use super::torrent::Torrent;
use crate::peer::{Message, PROTOCOL};
use crate::sample::{BLOCK_LEN, Block};

/// How long a message may have waited for its socket: the longest stall of a link and the longest partition, and some
/// more.
const SLACK: Duration = Duration::from_secs(40);

/// Requests that a peer queues if it does not say (what clients take in practice).
const REQUESTS_DEFAULT: usize = 250;

/// In which a daemon surely hears that a send is done.
const TURN: Duration = Duration::from_millis(10);

/// A send that took longer than a socket with room needs: what was said meanwhile waited.
const HELD_UP_AFTER: Duration = Duration::from_millis(100);

/// After so much silence of a peer others may be asked for what it was asked for, without taking it back.
const OVERDUE_AFTER: Duration = Duration::from_secs(14);

/// Everybody who is watched.
#[derive(Debug, Default)]
pub struct Manners {
    enrolled: BTreeMap<IpAddr, Rc<[Rc<Torrent>]>>,
    holdings: BTreeMap<(IpAddr, u64), Holding>,
    sides: BTreeMap<End, Side>,
    /// Those who may send wrong bytes.
    liars: BTreeSet<IpAddr>,
    /// Pieces that a daemon passed over when it asked a second peer for a block, and when.
    passed_over: BTreeMap<(IpAddr, u64, u32), Time>,
    requests: u64,
    doubled: u64,
}

/// What a daemon has and did for one torrent in this life.
#[derive(Debug, Default)]
struct Holding {
    /// Since when it has each piece.
    has: Vec<Option<Time>>,
    /// Pieces of which it asked for a block.
    begun: BTreeSet<u32>,
}

/// One end of a connection, a daemon's.
#[derive(Debug)]
struct Side {
    ip: IpAddr,
    peer: IpAddr,
    /// The peer keeps the rules: a copy that nobody asked for never crosses a request.
    is_daemon: bool,
    torrent: Option<Rc<Torrent>>,
    said: Stream,
    heard: Stream,
    /// Reserved bits of both.
    said_bits: [u8; 8],
    heard_bits: [u8; 8],
    /// What the peer says is not the protocol: neither side is followed any more.
    lawless: bool,
    messages_said: u64,
    /// The peer chokes, since then.
    choked: Option<Time>,
    allowed: BTreeSet<u32>,
    /// Since when the peer has each piece.
    peer_has: Vec<Option<Time>>,
    requests_max: usize,
    /// What was asked for.
    asked: BTreeSet<Block>,
    /// What was taken back once: a reject of it may be an answer to either request if it is asked for again.
    taken_back: BTreeSet<Block>,
    /// When a block came last, or when something was asked for while nothing was.
    heard_at: Time,
    /// Since when its socket has not taken all that was given to it: what comes next waits.
    held_up: Option<Time>,
    /// When its socket took all of something last. The daemon says what waited behind it when it hears of that.
    said_at: Time,
    /// What it says next waited for long, and some of it may be taken back at its end.
    was_held_up: bool,
    interested: bool,
    /// What the peer asked for, how often.
    wanted: BTreeMap<Block, u32>,
    chokes: bool,
}

impl Manners {
    /// Watches a daemon from now on.
    pub fn enrol(&mut self, ip: IpAddr, torrents: &Rc<[Rc<Torrent>]>) {
        self.enrolled.insert(ip, torrents.clone());
    }

    /// This host may send wrong bytes, and be banned for it.
    pub fn lies(&mut self, ip: IpAddr) {
        self.liars.insert(ip);
    }

    /// Whether it may be banned.
    pub fn is_liar(&self, ip: IpAddr) -> bool {
        self.liars.contains(&ip)
    }

    /// Requests that daemons sent, and how many of them were for blocks that another peer was asked for.
    pub fn requests(&self) -> (u64, u64) {
        (self.requests, self.doubled)
    }

    /// A daemon begins to serve or to fetch a torrent and has these pieces of it.
    pub fn possesses(&mut self, ip: IpAddr, torrent: &Torrent, has: &[bool]) {
        let since = |has: &bool| has.then_some(Time::ZERO);
        let holding = Holding {
            has: has.iter().map(since).collect(),
            begun: BTreeSet::new(),
        };
        self.passed_over
            .retain(|(daemon, key, _), _| (*daemon, *key) != (ip, torrent.key));
        self.holdings.insert((ip, torrent.key), holding);
    }

    /// A daemon has one piece more.
    pub fn gains(&mut self, now: Time, ip: IpAddr, torrent: &Torrent, piece: u32) {
        if let Some(holding) = self.holdings.get_mut(&(ip, torrent.key)) {
            let before = holding.has[piece as usize].replace(now);
            assert!(before.is_none(), "piece {piece} was written twice");
        }
    }

    /// A daemon has a connection more.
    pub fn begins(&mut self, end: End, ip: IpAddr, peer: IpAddr) {
        if self.enrolled.contains_key(&ip) {
            let is_daemon = self.enrolled.contains_key(&peer);
            self.sides
                .entry(end)
                .or_insert_with(|| Side::new(ip, peer, is_daemon));
        }
    }

    /// A connection of a daemon is over.
    pub fn ends(&mut self, end: End) {
        self.sides.remove(&end);
    }

    /// All connections of a daemon are.
    pub fn died(&mut self, ip: IpAddr) {
        self.sides.retain(|_, side| side.ip != ip);
    }

    /// Whether anybody watches this end.
    pub fn watches(&self, end: End) -> bool {
        self.sides.contains_key(&end)
    }

    /// A daemon read these bytes.
    pub fn heard(&mut self, now: Time, end: End, bytes: &[u8]) {
        let honest = |ip: &IpAddr| !self.liars.contains(ip);
        if let Some(side) = self.sides.get_mut(&end) {
            let honest = honest(&side.peer);
            side.heard.push(bytes);
            side.hears(now, &self.enrolled, honest);
        }
    }

    /// A daemon has something to say that its socket has not taken yet.
    pub fn begins_to_say(&mut self, now: Time, end: End) {
        if let Some(side) = self.sides.get_mut(&end) {
            side.held_up.get_or_insert(now);
        }
    }

    /// Its socket took all of it.
    pub fn has_said(&mut self, now: Time, end: End) {
        if let Some(side) = self.sides.get_mut(&end) {
            let since = side.held_up.take();
            side.said_at = now;
            side.was_held_up = since.is_some_and(|since| now.since(since) >= HELD_UP_AFTER);
        }
    }

    /// A daemon's socket took these bytes.
    ///
    /// # Panics
    /// With the rule that the daemon broke.
    pub fn said(&mut self, now: Time, end: End, bytes: &[u8]) {
        // It is compared with the daemon's other connections, so it stands apart meanwhile.
        let Some(mut side) = self.sides.remove(&end) else {
            return;
        };
        side.said.push(bytes);
        if side.greets(&self.enrolled) {
            while !side.lawless
                && let Some(range) = side.said.frame().expect("the daemon's messages are not too long")
            {
                let frame = &side.said.bytes[range];
                let message = parse(frame).unwrap_or_else(|| panic!("the daemon said nonsense: {frame:?}"));
                self.judge(now, &mut side, message);
                side.messages_said += 1;
            }
        }
        self.sides.insert(end, side);
    }

    fn judge(&mut self, now: Time, side: &mut Side, message: Message) {
        let Some(torrent) = side.torrent.clone() else {
            return;
        };
        let key = (side.ip, torrent.key);
        if let Message::Request(block) = message {
            self.requests += 1;
            self.doubled += u64::from(self.judge_doubling(now, side, key, block));
        }
        let Some(holding) = self.holdings.get_mut(&key) else {
            return;
        };
        match message {
            Message::Request(block) => side.judge_request(now, holding, &torrent, block),
            message => side.judge_answer(holding, message),
        }
    }

    /// Whether another peer is asked for this block already, which it may be near the end: when every piece that can be
    /// had is begun, or will be as soon as a socket takes the request that waits for it.
    fn judge_doubling(&mut self, now: Time, side: &Side, key: (IpAddr, u64), block: Block) -> bool {
        let others = self.sides.values().filter(|other| other.is_about_the_same(side));
        let asked: Vec<(IpAddr, Time)> = others
            .filter(|other| other.awaits(now, block))
            .map(|other| (other.peer, other.heard_at))
            .collect();
        let who = (side.ip, side.peer);
        assert!(
            asked.len() < 2 || side.was_held_up,
            "{block:?} is asked of a third peer, besides {asked:?}, heard of then: {who:?}"
        );
        let asked = asked.len();
        self.passed_over.remove(&(key.0, key.1, block.piece));
        if asked == 1
            && let Some(piece) = self.long_open(now, side, key)
        {
            let since = self.passed_over.entry((key.0, key.1, piece)).or_insert(now);
            assert!(
                *since + SLACK >= now,
                "{block:?} is asked of a second peer although nobody is asked for piece {piece}: {who:?}"
            );
        }
        asked == 1
    }

    /// A piece that nobody was asked for although it could be had for long.
    fn long_open(&self, now: Time, side: &Side, key: (IpAddr, u64)) -> Option<u32> {
        let holding = self.holdings.get(&key)?;
        let others = self.sides.values().filter(|other| other.is_about_the_same(side));
        let long_had = |other: &Side, piece: usize| {
            other.choked.is_none() && other.peer_has[piece].is_some_and(|since| since + SLACK < now)
        };
        let all = others.chain([side]);
        let unbegun =
            |piece: &usize| holding.has[*piece].is_none() && !holding.begun.contains(&(*piece as u32));
        (0..holding.has.len())
            .filter(unbegun)
            .find(|piece| all.clone().any(|other| long_had(other, *piece)))
            .map(|piece| piece as u32)
    }
}

impl Side {
    fn new(ip: IpAddr, peer: IpAddr, is_daemon: bool) -> Side {
        Side {
            ip,
            peer,
            is_daemon,
            torrent: None,
            said: Stream::default(),
            heard: Stream::default(),
            said_bits: [0; 8],
            heard_bits: [0; 8],
            lawless: false,
            messages_said: 0,
            choked: Some(Time::ZERO),
            allowed: BTreeSet::new(),
            peer_has: Vec::new(),
            requests_max: REQUESTS_DEFAULT,
            asked: BTreeSet::new(),
            taken_back: BTreeSet::new(),
            heard_at: Time::ZERO,
            held_up: None,
            said_at: Time::ZERO,
            was_held_up: false,
            interested: false,
            wanted: BTreeMap::new(),
            chokes: true,
        }
    }

    /// Whether the daemon's handshake was said, and which torrent it is about.
    fn greets(&mut self, enrolled: &BTreeMap<IpAddr, Rc<[Rc<Torrent>]>>) -> bool {
        if !self.said.greeted {
            let Some(handshake) = self.said.handshake() else {
                return false;
            };
            assert_eq!(&handshake[..20], PROTOCOL, "the daemon's handshake is not one");
            self.said_bits = handshake[20..28].try_into().expect("eight bytes");
            self.is_about(&handshake, enrolled);
        }
        true
    }

    fn is_about(&mut self, handshake: &[u8], enrolled: &BTreeMap<IpAddr, Rc<[Rc<Torrent>]>>) {
        let mut known = enrolled[&self.ip].iter();
        self.torrent = known
            .find(|torrent| torrent.info_hash == handshake[28..48])
            .cloned();
        let pieces = self.torrent.as_ref().map_or(0, |torrent| torrent.pieces());
        self.peer_has.resize(pieces as usize, None);
    }

    /// Whether it is a connection of the same daemon for the same torrent.
    fn is_about_the_same(&self, other: &Side) -> bool {
        let key = |side: &Side| Some((side.ip, side.torrent.as_ref()?.key));
        key(self).is_some() && key(self) == key(other)
    }

    fn fast(&self) -> bool {
        self.said_bits[7] & self.heard_bits[7] & 4 != 0
    }

    /// Whether this block may still come from the peer, as far as is known: what it was told last may wait for its socket.
    fn awaits(&self, now: Time, block: Block) -> bool {
        let waits = self.held_up.is_some() || now.since(self.said_at) < TURN;
        self.asked.contains(&block) && now.since(self.heard_at) < OVERDUE_AFTER && !waits
    }

    fn hears(&mut self, now: Time, enrolled: &BTreeMap<IpAddr, Rc<[Rc<Torrent>]>>, honest: bool) {
        if !self.heard.greeted && !self.lawless {
            let Some(handshake) = self.heard.handshake() else {
                return;
            };
            self.lawless = &handshake[..20] != PROTOCOL;
            self.heard_bits = handshake[20..28].try_into().expect("eight bytes");
            self.is_about(&handshake, enrolled);
        }
        while !self.lawless {
            let range = match self.heard.frame() {
                Ok(Some(range)) => range,
                Ok(None) => {
                    // What has begun to come is not outstanding.
                    let begun = self.heard.block_begun();
                    begun.map(|block| self.asked.remove(&block));
                    return;
                }
                Err(()) => {
                    self.lawless = true;
                    return;
                }
            };
            let frame = &self.heard.bytes[range];
            if let Some((block, data)) = as_block(frame) {
                let torrent = self.torrent.as_ref().filter(|_| honest);
                let place = torrent.and_then(|torrent| torrent.place_of(block));
                let right = torrent
                    .zip(place)
                    .is_none_or(|(torrent, place)| torrent.has(place, data));
                assert!(
                    right,
                    "{block:?} from {} has other bytes than the torrent",
                    self.peer
                );
                self.asked.remove(&block);
                self.heard_at = now;
            } else {
                match parse(frame) {
                    Some(message) => self.follow(now, message),
                    None => self.lawless = true,
                }
            }
        }
    }

    fn follow(&mut self, now: Time, message: Message) {
        match message {
            Message::Choke => {
                self.choked.get_or_insert(now);
                // BEP 6: with it every request is answered by itself.
                if !self.fast() {
                    self.asked.clear();
                }
            }
            Message::Unchoke => self.choked = None,
            Message::Have { piece } => self.gains(now, piece),
            Message::Bitfield { bits } => {
                let says = |piece: usize| {
                    bits.get(piece / 8)
                        .is_some_and(|bits| bits & 0x80 >> (piece % 8) != 0)
                };
                let has = self.peer_has.iter().enumerate();
                self.peer_has = has
                    .map(|(piece, since)| says(piece).then_some(since.unwrap_or(now)))
                    .collect();
            }
            Message::HaveAll => self.peer_has.fill(Some(now)),
            Message::AllowedFast { piece } => drop(self.allowed.insert(piece)),
            Message::Reject(block) => drop(self.asked.remove(&block)),
            Message::Request(block) => *self.wanted.entry(block).or_insert(0) += 1,
            Message::Extended { id: 0, payload } => {
                if let Some(requests) = extension_number(&payload, b"reqq") {
                    self.requests_max = usize::try_from(requests).unwrap_or(0).max(1);
                }
            }
            _ => {}
        }
    }

    fn gains(&mut self, now: Time, piece: u32) {
        if let Some(since) = self.peer_has.get_mut(piece as usize) {
            since.get_or_insert(now);
        }
    }

    fn judge_request(&mut self, now: Time, holding: &mut Holding, torrent: &Torrent, block: Block) {
        let who = (self.ip, self.peer);
        let exists = torrent.place_of(block).is_some() && block.len <= BLOCK_LEN;
        assert!(exists, "{block:?} does not exist: {who:?}");
        let piece = block.piece as usize;
        let has = holding.has[piece].is_some_and(|since| since + SLACK < now);
        assert!(!has, "{block:?} is asked for although it is there: {who:?}");
        assert!(
            self.peer_has[piece].is_some(),
            "{block:?} is asked of who does not have it: {who:?}"
        );
        let choked = self
            .choked
            .is_some_and(|since| since + SLACK < now || since == Time::ZERO);
        assert!(
            !choked || self.allowed.contains(&block.piece),
            "{block:?} is asked of who chokes: {who:?}"
        );
        assert!(
            self.interested,
            "{block:?} is asked for without interest: {who:?}"
        );
        assert!(
            self.asked.len() < self.requests_max,
            "more than {} requests are outstanding: {who:?}",
            self.requests_max
        );
        if self.asked.is_empty() {
            self.heard_at = now;
        }
        let news = self.asked.insert(block);
        assert!(
            news || !self.is_daemon || self.taken_back.contains(&block),
            "{block:?} is asked for twice: {who:?}"
        );
        holding.begun.insert(block.piece);
    }

    fn judge_answer(&mut self, holding: &Holding, message: Message) {
        let has = |piece: u32| holding.has.get(piece as usize).is_some_and(Option::is_some);
        let who = (self.ip, self.peer);
        match message {
            Message::Choke => assert!(
                !std::mem::replace(&mut self.chokes, true),
                "choked twice: {who:?}"
            ),
            Message::Unchoke => assert!(
                std::mem::replace(&mut self.chokes, false),
                "unchoked twice: {who:?}"
            ),
            Message::Interested => {
                assert!(
                    !std::mem::replace(&mut self.interested, true),
                    "interested twice: {who:?}"
                );
            }
            Message::NotInterested => {
                assert!(
                    std::mem::replace(&mut self.interested, false),
                    "not interested twice: {who:?}"
                );
            }
            Message::Have { piece } => {
                assert!(has(piece), "tells of piece {piece}, which it has not: {who:?}");
            }
            Message::Bitfield { bits } => {
                assert_eq!(self.messages_said, 0, "a bitfield comes first: {who:?}");
                let says = |piece: u32| bits[piece as usize / 8] & 0x80 >> (piece % 8) != 0;
                for piece in 0..bits.len() as u32 * 8 {
                    assert!(
                        !says(piece) || has(piece),
                        "tells of piece {piece}, which it has not: {who:?}"
                    );
                }
            }
            Message::HaveAll => assert!(holding.has.iter().all(Option::is_some), "has not all: {who:?}"),
            Message::Piece { piece, offset, data } => {
                assert!(
                    has(piece),
                    "piece {piece} was not verified, and is served: {who:?}"
                );
                assert!(!self.chokes, "serves while choking: {who:?}");
                let len = data.len() as u32;
                self.answers(Block { piece, offset, len });
            }
            Message::Reject(block) => self.answers(block),
            Message::Cancel(block) => {
                self.asked.remove(&block);
                self.taken_back.insert(block);
            }
            _ => {}
        }
    }

    fn answers(&mut self, block: Block) {
        let who = (self.ip, self.peer);
        let Some(count) = self.wanted.get_mut(&block) else {
            panic!("nobody asked for {block:?}, or it was answered before: {who:?}");
        };
        *count -= 1;
        if *count == 0 {
            self.wanted.remove(&block);
        }
    }
}
