//! Where other cores leave connections for this one.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::doorbell::Doorbell;
use crate::sync::ArrayQueue;

/// Connections that wait for their core at most: a burst of one per peer of a busy core. A full box refuses.
const HANDED_OVER_LEN_MAX: usize = 4096;

/// A connection between two cores.
#[derive(Debug)]
pub(crate) struct HandedOver {
    pub(crate) stream: OwnedFd,
    pub(crate) address: SocketAddr,
    pub(crate) first: Vec<u8>,
}

/// The box and the bell of one core, shared with all others.
#[derive(Debug)]
pub struct Mailbox {
    connections: ArrayQueue<HandedOver>,
    bell: Doorbell,
}

impl Mailbox {
    /// An empty box.
    pub fn new() -> io::Result<Mailbox> {
        Ok(Mailbox {
            connections: ArrayQueue::new(HANDED_OVER_LEN_MAX),
            bell: Doorbell::new()?,
        })
    }

    /// The bell, for those who leave something elsewhere for the same core.
    pub fn bell(&self) -> &Doorbell {
        &self.bell
    }

    /// Leaves a connection; a full box closes it, which its peer sees as a refusal.
    pub(crate) fn hand_over(&self, connection: HandedOver) {
        if self.connections.push(connection).is_ok() {
            self.bell.ring();
        }
    }

    pub(crate) fn take(&self) -> Option<HandedOver> {
        self.connections.pop()
    }

    /// The core is about to sleep: says so, then looks once more. False: something came, here or where `awake` looks.
    pub(crate) fn may_sleep(&self, awake: impl FnOnce() -> bool) -> bool {
        self.bell.falls_asleep();
        self.connections.is_empty() && !awake()
    }
}

#[cfg(all(loom, test))]
mod models;
#[cfg(test)]
mod tests;
