//! Sends: what goes out next, and what the socket made of it.

use shoal_proto::message::piece_header;
use shoal_proto::metadata::{self, MetadataMessage};
use shoal_world::{Errno, Extent, Gather, Op, Socket, Time};

use super::plan::Wanted;
use super::{Fill, all_valid};
use crate::cache::Cache;
use crate::hot::{FrameKey, blocks_of};
use crate::limits::{RUN_BLOCKS_MAX, RUN_BLOCKS_MIN};
use crate::peer::{Conversation, Peer, Run, Source, Transmission, Upload};
use crate::shard::Shard;
use crate::torrent::TorrentId;

/// Zeroes for padding: as many as one block can hold.
static ZEROES: [u8; 128 * 1024] = [0; 128 * 1024];

impl Conversation {
    /// Puts the next piece of the `info` dictionary into an outbox that is empty: one at a time, so that they wait
    /// as numbers and not as bytes.
    fn write_metadata(&mut self, info: &[u8]) {
        if !self.outbox.is_empty() {
            return;
        }
        let Some(piece) = self.metadata_requests.pop_front() else {
            return;
        };
        let range = metadata::piece_range(piece, info.len()).expect("only pieces that exist are queued");
        self.say_metadata(MetadataMessage::Data {
            piece,
            total_len: info.len() as u32,
            data: &info[range],
        });
    }

    /// What is to go out next, if it is there: the rest of what was begun, else control messages and the first run, if one
    /// may begin.
    fn next_transmission(&mut self, ready: impl Fn(&Run) -> bool, may_begin: bool) -> Option<Transmission> {
        match std::mem::replace(&mut self.upload, Upload::Idle) {
            Upload::Idle => {}
            Upload::Resuming(rest) if rest.run.as_ref().is_none_or(&ready) => return Some(rest),
            other => {
                self.upload = other;
                return None;
            }
        }
        let control = std::mem::take(&mut self.outbox);
        // A framed run goes out by itself: it is not gathered.
        let along = |run: &Run| control.is_empty() || matches!(run.source, Source::Arena { .. });
        let run = match self.planned.front() {
            Some(run) if may_begin && ready(run) && along(run) => self.planned.pop_front(),
            _ => None,
        };
        let nothing = control.is_empty() && run.is_none();
        (!nothing).then_some(Transmission {
            control,
            run,
            sent: 0,
        })
    }
}

impl Shard {
    /// Sends what is ready for a peer, unless a send is under way.
    pub(crate) fn send_next(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) {
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        if let Some(active) = self.torrents.get(conversation.torrent) {
            conversation.write_metadata(&active.info);
        }
        let (torrent, ip) = (conversation.torrent, conversation.address.ip());
        let begins = matches!(conversation.upload, Upload::Idle)
            && conversation
                .planned
                .front()
                .is_some_and(|run| is_ready(&self.cache, run));
        let opens_at = if begins {
            self.upload_opens_at(now, torrent, ip)
        } else {
            None
        };
        if let Some(at) = opens_at {
            self.wait_until_open(socket, at);
        }
        let cache = &self.cache;
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        let Some(mut transmission) =
            conversation.next_transmission(|run| is_ready(cache, run), opens_at.is_none())
        else {
            return;
        };
        if let Some(run) = transmission.run.as_ref().filter(|_| begins)
            && let Some(gate) = self.upload_gate(torrent, ip)
        {
            gate.charge(now, run.payload_len().into());
        }
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        conversation.stalled_since.get_or_insert(now);
        if let Some(Run {
            source: Source::Arena { needs, promote },
            ..
        }) = &mut transmission.run
            && let Some(key) = promote.take()
        {
            let needs = std::mem::take(needs);
            self.promote(key, &needs, ops);
            if let Some(Run {
                source: Source::Arena { needs: place, .. },
                ..
            }) = &mut transmission.run
            {
                *place = needs;
            }
        }
        ops.push(self.send_op(socket, torrent, &transmission));
        if let Some(conversation) = self.peers.talking(socket) {
            conversation.upload = Upload::Sending(transmission);
        }
        // The place of the run that goes out is free for another to be read ahead.
        self.queue_turn(socket);
    }

    fn send_op(&mut self, socket: Socket, torrent: TorrentId, transmission: &Transmission) -> Op {
        if let Some(Run {
            source: Source::Framed { frame, start },
            ..
        }) = transmission.run
        {
            let left = transmission.len() - transmission.sent;
            return Op::SendFramed {
                socket,
                frame,
                start: start + transmission.sent,
                len: left,
            };
        }
        let mut gather = Skipping {
            gather: Box::default(),
            skip: transmission.sent,
        };
        gather.bytes(&transmission.control);
        if let Some(run) = &transmission.run {
            let Source::Arena { needs, .. } = &run.source else {
                panic!("a run is gathered from the arena");
            };
            let mut needs = Pinned { needs, next: 0 };
            for block in &run.blocks {
                self.gather_block(torrent, *block, &mut needs, &mut gather);
            }
        }
        Op::Send {
            socket,
            gather: gather.gather,
        }
    }

    /// The message of one block: its header, then the pages that hold it. They are pinned and valid.
    fn gather_block(
        &mut self,
        torrent: TorrentId,
        block: shoal_proto::layout::Span,
        needs: &mut Pinned<'_>,
        gather: &mut Skipping,
    ) {
        gather.bytes(&piece_header(block.piece().get(), block.offset(), block.len()));
        if gather.skip >= block.len() {
            gather.skip -= block.len();
            return;
        }
        let active = self
            .torrents
            .active(torrent)
            .expect("what is sent belongs to a torrent that is served");
        for stretch in active.stretches(active.layout.offset(block), u64::from(block.len())) {
            match stretch {
                Ok(stretch) => {
                    let extent = needs.extent_of(stretch.extent);
                    gather.extent(extent, stretch.start, stretch.len);
                }
                Err(padding) => gather.bytes(&ZEROES[..padding.len as usize]),
            }
        }
    }

    /// Writes the framed extent for blocks whose pages are all there.
    fn promote(&mut self, key: FrameKey, needs: &[Wanted], ops: &mut Vec<Op>) {
        let Some((frame, discard)) = self.hot.start_filling(key) else {
            return;
        };
        if discard {
            ops.push(Op::Discard { frame });
        }
        let Some(active) = self.torrents.active(key.torrent) else {
            return;
        };
        let blocks: Vec<_> = blocks_of(&active.layout, key.index).collect();
        let mut gather = Skipping {
            gather: Box::default(),
            skip: 0,
        };
        let mut in_order = Pinned { needs, next: 0 };
        for block in blocks {
            self.gather_block(key.torrent, block, &mut in_order, &mut gather);
        }
        let pinned: Vec<_> = needs.iter().map(|wanted| wanted.need.extent).collect();
        for extent in &pinned {
            self.cache.pin_again(*extent);
        }
        self.fills.insert(
            frame,
            Fill {
                pinned,
                len: gather.gather.len(),
            },
        );
        ops.push(Op::Fill {
            frame,
            gather: gather.gather,
        });
    }

    /// A send ended; the socket took all, a part, or failed.
    pub(crate) fn sent(&mut self, now: Time, socket: Socket, result: Result<u32, Errno>, ops: &mut Vec<Op>) {
        let conversation = match self.peers.get(socket) {
            Some(Peer::Talking(conversation)) => conversation,
            Some(Peer::Calling(_)) => {
                self.called(now, socket, result, ops);
                return;
            }
            Some(Peer::Closing { held, .. }) => {
                let transmission = held.take().expect("a send ended that nobody started");
                self.release_transmission(transmission, ops);
                return;
            }
            _ => panic!("a send ended that nobody started"),
        };
        let Upload::Sending(mut transmission) = std::mem::replace(&mut conversation.upload, Upload::Idle)
        else {
            panic!("a send ended that nobody started");
        };
        let Ok(took) = result else {
            self.release_transmission(transmission, ops);
            self.disconnect(now, socket, ops);
            return;
        };
        transmission.sent += took;
        if took > 0 {
            conversation.sent_at = now;
            conversation.stalled_since = Some(now);
        }
        if transmission.sent == transmission.len() {
            self.sent_all(now, socket, transmission, ops);
        } else {
            self.sent_part(socket, transmission, ops);
        }
    }

    fn sent_all(&mut self, now: Time, socket: Socket, transmission: Transmission, ops: &mut Vec<Op>) {
        if let Some(conversation) = self.peers.talking(socket) {
            conversation.stalled_since = None;
        }
        if let Some(run) = &transmission.run {
            self.count_run(now, socket, run);
        }
        self.release_transmission(transmission, ops);
        self.queue_turn(socket);
        self.queue_asking(socket);
        self.send_next(now, socket, ops);
    }

    /// A whole run went out: it counts, and the next may be larger.
    fn count_run(&mut self, now: Time, socket: Socket, run: &Run) {
        let payload = u64::from(run.payload_len());
        self.counters.uploaded_bytes += payload;
        if matches!(run.source, Source::Framed { .. }) {
            self.counters.uploaded_framed_bytes += payload;
        }
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        conversation.uploaded_bytes += payload;
        conversation.upload_rate.add(now, payload);
        conversation.run_blocks = (conversation.run_blocks * 2).min(RUN_BLOCKS_MAX);
        if let Some(active) = self.torrents.active(conversation.torrent) {
            active.uploaded_bytes += payload;
        }
    }

    /// The socket is full. Nothing stays pinned for it: what is left is found again when it takes more.
    fn sent_part(&mut self, socket: Socket, mut transmission: Transmission, ops: &mut Vec<Op>) {
        self.put_back_planned(socket, ops);
        let control_len = transmission.control.len() as u32;
        let mut run = transmission.run.take();
        if let Some(run) = &mut run {
            let source = std::mem::replace(&mut run.source, Source::Unplanned);
            self.release(source, ops);
        }
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        conversation.run_blocks = (conversation.run_blocks / 2).max(RUN_BLOCKS_MIN);
        let rest = if transmission.sent < control_len {
            // Nothing of the run has gone: it waits among the requests again, behind the control messages.
            for block in run.into_iter().flat_map(|run| run.blocks).rev() {
                conversation.requests.push_front(block);
            }
            Transmission {
                control: transmission.control.split_off(transmission.sent as usize),
                run: None,
                sent: 0,
            }
        } else {
            Transmission {
                control: Vec::new(),
                run,
                sent: transmission.sent - control_len,
            }
        };
        conversation.upload = Upload::Blocked(rest);
        ops.push(Op::AwaitWritable { socket });
    }

    /// The socket takes bytes again.
    pub(crate) fn writable(&mut self, now: Time, socket: Socket, ops: &mut Vec<Op>) {
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        match std::mem::replace(&mut conversation.upload, Upload::Idle) {
            Upload::Blocked(rest) => {
                conversation.upload = Upload::Resuming(rest);
                // From here on it waits for us.
                conversation.stalled_since = None;
            }
            other => conversation.upload = other,
        }
        self.queue_turn(socket);
        self.send_next(now, socket, ops);
    }
}

/// Whether everything that a run is sent from is there.
fn is_ready(cache: &Cache, run: &Run) -> bool {
    match &run.source {
        Source::Unplanned => false,
        Source::Arena { needs, .. } => all_valid(cache, needs),
        Source::Framed { .. } => true,
    }
}

/// The extents of a run, looked up in the order in which its blocks need them. The cache may have others by now, which
/// hold what was written to the same places since.
struct Pinned<'a> {
    needs: &'a [Wanted],
    next: usize,
}

impl Pinned<'_> {
    fn extent_of(&mut self, index: u32) -> Extent {
        let (before, after) = self.needs.split_at(self.next);
        let found = after
            .iter()
            .chain(before)
            .position(|wanted| wanted.index == index);
        let found = found.expect("what is sent is pinned");
        self.next = (self.next + found) % self.needs.len();
        self.needs[self.next].need.extent
    }
}

/// A gather whose first bytes went out before.
struct Skipping {
    gather: Box<Gather>,
    /// Bytes still to leave out.
    skip: u32,
}

impl Skipping {
    fn bytes(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len() as u32);
        self.skip -= skipped;
        self.gather.push_bytes(&bytes[skipped as usize..]);
    }

    fn extent(&mut self, extent: Extent, start: u32, len: u32) {
        let skipped = self.skip.min(len);
        self.skip -= skipped;
        self.gather.push_extent(extent, start + skipped, len - skipped);
    }
}
