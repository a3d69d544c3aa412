//! From an accepted connection to an answered handshake.
//!
//! The first 68 bytes say which torrent a peer wants, and with it which core owns the connection: it is handed over
//! before anything else is read, so that there is nothing to take back. The owner answers with its handshake,
//! what it has, and what it can do.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;

use shoal_proto::extension::{ExtensionHandshake, ExtensionIds, HANDSHAKE_ID};
use shoal_proto::handshake::{HANDSHAKE_LEN, Handshake, Reserved};
use shoal_proto::info_hash::InfoHash;
use shoal_proto::message::Message;
use shoal_proto::peer_priority::peer_priority;
use shoal_world::{Op, Socket, Time};

use crate::download::Download;
use crate::limits::{ACCEPT_AGAIN_AFTER, GREETING_MAX, LOOK_AFTER_FETCHING};
use crate::peer::{Conversation, Peer};
use crate::shard::{Accepting, Shard};
use crate::torrent::{Active, TorrentId};

/// The id under which we take metadata messages (BEP 9).
pub(crate) const METADATA_ID: NonZeroU8 = NonZeroU8::MIN;

/// The id under which we take upload-only messages (BEP 21).
pub(crate) const UPLOAD_ONLY_ID: NonZeroU8 = METADATA_ID.saturating_add(1);

/// What we can do beyond BEP 3.
pub(crate) const RESERVED: Reserved = Reserved::NONE.with_fast().with_extension();

impl Shard {
    pub(crate) fn accepted(&mut self, now: Time, socket: Socket, address: SocketAddr, ops: &mut Vec<Op>) {
        self.counters.accepted += 1;
        if !self.admit(now, socket, address, ops) {
            return;
        }
        ops.push(Op::ReceiveExact {
            socket,
            len: HANDSHAKE_LEN as u32,
        });
    }

    pub(crate) fn arrived(
        &mut self,
        now: Time,
        socket: Socket,
        address: SocketAddr,
        first: &[u8],
        ops: &mut Vec<Op>,
    ) {
        if !self.admit(now, socket, address, ops) {
            return;
        }
        let handshake = first
            .try_into()
            .ok()
            .and_then(|first| Handshake::parse(first).ok());
        let handshake = handshake.expect("cores hand over connections with a handshake");
        self.introduce(now, socket, &handshake, ops);
    }

    /// Counts a new connection, or refuses it.
    fn admit(&mut self, now: Time, socket: Socket, address: SocketAddr, ops: &mut Vec<Op>) -> bool {
        let deadline = now + self.settings.handshake_timeout;
        self.peers.insert(socket, Peer::Greeting { address, deadline });
        let from_there = self.addresses.entry(address.ip()).or_insert(0);
        *from_there += 1;
        let crowded = *from_there > self.settings.peers_per_address_max && !is_local(address.ip());
        if self.stopping || crowded {
            self.disconnect(now, socket, ops);
            return false;
        }
        if self.peers.len() > self.settings.peers_max as usize {
            // BEP 40: the connection of the lowest priority makes room, be it the new one.
            let priority = self.priority_of(address);
            let lower = self.peers.lowest().filter(|(lowest, _)| *lowest < priority);
            let Some((_, other)) = lower else {
                self.disconnect(now, socket, ops);
                return false;
            };
            self.disconnect(now, other, ops);
        }
        self.wheel.wake(socket, deadline);
        self.greeting.push_back(socket);
        while self.greeting.len() > GREETING_MAX {
            let Some(oldest) = self.greeting.pop_front() else {
                break;
            };
            if matches!(self.peers.get(oldest), Some(Peer::Greeting { .. })) {
                self.disconnect(now, oldest, ops);
            }
        }
        true
    }

    /// The priority of a connection to this address (BEP 40); the lowest as long as no peer said what ours is.
    fn priority_of(&self, address: SocketAddr) -> u32 {
        self.our_ip
            .map_or(0, |ip| peer_priority(SocketAddr::new(ip, 0), address))
    }

    pub(crate) fn accept_paused(&mut self, now: Time) {
        if self.accepting != Accepting::Never {
            self.accepting = Accepting::Again(now + ACCEPT_AGAIN_AFTER);
        }
    }

    /// A whole handshake came.
    pub(crate) fn greeted(&mut self, now: Time, socket: Socket, bytes: Vec<u8>, ops: &mut Vec<Op>) {
        let called = match self.peers.get(socket) {
            Some(Peer::Greeting { .. }) => false,
            Some(Peer::Calling(_)) => true,
            _ => return,
        };
        let parsed = bytes
            .as_slice()
            .try_into()
            .ok()
            .and_then(|bytes| Handshake::parse(bytes).ok());
        let Some(handshake) = parsed else {
            self.violated(now, socket, ops);
            return;
        };
        if called {
            self.answered(now, socket, handshake, ops);
            return;
        }
        let owner = Shard::owner(&handshake.info_hash, self.settings.cores);
        if owner == self.settings.core {
            self.introduce(now, socket, &handshake, ops);
        } else {
            self.forget(socket);
            ops.push(Op::HandOver {
                socket,
                core: owner,
                first: bytes,
            });
        }
    }

    /// Answers a handshake for a torrent of this core, or hangs up.
    fn introduce(&mut self, now: Time, socket: Socket, handshake: &Handshake, ops: &mut Vec<Op>) {
        let Some(Peer::Greeting { address, .. }) = self.peers.get(socket) else {
            return;
        };
        let address = *address;
        let ourselves = handshake.peer_id == self.settings.peer_id;
        let banned = self.banned.has(address, handshake.peer_id);
        if ourselves || banned {
            self.disconnect(now, socket, ops);
            return;
        }
        self.converse(now, socket, address, handshake, false, ops);
    }

    /// Both handshakes are known, ours may have to be sent: says what there is, and listens.
    pub(crate) fn converse(
        &mut self,
        now: Time,
        socket: Socket,
        address: SocketAddr,
        handshake: &Handshake,
        called: bool,
        ops: &mut Vec<Op>,
    ) {
        if self.is_duplicate(now, socket, handshake, called, ops) {
            self.disconnect(now, socket, ops);
            return;
        }
        let priority = self.priority_of(address);
        let Some((id, torrent)) = self.find(handshake.info_hash) else {
            // Not ours, or failed: there is nothing to talk about.
            self.disconnect(now, socket, ops);
            return;
        };
        let common = RESERVED.common(handshake.reserved);
        let pieces = torrent.layout.pieces();
        let mut conversation = Conversation::new(address, handshake.peer_id, id, pieces, common.fast(), now);
        conversation.called = called;
        conversation.priority = priority;
        torrent.peers.insert(socket);
        if let Some(seeding) = torrent.super_seeding.as_deref_mut() {
            conversation.download = Some(Box::new(Download::new(pieces, now)));
            seeding.joined(socket);
        }
        if let Some(fetching) = torrent.fetching.as_deref_mut() {
            conversation.download = Some(Box::new(Download::new(pieces, now)));
            fetching
                .blame
                .meet(socket, address, handshake.peer_id, &torrent.peers);
        }
        // Who super-seeds does not look like a seed.
        let upload_only = torrent.complete && torrent.super_seeding.is_none();
        let info_len = torrent.info.len();
        let mut possession = Vec::new();
        write_possession(torrent, common.fast(), &mut possession);
        let answer = Handshake {
            reserved: RESERVED,
            peer_id: self.settings.peer_id,
            ..*handshake
        };
        if !called {
            conversation.outbox.extend(answer.encode());
        }
        conversation.outbox.append(&mut possession);
        if common.extension() {
            self.write_extension_handshake(address.ip(), upload_only, info_len, &mut conversation.outbox);
        }
        let fetches = conversation.download.is_some();
        if let Some(peer) = self.peers.get(socket) {
            *peer = Peer::Talking(Box::new(conversation));
        }
        let look_after = if fetches {
            LOOK_AFTER_FETCHING
        } else {
            self.settings.handshake_timeout
        };
        self.wheel.wake(socket, now + look_after);
        ops.push(if fetches {
            Op::ReceivePayload { socket }
        } else {
            Op::Receive { socket }
        });
        self.send_next(now, socket, ops);
        self.tell_next(now, id, ops);
    }

    /// Whether a peer of a torrent that is fetched is connected already. When two call each other at the same time
    /// both keep the call of the one with the larger peer id, so that one of the two connections stays.
    fn is_duplicate(
        &mut self,
        now: Time,
        socket: Socket,
        handshake: &Handshake,
        called: bool,
        ops: &mut Vec<Op>,
    ) -> bool {
        let Some((_, torrent)) = self.find(handshake.info_hash) else {
            return false;
        };
        if torrent.fetching.is_none() {
            return false;
        }
        let peers: Vec<Socket> = torrent
            .peers
            .iter()
            .copied()
            .filter(|other| *other != socket)
            .collect();
        let same = peers.into_iter().find_map(|other| {
            let talking = self.peers.talking(other)?;
            (talking.peer_id == handshake.peer_id).then_some((other, talking.called))
        });
        let Some((other, other_called)) = same else {
            return false;
        };
        let ours_stays = self.settings.peer_id.as_bytes() > handshake.peer_id.as_bytes();
        if called == other_called || called != ours_stays {
            return true;
        }
        self.disconnect(now, other, ops);
        false
    }

    fn find(&mut self, info_hash: InfoHash) -> Option<(TorrentId, &mut Active)> {
        let id = self.torrents.find(info_hash)?;
        Some((id, self.torrents.active(id)?))
    }

    fn write_extension_handshake(
        &self,
        their_ip: IpAddr,
        upload_only: bool,
        info_len: usize,
        out: &mut Vec<u8>,
    ) {
        let mut payload = Vec::new();
        ExtensionHandshake {
            client: Some(self.settings.client.clone()),
            requests_len_max: Some(self.settings.requests_per_peer_max),
            your_ip: Some(their_ip),
            upload_only,
            metadata_len: u32::try_from(info_len).ok(),
            messages: ExtensionIds {
                ut_metadata: Some(METADATA_ID),
                upload_only: Some(UPLOAD_ONLY_ID),
                ..ExtensionIds::default()
            },
            ..ExtensionHandshake::default()
        }
        .encode(&mut payload);
        Message::Extended {
            id: HANDSHAKE_ID,
            payload: &payload,
        }
        .encode(out);
    }
}

/// What we have, in the shortest message that says it.
fn write_possession(torrent: &Active, fast: bool, out: &mut Vec<u8>) {
    if torrent.super_seeding.is_some() {
        if fast {
            Message::HaveNone.encode(out);
        }
    } else if fast && torrent.complete {
        Message::HaveAll.encode(out);
    } else if fast && torrent.have.is_none() {
        Message::HaveNone.encode(out);
    } else if !torrent.have.is_none() {
        let mut bits = Vec::new();
        torrent.have.write_wire(&mut bits);
        Message::Bitfield(&bits).encode(out);
    }
}

/// Connections of this machine are its operator's business.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback()
}
