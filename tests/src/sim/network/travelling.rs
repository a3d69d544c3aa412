//! Segments on their way: they leave one after the other, arrive in order, or do not arrive.

use std::time::Duration;

use super::super::clock::Clock;
use super::{
    End, Event, Network, Notice, RETRANSMIT_AFTER, SEGMENT_LEN_MAX, Segment, Travel, UNREACHABLE_TIMEOUT,
};

impl Network {
    /// A segment left, or a connection attempt is repeated: the next goes.
    pub(super) fn left(&mut self, clock: &mut Clock<Event>, end: End) {
        let Some(connection) = self.connections.get_mut(&end.connection) else {
            return;
        };
        if connection.established {
            connection.pipes[end.index()].on_the_wire = false;
            self.pump(clock, end);
        } else if end.client {
            self.knock(clock, end);
        }
    }

    /// Puts the next segment of a pipe on the wire, if there is one and nothing is in its way.
    pub(super) fn pump(&mut self, clock: &mut Clock<Event>, end: End) {
        let Some(connection) = self.connections.get_mut(&end.connection) else {
            return;
        };
        let addresses = connection.addresses;
        let (from, to) = (addresses[end.index()].ip(), addresses[end.other().index()].ip());
        let mut len_max = SEGMENT_LEN_MAX;
        if self.dice.happens(self.faults.segment_split) {
            len_max = self.dice.within(1..=200) as usize;
        }
        let breaking = self
            .breaking
            .as_mut()
            .filter(|breaking| end.connection == 0 && end.client == breaking.from_client && !breaking.done);
        if let Some(breaking) = breaking {
            if breaking.left == 0 {
                breaking.done = true;
                self.break_connection(clock, end.connection);
                return;
            }
            len_max = len_max.min(breaking.left as usize);
        }
        let Some(segment) = connection.pipes[end.index()].next_segment(len_max) else {
            return;
        };
        let len = match &segment {
            Segment::Bytes(payload) => payload.len(),
            Segment::Fin | Segment::Reset => 0,
        };
        if let Some(breaking) = &mut self.breaking
            && end.connection == 0
            && end.client == breaking.from_client
        {
            breaking.left = breaking.left.saturating_sub(len as u64);
        }
        let left_at = self.leaves_at(clock.now(), from, len + 40);
        let mut arrives_at = self.reaches_at(left_at, from, to, len + 40);
        if self.dice.happens(self.faults.segment_stall) {
            arrives_at = arrives_at + self.dice.duration(Duration::ZERO..=self.faults.stall_max);
        }
        self.misfortunes(clock, end);
        let connection = self
            .connections
            .get_mut(&end.connection)
            .expect("looked up above");
        let arrives_at = connection.pipes[end.index()].travels(segment, arrives_at);
        clock.at(left_at, Event::Network(Travel::Left(end)));
        clock.at(arrives_at, Event::Network(Travel::Arrived(end.other())));
    }

    /// What may happen to a connection whenever a segment goes.
    fn misfortunes(&mut self, clock: &mut Clock<Event>, end: End) {
        if self.dice.happens(self.faults.reset) {
            self.break_connection(clock, end.connection);
        }
        if self.dice.happens(self.faults.half_open) {
            clock.after(Duration::ZERO, Event::Vanish(end));
        }
    }

    pub(super) fn arrived(&mut self, clock: &mut Clock<Event>, end: End) {
        let Some(connection) = self.connections.get(&end.connection) else {
            return;
        };
        let addresses = connection.addresses;
        let (from, to) = (addresses[end.other().index()].ip(), addresses[end.index()].ip());
        let unreachable = self.is_cut(clock.now(), from, to) || self.host(to).down;
        if unreachable {
            self.again(clock, end);
            return;
        }
        let connection = self
            .connections
            .get_mut(&end.connection)
            .expect("looked up above");
        let pipe = &mut connection.pipes[end.other().index()];
        pipe.unreachable_since = None;
        let Some(segment) = pipe.next_arrival() else {
            return;
        };
        if connection.owners[end.index()].is_none() {
            self.ledger.lost += pipe.drop_arrived(&segment);
            match segment {
                Segment::Bytes(_) => self.reset(clock, end),
                Segment::Fin => {}
                Segment::Reset => self.ledger.lost += connection.pipes[end.index()].breaks(),
            }
            self.bury(end.connection);
            return;
        }
        let freed = pipe.arrived(segment);
        self.ledger.lost += freed.lost;
        if freed.broken {
            // An error ends both directions of this end.
            let back = &mut connection.pipes[end.index()];
            self.ledger.lost += back.breaks();
            self.tell_writable(end);
        }
        if freed.room {
            self.tell_writable(end.other());
        }
        self.tell(end, Notice::Readable(end));
        self.pump(clock, end.other());
        self.bury(end.connection);
    }

    /// A segment was lost on the way: TCP sends it again, for a long time.
    fn again(&mut self, clock: &mut Clock<Event>, end: End) {
        let now = clock.now();
        let Some(connection) = self.connections.get_mut(&end.connection) else {
            return;
        };
        let pipe = &mut connection.pipes[end.other().index()];
        let since = *pipe.unreachable_since.get_or_insert(now);
        let forgotten = connection.owners[end.other().index()].is_none() && pipe.only_resets();
        if now.since(since) <= UNREACHABLE_TIMEOUT && !forgotten {
            clock.after(RETRANSMIT_AFTER, Event::Network(Travel::Arrived(end)));
            return;
        }
        self.ledger.lost += pipe.gives_up();
        let back = &mut connection.pipes[end.index()];
        self.ledger.lost += back.breaks();
        back.receiver_breaks();
        self.tell(end.other(), Notice::Readable(end.other()));
        self.tell_writable(end.other());
        self.bury(end.connection);
    }

    /// Sends a reset from an end, and drops what it had not sent.
    pub(super) fn reset(&mut self, clock: &mut Clock<Event>, end: End) {
        let Some(connection) = self.connections.get_mut(&end.connection) else {
            return;
        };
        let addresses = connection.addresses;
        self.ledger.lost += connection.pipes[end.index()].drop_unsent();
        if connection.owners[end.index()].is_none() {
            self.ledger.lost += connection.pipes[end.other().index()].drop_unread();
        }
        let (from, to) = (addresses[end.index()].ip(), addresses[end.other().index()].ip());
        let arrives_at = self.arrives_at(clock.now(), from, to, 40);
        let connection = self
            .connections
            .get_mut(&end.connection)
            .expect("looked up above");
        let arrives_at = connection.pipes[end.index()].travels(Segment::Reset, arrives_at);
        clock.at(arrives_at, Event::Network(Travel::Arrived(end.other())));
    }
}
