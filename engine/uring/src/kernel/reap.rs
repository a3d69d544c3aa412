//! Completions of the ring into completions of the contract.

use std::net::TcpStream;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use io_uring::cqueue;
use shoal_world::{AcceptPause, Buffer, Completion, Errno, Refusal, Socket};

use super::{Kernel, Kind};
use crate::address::unmap;
use crate::files::{Lookup, Step, Syncing, Writing};
use crate::ring::Completed;
use crate::sockets::{Closing, GENERATION_MASK};
use crate::stamp::{is_regular, stamp_of};

impl Completed {
    fn socket(self) -> Socket {
        Socket {
            slot: self.user_data as u32,
            generation: (self.user_data >> 32) as u32 & GENERATION_MASK,
        }
    }

    fn slot(self) -> usize {
        (self.user_data & 0x00ff_ffff_ffff_ffff) as usize
    }

    fn outcome(self) -> Result<u32, Errno> {
        if self.result < 0 {
            Err(Errno(-self.result))
        } else {
            Ok(self.result as u32)
        }
    }
}

impl Kernel {
    /// Takes everything that completed. Reads that go on and receives that start again are submitted next turn.
    pub(super) fn reap(&mut self, done: &mut Vec<Completion>) {
        while let Some(reaped) = self.ring.next() {
            if !reaped.more() {
                self.outstanding -= 1;
            }
            match Kind::from_user_data(reaped.user_data) {
                Kind::Accept => self.accepted(reaped, done),
                Kind::ReceiveExact => self.received_exact(reaped, done),
                Kind::Receive => self.received(reaped, done),
                Kind::Send => self.sent(reaped, done),
                Kind::Writable => self.writable(reaped, done),
                Kind::Cancel => self.cancelled(reaped, done),
                Kind::Read => self.read_ended(reaped, done),
                Kind::Lookup => self.looked_up(reaped, done),
                Kind::Bell => self.bell_rang(reaped),
                Kind::Write => self.write_ended(reaped, done),
                Kind::Sync => self.synced(reaped, done),
                Kind::Connect => self.connected(reaped.slot(), reaped.outcome(), done),
                Kind::ReceiveDatagram => {
                    let buffer = cqueue::buffer_select(reaped.flags);
                    self.datagram_received(reaped.outcome(), buffer, reaped.more(), done);
                }
                Kind::SendDatagram => self.datagram_sent(reaped.slot()),
                Kind::ConnectTimeout | Kind::Drain => {}
            }
        }
    }

    fn accepted(&mut self, reaped: Completed, done: &mut Vec<Completion>) {
        if !reaped.more() {
            self.accepting = false;
        }
        match reaped.outcome() {
            Ok(descriptor) => {
                // SAFETY: the kernel just made this descriptor for us.
                let stream = unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) };
                let stream = TcpStream::from(stream);
                // It fails when the peer is gone already; then there is nobody to talk to.
                if let Ok(address) = stream.peer_addr() {
                    let address = unmap(address);
                    self.congestion_control.apply(&stream, address);
                    let socket = self.sockets.insert(OwnedFd::from(stream), address);
                    done.push(Completion::Accepted { socket, address });
                }
            }
            Err(Errno(libc::EMFILE | libc::ENFILE)) => {
                done.push(Completion::AcceptPaused(AcceptPause::NoDescriptors));
                return;
            }
            // The connection failed before it was accepted (accept(2)): the next one may not.
            Err(Errno(libc::ECONNABORTED | libc::EINTR | libc::EPROTO | libc::EPERM | libc::EAGAIN)) => {}
            Err(errno) => {
                done.push(Completion::AcceptPaused(AcceptPause::Other(errno)));
                return;
            }
        }
        if !self.accepting {
            self.accept();
        }
    }

    fn received_exact(&mut self, reaped: Completed, done: &mut Vec<Completion>) {
        let socket = reaped.socket();
        let connection = self.sockets.expect(socket);
        let bytes = connection
            .exact
            .take()
            .expect("a receive completed that nobody started");
        if connection.closing.is_some() {
            self.try_close(socket, done);
            return;
        }
        done.push(match reaped.outcome() {
            Ok(len) if len as usize == bytes.len() => Completion::ReceivedExact { socket, bytes },
            Ok(_) => Completion::ReceiveEnded { socket, error: None },
            Err(errno) => Completion::ReceiveEnded {
                socket,
                error: Some(errno),
            },
        });
    }

    fn received(&mut self, reaped: Completed, done: &mut Vec<Completion>) {
        let socket = reaped.socket();
        let connection = self.sockets.expect(socket);
        connection.receiving = reaped.more();
        let closing = connection.closing.is_some();
        let buffer = cqueue::buffer_select(reaped.flags).map(|index| {
            let buffers = self.memory.buffers_mut(Buffer(index));
            buffers.take(index, reaped.result.max(0) as u32)
        });
        if let Some(buffer) = buffer {
            if reaped.result > 0 && !closing {
                done.push(Completion::Received { socket, buffer });
            } else {
                self.memory.buffers_mut(buffer).release(buffer);
            }
        }
        if closing {
            self.try_close(socket, done);
        } else if !reaped.more() {
            self.receive_ended(socket, reaped.outcome(), done);
        }
    }

    /// A multishot receive ended: for good, for want of buffers, or because the completion queue was full.
    fn receive_ended(&mut self, socket: Socket, outcome: Result<u32, Errno>, done: &mut Vec<Completion>) {
        match outcome {
            Ok(0) => done.push(Completion::ReceiveEnded { socket, error: None }),
            Ok(_) => self.receive(socket),
            Err(Errno(libc::ENOBUFS)) => {
                self.sockets.expect(socket).parked = true;
                self.parked.push_back(socket);
            }
            Err(errno) => done.push(Completion::ReceiveEnded {
                socket,
                error: Some(errno),
            }),
        }
    }

    fn sent(&mut self, reaped: Completed, done: &mut Vec<Completion>) {
        let socket = reaped.socket();
        let connection = self.sockets.expect(socket);
        connection.ends_sending();
        let closing = connection.closing.is_some();
        let result = match reaped.outcome() {
            Err(Errno(libc::EAGAIN | libc::EINTR)) => Ok(0),
            result => result,
        };
        done.push(Completion::Sent { socket, result });
        if closing {
            self.try_close(socket, done);
        }
    }

    fn writable(&mut self, reaped: Completed, done: &mut Vec<Completion>) {
        let socket = reaped.socket();
        let connection = self.sockets.expect(socket);
        connection.polling = false;
        if connection.closing.is_some() {
            self.try_close(socket, done);
        } else {
            done.push(Completion::Writable { socket });
        }
    }

    fn cancelled(&mut self, reaped: Completed, done: &mut Vec<Completion>) {
        let socket = reaped.socket();
        let connection = self.sockets.expect(socket);
        assert!(
            connection.closing == Some(Closing::Cancelling),
            "a cancellation that nobody asked for"
        );
        connection.closing = Some(Closing::Draining);
        self.try_close(socket, done);
    }

    fn try_close(&mut self, socket: Socket, done: &mut Vec<Completion>) {
        let connection = self.sockets.expect(socket);
        if connection.closing == Some(Closing::Draining) && connection.is_quiet() {
            done.push(self.closed(socket));
        }
    }

    fn read_ended(&mut self, reaped: Completed, done: &mut Vec<Completion>) {
        let read = self.reads.remove(reaped.slot());
        match self.files.read_ended(read, reaped.result) {
            Step::Done(result) => {
                self.files.ends(read.file);
                let token = read.token;
                done.push(Completion::Read { token, result });
            }
            Step::Again(read) => self.read(read),
        }
    }

    fn write_ended(&mut self, reaped: Completed, done: &mut Vec<Completion>) {
        let mut writing = self.writes.remove(reaped.slot());
        let (writing, result) = match self.files.write_ended(writing.transfer, reaped.result) {
            Step::Done(result) => (writing, result),
            Step::Again(transfer) => {
                writing.transfer = transfer;
                match self.write(writing) {
                    Ok(()) => return,
                    Err((writing, errno)) => (writing, Err(errno)),
                }
            }
        };
        self.wrote(&writing, result, done);
    }

    /// The final completions of a write and of those that joined it.
    pub(super) fn wrote(&mut self, writing: &Writing, result: Result<(), Errno>, done: &mut Vec<Completion>) {
        for token in std::iter::once(writing.transfer.token).chain(writing.more.iter().copied()) {
            self.files.ends(writing.transfer.file);
            done.push(Completion::Wrote { token, result });
        }
    }

    fn synced(&mut self, reaped: Completed, done: &mut Vec<Completion>) {
        let Syncing { token, file } = self.syncs.remove(reaped.slot());
        self.files.ends(file);
        let result = reaped.outcome().map(|_| ());
        done.push(Completion::Synced { token, result });
    }

    fn looked_up(&mut self, reaped: Completed, done: &mut Vec<Completion>) {
        let outcome = reaped.outcome().map_err(refusal);
        done.push(match self.lookups.remove(reaped.slot()) {
            Lookup::Open { token, access, .. } => {
                let result = outcome.and_then(|descriptor| {
                    // SAFETY: the kernel just made this descriptor for us.
                    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) };
                    self.files.insert(descriptor, access)
                });
                Completion::Opened { token, result }
            }
            Lookup::Stamp { token, raw, .. } => {
                let result = outcome.map(|_| stamp_of(&raw)).and_then(|stamp| {
                    if is_regular(&stamp) {
                        Ok(stamp)
                    } else {
                        Err(Refusal::NotRegular)
                    }
                });
                Completion::Stamped { token, result }
            }
        });
    }

    fn bell_rang(&mut self, reaped: Completed) {
        if !reaped.more() {
            self.listening_to_bell = false;
        }
        self.mailboxes[self.core].bell().heard();
    }
}

/// Some things that are no regular files are not even opened: directories for writing, and sockets (open(2)).
fn refusal(errno: Errno) -> Refusal {
    match errno {
        Errno(libc::EISDIR | libc::ENXIO) => Refusal::NotRegular,
        errno => Refusal::Errno(errno),
    }
}
