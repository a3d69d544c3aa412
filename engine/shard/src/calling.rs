//! Connections that we begin: known addresses of peers, when each is tried, and the handshake from our side.
//!
//! Every torrent remembers addresses, bounded in number, and whether each is connected, being called, or waits. One that
//! could not be reached, or hung up, is tried again later and later. Nobody is called for a torrent that has nothing to
//! fetch: who wants something of a seed calls it. It decides nothing about what is said after the handshake.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use shoal_proto::handshake::{HANDSHAKE_LEN, Handshake};
use shoal_proto::info_hash::InfoHash;
use shoal_world::{Errno, Gather, Op, Socket, Time};

use crate::greeting::RESERVED;
use crate::limits::{
    CALL_AGAIN_AFTER, CALL_DOUBLINGS_MAX, CALL_TIMEOUT, CALLS_MAX, CANDIDATES_MAX, TURNOVER_EVERY,
    TURNOVER_PART,
};
use crate::peer::{Called, Peer, Transmission};
use crate::shard::Shard;
use crate::torrent::{Active, TorrentId};

/// What is known of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It may be called from this time on.
    Waiting(Time),
    /// It is being called, or connected.
    Busy,
    /// There is nothing to fetch from it.
    Useless,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    state: State,
    /// How often it could not be reached, or hung up, in a row.
    failures: u32,
}

/// The addresses of one torrent's peers.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    known: BTreeMap<SocketAddr, Candidate>,
}

/// A call that the world makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) info_hash: InfoHash,
    pub(crate) address: SocketAddr,
}

impl Candidates {
    /// Learns an address; one that waits is called at once.
    pub(crate) fn insert(&mut self, address: SocketAddr) {
        let fresh = Candidate {
            state: State::Waiting(Time::ZERO),
            failures: 0,
        };
        let has_room = self.known.len() < CANDIDATES_MAX;
        match self.known.get_mut(&address) {
            Some(known) if matches!(known.state, State::Waiting(_)) => *known = fresh,
            Some(_) => {}
            None if has_room => {
                self.known.insert(address, fresh);
            }
            None => {}
        }
    }

    /// The next address whose time has come; it is busy from here on.
    fn next(&mut self, now: Time) -> Option<SocketAddr> {
        let due = |candidate: &Candidate| match candidate.state {
            State::Waiting(at) => (at <= now).then_some((candidate.failures, at)),
            State::Busy | State::Useless => None,
        };
        let (address, _) = self
            .known
            .iter()
            .filter_map(|(address, candidate)| Some((*address, due(candidate)?)))
            .min_by_key(|(_, order)| *order)?;
        if let Some(candidate) = self.known.get_mut(&address) {
            candidate.state = State::Busy;
        }
        Some(address)
    }

    /// When the next address may be called.
    fn due_at(&self) -> Option<Time> {
        let waiting = self.known.values().filter_map(|candidate| match candidate.state {
            State::Waiting(at) => Some(at),
            State::Busy | State::Useless => None,
        });
        waiting.min()
    }

    /// Whether an address could be called of which nothing bad is known.
    fn has_untried(&self, now: Time) -> bool {
        let is_untried = |candidate: &Candidate| {
            candidate.failures == 0 && matches!(candidate.state, State::Waiting(at) if at <= now)
        };
        self.known.values().any(is_untried)
    }

    /// A call failed, or its connection ended.
    pub(crate) fn ended(&mut self, now: Time, address: SocketAddr) {
        if let Some(candidate) = self.known.get_mut(&address)
            && candidate.state == State::Busy
        {
            let doublings = candidate.failures.min(CALL_DOUBLINGS_MAX);
            candidate.state = State::Waiting(now + CALL_AGAIN_AFTER * 2_u32.pow(doublings));
            candidate.failures += 1;
        }
    }

    /// It gave us something.
    pub(crate) fn was_useful(&mut self, address: SocketAddr) {
        if let Some(candidate) = self.known.get_mut(&address) {
            candidate.failures = 0;
        }
    }

    /// There is nothing to fetch from it, now or later.
    pub(crate) fn dismiss(&mut self, address: SocketAddr) {
        if let Some(candidate) = self.known.get_mut(&address) {
            candidate.state = State::Useless;
        }
    }
}

impl Shard {
    /// Learns addresses of a torrent's peers.
    pub(crate) fn learn(&mut self, now: Time, info_hash: InfoHash, addresses: Vec<SocketAddr>) {
        let Some(id) = self.torrents.find(info_hash) else {
            return;
        };
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        for address in addresses {
            active.candidates.insert(address);
        }
        self.call_at = Some(now);
        self.turnover_at.get_or_insert(now + TURNOVER_EVERY);
    }

    /// Where connections are scarce and untried addresses wait, called peers that give nothing make room: a swarm is larger
    /// than what one happened to meet first.
    pub(crate) fn turn_over(&mut self, now: Time, ops: &mut Vec<Op>) {
        if self.turnover_at.is_none_or(|at| at > now) {
            return;
        }
        let fetched = self.torrents.ids_fetching();
        self.turnover_at = (!fetched.is_empty()).then(|| now + TURNOVER_EVERY);
        if self.peers.len() * 10 < self.settings.peers_max as usize * 9 {
            return;
        }
        for id in fetched {
            self.turn_over_of(now, id, ops);
        }
    }

    /// Those who gave least go first. Nobody goes who gives, who was not here since the last time, or without whom nobody
    /// would have a piece.
    fn turn_over_of(&mut self, now: Time, id: TorrentId, ops: &mut Vec<Op>) {
        let untried = |active: &&Active| active.candidates.has_untried(now);
        let Some(active) = self.torrents.get(id).filter(untried) else {
            return;
        };
        let (mut called, mut useless) = (0_usize, Vec::new());
        for socket in &active.peers {
            let Some(talking) = self.peers.talking(*socket).filter(|talking| talking.called) else {
                continue;
            };
            called += 1;
            if let Some(download) = &talking.download
                && download.rate.bytes_per_s(now) == 0
                && talking.joined + TURNOVER_EVERY <= now
            {
                useless.push((download.downloaded_bytes, talking.joined, *socket));
            }
        }
        useless.sort_unstable();
        let mut left = called.div_ceil(TURNOVER_PART);
        for (_, _, socket) in useless {
            if left == 0 {
                break;
            }
            if !self.is_only_source(id, socket) {
                self.disconnect(now, socket, ops);
                left -= 1;
            }
        }
    }

    /// Whether a peer is the only one that has some piece that is wanted.
    fn is_only_source(&mut self, id: TorrentId, socket: Socket) -> bool {
        let Some(download) = self.peers.download(socket) else {
            return false;
        };
        let fetching = self
            .torrents
            .get(id)
            .and_then(|active| active.fetching.as_deref());
        fetching.is_some_and(|fetching| fetching.picker.has_only_source(&download.pieces))
    }

    /// Calls addresses whose time has come.
    pub(crate) fn call_due(&mut self, now: Time, ops: &mut Vec<Op>) {
        if self.call_at.is_none_or(|at| at > now) {
            return;
        }
        self.call_at = None;
        if self.stopping {
            return;
        }
        let mut next: Option<Time> = None;
        for id in self.torrents.ids_fetching() {
            while self.may_call() {
                let Some(active) = self.torrents.active(id) else {
                    break;
                };
                if active.wanted_left() == 0 {
                    break;
                }
                let info_hash = active.info_hash;
                let Some(address) = active.candidates.next(now) else {
                    break;
                };
                if self.banned.has_address(address) {
                    self.dismiss(id, address);
                    continue;
                }
                let token = self.calls.insert(Call { info_hash, address }) as u32;
                ops.push(Op::Connect {
                    token,
                    address,
                    timeout: CALL_TIMEOUT,
                });
            }
            let due_at = self.torrents.get(id).filter(|active| active.wanted_left() > 0);
            next = [next, due_at.and_then(|active| active.candidates.due_at())]
                .into_iter()
                .flatten()
                .min();
        }
        // Whoever waits for a free place is called when one is: a connection that ends says so.
        self.call_at = next.map(|at| if at <= now { now + CALL_AGAIN_AFTER } else { at });
    }

    fn may_call(&self) -> bool {
        self.calls.len() < CALLS_MAX && self.peers.len() + self.calls.len() < self.settings.peers_max as usize
    }

    pub(crate) fn dismiss(&mut self, id: TorrentId, address: SocketAddr) {
        if let Some(active) = self.torrents.active(id) {
            active.candidates.dismiss(address);
        }
    }

    /// A called connection is over.
    pub(crate) fn call_ended(&mut self, now: Time, info_hash: InfoHash, address: SocketAddr) {
        let Some(id) = self.torrents.find(info_hash) else {
            return;
        };
        if let Some(active) = self.torrents.active(id) {
            active.candidates.ended(now, address);
            self.call_at = Some(now);
        }
    }

    /// A call was answered, or not.
    pub(crate) fn connected(
        &mut self,
        now: Time,
        token: u32,
        result: Result<Socket, Errno>,
        ops: &mut Vec<Op>,
    ) {
        let Call { info_hash, address } = self.calls.remove(token as usize);
        let Ok(socket) = result else {
            self.call_ended(now, info_hash, address);
            return;
        };
        let handshake = Handshake {
            reserved: RESERVED,
            info_hash,
            peer_id: self.settings.peer_id,
        };
        let sending = Transmission {
            control: handshake.encode().to_vec(),
            run: None,
            sent: 0,
        };
        let mut gather = Box::<Gather>::default();
        gather.push_bytes(&sending.control);
        let deadline = now + self.settings.handshake_timeout;
        let called = Called {
            address,
            deadline,
            info_hash,
            sending: Some(sending),
            answer: None,
        };
        self.peers.insert(socket, Peer::Calling(Box::new(called)));
        *self.addresses.entry(address.ip()).or_insert(0) += 1;
        self.wheel.wake(socket, deadline);
        ops.push(Op::Send { socket, gather });
        ops.push(Op::ReceiveExact {
            socket,
            len: HANDSHAKE_LEN as u32,
        });
        if self.stopping {
            self.disconnect(now, socket, ops);
        }
    }

    /// Our handshake went out, or not.
    pub(crate) fn called(
        &mut self,
        now: Time,
        socket: Socket,
        result: Result<u32, Errno>,
        ops: &mut Vec<Op>,
    ) {
        let Some(Peer::Calling(called)) = self.peers.get(socket) else {
            return;
        };
        called.sending = None;
        // A fresh socket has room for 68 bytes, or something is wrong with it.
        if result != Ok(HANDSHAKE_LEN as u32) {
            self.disconnect(now, socket, ops);
            return;
        }
        if let Some(answer) = called.answer {
            self.answered(now, socket, answer, ops);
        }
    }

    /// A peer that we called sent its handshake.
    pub(crate) fn answered(&mut self, now: Time, socket: Socket, answer: Handshake, ops: &mut Vec<Op>) {
        let Some(Peer::Calling(called)) = self.peers.get(socket) else {
            return;
        };
        if called.sending.is_some() {
            called.answer = Some(answer);
            return;
        }
        let (address, info_hash) = (called.address, called.info_hash);
        if answer.info_hash.wire_bytes() != info_hash.wire_bytes() {
            self.violated(now, socket, ops);
            return;
        }
        if answer.peer_id == self.settings.peer_id {
            // Our own address: never again.
            if let Some(id) = self.torrents.find(info_hash) {
                self.dismiss(id, address);
            }
            self.disconnect(now, socket, ops);
            return;
        }
        self.converse(now, socket, address, &answer, true, ops);
    }
}

#[cfg(test)]
mod tests;
