//! Who is unchoked: the seeding choker, round robin over those who are interested.
//!
//! Without a bound everybody who is interested is unchoked at once. With a bound, peers wait in a queue; at every
//! rotation those who were served longest give their slots to those who wait. It decides who, never how fast.

use std::collections::VecDeque;

use shoal_world::Socket;

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Unchoke(Socket),
    Choke(Socket),
}

/// The slots of one torrent.
#[derive(Debug)]
pub(crate) struct Choker {
    /// `None`: no bound.
    slots: Option<usize>,
    /// Unchoked, the one served longest first.
    served: VecDeque<Socket>,
    waiting: VecDeque<Socket>,
}

impl Choker {
    pub(crate) fn new(slots: Option<u32>) -> Choker {
        Choker {
            slots: slots.map(|slots| slots as usize),
            served: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A peer that is choked became interested.
    pub(crate) fn interested(&mut self, socket: Socket) -> Option<Change> {
        self.waiting.push_back(socket);
        self.fill()
    }

    /// A peer lost interest or is gone; it is choked from here on. Who takes its slot.
    pub(crate) fn leaves(&mut self, socket: Socket) -> Option<Change> {
        // Where nothing is bounded nobody waits, and nobody's place in a queue matters.
        self.slots?;
        self.waiting.retain(|other| *other != socket);
        self.served.retain(|other| *other != socket);
        self.fill()
    }

    /// Time for others: as many slots change hands as there are peers waiting, at most all.
    pub(crate) fn rotate(&mut self) -> Vec<Change> {
        let turns = self.waiting.len().min(self.served.len());
        let mut changes = Vec::with_capacity(2 * turns);
        for _ in 0..turns {
            if let Some(socket) = self.served.pop_front() {
                changes.push(Change::Choke(socket));
                self.waiting.push_back(socket);
                changes.extend(self.fill());
            }
        }
        changes
    }

    /// Whether a rotation would change anything.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn fill(&mut self) -> Option<Change> {
        let Some(slots) = self.slots else {
            return self.waiting.pop_front().map(Change::Unchoke);
        };
        if self.served.len() >= slots {
            return None;
        }
        let socket = self.waiting.pop_front()?;
        self.served.push_back(socket);
        Some(Change::Unchoke(socket))
    }
}

#[cfg(test)]
mod tests;
