//! What happens because time passed.

use shoal_proto::message::Message;
use shoal_world::{Op, Socket, Time};

use crate::choker::Candidate;
use crate::event::Event;
use crate::limits::{KEEP_ALIVE_AFTER, LOOK_AFTER_FETCHING, LOOK_AFTER_MAX, ROTATE_EVERY};
use crate::peer::{Peer, Upload};
use crate::shard::{Accepting, Shard};
use crate::torrent::TorrentId;

/// What a look at a peer's deadlines found.
enum Look {
    /// Look again at this time.
    Again(Time),
    /// A deadline passed.
    TooLate,
    /// We have been silent for long: say something, then look again.
    KeepAlive(Time),
}

impl Shard {
    pub(crate) fn timers(&mut self, now: Time, ops: &mut Vec<Op>) {
        let accept = match self.accepting {
            Accepting::NotYet => true,
            Accepting::Again(at) => at <= now,
            Accepting::Yes | Accepting::Never => false,
        };
        if accept {
            self.accepting = Accepting::Yes;
            ops.push(Op::Accept);
        }
        for socket in self.wheel.due(now) {
            self.look_at(now, socket, ops);
        }
        if self.watch_at.is_some_and(|at| at <= now) {
            self.watch(now, ops);
        }
        self.open_throttles(now, ops);
        self.turn_over(now, ops);
        self.call_due(now, ops);
        self.settle(now, ops);
        self.rotate(now, ops);
    }

    fn look_at(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) {
        self.review_download(now, socket, ops);
        match self.look(now, socket) {
            None => {}
            Some(Look::TooLate) => {
                self.counters.timeouts += 1;
                self.disconnect(now, socket, ops);
            }
            Some(Look::Again(at)) => self.wheel.wake(socket, at),
            Some(Look::KeepAlive(at)) => {
                if let Some(conversation) = self.peers.talking(socket) {
                    Message::KeepAlive.encode(&mut conversation.outbox);
                }
                self.wheel.wake(socket, at);
                self.send_next(now, socket, ops);
            }
        }
    }

    /// A peer that lets us wait too long is snubbed: others are asked for what it was asked for.
    fn review_download(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) {
        let Some(download) = self.peers.download(socket) else {
            return;
        };
        download.refused = false;
        if download.is_overdue(now) {
            download.snubbed = true;
            download.heard_at = now;
            self.counters.snubbed += 1;
            self.cancel_all(now, socket, ops);
        }
        self.review_interest(now, socket, ops);
    }

    fn look(&mut self, now: Time, socket: Socket) -> Option<Look> {
        let settings = &self.settings;
        let conversation = match self.peers.get(socket)? {
            Peer::Greeting { deadline, .. } => {
                return Some(if *deadline <= now {
                    Look::TooLate
                } else {
                    Look::Again(*deadline)
                });
            }
            Peer::Calling(called) => {
                return Some(if called.deadline <= now {
                    Look::TooLate
                } else {
                    Look::Again(called.deadline)
                });
            }
            Peer::Talking(conversation) => conversation,
            Peer::Closing { .. } => return None,
        };
        let idle_at = conversation.received_at + settings.idle_timeout;
        let stall_at = conversation
            .stalled_since
            .map(|since| since + settings.send_stall_timeout);
        let deadline = stall_at.map_or(idle_at, |stall_at| stall_at.min(idle_at));
        if deadline <= now {
            return Some(Look::TooLate);
        }
        let keep_alive_at = conversation.sent_at + KEEP_ALIVE_AFTER;
        let look_after = if conversation.download.is_some() {
            LOOK_AFTER_FETCHING
        } else {
            LOOK_AFTER_MAX
        };
        let again = deadline.min(now + look_after);
        if keep_alive_at <= now && matches!(conversation.upload, Upload::Idle) {
            return Some(Look::KeepAlive(again));
        }
        Some(Look::Again(again))
    }

    /// Lets peers change places, where slots are bounded and somebody waits.
    fn rotate(&mut self, now: Time, ops: &mut Vec<Op>) {
        match self.rotate_at {
            None if !self.rotating.is_empty() => self.rotate_at = Some(now + ROTATE_EVERY),
            Some(at) if at <= now => {
                self.rotate_at = None;
                for id in std::mem::take(&mut self.rotating) {
                    let candidates = self.candidates(now, id);
                    let Some(torrent) = self.torrents.active(id) else {
                        continue;
                    };
                    let fetching = torrent.wanted_left() > 0;
                    let changes = torrent.choker.rotate(&candidates, fetching, now, &mut self.rng);
                    if torrent.choker.has_waiting() {
                        self.rotating.insert(id);
                    }
                    for change in changes {
                        self.change(now, change, ops);
                    }
                }
            }
            _ => {}
        }
    }

    /// How the peers of a torrent do.
    fn candidates(&mut self, now: Time, id: TorrentId) -> Vec<Candidate> {
        let Some(active) = self.torrents.get(id) else {
            return Vec::new();
        };
        let pieces = active.layout.pieces();
        let candidate = |socket: &Socket| {
            let talking = self.peers.talking(*socket)?;
            let download = talking.download.as_deref();
            let has = download.map_or(talking.pieces, |download| download.pieces.count());
            Some(Candidate {
                socket: *socket,
                interested: talking.interested,
                given_bytes_per_s: download.map_or(0, |download| download.rate.bytes_per_s(now)),
                taken_bytes_per_s: talking.upload_rate.bytes_per_s(now),
                taken_bytes_since_unchoke: talking.uploaded_bytes - talking.uploaded_before,
                has_fraction: (u64::from(has) * 1_000 / u64::from(pieces)) as u32,
                snubbed: download.is_some_and(|download| download.snubbed),
                joined: talking.joined,
            })
        };
        active.peers.iter().filter_map(candidate).collect()
    }

    /// Closes everything; [`Event::Stopped`] follows when the last connection is gone.
    pub(crate) fn stop(&mut self, now: Time, ops: &mut Vec<Op>) {
        self.stopping = true;
        self.accepting = Accepting::Never;
        for socket in self.peers.sockets() {
            self.disconnect(now, socket, ops);
        }
        self.settle_at = Some(now);
        self.tell_if_stopped();
    }

    pub(crate) fn tell_if_stopped(&mut self) {
        if self.stopping && !self.stopped && self.peers.len() == 0 && self.is_settled() {
            self.stopped = true;
            self.tell(Event::Stopped);
        }
    }
}
