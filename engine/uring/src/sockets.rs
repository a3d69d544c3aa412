//! The connections of one core: descriptors, and what is under way on each.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use shoal_world::{Gather, Socket};

use crate::lent::Lent;
use crate::memory::VECTORS_MAX;

/// Bits of a generation that fit beside kind and slot in an entry's user data.
pub(crate) const GENERATION_MASK: u32 = 0x00ff_ffff;

/// What the kernel may be doing on one socket. All of it ends before the socket closes.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    /// A multishot receive is armed.
    pub(crate) receiving: bool,
    /// The receive waits outside the kernel for free buffers.
    pub(crate) parked: bool,
    /// It receives into the buffers for payload.
    pub(crate) payload: bool,
    /// A receive of exactly this many bytes is under way, into this memory.
    pub(crate) exact: Option<Vec<u8>>,
    /// A gathered send is under way.
    sending: Option<Sending>,
    /// What the kernel reads as long as a gathered send is under way.
    header: Lent<libc::msghdr>,
    /// A poll for room in the socket's buffer is armed.
    pub(crate) polling: bool,
    /// A cancellation is under way: the socket closes when everything has ended.
    pub(crate) closing: Option<Closing>,
}

/// Memory that the header of a gathered send points to. It stands elsewhere, so this may be moved.
struct Sending {
    /// Holds the bytes that `_vectors` point to.
    _gather: Box<Gather>,
    _vectors: Vec<libc::iovec>,
}

/// How far the end of a connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// The cancellation itself has not ended.
    Cancelling,
    /// It has; only operations that it found are left.
    Draining,
}

impl Connection {
    /// Nothing is under way in the kernel: the socket may close.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.receiving && self.exact.is_none() && self.sending.is_none() && !self.polling
    }

    /// A gathered send begins: keeps its memory until it ended, and says where its header stands.
    pub(crate) fn begins_sending(
        &mut self,
        gather: Box<Gather>,
        mut vectors: Vec<libc::iovec>,
    ) -> *const libc::msghdr {
        assert!(self.sending.is_none(), "two sends on one socket");
        let header = self.header.as_ptr();
        // SAFETY: no send is under way, so nobody else looks at the header.
        unsafe {
            (*header).msg_iov = vectors.as_mut_ptr();
            // A gather of more parts is sent in part, which is what a full socket does as well.
            (*header).msg_iovlen = vectors.len().min(VECTORS_MAX);
        }
        self.sending = Some(Sending {
            _gather: gather,
            _vectors: vectors,
        });
        header
    }

    /// It ended: its memory goes.
    pub(crate) fn ends_sending(&mut self) {
        let sending = self.sending.take();
        assert!(sending.is_some(), "a send completed that nobody started");
    }

    /// Somebody asked for bytes and has not been told the end.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.receiving || self.parked || self.exact.is_some()
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    pub(crate) fn borrowed(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

/// Slots with generations; a handle of an earlier life finds nothing.
#[derive(Default)]
pub(crate) struct Sockets {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Sockets {
    pub(crate) fn insert(&mut self, stream: OwnedFd, address: SocketAddr) -> Socket {
        // SAFETY: `msghdr` is plain data for which all zeroes is a value.
        let header = unsafe { std::mem::zeroed() };
        let connection = Connection {
            stream: TcpStream::from(stream),
            address,
            receiving: false,
            parked: false,
            payload: false,
            exact: None,
            sending: None,
            header: Lent::new(header),
            polling: false,
            closing: None,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                connection: None,
            });
            self.slots.len() as u32 - 1
        });
        let entry = &mut self.slots[slot as usize];
        entry.connection = Some(connection);
        Socket {
            slot,
            generation: entry.generation,
        }
    }

    pub(crate) fn get(&mut self, socket: Socket) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(socket.slot as usize)?;
        if slot.generation == socket.generation {
            slot.connection.as_mut()
        } else {
            None
        }
    }

    /// The connection of a handle that must be alive.
    pub(crate) fn expect(&mut self, socket: Socket) -> &mut Connection {
        self.get(socket).expect("an operation named a closed socket")
    }

    /// The connection of a handle that must be alive, for something new to begin on it.
    pub(crate) fn expect_open(&mut self, socket: Socket) -> &mut Connection {
        let connection = self.expect(socket);
        assert!(
            connection.closing.is_none(),
            "an operation named a socket that is closing"
        );
        connection
    }

    /// Ends this life of the slot.
    pub(crate) fn remove(&mut self, socket: Socket) -> Connection {
        let slot = &mut self.slots[socket.slot as usize];
        assert_eq!(slot.generation, socket.generation, "a socket was removed twice");
        let connection = slot.connection.take().expect("a socket was removed twice");
        assert!(
            connection.is_quiet(),
            "a socket was removed with operations under way"
        );
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        self.free.push(socket.slot);
        connection
    }
}
