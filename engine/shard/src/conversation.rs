//! What peers say, and what follows from it.
//!
//! Bytes become messages, messages change the conversation; whatever BEP 3, 6, 10 or 21 forbids ends it. A seed
//! asks for nothing, so blocks and rejects that come are violations; where something is fetched, blocks are not
//! collected but copied to their pieces as they arrive (`fetching`). Requests wait in a queue of bounded length; what
//! exceeds it, or comes while choked, is refused (BEP 6: by a reject; without it, by silence).

use std::net::IpAddr;

use shoal_proto::bitfield::Bitfield;
use shoal_proto::extension::{ExtensionHandshake, HANDSHAKE_ID};
use shoal_proto::layout::PieceIndex;
use shoal_proto::message::{BlockRequest, Decoder, Message, Part};
use shoal_proto::metadata::{self, MetadataMessage};
use shoal_world::{Buffer, Op, Pool, Socket, Time};

use crate::buffers::{Cut, PieceBuffers};
use crate::choker::Change;
use crate::download::Download;
use crate::fetching::Landed;
use crate::greeting::{METADATA_ID, UPLOAD_ONLY_ID};
use crate::limits::{METADATA_REQUESTS_MAX, OUTBOX_LEN_MAX, REFUSED_MAX};
use crate::peer::{Conversation, Peer, Run, Transmission, Upload};
use crate::shard::{Accepting, Shard};
use crate::torrent::Active;

/// Why a conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer broke the protocol.
    Violation,
    /// Both sides have everything.
    Redundant,
}

/// Messages of one peer on their way into its conversation.
struct Listener<'a> {
    socket: Socket,
    conversation: &'a mut Conversation,
    torrent: &'a mut Active,
    buffers: &'a PieceBuffers,
    landed: &'a mut Landed,
    now: Time,
    /// Our address as the peer sees it.
    your_ip: Option<IpAddr>,
    requests_max: usize,
    refused: u64,
    /// What the peer has or wants of us changed.
    review: bool,
    /// What was asked of the peer may be asked of others.
    take_back: bool,
    /// A part of it may be.
    given_up: bool,
}

/// What follows from messages besides what they changed in their conversation.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    review: bool,
    take_back: bool,
    given_up: bool,
}

impl Shard {
    pub(crate) fn received(
        &mut self,
        now: Time,
        socket: Socket,
        buffer: Buffer,
        pool: &mut dyn Pool,
        ops: &mut Vec<Op>,
    ) {
        let mut landed = std::mem::take(&mut self.landed);
        let torrent = self.peers.talking(socket).map(|talking| talking.torrent);
        let heard = self.hear(now, socket, pool.received(buffer), &mut landed);
        Shard::store_landed(&landed, buffer, pool);
        pool.release(buffer);
        if let Some(torrent) = torrent {
            self.after_landing(now, torrent, socket, &mut landed, ops);
        }
        self.landed = landed;
        match heard {
            Ok(heard) => {
                if heard.take_back {
                    self.take_back(socket);
                }
                self.settle_owed(now, socket);
                if heard.given_up
                    && let Some(torrent) = torrent
                {
                    self.queue_others(torrent, Some(socket));
                }
                if heard.review {
                    self.review_interest(now, socket, ops);
                }
                if let Some(torrent) = torrent {
                    self.tell_next(now, torrent, ops);
                }
                self.propose(now, socket, ops);
                self.weigh_interest(now, socket, ops);
                self.queue_turn(socket);
                self.send_next(now, socket, ops);
            }
            Err(End::Violation) => self.violated(now, socket, ops),
            Err(End::Redundant) => self.disconnect(now, socket, ops),
        }
    }

    /// Takes all messages out of some bytes.
    fn hear(
        &mut self,
        now: Time,
        socket: Socket,
        mut bytes: &[u8],
        landed: &mut Landed,
    ) -> Result<Heard, End> {
        let Some(conversation) = self.peers.talking(socket) else {
            return Ok(Heard::default());
        };
        let Some(torrent) = self.torrents.active(conversation.torrent) else {
            return Ok(Heard::default());
        };
        let total = bytes.len();
        conversation.received_at = now;
        // The decoder lends out its messages, so it stands beside the conversation while they are taken in.
        let idle = Decoder::new(torrent.layout.pieces());
        let mut decoder = std::mem::replace(&mut conversation.decoder, idle);
        let requests_max = self.settings.requests_per_peer_max as usize;
        let mut listener = Listener {
            socket,
            conversation,
            torrent,
            buffers: &self.buffers,
            landed,
            now,
            your_ip: None,
            requests_max,
            refused: 0,
            review: false,
            take_back: false,
            given_up: false,
        };
        let mut outcome = Ok(());
        while outcome.is_ok() {
            outcome = match decoder.next_part(&mut bytes) {
                Ok(Some(Part::Message(message))) => listener.take(message),
                Ok(Some(Part::BlockBegins { index, begin, len })) => listener.block_begins(index, begin, len),
                Ok(Some(Part::BlockBytes(portion))) => {
                    let end = (total - bytes.len()) as u32;
                    listener.block_bytes(end - portion.len() as u32..end)
                }
                Ok(None) => break,
                Err(_) => Err(End::Violation),
            };
        }
        self.counters.refused += listener.refused;
        self.our_ip = listener.your_ip.or(self.our_ip);
        listener.conversation.decoder = decoder;
        let heard = Heard {
            review: listener.review,
            take_back: listener.take_back,
            given_up: listener.given_up,
        };
        outcome.map(|()| heard)
    }

    /// Tells the choker when a peer's interest changed.
    fn weigh_interest(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) {
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        if conversation.interested == conversation.weighed {
            return;
        }
        conversation.weighed = conversation.interested;
        let (id, interested) = (conversation.torrent, conversation.interested);
        if !interested {
            self.change(now, Change::Choke(socket), ops);
        }
        let Some(torrent) = self.torrents.active(id) else {
            return;
        };
        let choker = &mut torrent.choker;
        let change = if interested {
            choker.interested(socket)
        } else {
            choker.leaves(socket)
        };
        if choker.has_waiting() {
            self.rotating.insert(id);
        }
        if let Some(change) = change {
            self.change(now, change, ops);
        }
    }

    /// Carries out what the choker decided.
    pub(crate) fn change(&mut self, now: Time, change: Change, ops: &mut Vec<Op>) {
        let (Change::Unchoke(socket) | Change::Choke(socket)) = change;
        let unchoked = change == Change::Unchoke(socket);
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        if conversation.unchoked == unchoked {
            return;
        }
        conversation.unchoked = unchoked;
        if unchoked {
            conversation.uploaded_before = conversation.uploaded_bytes;
            Message::Unchoke.encode(&mut conversation.outbox);
        } else {
            Message::Choke.encode(&mut conversation.outbox);
            let (id, proposed) = (conversation.torrent, std::mem::take(&mut conversation.proposed));
            self.take_proposals_back(id, &proposed);
            self.put_back_planned(socket, ops);
            let Some(conversation) = self.peers.talking(socket) else {
                return;
            };
            let requests = std::mem::take(&mut conversation.requests);
            // BEP 6: a choke does not answer requests, each is rejected by itself.
            for span in requests.into_iter().filter(|_| conversation.fast) {
                Message::Reject(span.into()).encode(&mut conversation.outbox);
            }
        }
        if self
            .peers
            .talking(socket)
            .is_some_and(|talking| talking.outbox.len() > OUTBOX_LEN_MAX)
        {
            self.violated(now, socket, ops);
            return;
        }
        self.send_next(now, socket, ops);
        self.propose(now, socket, ops);
    }

    pub(crate) fn receive_ended(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) {
        if !matches!(self.peers.get(socket), None | Some(Peer::Closing { .. })) {
            self.disconnect(now, socket, ops);
        }
    }

    pub(crate) fn violated(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) {
        self.counters.violations += 1;
        self.disconnect(now, socket, ops);
    }

    /// Ends a connection that is not ending already, and lets go of all that was held for it.
    pub(crate) fn disconnect(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) {
        let Some(peer) = self.peers.get(socket) else {
            return;
        };
        let address = match peer {
            Peer::Greeting { address, .. } => *address,
            Peer::Calling(called) => called.address,
            Peer::Talking(conversation) => conversation.address,
            Peer::Closing { .. } => return,
        };
        let before = std::mem::replace(peer, Peer::Closing { address, held: None });
        ops.push(Op::Close { socket });
        match before {
            Peer::Talking(conversation) => self.leave(now, socket, *conversation, ops),
            Peer::Calling(called) => {
                if let Some(Peer::Closing { held, .. }) = self.peers.get(socket) {
                    *held = called.sending;
                }
                self.call_ended(now, called.info_hash, address);
            }
            Peer::Greeting { .. } | Peer::Closing { .. } => {}
        }
    }

    /// A conversation is over; only a send that is under way keeps what it needs.
    fn leave(&mut self, now: Time, socket: Socket, conversation: Conversation, ops: &mut Vec<Op>) {
        let mut change = None;
        self.take_proposals_back(conversation.torrent, &conversation.proposed);
        if let Some(download) = &conversation.download {
            self.stop_fetching_from(conversation.torrent, socket, download);
            let owed = download.owed_at_the_end();
            self.charge_owed(now, conversation.torrent, conversation.address.ip(), owed);
        }
        if let Some(torrent) = self.torrents.active(conversation.torrent) {
            torrent.peers.remove(&socket);
            if let Some(seeding) = torrent.super_seeding.as_deref_mut() {
                seeding.left(socket);
            }
            if conversation.called {
                let download = conversation.download.as_deref();
                if download.is_some_and(|download| download.downloaded_bytes > 0) {
                    torrent.candidates.was_useful(conversation.address);
                }
                torrent.candidates.ended(now, conversation.address);
                self.call_at = Some(now);
            }
            change = if conversation.weighed {
                torrent.choker.leaves(socket)
            } else {
                None
            };
        }
        for run in conversation.planned {
            self.release(run.source, ops);
        }
        match conversation.upload {
            Upload::Idle => {}
            Upload::Sending(transmission) => {
                if let Some(Peer::Closing { held, .. }) = self.peers.get(socket) {
                    *held = Some(transmission);
                }
            }
            Upload::Blocked(rest) | Upload::Resuming(rest) => self.release_transmission(rest, ops),
        }
        if let Some(change) = change {
            self.change(now, change, ops);
        }
    }

    pub(crate) fn release_transmission(&mut self, transmission: Transmission, ops: &mut Vec<Op>) {
        if let Some(Run { source, .. }) = transmission.run {
            self.release(source, ops);
        }
    }

    /// The world let go of a connection.
    pub(crate) fn closed(&mut self, socket: Socket, ops: &mut Vec<Op>) {
        if let Some(Peer::Closing {
            held: Some(transmission),
            ..
        }) = self.peers.get(socket)
        {
            panic!(
                "a connection closed while a send of {} bytes was under way",
                transmission.len()
            );
        }
        self.forget(socket);
        if matches!(self.accepting, Accepting::Again(_)) {
            self.accepting = Accepting::Yes;
            ops.push(Op::Accept);
        }
        self.tell_if_stopped();
    }

    /// Takes a connection out of all counts.
    pub(crate) fn forget(&mut self, socket: Socket) {
        let address = match self.peers.remove(socket) {
            Some(Peer::Greeting { address, .. } | Peer::Closing { address, .. }) => address,
            Some(Peer::Talking(conversation)) => conversation.address,
            Some(Peer::Calling(called)) => called.address,
            None => return,
        };
        if let Some(count) = self.addresses.get_mut(&address.ip()) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address.ip());
            }
        }
    }
}

impl Listener<'_> {
    fn take(&mut self, message: Message<'_>) -> Result<(), End> {
        match message {
            Message::KeepAlive | Message::Port(_) => Ok(()),
            Message::Choke => self.choke(true),
            Message::Unchoke => self.choke(false),
            Message::Interested => self.interested(true),
            Message::NotInterested => self.interested(false),
            Message::Have(piece) => self.have(piece),
            Message::Bitfield(bits) => self.bitfield(bits),
            Message::HaveAll => self.fast_introduction(Bitfield::all),
            Message::HaveNone => self.fast_introduction(Bitfield::none),
            Message::Request(block) => self.request(block),
            Message::Cancel(block) => self.cancel(block),
            Message::Suggest(piece) => self.hint(piece, |download| &mut download.suggested),
            Message::AllowedFast(piece) => self.hint(piece, |download| &mut download.allowed),
            Message::Reject(block) => self.rejected(block),
            Message::Piece { .. } => unreachable!("the decoder hands blocks on in parts"),
            Message::Extended { id, payload } => self.extended(id, payload),
        }
    }

    fn interested(&mut self, interested: bool) -> Result<(), End> {
        self.conversation.interested = interested;
        Ok(())
    }

    fn have(&mut self, piece: u32) -> Result<(), End> {
        let piece = self.torrent.layout.piece(piece).ok_or(End::Violation)?;
        self.conversation.introduced = true;
        let Some(download) = self.conversation.download.as_deref_mut() else {
            return self.possesses(self.conversation.pieces.saturating_add(1));
        };
        if download.pieces.set(piece) {
            if let Some(fetching) = self.torrent.fetching.as_deref_mut() {
                fetching.picker.peer_has(piece);
                self.review |= fetching.picker.wants(piece);
            }
            if let Some(seeding) = self.torrent.super_seeding.as_deref_mut() {
                seeding.seen(self.socket, piece);
            }
        }
        let count = download.pieces.count();
        self.possesses(count)
    }

    fn bitfield(&mut self, bits: &[u8]) -> Result<(), End> {
        // BEP 3 wants it first, but aria2 (1.36) sends another one in place of many haves, also after a have-none: it
        // counts whenever it comes.
        let bits = Bitfield::from_wire(bits, self.torrent.layout.pieces()).map_err(|_| End::Violation)?;
        self.conversation.introduced = true;
        self.possesses_all_of(bits)
    }

    /// BEP 6: have-all and have-none are said once, before anything that depends on them.
    fn fast_introduction(&mut self, bits: fn(u32) -> Bitfield) -> Result<(), End> {
        if !self.conversation.fast || self.conversation.introduced {
            return Err(End::Violation);
        }
        self.conversation.introduced = true;
        self.possesses_all_of(bits(self.torrent.layout.pieces()))
    }

    /// The peer says what it has, in place of what it said before.
    fn possesses_all_of(&mut self, bits: Bitfield) -> Result<(), End> {
        let count = bits.count();
        if let Some(download) = self.conversation.download.as_deref_mut() {
            if let Some(fetching) = self.torrent.fetching.as_deref_mut() {
                fetching.picker.peer_left(&download.pieces);
                fetching.picker.peer_joined(&bits);
            }
            if let Some(seeding) = self.torrent.super_seeding.as_deref_mut() {
                let fresh = bits.present().filter(|piece| !download.pieces.has(*piece));
                fresh.for_each(|piece| seeding.seen(self.socket, piece));
            }
            download.pieces = bits;
            self.review = true;
        }
        self.possesses(count)
    }

    fn choke(&mut self, choked: bool) -> Result<(), End> {
        let Some(download) = self.conversation.download.as_deref_mut() else {
            return Ok(());
        };
        download.choked = choked;
        // BEP 6: with it every request is answered, by the block or a reject; without it a choke takes them all back.
        if choked && !self.conversation.fast {
            download.refuse_all();
            self.take_back = true;
        }
        self.review |= !choked;
        Ok(())
    }

    fn block_begins(&mut self, index: u32, begin: u32, len: u32) -> Result<(), End> {
        let block = self
            .torrent
            .layout
            .span(index, begin, len)
            .ok_or(End::Violation)?;
        // A seed asks for nothing.
        let download = self.conversation.download.as_deref_mut().ok_or(End::Violation)?;
        let fetching = self.torrent.fetching.as_deref_mut();
        if self.landed.block_begins(self.socket, download, fetching, block) {
            Ok(())
        } else {
            Err(End::Violation)
        }
    }

    fn block_bytes(&mut self, range: std::ops::Range<u32>) -> Result<(), End> {
        let download = self.conversation.download.as_deref_mut().ok_or(End::Violation)?;
        let id = self.conversation.torrent;
        let Active {
            layout,
            files,
            fetching,
            ..
        } = &mut *self.torrent;
        let cut = Cut { id, layout, files };
        let place = (self.buffers, cut);
        self.landed.block_bytes(
            self.socket,
            download,
            fetching.as_deref_mut(),
            place,
            range,
            self.now,
        );
        Ok(())
    }

    /// A request of ours was refused.
    fn rejected(&mut self, block: BlockRequest) -> Result<(), End> {
        let block = block.span(&self.torrent.layout).ok_or(End::Violation)?;
        // A seed asks for nothing (BEP 6: a reject of what was not asked for ends the connection).
        let download = self.conversation.download.as_deref_mut().ok_or(End::Violation)?;
        if !download.forget(block) {
            return if download.tolerates_unasked() {
                Ok(())
            } else {
                Err(End::Violation)
            };
        }
        download.allowed.retain(|piece| *piece != block.piece());
        if let Some(fetching) = self.torrent.fetching.as_deref_mut() {
            fetching.picker.abandoned(self.socket, block);
        }
        // Who refuses while it serves us is asked again when something of it came, or the next time it is looked at; until
        // then others get a chance, or two who refuse and are asked again at once keep a block from everybody else.
        download.refused = true;
        self.given_up = true;
        Ok(())
    }

    fn possesses(&mut self, pieces: u32) -> Result<(), End> {
        self.conversation.pieces = pieces;
        if self.torrent.complete && pieces >= self.torrent.layout.pieces() {
            Err(End::Redundant)
        } else {
            Ok(())
        }
    }

    fn request(&mut self, block: BlockRequest) -> Result<(), End> {
        let span = block.span(&self.torrent.layout).ok_or(End::Violation)?;
        self.conversation.introduced = true;
        self.conversation.cancellable = self.conversation.cancellable.saturating_add(1);
        let full = self.conversation.requests.len() >= self.requests_max;
        if full || !self.conversation.unchoked || !self.torrent.have.has(span.piece()) {
            return self.refuse(block);
        }
        self.conversation.refused = 0;
        self.conversation.proposed.retain(|piece| *piece != span.piece());
        if let Some(suggestions) = self.torrent.suggestions.as_deref_mut() {
            suggestions.asked(span.piece());
        }
        self.conversation.requests.push_back(span);
        Ok(())
    }

    fn cancel(&mut self, block: BlockRequest) -> Result<(), End> {
        let span = block.span(&self.torrent.layout).ok_or(End::Violation)?;
        // More cancels than requests are noise, and not worth searching the queue for.
        let Some(left) = self.conversation.cancellable.checked_sub(1) else {
            return Ok(());
        };
        self.conversation.cancellable = left;
        let Some(place) = self
            .conversation
            .requests
            .iter()
            .position(|queued| *queued == span)
        else {
            // It was sent, is being read, or was never asked for: nothing to take back.
            return Ok(());
        };
        self.conversation.requests.remove(place);
        // BEP 6: a cancelled request is answered all the same.
        self.reject(block)
    }

    fn refuse(&mut self, block: BlockRequest) -> Result<(), End> {
        self.refused += 1;
        self.conversation.refused += 1;
        if self.conversation.refused > REFUSED_MAX {
            Err(End::Violation)
        } else {
            self.reject(block)
        }
    }

    fn reject(&mut self, block: BlockRequest) -> Result<(), End> {
        if self.conversation.fast {
            Message::Reject(block).encode(&mut self.conversation.outbox);
        }
        if self.conversation.outbox.len() > OUTBOX_LEN_MAX {
            Err(End::Violation)
        } else {
            Ok(())
        }
    }

    fn hint(&mut self, piece: u32, hints: fn(&mut Download) -> &mut Vec<PieceIndex>) -> Result<(), End> {
        let piece = self.torrent.layout.piece(piece).ok_or(End::Violation)?;
        if !self.conversation.fast {
            return Err(End::Violation);
        }
        if let Some(download) = self.conversation.download.as_deref_mut() {
            Download::note_hint(hints(download), piece);
            self.review = true;
        }
        Ok(())
    }

    fn extended(&mut self, id: u8, payload: &[u8]) -> Result<(), End> {
        if id == METADATA_ID.get() {
            return self.metadata(payload);
        }
        if id == UPLOAD_ONLY_ID.get() {
            return self.upload_only(payload.first().is_some_and(|only| *only != 0));
        }
        if id != HANDSHAKE_ID {
            return Ok(());
        }
        let handshake = ExtensionHandshake::parse(payload).map_err(|_| End::Violation)?;
        self.conversation.metadata_id = handshake.messages.ut_metadata;
        if let (Some(requests), Some(download)) = (
            handshake.requests_len_max,
            self.conversation.download.as_deref_mut(),
        ) {
            download.set_requests_max(requests);
        }
        if let Some(client) = handshake.client {
            self.conversation.client = Some(client.into());
        }
        self.your_ip = handshake.your_ip;
        self.conversation.upload_only_id = handshake.messages.upload_only;
        self.upload_only(handshake.upload_only)
    }

    /// BEP 21: a peer fetches nothing, now or any more.
    fn upload_only(&mut self, only: bool) -> Result<(), End> {
        self.conversation.upload_only = only;
        // Neither side would ever ask the other for anything.
        if only && self.torrent.complete {
            Err(End::Redundant)
        } else {
            Ok(())
        }
    }

    /// BEP 9: what a peer with only a magnet link asks for.
    fn metadata(&mut self, payload: &[u8]) -> Result<(), End> {
        let message = MetadataMessage::parse(payload).map_err(|_| End::Violation)?;
        let Some(MetadataMessage::Request { piece }) = message else {
            return Ok(());
        };
        let exists = metadata::piece_range(piece, self.torrent.info.len()).is_some();
        if exists && self.conversation.metadata_requests.len() < METADATA_REQUESTS_MAX {
            self.conversation.metadata_requests.push_back(piece);
            return Ok(());
        }
        self.conversation.say_metadata(MetadataMessage::Reject { piece });
        if self.conversation.outbox.len() > OUTBOX_LEN_MAX {
            Err(End::Violation)
        } else {
            Ok(())
        }
    }
}

impl Conversation {
    /// Puts a metadata message behind the others, if the peer takes such messages.
    pub(crate) fn say_metadata(&mut self, message: MetadataMessage<'_>) {
        if let Some(id) = self.metadata_id {
            let mut payload = Vec::new();
            message.encode(&mut payload);
            Message::Extended {
                id: id.get(),
                payload: &payload,
            }
            .encode(&mut self.outbox);
        }
    }
}
