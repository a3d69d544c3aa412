//! What is set on every TCP socket, accepted or connecting.
//!
//! Peers on this machine are sent to under [`LOCAL_CONGESTION_CONTROL`]. Where the system's choice paces (BBR), every
//! segment arms a timer: measured, a third of the CPU time of a byte on loopback, where nothing can congest. A
//! socket that began to pace never stops, so listeners begin without, and connections from elsewhere are given the
//! system's choice when they are accepted. A connection that we begin knows from its start where it goes.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Unsent bytes after which a socket takes no more: as much as one run of blocks, so that a cancelled or closed
/// connection wastes little, kernel memory stays near one run per peer, and a fast peer still never runs dry.
const UNSENT_BYTES_MAX: libc::c_int = 512 * 1024;

/// Does not pace, and no kernel is without it (tcp(7)).
pub(crate) const LOCAL_CONGESTION_CONTROL: &str = "reno";

/// The congestion control that the system's administrator chose, for connections that leave this machine.
pub(crate) struct CongestionControl(String);

impl CongestionControl {
    /// The system's choice at this moment.
    pub(crate) fn of_system() -> CongestionControl {
        let name = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
        CongestionControl(name.trim().to_owned())
    }

    /// Gives it to an accepted connection, unless that comes from this machine.
    pub(crate) fn apply(&self, stream: &TcpStream, peer: SocketAddr) {
        if !peer.ip().is_loopback() && self.0 != LOCAL_CONGESTION_CONTROL {
            // The system's own choice is never refused; a name that could not be read leaves the connection as it is.
            let _ = set_congestion_control(stream.as_raw_fd(), &self.0);
        }
    }
}

/// A socket that will listen at `address`. Accepted sockets inherit what is set on it.
pub(crate) fn listening(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket(address, 0)?;
    set_congestion_control(socket.as_raw_fd(), LOCAL_CONGESTION_CONTROL)?;
    Ok(socket)
}

/// A socket that will connect to `peer`; non-blocking, as accepted ones are.
pub(crate) fn connecting(peer: SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket(peer, libc::SOCK_NONBLOCK)?;
    if peer.ip().is_loopback() {
        set_congestion_control(socket.as_raw_fd(), LOCAL_CONGESTION_CONTROL)?;
    }
    Ok(socket)
}

fn socket(address: SocketAddr, flags: libc::c_int) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags, 0) };
    check(fd)?;
    // SAFETY: the descriptor was just made and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // Messages are gathered before they are sent, so nothing is gained by waiting for more.
    set(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set(
        &socket,
        libc::IPPROTO_TCP,
        libc::TCP_NOTSENT_LOWAT,
        UNSENT_BYTES_MAX,
    )?;
    Ok(socket)
}

pub(crate) fn set(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` is an int that lives for the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), len) })
}

fn set_congestion_control(socket: RawFd, name: &str) -> io::Result<()> {
    let len = name.len() as libc::socklen_t;
    // SAFETY: the name is `len` bytes that live for the call.
    check(unsafe {
        libc::setsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_CONGESTION,
            name.as_ptr().cast(),
            len,
        )
    })
}

pub(crate) fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
