//! The connections of one core: slots with generations, and what is under way on each.

use std::net::SocketAddr;

use shoal_world::{Errno, Socket};

use super::super::network::{End, Readable};

/// What is being received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    Nothing,
    /// So many bytes, once.
    Exact(usize),
    /// Whatever comes, until the end, in portions of at most so many bytes.
    Stream(usize),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) end: End,
    pub(super) address: SocketAddr,
    receiving: Receiving,
    sending: bool,
    waiting: bool,
    closing: bool,
    /// The receive waits for a buffer.
    pub(super) parked: bool,
}

impl Connection {
    pub(super) fn new(end: End, address: SocketAddr) -> Connection {
        Connection {
            end,
            address,
            receiving: Receiving::Nothing,
            sending: false,
            waiting: false,
            closing: false,
            parked: false,
        }
    }

    pub(super) fn receive_exact(&mut self, len: u32) {
        self.start_receiving(Receiving::Exact(len as usize));
    }

    pub(super) fn receive_stream(&mut self, portion_len_max: usize) {
        self.start_receiving(Receiving::Stream(portion_len_max));
    }

    fn start_receiving(&mut self, receiving: Receiving) {
        self.assert_open();
        assert_eq!(self.receiving, Receiving::Nothing, "two receives on one socket");
        self.receiving = receiving;
    }

    /// How many of the bytes that wait are to be taken now: 0 when the receive ends, `None` when it goes on.
    pub(super) fn takes(&self, waits: usize, ended: bool) -> Option<usize> {
        match self.receiving {
            Receiving::Nothing => None,
            Receiving::Exact(len) if waits >= len => Some(len),
            Receiving::Exact(_) => ended.then_some(0),
            Receiving::Stream(portion_len_max) if waits > 0 => Some(waits.min(portion_len_max)),
            Receiving::Stream(_) => ended.then_some(0),
        }
    }

    pub(super) fn is_exact(&self) -> bool {
        matches!(self.receiving, Receiving::Exact(_))
    }

    /// The receive is over. Why, if it was not by what it asked for.
    pub(super) fn ends_receiving(&mut self, readable: Readable) -> Option<Errno> {
        self.receiving = Receiving::Nothing;
        // A part of what was asked for comes without the error behind it, as recv(2) has it.
        readable.ended.flatten().filter(|_| readable.len == 0)
    }

    pub(super) fn start_sending(&mut self) {
        self.assert_open();
        assert!(!self.sending, "two sends on one socket");
        self.sending = true;
    }

    /// Whether the socket closes now.
    pub(super) fn stop_sending(&mut self) -> bool {
        self.sending = false;
        self.closing
    }

    pub(super) fn start_waiting(&mut self) {
        self.assert_open();
        assert!(!self.waiting, "two waits for room on one socket");
        self.waiting = true;
    }

    /// Whether anybody still waits.
    pub(super) fn stop_waiting(&mut self) -> bool {
        std::mem::take(&mut self.waiting)
    }

    /// Ends receives and waits. Whether nothing else is under way.
    pub(super) fn close(&mut self) -> bool {
        self.assert_open();
        self.closing = true;
        self.receiving = Receiving::Nothing;
        self.waiting = false;
        !self.sending
    }

    pub(super) fn assert_quiet(&self) {
        self.assert_open();
        let quiet = self.receiving == Receiving::Nothing && !self.sending && !self.waiting;
        assert!(quiet, "a socket was handed over with operations under way");
    }

    fn assert_open(&self) {
        assert!(!self.closing, "an operation named a socket that is closing");
    }
}

/// Slots; a handle of an earlier life finds nothing.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<(u32, Option<Connection>)>,
    free: Vec<u32>,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, connection: Connection) -> Socket {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let (generation, place) = &mut self.slots[slot as usize];
        *place = Some(connection);
        Socket {
            slot,
            generation: *generation,
        }
    }

    pub(super) fn get(&mut self, socket: Socket) -> Option<&mut Connection> {
        let (generation, place) = self.slots.get_mut(socket.slot as usize)?;
        place.as_mut().filter(|_| *generation == socket.generation)
    }

    pub(super) fn expect(&mut self, socket: Socket) -> &mut Connection {
        self.get(socket).expect("an operation named a closed socket")
    }

    pub(super) fn remove(&mut self, socket: Socket) -> Connection {
        let (generation, place) = &mut self.slots[socket.slot as usize];
        assert_eq!(*generation, socket.generation, "a socket was removed twice");
        let connection = place.take().expect("a socket was removed twice");
        *generation += 1;
        self.free.push(socket.slot);
        connection
    }
}
