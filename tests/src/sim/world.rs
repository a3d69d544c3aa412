//! One core's world: every operation of the contract, performed in virtual time.
//!
//! It is to a shard what `shoal_uring::kernel::Kernel` is, and held to the same suite (`tests/world`). Operations take
//! time, complete in any order between handles and in the order in which things happened on each, and may fail as the
//! fault model says. Breaking a rule of the contract panics with the rule: a second send on a socket, a handle that is
//! closed, memory that is used by both sides, a file closed under a read.

mod files;
mod sockets;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use shoal_world::{
    AcceptPause, Completion, CoreIndex, DATAGRAM_LEN_MAX, Errno, Frame, Gather, Op, Part, Pool, Socket,
};

use super::dice::Dice;
use super::errno;
use super::faults::Faults;
use super::memory::{BUFFER_LEN, Memory, PAYLOAD_BUFFER_LEN};
use super::network::{End, Notice, Party};
use super::payload::Payload;
use super::trace::{Asked, Told};
use super::{Commons, Event};
use files::{Handles, Reading, Writing};
use sockets::{Connection, Slots};

/// Longest time that the kernel needs for what waits for nothing.
const PROMPT: Duration = Duration::from_micros(30);

/// What a core's world is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// The party that the network tells of this core's connections.
    pub party: Party,
    /// Which core this is.
    pub core: CoreIndex,
    /// The parties of all cores of the process.
    pub siblings: Vec<Party>,
    /// The address of the process.
    pub address: SocketAddr,
    /// Which of the simulation's disks is its own.
    pub disk: usize,
    /// Extents of the arena.
    pub extents: u32,
    /// Framed extents.
    pub frames: u32,
    /// Received buffers.
    pub buffers: u16,
    /// Connections and files that may be open at a time.
    pub descriptors: usize,
    /// Which life of the process this is: what an earlier one began is not for it.
    pub life: u32,
    /// The seed of this core's dice.
    pub seed: u64,
}

/// Something that this core asked for is done.
#[derive(Debug)]
pub enum Due {
    /// A gathered send reaches the socket.
    Send(Socket, Box<Gather>),
    /// A framed send does.
    SendFramed(Socket, Frame, Payload),
    /// A socket is closed.
    Close(Socket),
    /// A connection comes from another core.
    Arrive(End, SocketAddr, Vec<u8>),
    /// A file is opened.
    Open(u32, std::sync::Arc<std::path::Path>, shoal_world::Access),
    /// A path is looked at.
    Stamp(u32, std::sync::Arc<std::path::Path>),
    /// A read is done.
    Read(Reading),
    /// A write is done.
    Write(Writing),
    /// A sync is done.
    Sync(u32, shoal_world::File),
    /// A message is hashed.
    Hash(u32, Vec<Part>),
    /// A framed extent is written.
    Fill(Frame, Box<Gather>),
}

/// One core's world.
#[derive(Debug)]
pub struct World {
    options: Options,
    /// What goes wrong at the moment.
    pub faults: Faults,
    /// The operation that fails, by its number among all of this core.
    pub fails_at: Option<u64>,
    memory: Memory,
    dice: Dice,
    slots: Slots,
    by_end: BTreeMap<End, Socket>,
    accepting: bool,
    backlog: VecDeque<(End, SocketAddr)>,
    connecting: BTreeMap<End, (u32, SocketAddr)>,
    /// Receives that wait for a buffer.
    parked: VecDeque<Socket>,
    handles: Handles,
    /// Numbers of reads, writes, syncs and hashes under way: none is used twice at a time.
    tokens: BTreeSet<(u8, u32)>,
    receives_datagrams: bool,
    done: Vec<Completion>,
    performed: u64,
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(options: Options) -> World {
        World {
            faults: Faults::NONE,
            fails_at: None,
            memory: Memory::new(options.extents, options.frames, options.buffers),
            dice: Dice::new(options.seed, "world"),
            slots: Slots::default(),
            by_end: BTreeMap::new(),
            accepting: false,
            backlog: VecDeque::new(),
            connecting: BTreeMap::new(),
            parked: VecDeque::new(),
            handles: Handles::default(),
            tokens: BTreeSet::new(),
            receives_datagrams: false,
            done: Vec::new(),
            performed: 0,
            options,
        }
    }

    /// The memory, for the shard to look into.
    pub fn pool(&mut self) -> &mut dyn Pool {
        &mut self.memory
    }

    /// Whether there is anything to tell.
    pub fn has_news(&self) -> bool {
        !self.done.is_empty()
    }

    /// Everything that completed, in order; it stands in the trace.
    pub fn take_done(&mut self, commons: &mut Commons) -> Vec<Completion> {
        let done = std::mem::take(&mut self.done);
        for completion in &done {
            let now = commons.clock.now();
            let core = self.options.core.0;
            commons.trace.note(
                now,
                format_args!("core {core}"),
                format_args!("{}", Told(completion)),
            );
        }
        done
    }

    /// How many operations were performed.
    pub fn performed(&self) -> u64 {
        self.performed
    }

    /// Which life of the process this belongs to.
    pub fn life(&self) -> u32 {
        self.options.life
    }

    /// Connections and files that are open.
    pub fn open(&self) -> (usize, usize) {
        (self.slots.len(), self.handles.len())
    }

    /// Performs operations.
    pub fn perform(&mut self, commons: &mut Commons, ops: impl IntoIterator<Item = Op>) {
        for op in ops {
            let now = commons.clock.now();
            let core = self.options.core.0;
            commons
                .trace
                .note(now, format_args!("core {core}"), format_args!("{}", Asked(&op)));
            self.performed += 1;
            let fails = self.fails_at == Some(self.performed);
            self.perform_one(commons, op, fails);
        }
        self.restart_parked(commons);
    }

    fn perform_one(&mut self, commons: &mut Commons, op: Op, fails: bool) {
        match op {
            Op::Accept => {
                assert!(!self.accepting, "accepting was asked for twice");
                self.accepting = true;
                self.accept(commons, fails);
            }
            Op::Connect {
                token,
                address,
                timeout,
            } => self.connect(commons, token, address, timeout),
            Op::ReceiveExact { socket, len } => {
                self.breaks(commons, socket, fails);
                self.slots.expect(socket).receive_exact(len);
                self.receive(commons, socket);
            }
            Op::Receive { socket } => {
                self.breaks(commons, socket, fails);
                self.slots.expect(socket).receive_stream(BUFFER_LEN);
                self.receive(commons, socket);
            }
            Op::ReceivePayload { socket } => {
                self.breaks(commons, socket, fails);
                self.slots.expect(socket).receive_stream(PAYLOAD_BUFFER_LEN);
                self.receive(commons, socket);
            }
            Op::Send { socket, gather } => {
                self.breaks(commons, socket, fails);
                assert!(!gather.is_empty(), "a send of nothing");
                self.start_sending(commons, socket);
                self.memory.start_using(&gather.parts);
                self.soon(commons, Due::Send(socket, gather));
            }
            Op::SendFramed {
                socket,
                frame,
                start,
                len,
            } => {
                self.breaks(commons, socket, fails);
                self.start_sending(commons, socket);
                let payload = self.memory.start_sending(frame, start, len);
                self.soon(commons, Due::SendFramed(socket, frame, payload));
            }
            Op::AwaitWritable { socket } => {
                self.breaks(commons, socket, fails);
                let connection = self.slots.expect(socket);
                connection.start_waiting();
                commons.network.await_room(connection.end);
            }
            Op::Close { socket } => {
                self.forget_news_of(socket);
                commons.manners.ends(self.slots.expect(socket).end);
                if self.slots.expect(socket).close() {
                    self.soon(commons, Due::Close(socket));
                }
            }
            Op::HandOver { socket, core, first } => self.hand_over(commons, socket, core, first),
            Op::ReceiveDatagrams => {
                assert!(!self.receives_datagrams, "datagrams were asked for twice");
                self.receives_datagrams = true;
                commons.network.bind(self.options.address, self.options.party);
            }
            Op::SendDatagram { to, bytes } => {
                let Commons { network, clock, .. } = commons;
                network.send_datagram(clock, self.options.address, to, &bytes);
            }
            Op::Discard { frame } => self.memory.discard(frame),
            op => self.perform_on_disk(commons, op, fails),
        }
    }

    /// An operation of an earlier moment is done.
    pub fn due(&mut self, commons: &mut Commons, due: Due) {
        match due {
            Due::Send(socket, gather) => {
                let bytes = self.memory.gathered(&gather);
                self.memory.stop_using(&gather.parts);
                self.sent(commons, socket, Payload::copied(bytes));
            }
            Due::SendFramed(socket, frame, payload) => {
                self.memory.stop_sending(frame);
                self.sent(commons, socket, payload);
            }
            Due::Close(socket) => self.closed(commons, socket),
            Due::Arrive(end, address, first) => {
                let socket = self.insert(commons, end, address);
                self.done.push(Completion::Arrived {
                    socket,
                    address,
                    first,
                });
            }
            due => self.due_on_disk(commons, due),
        }
    }

    /// The network has something for this core.
    pub fn noticed(&mut self, commons: &mut Commons, notice: Notice) {
        match notice {
            Notice::Incoming { end, from } => {
                self.backlog.push_back((end, from));
                self.accept(commons, false);
            }
            Notice::Connected { end, result } => self.connected(commons, end, result),
            Notice::Readable(end) => {
                if let Some(socket) = self.by_end.get(&end) {
                    self.receive(commons, *socket);
                }
            }
            Notice::Writable(end) => {
                if let Some(socket) = self.by_end.get(&end).copied()
                    && self.slots.expect(socket).stop_waiting()
                {
                    self.done.push(Completion::Writable { socket });
                }
            }
            Notice::Datagram { from, bytes, .. } => {
                // As in the kernel's world: what finds no buffer, or is longer than one, is lost.
                if self.memory.has_buffer() && bytes.len() <= DATAGRAM_LEN_MAX as usize {
                    let buffer = self.memory.deliver(bytes);
                    self.done.push(Completion::Datagram { from, buffer });
                }
            }
        }
    }

    /// Panics unless every operation has completed and everything is back.
    pub fn assert_idle(&self) {
        assert_eq!(self.slots.len(), 0, "connections are left");
        assert!(
            self.tokens.is_empty(),
            "operations never completed: {:?}",
            self.tokens
        );
        self.handles.assert_idle();
        self.memory.assert_returned();
    }

    fn soon(&mut self, commons: &mut Commons, due: Due) {
        let delay = self.dice.duration(Duration::ZERO..=PROMPT);
        commons.clock.after(delay, self.event(due));
    }

    fn event(&self, due: Due) -> Event {
        Event::Core(self.options.party, self.options.life, due)
    }

    fn start(&mut self, kind: u8, token: u32) {
        assert!(
            self.tokens.insert((kind, token)),
            "number {token} is in use already"
        );
    }

    fn end(&mut self, kind: u8, token: u32) {
        assert!(self.tokens.remove(&(kind, token)), "number {token} ended twice");
    }

    /// The operation that is to fail breaks its connection instead.
    fn breaks(&mut self, commons: &mut Commons, socket: Socket, fails: bool) {
        if fails {
            let end = self.slots.expect(socket).end;
            let Commons { network, clock, .. } = commons;
            network.break_connection(clock, end.connection);
        }
    }

    fn accept(&mut self, commons: &mut Commons, fails: bool) {
        let mut fails = fails;
        while self.accepting && (fails || !self.backlog.is_empty()) {
            let full = self.slots.len() + self.handles.len() >= self.options.descriptors;
            if full || fails || self.dice.happens(self.faults.accept_paused) {
                self.accepting = false;
                let pause = if full || self.dice.below(2) == 0 {
                    AcceptPause::NoDescriptors
                } else {
                    AcceptPause::Other(errno::ENOBUFS)
                };
                self.done.push(Completion::AcceptPaused(pause));
                return;
            }
            fails = false;
            if let Some((end, address)) = self.backlog.pop_front() {
                let socket = self.insert(commons, end, address);
                self.done.push(Completion::Accepted { socket, address });
                let now = commons.clock.now();
                let text = format_args!("accepts connection {} of {address}", end.connection);
                commons.trace.note(now, "network", text);
            }
        }
    }

    fn connect(&mut self, commons: &mut Commons, token: u32, address: SocketAddr, timeout: Duration) {
        self.start(b'c', token);
        let Commons { network, clock, .. } = commons;
        let from = SocketAddr::new(self.options.address.ip(), 0);
        let end = network.connect(clock, self.options.party, from, address, timeout);
        self.connecting.insert(end, (token, address));
    }

    fn connected(&mut self, commons: &mut Commons, end: End, result: Result<(), Errno>) {
        let (token, address) = self
            .connecting
            .remove(&end)
            .expect("a connection that nobody asked for");
        self.end(b'c', token);
        let result = result.map(|()| self.insert(commons, end, address));
        self.done.push(Completion::Connected { token, result });
    }

    fn insert(&mut self, commons: &mut Commons, end: End, address: SocketAddr) -> Socket {
        let own = self.options.address.ip();
        commons.manners.begins(end, own, address.ip());
        let socket = self.slots.insert(Connection::new(end, address));
        self.by_end.insert(end, socket);
        socket
    }

    /// Hands on what arrived, as far as it is asked for and there are buffers.
    fn receive(&mut self, commons: &mut Commons, socket: Socket) {
        loop {
            let connection = self.slots.expect(socket);
            let readable = commons.network.readable(connection.end);
            let Some(len) = connection.takes(readable.len, readable.ended.is_some()) else {
                return;
            };
            let end = connection.end;
            if len == 0 {
                let error = connection.ends_receiving(readable);
                self.done.push(Completion::ReceiveEnded { socket, error });
                return;
            }
            if connection.is_exact() {
                let bytes = self.take(commons, end, len);
                self.slots.expect(socket).ends_receiving(readable);
                self.done.push(Completion::ReceivedExact { socket, bytes });
                return;
            }
            if !self.memory.has_buffer() {
                if !std::mem::replace(&mut connection.parked, true) {
                    self.parked.push_back(socket);
                }
                return;
            }
            let mut len = len;
            if self.dice.happens(self.faults.receive_part) {
                len = self.dice.within(1..=len as u32) as usize;
            }
            let bytes = self.take(commons, end, len);
            let buffer = self.memory.deliver(bytes);
            self.done.push(Completion::Received { socket, buffer });
        }
    }

    fn take(&self, commons: &mut Commons, end: End, len: usize) -> Vec<u8> {
        let Commons { network, clock, .. } = commons;
        let bytes = network.receive(clock, end, len);
        commons.taps.heard_by_daemon(end, &bytes);
        commons.manners.heard(commons.clock.now(), end, &bytes);
        bytes
    }

    fn restart_parked(&mut self, commons: &mut Commons) {
        for _ in 0..self.parked.len() {
            if !self.memory.has_buffer() {
                return;
            }
            if let Some(socket) = self.parked.pop_front()
                && let Some(connection) = self.slots.get(socket)
            {
                connection.parked = false;
                self.receive(commons, socket);
            }
        }
    }

    /// Whoever closes a socket is told of nothing more that it received, and of no room: only of its sends.
    fn forget_news_of(&mut self, socket: Socket) {
        let memory = &mut self.memory;
        self.done.retain(|completion| match completion {
            Completion::Received { socket: of, buffer } if *of == socket => {
                memory.release(*buffer);
                false
            }
            Completion::ReceivedExact { socket: of, .. }
            | Completion::ReceiveEnded { socket: of, .. }
            | Completion::Writable { socket: of } => *of != socket,
            _ => true,
        });
    }

    fn start_sending(&mut self, commons: &mut Commons, socket: Socket) {
        let connection = self.slots.expect(socket);
        connection.start_sending();
        commons.manners.begins_to_say(commons.clock.now(), connection.end);
    }

    fn sent(&mut self, commons: &mut Commons, socket: Socket, payload: Payload) {
        let connection = self.slots.expect(socket);
        let (closes, end) = (connection.stop_sending(), connection.end);
        let Commons {
            network,
            clock,
            manners,
            ..
        } = commons;
        let mut says = Vec::new();
        if manners.watches(end) {
            payload.append_to(&mut says);
        }
        let len = payload.len() as u32;
        let result = network.send(clock, end, payload);
        if let (Ok(taken), false) = (result, says.is_empty()) {
            manners.said(clock.now(), end, &says[..taken as usize]);
        }
        if result == Ok(len) {
            manners.has_said(clock.now(), end);
        }
        self.done.push(Completion::Sent { socket, result });
        if closes {
            self.soon(commons, Due::Close(socket));
        }
    }

    fn closed(&mut self, commons: &mut Commons, socket: Socket) {
        let end = self.slots.remove(socket).end;
        self.by_end.remove(&end);
        let Commons { network, clock, .. } = commons;
        network.close(clock, end);
        self.done.push(Completion::Closed { socket });
        self.accept(commons, false);
    }

    fn hand_over(&mut self, commons: &mut Commons, socket: Socket, core: CoreIndex, first: Vec<u8>) {
        let connection = self.slots.remove(socket);
        connection.assert_quiet();
        self.by_end.remove(&connection.end);
        let party = self.options.siblings[usize::from(core.0)];
        commons.network.give(connection.end, party);
        let delay = self.dice.duration(Duration::ZERO..=PROMPT);
        let arrives = Due::Arrive(connection.end, connection.address, first);
        commons
            .clock
            .after(delay, Event::Core(party, self.options.life, arrives));
    }
}
