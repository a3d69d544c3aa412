//! One direction of a connection: the sender's buffer, what is on its way, the receiver's buffer.

use std::collections::VecDeque;

use shoal_world::{Errno, Time};

use super::super::errno;
use super::super::payload::Payload;
use super::{Readable, Segment};

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Taken from the sender and not sent.
    waiting: VecDeque<Payload>,
    waiting_len: usize,
    /// Sent and not arrived, in order.
    travelling: VecDeque<Segment>,
    travelling_len: usize,
    /// Arrived and not read.
    unread: VecDeque<Payload>,
    unread_len: usize,
    /// What the sender's buffer holds, waiting and travelling.
    send_max: usize,
    /// What the receiver's buffer holds, and with it what may be on its way.
    receive_max: usize,
    /// The sender says nothing more after what waits.
    pub(super) finishes: bool,
    finish_sent: bool,
    finish_arrived: bool,
    /// The sender was told that the connection broke.
    broken_for_sender: bool,
    /// The receiver was told so.
    broken_for_receiver: bool,
    /// The sender wants to know when there is room.
    pub(super) awaits_room: bool,
    /// A segment is leaving the host; the next one waits behind it.
    pub(super) on_the_wire: bool,
    /// No segment arrives before this one.
    last_arrival: Time,
    /// Since when nothing arrives.
    pub(super) unreachable_since: Option<Time>,
}

/// What the arrival of a segment changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arrival {
    /// The sender may have room again.
    pub(super) room: bool,
    /// The receiver learned that the connection is broken.
    pub(super) broken: bool,
    /// Bytes that came too late.
    pub(super) lost: u64,
}

impl Pipe {
    pub(super) fn new(send_max: usize, receive_max: usize) -> Pipe {
        Pipe {
            waiting: VecDeque::new(),
            waiting_len: 0,
            travelling: VecDeque::new(),
            travelling_len: 0,
            unread: VecDeque::new(),
            unread_len: 0,
            send_max,
            receive_max,
            finishes: false,
            finish_sent: false,
            finish_arrived: false,
            broken_for_sender: false,
            broken_for_receiver: false,
            awaits_room: false,
            on_the_wire: false,
            last_arrival: Time::ZERO,
            unreachable_since: None,
        }
    }

    pub(super) fn sender_error(&self) -> Option<Errno> {
        if self.broken_for_sender {
            Some(errno::ECONNRESET)
        } else if self.finishes {
            Some(errno::EPIPE)
        } else {
            None
        }
    }

    pub(super) fn room(&self) -> usize {
        self.send_max
            .saturating_sub(self.waiting_len + self.travelling_len)
    }

    /// Linux calls a socket writable again when a third of its buffer is free.
    pub(super) fn has_room_for_waiter(&self) -> bool {
        self.broken_for_sender || self.room() * 3 >= self.send_max
    }

    pub(super) fn take(&mut self, payload: Payload) {
        self.waiting_len += payload.len();
        self.waiting.push_back(payload);
    }

    /// The next segment of at most `len_max` bytes that may go now.
    pub(super) fn next_segment(&mut self, len_max: usize) -> Option<Segment> {
        if self.on_the_wire || self.broken_for_sender {
            return None;
        }
        let window = self
            .receive_max
            .saturating_sub(self.travelling_len + self.unread_len);
        if let Some(first) = self.waiting.front_mut() {
            let len = first.len().min(len_max).min(window);
            if len == 0 {
                return None;
            }
            let payload = first.split_to(len);
            if first.is_empty() {
                self.waiting.pop_front();
            }
            self.waiting_len -= len;
            self.travelling_len += len;
            self.on_the_wire = true;
            return Some(Segment::Bytes(payload));
        }
        if self.finishes && !self.finish_sent {
            self.finish_sent = true;
            self.on_the_wire = true;
            return Some(Segment::Fin);
        }
        None
    }

    /// Sends a segment that would arrive at `at`: when it does, behind all before it.
    pub(super) fn travels(&mut self, segment: Segment, at: Time) -> Time {
        self.travelling.push_back(segment);
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }

    /// The segment that arrives next.
    pub(super) fn next_arrival(&mut self) -> Option<Segment> {
        self.travelling.pop_front()
    }

    /// Whether nobody would miss what is on its way.
    pub(super) fn only_resets(&self) -> bool {
        self.travelling
            .iter()
            .all(|segment| matches!(segment, Segment::Reset))
    }

    /// Nothing of it will arrive any more. Bytes that are lost with it.
    pub(super) fn gives_up(&mut self) -> u64 {
        self.travelling.clear();
        std::mem::take(&mut self.travelling_len) as u64 + self.breaks()
    }

    /// The receiver learns that the connection is broken.
    pub(super) fn receiver_breaks(&mut self) {
        self.broken_for_receiver = true;
    }

    pub(super) fn arrived(&mut self, segment: Segment) -> Arrival {
        match segment {
            Segment::Bytes(payload) if self.broken_for_receiver => {
                self.travelling_len -= payload.len();
                Arrival {
                    lost: payload.len() as u64,
                    ..Arrival::default()
                }
            }
            Segment::Bytes(payload) => {
                self.travelling_len -= payload.len();
                self.unread_len += payload.len();
                self.unread.push_back(payload);
                Arrival {
                    room: true,
                    ..Arrival::default()
                }
            }
            Segment::Fin => {
                self.finish_arrived = true;
                Arrival::default()
            }
            Segment::Reset => {
                let broken = !self.broken_for_receiver;
                self.broken_for_receiver = true;
                Arrival {
                    broken,
                    ..Arrival::default()
                }
            }
        }
    }

    /// The sender learns that the connection is broken. Bytes that are lost with it.
    pub(super) fn breaks(&mut self) -> u64 {
        self.broken_for_sender = true;
        self.drop_unsent()
    }

    pub(super) fn readable(&self) -> Readable {
        let ended = if self.broken_for_receiver {
            Some(Some(errno::ECONNRESET))
        } else if self.finish_arrived {
            Some(None)
        } else {
            None
        };
        Readable {
            len: self.unread_len,
            ended,
        }
    }

    pub(super) fn read(&mut self, max: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(max.min(self.unread_len));
        while let Some(first) = self.unread.front_mut() {
            let len = first.len().min(max - bytes.len());
            if len == 0 {
                break;
            }
            first.split_to(len).append_to(&mut bytes);
            if first.is_empty() {
                self.unread.pop_front();
            }
        }
        self.unread_len -= bytes.len();
        bytes
    }

    /// Drops what was not sent. How many bytes that were.
    pub(super) fn drop_unsent(&mut self) -> u64 {
        self.waiting.clear();
        std::mem::take(&mut self.waiting_len) as u64
    }

    /// Drops what was not read. How many bytes that were.
    pub(super) fn drop_unread(&mut self) -> u64 {
        self.unread.clear();
        std::mem::take(&mut self.unread_len) as u64
    }

    /// Drops a segment that arrived where nobody is. How many bytes that were.
    pub(super) fn drop_arrived(&mut self, segment: &Segment) -> u64 {
        match segment {
            Segment::Bytes(payload) => {
                self.travelling_len -= payload.len();
                payload.len() as u64
            }
            Segment::Fin => {
                self.finish_arrived = true;
                0
            }
            Segment::Reset => 0,
        }
    }

    /// Bytes that the sender's socket took and that were neither read nor dropped.
    pub(super) fn under_way(&self) -> u64 {
        (self.waiting_len + self.travelling_len + self.unread_len) as u64
    }

    /// Whether anything of it is still to arrive.
    pub(super) fn delivers(&self) -> bool {
        self.waiting_len + self.travelling_len > 0 || self.finishes && !self.finish_arrived
    }
}
