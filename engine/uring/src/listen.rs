//! Listening sockets: one per core on the same address, so that the kernel spreads connections.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

use crate::address::RawAddress;
use crate::tcp::{self, check};

/// Connections that the kernel completes before a core accepts them; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: libc::c_int = 4096;

/// Binds `count` sockets to `address`. Port 0 takes a free port, the same for all.
///
/// Sockets that share an address would also share it with a second process of the same user without a word, so a
/// socket that does not share is bound first, to hear about it.
pub fn listen(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let probe = bind(address, false)?;
    let address = probe.local_addr()?;
    if count == 1 {
        start(&probe)?;
        return Ok(vec![probe]);
    }
    start(&probe)?;
    drop(probe);
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| bind(address, true))
        .collect::<io::Result<_>>()?;
    listeners.iter().try_for_each(start)?;
    Ok(listeners)
}

fn start(listener: &TcpListener) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) })
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = tcp::listening(address)?;
    tcp::set(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if shared {
        tcp::set(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    let raw = RawAddress::new(address);
    // SAFETY: the address lives for the call and is as long as it says.
    check(unsafe { libc::bind(socket.as_raw_fd(), raw.as_ptr(), raw.len()) })?;
    Ok(TcpListener::from(socket))
}

#[cfg(test)]
mod tests;
