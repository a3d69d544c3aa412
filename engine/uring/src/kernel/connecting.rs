//! Connections that this side begins.
//!
//! Each is two linked entries: the connect, and a timeout that cancels it. Whichever comes first ends the other, so
//! both complete; only the connect is told of.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use io_uring::types::Timespec;
use io_uring::{opcode, squeue, types};
use shoal_world::{Completion, Errno};

use super::{Kernel, Kind};
use crate::address::RawAddress;
use crate::stamp::errno_of;
use crate::tcp;

/// A connection on its way. Boxed: the kernel reads the address and the timeout when it takes the entries.
pub(crate) struct Connecting {
    token: u32,
    address: SocketAddr,
    stream: OwnedFd,
    raw: RawAddress,
    timeout: Timespec,
}

impl Kernel {
    pub(super) fn connect(&mut self, token: u32, address: SocketAddr, timeout: Duration) {
        let stream = match tcp::connecting(address) {
            Ok(stream) => stream,
            Err(error) => {
                let result = Err(errno_of(&error));
                self.ready.push(Completion::Connected { token, result });
                return;
            }
        };
        let entry = self.connects.vacant_entry();
        let slot = entry.key();
        let connecting = entry.insert(Box::new(Connecting {
            token,
            address,
            stream,
            raw: RawAddress::new(address),
            timeout: Timespec::from(timeout),
        }));
        let fd = types::Fd(connecting.stream.as_raw_fd());
        let connect = opcode::Connect::new(fd, connecting.raw.as_ptr(), connecting.raw.len()).build();
        let timeout = opcode::LinkTimeout::new(&raw const connecting.timeout).build();
        self.push_linked(&[
            connect
                .flags(squeue::Flags::IO_LINK)
                .user_data(Kind::Connect.on_slot(slot)),
            timeout.user_data(Kind::ConnectTimeout.on_slot(slot)),
        ]);
    }

    /// A connect ended. Its descriptor closes with the error, or becomes a socket like one that was accepted.
    pub(super) fn connected(&mut self, slot: usize, outcome: Result<u32, Errno>, done: &mut Vec<Completion>) {
        let connecting = self.connects.remove(slot);
        let result = match outcome {
            Ok(_) => Ok(self.sockets.insert(connecting.stream, connecting.address)),
            // Nobody but the timeout cancels a connect.
            Err(Errno(libc::ECANCELED)) => Err(Errno(libc::ETIMEDOUT)),
            Err(errno) => Err(errno),
        };
        let token = connecting.token;
        done.push(Completion::Connected { token, result });
    }
}
