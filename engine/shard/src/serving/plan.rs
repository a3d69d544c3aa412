//! What the next run of a peer is, and where its bytes come from.

use shoal_proto::layout::{FileIndex, Span};
use shoal_proto::message::{Message, PIECE_HEADER_LEN};
use shoal_world::{Op, Socket};

use crate::cache::{Cache, ExtentKey, Need, Pages};
use crate::hot::{Advice, FrameKey, FramedBlock, blocks_of, frames_of};
use crate::limits::{LOOK_AHEAD_NEEDS_MAX, RUN_BLOCKS_MAX, RUN_CUT_LEN};
use crate::peer::{Run, Source, Transmission, Upload};
use crate::shard::Shard;
use crate::torrent::{Active, Stretch, TorrentId};

/// Pages of one file in one pinned extent that a run needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) need: Need,
    pub(crate) file: FileIndex,
    /// The extent, as an offset in the torrent's page space.
    pub(crate) index: u32,
}

impl Transmission {
    /// Nothing holds the blocks that it is to send.
    pub(super) fn is_unplanned(&self) -> bool {
        matches!(&self.run, Some(run) if matches!(run.source, Source::Unplanned))
    }
}

impl Shard {
    /// Plans the rest of a run that the socket did not take, or the next run. Payload bytes planned; `None`: no room.
    /// `blocks_max` is what may pass at a time.
    pub(super) fn plan(&mut self, socket: Socket, blocks_max: usize, ops: &mut Vec<Op>) -> Option<u32> {
        let conversation = self.peers.talking(socket)?;
        let blocks_max = blocks_max.min(conversation.run_blocks);
        match &mut conversation.upload {
            Upload::Resuming(rest) if rest.is_unplanned() => {
                // Out of its place while its source is looked for.
                let mut run = rest.run.take().expect("an unplanned transmission has a run");
                let (torrent, sent) = (conversation.torrent, rest.sent);
                let planned = self.plan_rest(torrent, &mut run, sent);
                let payload = run.payload_len();
                if let Some(Upload::Resuming(rest)) =
                    self.peers.talking(socket).map(|talking| &mut talking.upload)
                {
                    rest.run = Some(run);
                }
                planned.then_some(payload)
            }
            _ => self
                .plan_framed(socket, blocks_max)
                .or_else(|| self.plan_cold(socket, blocks_max, ops)),
        }
    }

    /// Whether what a turn of this peer would plan next stands in the hot cache.
    pub(super) fn next_is_hot(&mut self, socket: Socket) -> bool {
        let Some(conversation) = self.peers.talking(socket) else {
            return false;
        };
        let next = match &conversation.upload {
            Upload::Resuming(rest) if rest.is_unplanned() => {
                rest.run.as_ref().and_then(|run| run.blocks.first())
            }
            _ => conversation.requests.front(),
        };
        let (torrent, next) = (conversation.torrent, next.copied());
        let key = next.and_then(|block| self.framed_key(torrent, block));
        key.is_some_and(|(key, _)| self.hot.holds(key))
    }

    /// Finds a source again for blocks of which `sent` bytes are gone already.
    fn plan_rest(&mut self, torrent: TorrentId, run: &mut Run, sent: u32) -> bool {
        if let Some((frame, start)) = self.pin_framed(torrent, &run.blocks) {
            run.source = Source::Framed { frame, start };
            return true;
        }
        let mut skipped = 0;
        let mut needs = Vec::new();
        for block in &run.blocks {
            skipped += block.len() + PIECE_HEADER_LEN as u32;
            if skipped > sent && !self.pin_block(torrent, *block, &mut needs) {
                unpin_from(&mut self.cache, &mut needs, 0);
                return false;
            }
        }
        run.source = Source::Arena { needs, promote: None };
        true
    }

    /// The framed extent that holds all these blocks in a row, pinned.
    fn pin_framed(&mut self, torrent: TorrentId, blocks: &[Span]) -> Option<(shoal_world::Frame, u32)> {
        let layout = &self.torrents.active(torrent)?.layout;
        let first = FramedBlock::of(layout, *blocks.first()?)?;
        let in_a_row = blocks.iter().zip(first.place..).all(|(block, place)| {
            FramedBlock::of(layout, *block)
                == Some(FramedBlock {
                    index: first.index,
                    place,
                })
        });
        if !in_a_row {
            return None;
        }
        let frame = self.hot.pin(FrameKey {
            torrent,
            index: first.index,
        })?;
        Some((frame, first.start()))
    }

    /// A run out of the hot cache: as many of the next requests as follow each other in one framed extent.
    fn plan_framed(&mut self, socket: Socket, blocks_max: usize) -> Option<u32> {
        let conversation = self.peers.talking(socket)?;
        let torrent = conversation.torrent;
        let active = self.torrents.active(torrent)?;
        let first = FramedBlock::of(&active.layout, *conversation.requests.front()?)?;
        let frame = self.hot.pin(FrameKey {
            torrent,
            index: first.index,
        })?;
        let mut place = first.place;
        let mut blocks = Vec::with_capacity(RUN_BLOCKS_MAX);
        while blocks.len() < blocks_max
            && let Some(next) = conversation.requests.front()
            && FramedBlock::of(&active.layout, *next)
                == Some(FramedBlock {
                    index: first.index,
                    place,
                })
        {
            blocks.extend(conversation.requests.pop_front());
            place += 1;
        }
        let run = Run {
            blocks,
            source: Source::Framed {
                frame,
                start: first.start(),
            },
        };
        let payload = run.payload_len();
        let offset = active.layout.offset(run.blocks[0]);
        // No read will tell that these files changed: the watch has to look at them. Padding is no file on disk.
        for segment in active
            .layout
            .segments(offset, payload.into())
            .filter(|segment| !segment.padding)
        {
            self.files.touch(active.files[segment.file.index()].key);
        }
        conversation.planned.push_back(run);
        Some(payload)
    }

    /// A run out of the arena: the next requests, up to the edge of an extent once that is worth a send.
    fn plan_cold(&mut self, socket: Socket, blocks_max: usize, ops: &mut Vec<Op>) -> Option<u32> {
        let conversation = self.peers.talking(socket)?;
        let torrent = conversation.torrent;
        let mut run = Run {
            blocks: Vec::new(),
            source: Source::Unplanned,
        };
        let mut needs: Vec<Wanted> = Vec::new();
        let mut promote = None;
        let mut payload = 0;
        while run.blocks.len() < blocks_max {
            let Some(conversation) = self.peers.talking(socket) else {
                break;
            };
            let Some(&block) = conversation.requests.front() else {
                break;
            };
            let before = needs.len();
            let edge = needs.last().map(|wanted| wanted.index);
            let hot = self.framed_key(torrent, block);
            if !run.blocks.is_empty() && hot.is_some_and(|(key, _)| self.hot.holds(key)) {
                break;
            }
            if !self.pin_block(torrent, block, &mut needs) {
                break;
            }
            let crossed = needs.get(before).is_some_and(|wanted| Some(wanted.index) != edge);
            if payload >= RUN_CUT_LEN && crossed {
                unpin_from(&mut self.cache, &mut needs, before);
                break;
            }
            if let Some((key, place)) = hot
                && self.advise(key, place) == Advice::Promote
                && promote.is_none()
            {
                promote = self.pin_frame_blocks(key, &mut needs).then_some(key);
            }
            payload += block.len();
            run.blocks.push(block);
            if let Some(conversation) = self.peers.talking(socket) {
                conversation.requests.pop_front();
            }
        }
        if run.blocks.is_empty() {
            return None;
        }
        self.look_ahead(socket, torrent, &needs, ops);
        run.source = Source::Arena { needs, promote };
        self.peers.talking(socket)?.planned.push_back(run);
        Some(payload)
    }

    fn framed_key(&mut self, torrent: TorrentId, block: Span) -> Option<(FrameKey, u32)> {
        let framed = FramedBlock::of(&self.torrents.active(torrent)?.layout, block)?;
        Some((
            FrameKey {
                torrent,
                index: framed.index,
            },
            framed.place,
        ))
    }

    /// Whether a block is worth a framed extent. A torrent that fits into what is free now is, from its first request.
    fn advise(&mut self, key: FrameKey, place: u32) -> Advice {
        let Some(active) = self.torrents.active(key.torrent) else {
            return Advice::Cold;
        };
        let fits = frames_of(&active.layout) <= self.hot.free();
        let warm = *active.warm.get_or_insert(fits);
        self.hot.advise(key, place, warm)
    }

    /// Pins everything that a whole framed extent needs, if all of it may be served and there is room.
    fn pin_frame_blocks(&mut self, key: FrameKey, needs: &mut Vec<Wanted>) -> bool {
        let Some(active) = self.torrents.active(key.torrent) else {
            return false;
        };
        let blocks: Vec<Span> = blocks_of(&active.layout, key.index).collect();
        if !blocks.iter().all(|block| active.have.has(block.piece())) {
            return false;
        }
        let before = needs.len();
        for block in blocks {
            if !self.pin_block(key.torrent, block, needs) {
                unpin_from(&mut self.cache, needs, before);
                return false;
            }
        }
        true
    }

    /// Pins the extents that hold a block and notes which pages it needs. False, and nothing pinned: no room.
    fn pin_block(&mut self, torrent: TorrentId, block: Span, needs: &mut Vec<Wanted>) -> bool {
        let Some(active) = self.torrents.active(torrent) else {
            return false;
        };
        let before = needs.len();
        for stretch in stretches(active, block) {
            let pages = Pages::touched_by(stretch.start, stretch.len);
            if let Some(last) = needs.last_mut()
                && (last.index, last.file) == (stretch.extent, stretch.file)
            {
                last.need.pages = last.need.pages.with(pages);
                continue;
            }
            let Some(extent) = self.cache.pin(ExtentKey {
                torrent,
                index: stretch.extent,
            }) else {
                unpin_from(&mut self.cache, needs, before);
                return false;
            };
            let need = Need { extent, pages };
            needs.push(Wanted {
                need,
                file: stretch.file,
                index: stretch.extent,
            });
        }
        true
    }

    /// Reads what the peer's next requests need of the same extents in the same go: one read for each extent.
    fn look_ahead(&mut self, socket: Socket, torrent: TorrentId, needs: &[Wanted], ops: &mut Vec<Op>) {
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        let Some(active) = self.torrents.active(torrent) else {
            return;
        };
        if needs.len() > LOOK_AHEAD_NEEDS_MAX {
            needs
                .iter()
                .for_each(|wanted| self.read(socket, torrent, *wanted, ops));
            return;
        }
        let mut wider = needs.to_vec();
        for block in conversation.requests.iter().take(RUN_BLOCKS_MAX) {
            for stretch in stretches(active, *block) {
                let same = wider
                    .iter_mut()
                    .find(|w| (w.index, w.file) == (stretch.extent, stretch.file));
                if let Some(wanted) = same {
                    wanted.need.pages = wanted
                        .need
                        .pages
                        .with(Pages::touched_by(stretch.start, stretch.len));
                }
            }
        }
        for wanted in wider {
            self.read(socket, torrent, wanted, ops);
        }
    }

    /// Refuses the request at the front of a peer's queue, which cannot be served at all.
    pub(super) fn refuse_first(&mut self, socket: Socket) {
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        if let Some(block) = conversation.requests.pop_front() {
            self.counters.refused += 1;
            if conversation.fast {
                Message::Reject(block.into()).encode(&mut conversation.outbox);
            }
        }
    }
}

/// The stretches of a block that files hold.
fn stretches(active: &Active, block: Span) -> impl Iterator<Item = Stretch> + '_ {
    active
        .stretches(active.layout.offset(block), u64::from(block.len()))
        .filter_map(Result::ok)
}

/// Takes back all but the first needs.
fn unpin_from(cache: &mut Cache, needs: &mut Vec<Wanted>, from: usize) {
    for wanted in needs.drain(from..) {
        cache.unpin(wanted.need.extent);
    }
}
