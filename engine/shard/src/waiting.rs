//! Peers that wait for something that all of them want: each once, the one that waits longest first.

use std::collections::{BTreeSet, VecDeque};

use shoal_world::Socket;

/// Peers in the order in which they began to wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    order: VecDeque<Socket>,
    members: BTreeSet<Socket>,
}

impl Waiting {
    /// A peer waits; one that does already keeps its place.
    pub(crate) fn insert(&mut self, socket: Socket) {
        if self.members.insert(socket) {
            self.order.push_back(socket);
        }
    }

    /// A peer is gone.
    pub(crate) fn remove(&mut self, socket: Socket) {
        if self.members.remove(&socket) {
            self.order.retain(|other| *other != socket);
        }
    }

    /// Everybody, in order; nobody waits any more.
    pub(crate) fn take(&mut self) -> VecDeque<Socket> {
        self.members.clear();
        std::mem::take(&mut self.order)
    }
}

#[cfg(test)]
mod tests;
