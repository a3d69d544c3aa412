//! Blocks coming in: from a received buffer into their piece's buffer, with one copy.
//!
//! A block is announced by its header and then arrives in portions. Whether it is kept is decided once, at the header:
//! it must be asked for, and nobody else may be delivering it at the moment, because whoever writes last into a block's
//! place must be the one who is blamed for it.

use shoal_proto::layout::{PieceIndex, Span};
use shoal_proto::message::Message;
use shoal_world::{Buffer, Extent, Op, Pool, Socket, Time};

use super::Fetching;
use crate::buffers::{Cut, PieceBuffers};
use crate::download::{Download, Incoming};
use crate::picker;
use crate::shard::Shard;
use crate::torrent::TorrentId;

/// What the bytes of one portion lead to; collected while they are read, done when they were.
#[derive(Debug, Default)]
pub(crate) struct Landed {
    copies: Vec<Copy>,
    /// Blocks that others were asked for as well.
    cancels: Vec<(Socket, Span)>,
    /// Pieces of which all blocks came.
    complete: Vec<PieceIndex>,
    /// Bytes of blocks that nobody needs.
    pub(crate) wasted_bytes: u64,
    /// Bytes of blocks that came, wasted ones included.
    pub(crate) bytes: u64,
}

/// Received bytes and where they belong.
#[derive(Clone, Copy, Debug)]
struct Copy {
    /// First byte in the received buffer.
    start: u32,
    len: u32,
    extent: Extent,
    /// First byte in the extent.
    at: u32,
}

impl Landed {
    /// The header of a block came. False: the peer sends too much that nobody asked for.
    pub(crate) fn block_begins(
        &mut self,
        socket: Socket,
        download: &mut Download,
        fetching: Option<&mut Fetching>,
        block: Span,
    ) -> bool {
        let key = (block.piece(), block.offset());
        let wanted = fetching.is_some_and(|fetching| {
            fetching.picker.was_asked(socket, block) && fetching.arriving.insert(key)
        });
        download.incoming = Some(Incoming {
            block,
            len: 0,
            wanted,
            given_up: false,
        });
        // One that was asked for and is being delivered by another counts as asked for.
        if wanted || download.asked.iter().any(|asked| asked.block == block) {
            return true;
        }
        download.comes_unasked(block);
        download.tolerates_unasked()
    }

    /// Bytes of the block that began, `start` counted in the received buffer.
    pub(crate) fn block_bytes(
        &mut self,
        socket: Socket,
        download: &mut Download,
        fetching: Option<&mut Fetching>,
        place: (&PieceBuffers, Cut<'_>),
        range: std::ops::Range<u32>,
        now: Time,
    ) {
        let Some(mut incoming) = download.incoming else {
            return;
        };
        let (buffers, cut) = place;
        let len = range.end - range.start;
        self.bytes += u64::from(len);
        let buffer = fetching
            .as_ref()
            .filter(|_| incoming.wanted)
            .and_then(|fetching| fetching.buffers.get(&incoming.block.piece()))
            .map(|in_hand| in_hand.buffer);
        if let Some(buffer) = buffer {
            let mut start = range.start;
            buffers.each_spot(buffer, cut, incoming.block.offset() + incoming.len, len, |spot| {
                self.copies.push(Copy {
                    start,
                    len: spot.len,
                    extent: spot.extent,
                    at: spot.start,
                });
                start += spot.len;
            });
        } else {
            incoming.wanted = false;
            self.wasted_bytes += u64::from(len);
        }
        incoming.len += len;
        download.incoming = Some(incoming);
        if incoming.len == incoming.block.len() {
            download.incoming = None;
            download.heard(now, incoming);
            if let Some(fetching) = fetching.filter(|_| !incoming.given_up) {
                self.block_came(now, socket, fetching, incoming);
            }
        }
    }

    fn block_came(&mut self, now: Time, socket: Socket, fetching: &mut Fetching, incoming: Incoming) {
        let Incoming { block, wanted, .. } = incoming;
        let key = (block.piece(), block.offset());
        if !wanted {
            // While somebody else delivers it, it stays asked of this peer as well, or it would be asked for it again and
            // again, as fast as it answers, until the slower one is done: see `free_place`.
            if !fetching.arriving.contains(&key) {
                fetching.picker.abandoned(socket, block);
            }
            return;
        }
        fetching.arriving.remove(&key);
        if let Some(in_hand) = fetching.buffers.get_mut(&block.piece()) {
            in_hand.touched_at = now;
        }
        let others = match fetching.picker.landed(socket, block) {
            picker::Landed::Unasked => {
                self.wasted_bytes += u64::from(block.len());
                return;
            }
            picker::Landed::Taken { others } => others,
            picker::Landed::Complete { others } => {
                self.complete.push(block.piece());
                others
            }
        };
        self.cancels
            .extend(others.into_iter().map(|other| (other, block)));
    }
}

impl Shard {
    /// Copies what came, before its buffer is given back.
    pub(crate) fn store_landed(landed: &Landed, buffer: Buffer, pool: &mut dyn Pool) {
        for copy in &landed.copies {
            pool.store(buffer, copy.start, copy.len, copy.extent, copy.at);
        }
    }

    /// What follows from what came.
    pub(crate) fn after_landing(
        &mut self,
        now: Time,
        id: TorrentId,
        socket: Socket,
        landed: &mut Landed,
        ops: &mut Vec<Op>,
    ) {
        if landed.bytes > 0 {
            self.counters.downloaded_bytes += landed.bytes;
            self.counters.wasted_bytes += landed.wasted_bytes;
            if let Some(active) = self.torrents.active(id) {
                active.downloaded_bytes += landed.bytes;
            }
            if let Some(download) = self.peers.download(socket) {
                download.count(now, landed.bytes);
            }
            self.queue_asking(socket);
        }
        for (other, block) in std::mem::take(&mut landed.cancels) {
            self.cancel(now, other, block, ops);
        }
        for piece in std::mem::take(&mut landed.complete) {
            self.hash_piece(id, piece, ops);
        }
        landed.copies.clear();
        landed.bytes = 0;
        landed.wasted_bytes = 0;
    }

    /// The rest of a block is not waited for any more, and may come all the same: somebody else may write into its place.
    /// Which one.
    pub(crate) fn give_up_arriving(&mut self, socket: Socket) -> Option<Span> {
        let conversation = self.peers.talking(socket)?;
        let id = conversation.torrent;
        let download = conversation.download.as_mut()?;
        download.incoming.filter(|incoming| incoming.wanted)?;
        let block = download.give_up_incoming()?;
        self.free_place(id, block);
        Some(block)
    }

    /// Nobody writes into a block's place any more: whoever is not going to send it, because it did while the place was
    /// taken, may be asked for it again.
    pub(crate) fn free_place(&mut self, id: TorrentId, block: Span) {
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        let Some(fetching) = active.fetching.as_deref_mut() else {
            return;
        };
        fetching.arriving.remove(&(block.piece(), block.offset()));
        for socket in active.peers.iter().copied() {
            let sends = self
                .peers
                .download(socket)
                .is_some_and(|download| download.asked.iter().any(|asked| asked.block == block));
            if !sends {
                fetching.picker.abandoned(socket, block);
            }
        }
        self.queue_others(id, None);
    }

    /// Takes a request back that somebody else has answered.
    fn cancel(&mut self, now: Time, socket: Socket, block: Span, ops: &mut Vec<Op>) {
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        let Some(download) = conversation.download.as_mut() else {
            return;
        };
        if download.arriving() == Some(block) || !download.forget(block) {
            return;
        }
        // BEP 6 peers answer a cancel by the block or a reject, others by the block or nothing.
        download.may_come(1);
        Message::Cancel(block.into()).encode(&mut conversation.outbox);
        self.settle_owed(now, socket);
        self.queue_asking(socket);
        self.send_next(now, socket, ops);
    }
}
