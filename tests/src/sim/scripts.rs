//! Scripted counterparts: peers that do exactly one thing, well or badly.
//!
//! A [`Script`] is a host with one connection at a time; what it says and when is its [`Behaviour`]'s. The host connects
//! (again, if that failed), sends what the behaviour said as its socket takes it, reads as fast as its appetite is, and
//! lets the tap judge what it heard. A behaviour is satisfied when it has what it came for; a run is over when all are.

mod babbler;
mod fetcher;
mod nuisance;
mod offerer;

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use shoal_world::Time;

use super::dice::Dice;
use super::network::{End, Notice, Party};
use super::payload::Payload;
use super::taps::Heard;
use super::torrent::Torrent;
use super::{Commons, Event};

pub use babbler::Babbler;
pub use fetcher::{Fetcher, Wishes};
pub use nuisance::{LIES, Nuisance, Offence};
pub use offerer::{Offerer, Trick};

/// Time before a lost connection is tried again.
const RECONNECT_AFTER: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(500)..=Duration::from_secs(5);

/// What a behaviour may do when it is called.
#[derive(Debug)]
pub struct Line<'a> {
    /// The time.
    pub now: Time,
    /// Its dice.
    pub dice: &'a mut Dice,
    /// What it says: bytes that go out behind what it said before.
    pub says: &'a mut Vec<u8>,
    /// It hangs up.
    pub hangs_up: bool,
    /// It wants to be called again after this time.
    pub again_after: Option<Duration>,
}

/// What a counterpart does.
pub trait Behaviour: Debug {
    /// A connection stands.
    fn begins(&mut self, line: &mut Line<'_>);
    /// The daemon said something.
    fn hears(&mut self, line: &mut Line<'_>, heard: Heard);
    /// The time it asked for has passed.
    fn again(&mut self, line: &mut Line<'_>);
    /// The connection is over.
    fn ends(&mut self, now: Time);
    /// It has what it came for.
    fn is_satisfied(&self) -> bool;
    /// What is still missing, for people.
    fn describe(&self) -> String;
}

/// What a script wakes up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// It connects.
    Connect,
    /// It reads again, in this connection.
    Read(End),
    /// Its behaviour asked for it, in this connection.
    Again(End),
}

/// A host that follows a script.
#[derive(Debug)]
pub struct Script {
    party: Party,
    address: SocketAddr,
    target: SocketAddr,
    torrents: Rc<[Rc<Torrent>]>,
    behaviour: Box<dyn Behaviour>,
    dice: Dice,
    /// Bytes that it reads at a time; then it rests.
    appetite: Option<(usize, Duration)>,
    end: Option<End>,
    stands: bool,
    unsent: Vec<u8>,
    blocked: bool,
    resting: bool,
    /// When it was satisfied; from then on it stays away.
    satisfied_at: Option<Time>,
    connections: u32,
}

impl Script {
    /// A script that has not begun.
    pub fn new(
        party: Party,
        address: SocketAddr,
        target: SocketAddr,
        torrents: &Rc<[Rc<Torrent>]>,
        behaviour: Box<dyn Behaviour>,
        seed: u64,
    ) -> Script {
        Script {
            party,
            address,
            target,
            torrents: torrents.clone(),
            behaviour,
            dice: Dice::new(seed, "script"),
            appetite: None,
            end: None,
            stands: false,
            unsent: Vec::new(),
            blocked: false,
            resting: false,
            satisfied_at: None,
            connections: 0,
        }
    }

    /// Reads at most so many bytes, then rests for so long.
    pub fn with_appetite(mut self, bytes: usize, rest: Duration) -> Script {
        self.appetite = Some((bytes, rest));
        self
    }

    /// It has what it came for.
    pub fn is_satisfied(&self) -> bool {
        self.behaviour.is_satisfied()
    }

    /// When it had it and left.
    pub fn satisfied_at(&self) -> Option<Time> {
        self.satisfied_at
    }

    /// Who it is and what it misses.
    pub fn describe(&self) -> String {
        let connected = if self.stands { "connected" } else { "not connected" };
        format!(
            "{} {connected} ({} connections): {}",
            self.address,
            self.connections,
            self.behaviour.describe()
        )
    }

    /// Where it is.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// The connection of the moment.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// An alarm that it set goes off.
    pub fn wakes(&mut self, commons: &mut Commons, alarm: Alarm) {
        match alarm {
            Alarm::Connect if self.end.is_none() && self.satisfied_at.is_none() => self.connect(commons),
            Alarm::Read(end) if self.end == Some(end) => {
                self.resting = false;
                self.reads(commons);
            }
            Alarm::Again(end) if self.end == Some(end) => {
                self.lets(commons, |behaviour, line| behaviour.again(line));
            }
            Alarm::Connect | Alarm::Read(_) | Alarm::Again(_) => {}
        }
    }

    /// The network has something for it.
    pub fn noticed(&mut self, commons: &mut Commons, notice: &Notice) {
        match *notice {
            Notice::Connected { end, result } if self.end == Some(end) => match result {
                Ok(()) => {
                    self.stands = true;
                    self.lets(commons, |behaviour, line| behaviour.begins(line));
                }
                Err(_) => self.over(commons),
            },
            Notice::Readable(end) if self.end == Some(end) => self.reads(commons),
            Notice::Writable(end) if self.end == Some(end) => {
                self.blocked = false;
                self.sends(commons);
            }
            _ => {}
        }
    }

    /// Its connection is gone, and nobody told the other side.
    pub fn vanished(&mut self, commons: &mut Commons) {
        if self.end.is_some() {
            self.over(commons);
        }
    }

    fn connect(&mut self, commons: &mut Commons) {
        self.connections += 1;
        let from = SocketAddr::new(self.address.ip(), 20_000 + (self.connections % 40_000) as u16);
        let Commons { network, clock, .. } = commons;
        let patience = Duration::from_secs(10);
        let end = network.connect(clock, self.party, from, self.target, patience);
        commons
            .taps
            .listen(end.connection, self.target.ip(), &self.torrents);
        self.end = Some(end);
        self.stands = false;
        self.unsent.clear();
        self.blocked = false;
        self.resting = false;
    }

    /// Lets the behaviour act, and does what it wants.
    fn lets(&mut self, commons: &mut Commons, act: impl FnOnce(&mut dyn Behaviour, &mut Line<'_>)) {
        let Some(end) = self.end else { return };
        let mut line = Line {
            now: commons.clock.now(),
            dice: &mut self.dice,
            says: &mut self.unsent,
            hangs_up: false,
            again_after: None,
        };
        act(&mut *self.behaviour, &mut line);
        let (hangs_up, again_after) = (line.hangs_up, line.again_after);
        if let Some(after) = again_after {
            commons
                .clock
                .after(after, Event::Script(self.party, Alarm::Again(end)));
        }
        self.sends(commons);
        if hangs_up && self.end == Some(end) {
            let Commons { network, clock, .. } = commons;
            network.close(clock, end);
            self.over(commons);
        }
    }

    fn sends(&mut self, commons: &mut Commons) {
        while let Some(end) = self.end
            && self.stands
            && !self.blocked
            && !self.unsent.is_empty()
        {
            let Commons { network, clock, .. } = commons;
            let payload = Payload::copied(self.unsent.clone());
            match network.send(clock, end, payload) {
                Ok(0) => {
                    self.blocked = true;
                    network.await_room(end);
                }
                Ok(taken) => drop(self.unsent.drain(..taken as usize)),
                Err(_) => return self.over(commons),
            }
        }
    }

    fn reads(&mut self, commons: &mut Commons) {
        while let Some(end) = self.end
            && self.stands
            && !self.resting
        {
            let Commons { network, clock, .. } = commons;
            let readable = network.readable(end);
            if readable.len == 0 {
                if readable.ended.is_some() {
                    network.close(clock, end);
                    self.over(commons);
                }
                return;
            }
            let max = self.appetite.map_or(usize::MAX, |(bytes, _)| bytes);
            let bytes = network.receive(clock, end, max);
            if let Some((_, rest)) = self.appetite {
                self.resting = true;
                clock.after(rest, Event::Script(self.party, Alarm::Read(end)));
            }
            for heard in commons.taps.heard_by_peer(end, &bytes) {
                if self.end == Some(end) {
                    self.lets(commons, |behaviour, line| behaviour.hears(line, heard));
                }
            }
        }
    }

    fn over(&mut self, commons: &mut Commons) {
        let now = commons.clock.now();
        let stood = std::mem::take(&mut self.stands);
        if let Some(end) = self.end.take() {
            commons.taps.forget(end.connection);
        }
        if stood {
            self.behaviour.ends(now);
        }
        if self.behaviour.is_satisfied() {
            self.satisfied_at = Some(now);
        } else {
            let again = self.dice.duration(RECONNECT_AFTER);
            commons
                .clock
                .after(again, Event::Script(self.party, Alarm::Connect));
        }
    }
}
