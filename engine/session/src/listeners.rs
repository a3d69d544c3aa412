//! The listening sockets of a session, bound where a process that was killed may still be in the way.
//!
//! A process that ends by `kill -9` is gone for whoever waits for it before its listeners are: its rings hold them,
//! and the kernel takes rings down behind its back. Starting again at once, as a service manager does, finds the
//! address in use by nobody. So an address in use is tried again for a moment.
//!
//! It does not find out who has the address: a program that is there to stay is told from one that is going by the
//! time that it takes. Any other refusal is final.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use shoal_uring::listen;

/// How long an address may be in use before somebody is taken to have it: 0.1 to 0.6 seconds is what the kernel was seen
/// to need for the rings of a killed process, and three times that is for a busy machine.
pub(crate) const FREED_WITHIN: Duration = Duration::from_secs(2);

/// How often it is tried again: a bind costs microseconds, and nobody notices a start that is this much later.
const TRY_PERIOD: Duration = Duration::from_millis(20);

/// Binds `count` sockets to `address`, and tries again for as long as `patience` while it is in use.
pub(crate) fn bind(address: SocketAddr, count: usize, patience: Duration) -> io::Result<Vec<TcpListener>> {
    let began = Instant::now();
    loop {
        match listen(address, count) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && began.elapsed() < patience => {
                thread::sleep(TRY_PERIOD);
            }
            bound => return bound,
        }
    }
}

#[cfg(test)]
mod tests;
