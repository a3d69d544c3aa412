//! How a connection comes about: knocking, again when that was lost, and the answer.

use std::net::SocketAddr;
use std::time::Duration;

use shoal_world::Errno;

use super::super::clock::Clock;
use super::super::errno;
use super::pipe::Pipe;
use super::{CONNECT_TIMEOUT, Connection, End, Event, Network, Notice, Party, RETRANSMIT_AFTER, Travel};

impl Network {
    /// Begins to connect; [`Notice::Connected`] tells how it went.
    pub fn connect(
        &mut self,
        clock: &mut Clock<Event>,
        party: Party,
        from: SocketAddr,
        to: SocketAddr,
        timeout: Duration,
    ) -> End {
        let end = End {
            connection: self.connected,
            client: true,
        };
        self.connected += 1;
        let buffer = |ip| self.hosts.get(&ip).map_or(0, |host| host.link.buffer) as usize;
        let (near, far) = (buffer(from.ip()), buffer(to.ip()));
        let connection = Connection {
            addresses: [from, to],
            owners: [Some(party), None],
            pipes: [Pipe::new(near, far), Pipe::new(far, near)],
            established: false,
            give_up_at: clock.now() + timeout.min(CONNECT_TIMEOUT),
        };
        self.connections.insert(end.connection, connection);
        self.knock(clock, end);
        end
    }

    pub(super) fn knock(&mut self, clock: &mut Clock<Event>, end: End) {
        let [from, to] = self.connections[&end.connection].addresses;
        let lost = self.dice.happens(self.faults.connect_lost);
        let arrives = self.arrives_at(clock.now(), from.ip(), to.ip(), 40);
        if lost || self.is_cut(clock.now(), from.ip(), to.ip()) {
            self.knock_again(clock, end);
        } else {
            clock.at(arrives, Event::Network(Travel::Knock(end)));
        }
    }

    /// The SYN or its answer was lost: once more, until the time is over.
    fn knock_again(&mut self, clock: &mut Clock<Event>, end: End) {
        let Some(connection) = self.connections.get(&end.connection) else {
            return;
        };
        let again_at = clock.now() + RETRANSMIT_AFTER;
        if again_at >= connection.give_up_at {
            let failed = Travel::Answered(end, Err(errno::ETIMEDOUT));
            clock.at(connection.give_up_at, Event::Network(failed));
        } else {
            clock.at(again_at, Event::Network(Travel::Left(end)));
        }
    }

    pub(super) fn knocked(&mut self, clock: &mut Clock<Event>, end: End) {
        let Some(connection) = self.connections.get(&end.connection) else {
            return;
        };
        let [from, to] = connection.addresses;
        let answered = |result| Event::Network(Travel::Answered(end, result));
        let back = self.arrives_at(clock.now(), to.ip(), from.ip(), 40);
        let Some(host) = self.hosts.get(&to.ip()).filter(|host| !host.down) else {
            self.knock_again(clock, end);
            return;
        };
        let refused = self.dice.happens(self.faults.connect_refused);
        let Some(parties) = self.listeners.get(&to).filter(|_| !host.down && !refused) else {
            clock.at(back, answered(Err(errno::ECONNREFUSED)));
            return;
        };
        let party = self.dice.pick(parties);
        let connection = self
            .connections
            .get_mut(&end.connection)
            .expect("looked up above");
        connection.owners[1] = Some(party);
        connection.established = true;
        clock.at(back, answered(Ok(())));
        let incoming = Notice::Incoming {
            end: end.other(),
            from,
        };
        self.notices.push_back((party, incoming));
    }

    pub(super) fn answered(&mut self, end: End, result: Result<(), Errno>) {
        let Some(connection) = self.connections.get_mut(&end.connection) else {
            return;
        };
        let owner = connection.owners[0];
        if result.is_err() {
            connection.owners[0] = None;
            self.bury(end.connection);
        }
        self.notices
            .extend(owner.map(|party| (party, Notice::Connected { end, result })));
    }
}
