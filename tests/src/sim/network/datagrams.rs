//! Datagrams: they may be lost, doubled, late or damaged, and nobody is told.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::clock::Clock;
use super::{Event, Network, Notice, Travel};

impl Network {
    /// Sends a datagram.
    pub fn send_datagram(
        &mut self,
        clock: &mut Clock<Event>,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        if !self.hosts.contains_key(&to.ip()) || self.is_cut(clock.now(), from.ip(), to.ip()) {
            return;
        }
        let copies = 1 + u32::from(self.dice.happens(self.faults.datagram_doubled));
        for _ in 0..copies {
            if self.dice.happens(self.faults.datagram_lost) {
                continue;
            }
            let mut bytes = bytes.to_vec();
            if !bytes.is_empty() && self.dice.happens(self.faults.datagram_corrupt) {
                let place = self.dice.below(bytes.len() as u32) as usize;
                bytes[place] ^= self.dice.within(1..=255) as u8;
            }
            let mut at = self.arrives_at(clock.now(), from.ip(), to.ip(), bytes.len() + 28);
            if self.dice.happens(self.faults.datagram_late) {
                at = at + self.dice.duration(Duration::ZERO..=self.faults.stall_max);
            }
            clock.at(at, Event::Network(Travel::Datagram { from, to, bytes }));
        }
    }

    pub(super) fn datagram_arrived(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        if let Some(party) = self.bound.get(&to) {
            self.notices
                .push_back((*party, Notice::Datagram { from, to, bytes }));
        }
    }
}
