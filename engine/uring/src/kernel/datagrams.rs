//! Datagrams: one socket for all that a core sends and receives without a connection.
//!
//! A multishot receive puts each into a provided buffer behind a header of the kernel's, which is cut off here. What
//! does not fit, has no sender or finds no buffer is lost, and so is what the socket does not take at once: nothing
//! here waits for anybody.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use io_uring::types::RecvMsgOut;
use io_uring::{opcode, types};
use shoal_world::{Completion, DATAGRAM_LEN_MAX, Errno};
use slab::Slab;

use super::{Kernel, Kind};
use crate::address::{RawAddress, mapped, parse, unmap};
use crate::lent::Lent;
use crate::received::BUFFER_LEN;

/// Bytes that the kernel leaves for the sender's address before the payload.
const NAME_LEN: usize = size_of::<libc::sockaddr_in6>();

/// Bytes before that: `struct io_uring_recvmsg_out`, four 32-bit lengths and flags.
const HEADER_LEN: usize = 16;

const _: () = assert!(
    HEADER_LEN + NAME_LEN + DATAGRAM_LEN_MAX as usize <= BUFFER_LEN,
    "the longest datagram fits a buffer"
);

/// The socket, and what is under way on it.
pub(super) struct Datagrams {
    socket: UdpSocket,
    /// The socket's family is IPv6, and IPv4 comes and goes inside it.
    is_v6: bool,
    /// Tells the kernel of [`NAME_LEN`], which reads it as long as a receive is armed. Nobody writes to it.
    shape: Lent<libc::msghdr>,
    receiving: Receiving,
    sends: Slab<Box<Sending>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiving {
    /// Nobody asked for datagrams.
    No,
    /// A multishot receive is armed.
    Armed,
    /// The receive waits outside the kernel for free buffers.
    Parked,
}

/// A datagram that the kernel has not taken yet.
struct Sending {
    to: RawAddress,
    bytes: Vec<u8>,
}

impl Datagrams {
    pub(super) fn new(socket: UdpSocket) -> Datagrams {
        // SAFETY: `msghdr` is plain data for which all zeroes is a value.
        let mut shape: libc::msghdr = unsafe { std::mem::zeroed() };
        shape.msg_namelen = NAME_LEN as libc::socklen_t;
        Datagrams {
            is_v6: socket.local_addr().is_ok_and(|address| address.is_ipv6()),
            socket,
            shape: Lent::new(shape),
            receiving: Receiving::No,
            sends: Slab::new(),
        }
    }

    pub(super) fn is_parked(&self) -> bool {
        self.receiving == Receiving::Parked
    }
}

impl Kernel {
    /// The operation: it is asked for once.
    pub(super) fn begin_receiving_datagrams(&mut self) {
        assert!(
            self.expect_datagrams().receiving == Receiving::No,
            "datagrams were asked for twice"
        );
        self.receive_datagrams();
    }

    /// Arms the receive.
    pub(super) fn receive_datagrams(&mut self) {
        let datagrams = self.expect_datagrams();
        datagrams.receiving = Receiving::Armed;
        let fd = types::Fd(datagrams.socket.as_raw_fd());
        let entry =
            opcode::RecvMsgMulti::new(fd, datagrams.shape.as_ptr(), self.memory.received.shape().group)
                .build();
        self.push(&entry.user_data(Kind::ReceiveDatagram.on_slot(0)));
    }

    /// A datagram came, or the receive ended, or both.
    pub(super) fn datagram_received(
        &mut self,
        outcome: Result<u32, Errno>,
        buffer: Option<u16>,
        more: bool,
        done: &mut Vec<Completion>,
    ) {
        if let (Some(index), Ok(len)) = (buffer, outcome) {
            self.deliver_datagram(index, len, done);
        }
        if more {
            return;
        }
        if outcome == Err(Errno(libc::ENOBUFS)) {
            self.expect_datagrams().receiving = Receiving::Parked;
        } else {
            // The completion queue was full, or an error of an earlier datagram waited on the socket: each is told once.
            self.receive_datagrams();
        }
    }

    fn deliver_datagram(&mut self, index: u16, len: u32, done: &mut Vec<Completion>) {
        let buffer = self.memory.received.take(index, len);
        let bytes = self.memory.received.bytes(buffer);
        let datagrams = self.datagrams.as_ref().expect("a datagram came by a socket");
        // SAFETY: nobody writes to the shape.
        let shape = unsafe { datagrams.shape.get() };
        let whole = RecvMsgOut::parse(bytes, shape).ok().filter(|message| {
            !message.is_payload_truncated() && message.payload_data().len() <= DATAGRAM_LEN_MAX as usize
        });
        let origin = whole.and_then(|message| {
            let start = bytes.len() - message.payload_data().len();
            Some((parse(message.name_data())?, start as u16))
        });
        match origin {
            Some((from, start)) => {
                self.memory.received.skip(buffer, start);
                let from = unmap(from);
                done.push(Completion::Datagram { from, buffer });
            }
            None => self.memory.received.release(buffer),
        }
    }

    pub(super) fn send_datagram(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        let datagrams = self.expect_datagrams();
        let to = if datagrams.is_v6 { mapped(to) } else { to };
        let entry = datagrams.sends.vacant_entry();
        let user_data = Kind::SendDatagram.on_slot(entry.key());
        let sending = entry.insert(Box::new(Sending {
            to: RawAddress::new(to),
            bytes,
        }));
        let fd = types::Fd(datagrams.socket.as_raw_fd());
        let entry = opcode::Send::new(fd, sending.bytes.as_ptr(), sending.bytes.len() as u32)
            .dest_addr(sending.to.as_ptr())
            .dest_addr_len(sending.to.len())
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .build();
        self.push(&entry.user_data(user_data));
    }

    /// However it ended: nobody is told.
    pub(super) fn datagram_sent(&mut self, slot: usize) {
        drop(self.expect_datagrams().sends.remove(slot));
    }

    fn expect_datagrams(&mut self) -> &mut Datagrams {
        let datagrams = self.datagrams.as_mut();
        datagrams.expect("datagrams were asked for in a world without a socket for them")
    }
}
