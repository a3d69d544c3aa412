//! The simulated network: hosts behind links, TCP connections between them, datagrams.
//!
//! A connection is two [`Pipe`]s. What its sender's socket takes waits there, travels in segments over the sender's
//! uplink and the receiver's downlink (each carries one after the other at its rate), and waits in the receiver's buffer
//! until somebody reads it; what is on its way and unread is bounded by that buffer. Segments of one pipe never overtake
//! each other. Whoever owns an end ([`Party`]) is told by [`Notice`]s when there is something to do.
//!
//! It knows nothing of messages. It is not a model of congestion control: rates are the links'.
//!
//! Invariants: every byte that a socket took arrives once and in order, or the connection breaks and both ends are told, or
//! an end is gone for good and cannot be told; [`Network::unaccounted_bytes`] is 0 at all times.

mod connecting;
mod datagrams;
mod pipe;
mod travelling;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use shoal_world::{Errno, Time};

use super::Event;
use super::clock::Clock;
use super::dice::Dice;
use super::faults::Faults;
use super::payload::Payload;
use pipe::Pipe;

/// Largest segment: what a network card with offloads carries in one go.
const SEGMENT_LEN_MAX: usize = 64 * 1024;

/// Time after which a lost segment or SYN is sent again.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(400);

/// Time after which a connection attempt without an answer fails (Linux: six retries).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);

/// Time after which unacknowledged bytes break their connection (Linux: tcp_retries2, about 15 minutes).
const UNREACHABLE_TIMEOUT: Duration = Duration::from_secs(924);

/// What owns ends of connections and is told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party(pub u32);

/// One side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Which connection, counted from the first of the run.
    pub connection: u32,
    /// Whether it is the side that connected.
    pub client: bool,
}

impl End {
    /// The other side.
    #[must_use]
    pub fn other(self) -> End {
        End {
            client: !self.client,
            ..self
        }
    }

    fn index(self) -> usize {
        usize::from(!self.client)
    }
}

/// What a host's link can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Bytes per second that leave the host.
    pub up: u64,
    /// Bytes per second that reach it.
    pub down: u64,
    /// Time from the host to the middle of the network.
    pub latency: Duration,
    /// Largest addition to it.
    pub jitter: Duration,
    /// What a socket takes before it is full, and what it holds unread, in bytes.
    pub buffer: u32,
}

impl Link {
    /// A host of the same rack.
    pub const FAST: Link = Link {
        up: 1 << 30,
        down: 1 << 30,
        latency: Duration::from_micros(50),
        jitter: Duration::from_micros(20),
        buffer: 256 * 1024,
    };
}

/// What an owner is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Somebody connected to an address that the party listens on; the end is its own from here on.
    Incoming {
        /// The new end.
        end: End,
        /// Who connected.
        from: SocketAddr,
    },
    /// A connection that the party asked for stands, or not.
    Connected {
        /// Its end.
        end: End,
        /// Whether it stands.
        result: Result<(), Errno>,
    },
    /// There are bytes, the end of the stream or an error to take.
    Readable(End),
    /// There is room again, or an error; told once after [`Network::await_room`].
    Writable(End),
    /// A datagram came.
    Datagram {
        /// Who sent it.
        from: SocketAddr,
        /// To which of the party's addresses.
        to: SocketAddr,
        /// What it says.
        bytes: Vec<u8>,
    },
}

/// What happens on the way.
#[derive(Debug)]
pub enum Travel {
    /// A connection attempt reaches the host it is for.
    Knock(End),
    /// Its answer comes back.
    Answered(End, Result<(), Errno>),
    /// A segment left its host, and the next may.
    Left(End),
    /// The next segment on its way to an end reaches it.
    Arrived(End),
    /// A datagram reaches its host.
    Datagram {
        /// Who sent it.
        from: SocketAddr,
        /// For which address.
        to: SocketAddr,
        /// What it says.
        bytes: Vec<u8>,
    },
}

/// What travels to an end.
#[derive(Debug)]
pub enum Segment {
    /// Bytes.
    Bytes(Payload),
    /// The stream ends here.
    Fin,
    /// The connection is broken.
    Reset,
}

/// What can be taken from an end at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readable {
    /// Bytes that wait.
    pub len: usize,
    /// Nothing follows them, in order (`None`) or because of an error.
    pub ended: Option<Option<Errno>>,
}

#[derive(Debug)]
struct Host {
    link: Link,
    up_free_at: Time,
    down_free_at: Time,
    /// Its process is dead: nobody answers.
    down: bool,
}

#[derive(Debug)]
struct Connection {
    addresses: [SocketAddr; 2],
    owners: [Option<Party>; 2],
    /// From the client, from the server.
    pipes: [Pipe; 2],
    established: bool,
    /// A connection attempt gives up then.
    give_up_at: Time,
}

/// One direction that carries nothing for a while.
#[derive(Clone, Copy, Debug)]
struct Cut {
    from: IpAddr,
    to: IpAddr,
    until: Time,
}

/// Hosts, connections, and everything on its way between them.
#[derive(Debug)]
pub struct Network {
    /// What goes wrong at the moment.
    pub faults: Faults,
    dice: Dice,
    hosts: BTreeMap<IpAddr, Host>,
    listeners: BTreeMap<SocketAddr, Vec<Party>>,
    bound: BTreeMap<SocketAddr, Party>,
    connections: BTreeMap<u32, Connection>,
    connected: u32,
    cuts: Vec<Cut>,
    notices: VecDeque<(Party, Notice)>,
    ledger: Ledger,
    breaking: Option<Breaking>,
}

/// The first connection is to break when so many bytes went one way.
#[derive(Clone, Copy, Debug)]
struct Breaking {
    from_client: bool,
    left: u64,
    done: bool,
}

/// Where every byte is that a socket took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Bytes that sockets took.
    pub taken: u64,
    /// Bytes that were read at the other end.
    pub read: u64,
    /// Bytes of connections that broke or ended before they were read.
    pub lost: u64,
}

impl Network {
    /// A network without hosts.
    pub fn new(seed: u64) -> Network {
        Network {
            faults: Faults::NONE,
            dice: Dice::new(seed, "network"),
            hosts: BTreeMap::new(),
            listeners: BTreeMap::new(),
            bound: BTreeMap::new(),
            connections: BTreeMap::new(),
            connected: 0,
            cuts: Vec::new(),
            notices: VecDeque::new(),
            ledger: Ledger::default(),
            breaking: None,
        }
    }

    /// Lets the first connection break when so many bytes went from its client, or to it.
    pub fn break_first(&mut self, from_client: bool, after: u64) {
        self.breaking = Some(Breaking {
            from_client,
            left: after,
            done: false,
        });
    }

    /// Whether it did.
    pub fn broke_first(&self) -> bool {
        self.breaking.is_some_and(|breaking| breaking.done)
    }

    /// Adds a host, or changes its link.
    pub fn attach(&mut self, ip: IpAddr, link: Link) {
        let host = Host {
            link,
            up_free_at: Time::ZERO,
            down_free_at: Time::ZERO,
            down: false,
        };
        self.hosts.insert(ip, host);
    }

    /// Lets parties listen; each connection goes to one of them, as SO_REUSEPORT has it.
    pub fn listen(&mut self, address: SocketAddr, parties: Vec<Party>) {
        self.listeners.insert(address, parties);
        self.host(address.ip()).down = false;
    }

    /// Lets a party receive the datagrams for an address.
    pub fn bind(&mut self, address: SocketAddr, party: Party) {
        self.bound.insert(address, party);
    }

    /// Takes as much of `payload` as there is room for. How many bytes; 0 when the socket is full.
    ///
    /// # Errors
    /// What broke the connection.
    pub fn send(&mut self, clock: &mut Clock<Event>, end: End, mut payload: Payload) -> Result<u32, Errno> {
        let part = self.dice.happens(self.faults.send_part);
        let connection = self
            .connections
            .get_mut(&end.connection)
            .expect("only living ends send");
        let pipe = &mut connection.pipes[end.index()];
        if let Some(error) = pipe.sender_error() {
            return Err(error);
        }
        let mut len = payload.len().min(pipe.room());
        if part && len > 0 {
            len = self.dice.below(len as u32 + 1) as usize;
        }
        if len > 0 {
            self.ledger.taken += len as u64;
            pipe.take(payload.split_to(len));
            self.pump(clock, end);
        }
        Ok(len as u32)
    }

    /// Sees to it that the owner is told once when there is room again.
    pub fn await_room(&mut self, end: End) {
        let connection = self
            .connections
            .get_mut(&end.connection)
            .expect("only living ends wait");
        let pipe = &mut connection.pipes[end.index()];
        pipe.awaits_room = true;
        if pipe.has_room_for_waiter() {
            self.tell_writable(end);
        }
    }

    /// What can be taken from an end.
    pub fn readable(&self, end: End) -> Readable {
        self.connections[&end.connection].pipes[end.other().index()].readable()
    }

    /// Takes at most `max` bytes that arrived.
    pub fn receive(&mut self, clock: &mut Clock<Event>, end: End, max: usize) -> Vec<u8> {
        let connection = self
            .connections
            .get_mut(&end.connection)
            .expect("only living ends receive");
        let bytes = connection.pipes[end.other().index()].read(max);
        self.ledger.read += bytes.len() as u64;
        // The window opened.
        self.pump(clock, end.other());
        bytes
    }

    /// Gives an end to another party of the same host.
    pub fn give(&mut self, end: End, party: Party) {
        let connection = self
            .connections
            .get_mut(&end.connection)
            .expect("only living ends are handed over");
        connection.owners[end.index()] = Some(party);
    }

    /// Closes an end: what was sent still arrives; unread bytes make it a reset, as in Linux.
    pub fn close(&mut self, clock: &mut Clock<Event>, end: End) {
        let Some(connection) = self.connections.get_mut(&end.connection) else {
            return;
        };
        connection.owners[end.index()] = None;
        let unread = connection.pipes[end.other().index()].readable().len > 0;
        if unread || !connection.established {
            self.reset(clock, end);
        } else {
            connection.pipes[end.index()].finishes = true;
            self.pump(clock, end);
        }
        self.bury(end.connection);
    }

    /// Says that nothing more will be sent; receiving goes on.
    pub fn finish(&mut self, clock: &mut Clock<Event>, end: End) {
        if let Some(connection) = self.connections.get_mut(&end.connection) {
            connection.pipes[end.index()].finishes = true;
            self.pump(clock, end);
        }
    }

    /// Closes an end at once and tells the other that the connection broke.
    pub fn abort(&mut self, clock: &mut Clock<Event>, end: End) {
        if let Some(connection) = self.connections.get_mut(&end.connection) {
            connection.owners[end.index()] = None;
            self.reset(clock, end);
            self.bury(end.connection);
        }
    }

    /// Breaks a connection as a middlebox does: both ends are told.
    pub fn break_connection(&mut self, clock: &mut Clock<Event>, connection: u32) {
        let near = End {
            connection,
            client: true,
        };
        for end in [near, near.other()] {
            self.reset(clock, end);
        }
    }

    /// The end is gone without a word; what comes for it later is answered by a reset.
    pub fn vanish(&mut self, end: End) {
        if let Some(connection) = self.connections.get_mut(&end.connection) {
            connection.owners[end.index()] = None;
            self.ledger.lost += connection.pipes[end.index()].drop_unsent();
            self.ledger.lost += connection.pipes[end.other().index()].drop_unread();
            self.bury(end.connection);
        }
    }

    /// The process of a host dies: the kernel closes its connections, and nobody listens any more.
    pub fn process_died(&mut self, clock: &mut Clock<Event>, ip: IpAddr) {
        self.deafen(ip);
        for end in self.ends_of(ip) {
            self.close(clock, end);
        }
    }

    /// A host loses its power: its ends vanish, and nothing answers there until somebody listens again.
    pub fn lose_power(&mut self, ip: IpAddr) {
        self.deafen(ip);
        self.host(ip).down = true;
        for end in self.ends_of(ip) {
            self.vanish(end);
        }
    }

    fn deafen(&mut self, ip: IpAddr) {
        self.listeners.retain(|address, _| address.ip() != ip);
        self.bound.retain(|address, _| address.ip() != ip);
    }

    /// Every end that a host has.
    pub fn ends_of(&self, ip: IpAddr) -> Vec<End> {
        let ends = self.connections.iter().flat_map(|(connection, state)| {
            [true, false].map(|client| {
                let end = End {
                    connection: *connection,
                    client,
                };
                (state.addresses[end.index()].ip() == ip && state.owners[end.index()].is_some())
                    .then_some(end)
            })
        });
        ends.flatten().collect()
    }

    /// Nothing gets from one host to another for a while.
    pub fn cut(&mut self, from: IpAddr, to: IpAddr, until: Time) {
        self.cuts.push(Cut { from, to, until });
    }

    /// Who is to be told what.
    pub fn next_notice(&mut self) -> Option<(Party, Notice)> {
        self.notices.pop_front()
    }

    /// What became of all bytes so far.
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// Bytes that were taken and neither read nor lost, and are not on their way either: always 0.
    pub fn unaccounted_bytes(&self) -> i64 {
        let pipes = self.connections.values().flat_map(|c| &c.pipes);
        let under_way: u64 = pipes.map(Pipe::under_way).sum();
        let Ledger { taken, read, lost } = self.ledger;
        taken as i64 - (read + lost + under_way) as i64
    }

    /// Something that was on its way happens.
    pub fn travelled(&mut self, clock: &mut Clock<Event>, travel: Travel) {
        match travel {
            Travel::Knock(end) => self.knocked(clock, end),
            Travel::Answered(end, result) => self.answered(end, result),
            Travel::Left(end) => self.left(clock, end),
            Travel::Arrived(end) => self.arrived(clock, end),
            Travel::Datagram { from, to, bytes } => self.datagram_arrived(from, to, bytes),
        }
    }

    fn tell(&mut self, end: End, notice: Notice) {
        let owner = self.connections[&end.connection].owners[end.index()];
        self.notices.extend(owner.map(|party| (party, notice)));
    }

    fn tell_writable(&mut self, end: End) {
        let connection = self
            .connections
            .get_mut(&end.connection)
            .expect("only living connections have room");
        let pipe = &mut connection.pipes[end.index()];
        if pipe.awaits_room && pipe.has_room_for_waiter() {
            pipe.awaits_room = false;
            self.tell(end, Notice::Writable(end));
        }
    }

    /// Forgets a connection that nobody has an end of, once nothing of it can arrive any more.
    fn bury(&mut self, connection: u32) {
        let dead = self.connections.get(&connection).is_some_and(|state| {
            state.owners == [None, None] && state.pipes.iter().all(|pipe| !pipe.delivers())
        });
        if dead && let Some(state) = self.connections.remove(&connection) {
            self.ledger.lost += state.pipes.iter().map(Pipe::under_way).sum::<u64>();
        }
    }

    fn host(&mut self, ip: IpAddr) -> &mut Host {
        self.hosts.get_mut(&ip).expect("every address has a host")
    }

    fn is_cut(&mut self, now: Time, from: IpAddr, to: IpAddr) -> bool {
        self.cuts.retain(|cut| cut.until > now);
        self.cuts.iter().any(|cut| cut.from == from && cut.to == to)
    }

    /// When `len` bytes have left a host, behind what leaves it already.
    fn leaves_at(&mut self, now: Time, from: IpAddr, len: usize) -> Time {
        let host = self.host(from);
        let left_at = host.up_free_at.max(now) + transfer(len, host.link.up);
        host.up_free_at = left_at;
        left_at
    }

    /// When bytes that left a host have reached another, behind what reaches it already.
    fn reaches_at(&mut self, left_at: Time, from: IpAddr, to: IpAddr, len: usize) -> Time {
        let link = self.host(from).link;
        let mut jitter = Duration::ZERO;
        if !link.jitter.is_zero() {
            jitter = self.dice.duration(Duration::ZERO..=link.jitter);
        }
        let host = self.hosts.get_mut(&to).expect("every address has a host");
        let at = left_at + link.latency + host.link.latency + jitter;
        let reached_at = host.down_free_at.max(at) + transfer(len, host.link.down);
        host.down_free_at = reached_at;
        reached_at
    }

    fn arrives_at(&mut self, now: Time, from: IpAddr, to: IpAddr, len: usize) -> Time {
        let left_at = self.leaves_at(now, from, len);
        self.reaches_at(left_at, from, to, len)
    }
}

fn transfer(len: usize, rate: u64) -> Duration {
    Duration::from_nanos((len as u64).saturating_mul(1_000_000_000) / rate.max(1))
}

#[cfg(test)]
mod tests;
