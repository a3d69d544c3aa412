//! Listening sockets: one per core on the same address, so that the kernel spreads connections; and what is set on
//! the connections that come from them.
//!
//! Peers on this machine are sent to under [`LOCAL_CONGESTION_CONTROL`]. Where the system's choice paces (BBR), every
//! segment arms a timer: measured, a third of the CPU time of a byte on loopback, where nothing can congest. A
//! socket that began to pace never stops, so listeners begin without, and connections from elsewhere are given the
//! system's choice when they are accepted.

use std::fs;
use std::io;
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Connections that the kernel completes before a core accepts them; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: libc::c_int = 4096;

/// Unsent bytes after which a socket takes no more: as much as one run of blocks, so that a cancelled or closed
/// connection wastes little, kernel memory stays near one run per peer, and a fast peer still never runs dry.
const UNSENT_BYTES_MAX: libc::c_int = 512 * 1024;

/// Does not pace, and no kernel is without it (tcp(7)).
const LOCAL_CONGESTION_CONTROL: &str = "reno";

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
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    check(fd)?;
    // SAFETY: the descriptor was just made and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if shared {
        set(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    // Accepted sockets inherit these. Messages are gathered before they are sent, so nothing is gained by waiting.
    set(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set(
        &socket,
        libc::IPPROTO_TCP,
        libc::TCP_NOTSENT_LOWAT,
        UNSENT_BYTES_MAX,
    )?;
    set_congestion_control(socket.as_raw_fd(), LOCAL_CONGESTION_CONTROL)?;
    let (storage, len) = socket_address(address);
    // SAFETY: `storage` is a socket address of `len` bytes.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const storage).cast(), len) })?;
    Ok(TcpListener::from(socket))
}

fn set(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
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

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn socket_address(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all zeroes is a value of every socket address.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let len = match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: `sockaddr_storage` is larger than and as aligned as every socket address.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(raw) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(raw) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, len as libc::socklen_t)
}

#[cfg(test)]
mod tests;
